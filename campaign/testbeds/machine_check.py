"""What a machine can do: every finding, and how to fix each thing that is missing.

What needs the extra `vm` is imported where it is used, so that the rest can be told without it.
"""

import importlib.metadata
import os
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from campaign.config.compose import Composed
from campaign.core.errors import CampaignError, ImageError
from campaign.core.files import user_path
from campaign.core.version import DISTRIBUTION
from campaign.extras.required import require
from campaign.images.builders import chosen
from campaign.images.bundles import tools
from campaign.schema.image import ImageSettings
from campaign.testbeds.hardware_check import hardware_errors
from campaign.testbeds.preflight import fits, store_of
from campaign.testbeds.scheduler_check import schedulers_here

QEMU = tools.Tool("qemu-system-x86_64", "qemu-system-x86", "runs the VMs")
LIBVIRTD = tools.Tool("libvirtd", "libvirt-daemon libvirt-daemon-driver-qemu", "manages the VMs")
EXTRAS = {
    "vm": "virtual machines",
    "ui": "`hpc-campaign ui`",
    "ansible": "bootstrap.via=ansible",
    "bench": "the comparison in `hpc-campaign bench simulation`",
}
"""What each extra of the package is for."""


@dataclass(frozen=True)
class Finding:
    """One thing looked at: how it is, what was found, and how to fix it.

    What is `absent` is something that the campaign goes without; what is `missing` it can't.
    """

    state: Literal["ok", "absent", "missing"]
    what: str
    found: str
    fix: str = ""


Check = Callable[[Composed], Iterator[Finding]]


def verdict(composed: Composed, findings: Sequence[Finding]) -> str:
    """Return what the findings come to, in one sentence."""
    missing = sum(finding.state == "missing" for finding in findings)
    what = "simulations" if _simulated(composed) else "campaigns on virtual machines"
    if missing:
        return f"not ready for {what}: fix what is MISSING ({missing})"
    return f"ready for {what}"


def examine(composed: Composed) -> Iterator[Finding]:
    """Yield every finding, one after the other; an error while looking is a finding too."""
    packages = list(_packages(composed))
    yield from packages
    checks: list[Check] = [_disk]
    # Without libvirt's package nothing can be asked of virtual machines, and it has been told.
    if not _simulated(composed) and all(finding.state != "missing" for finding in packages):
        machines = (_libvirt, _ray, _capacity, _hardware, _image, _acceleration)
        checks = [_programs, _namespace, *machines, _disk]
    for check in checks:
        try:
            yield from check(composed)
        except CampaignError as error:
            name = check.__name__.strip("_")
            yield Finding("missing", name, error.brief, error.resolution or error.details)
    yield from _schedulers(composed, packages)


def _schedulers(composed: Composed, packages: Sequence[Finding]) -> Iterator[Finding]:
    """Yield where each scheduler can run; one that this campaign doesn't want may lack anything."""
    lacking = any(one.what == "extra vm" and one.state != "ok" for one in packages)
    programs = all(shutil.which(one.program, path=tools.search_path()) for one in (QEMU, LIBVIRTD))
    machines = programs and not lacking
    for one in schedulers_here(composed.campaign.image, machines=machines):
        yield Finding("absent" if one.lacks else "ok", "scheduler", one.found, one.fix)


def _simulated(composed: Composed) -> bool:
    return composed.campaign.testbed.kind == "simulation"


def _packages(composed: Composed) -> Iterator[Finding]:
    for extra, names in _required().items():
        there = {name: version for name in names if (version := _version_of(name))}
        lacking = [name for name in names if name not in there]
        what = f"extra {extra}" if extra else "packages"
        purpose = f" (for {EXTRAS[extra]})" if extra else ""
        if not lacking:
            versions = ", ".join(f"{name} {version}" for name, version in there.items())
            yield Finding("ok", what, versions if extra else f"{len(there)}, all that are needed")
            continue
        state: Literal["absent", "missing"] = "absent"
        if not extra or (extra == "vm" and not _simulated(composed)):
            state = "missing"
        wanted = f"{DISTRIBUTION}[{extra}]" if extra else DISTRIBUTION
        fix = f"pip install '{wanted}' (in the sources: make setup)"
        yield Finding(state, what, f"without {', '.join(lacking)}{purpose}", fix)


def _required() -> dict[str, list[str]]:
    """The names of the packages that this one requires, by extra; always required: by no name."""
    found = defaultdict[str, list[str]](list)
    try:
        requirements = importlib.metadata.requires(DISTRIBUTION) or ()
    except importlib.metadata.PackageNotFoundError:
        return {}  # it runs from a folder of sources, and nothing says what it requires
    for requirement in requirements:
        name = re.match(r"[\w.-]+", requirement)
        extra = re.search(r"extra == [\"'](\w+)[\"']", requirement)
        if name and (extra is None or extra[1] in EXTRAS):
            found[extra[1] if extra else ""].append(name[0])
    return dict(found)


def _version_of(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _found(fine: bool, what: str, found: str, fix: str = "") -> Finding:
    return Finding("ok" if fine else "missing", what, found, fix)


def _programs(composed: Composed) -> Iterator[Finding]:
    with_nix = chosen(composed.campaign.image.builder) == "nix"
    for tool in (QEMU, LIBVIRTD, *(() if with_nix else tools.needed_tools())):
        path = shutil.which(tool.program, path=tools.search_path())
        yield _found(
            path is not None,
            "program",
            path or f"{tool.program}: {tool.purpose}",
            tools.install_command([tool]),
        )

    if with_nix:
        found = shutil.which("nix")
        fix = "install Nix 2.18 or later, or image.builder=debian"
        yield _found(
            found is not None,
            "program",
            found or "nix: builds images with the project's flake",
            fix,
        )


def _namespace(composed: Composed) -> Iterator[Finding]:
    if os.geteuid() != 0 and chosen(composed.campaign.image.builder) == "debian":
        tools.require_namespace()
        yield Finding("ok", "namespace", "a user namespace to build images in, without root")


def _libvirt(composed: Composed) -> Iterator[Finding]:
    from actors.hosts.state_dir import connected

    for name, settings in composed.campaign.local_hosts.items():
        with connected(settings) as hypervisor:
            versions = hypervisor.versions()
            ours = len(hypervisor.ours())
        yield Finding(
            "ok",
            "libvirt",
            f"{name}: libvirt {versions.libvirt}, QEMU {versions.qemu}, {ours} VMs of ours",
        )
    for name in composed.campaign.far_hosts:
        yield Finding(
            "ok",
            "libvirt",
            f"{name}: a remote host; `hpc-campaign host list` says whether it can be reached",
        )


def _ray(composed: Composed) -> Iterator[Finding]:
    from actors.hosts.ray_session import OBJECT_STORE_BYTES

    address = composed.campaign.testbed.ray_address
    if address:
        yield Finding(
            "ok",
            "Ray",
            f"the campaign joins the Ray at {address}; that is checked when it begins",
        )
        return
    free = shutil.disk_usage("/dev/shm").free  # noqa: S108 - Ray's object store lies there
    found = (
        f"a local one starts with a campaign; it needs {OBJECT_STORE_BYTES >> 20} of "
        f"{free >> 20} MiB in /dev/shm"
    )
    yield _found(free > OBJECT_STORE_BYTES, "Ray", found, "mount -o remount,size=512M /dev/shm")


def _capacity(composed: Composed) -> Iterator[Finding]:
    for fit in fits(composed.campaign, composed.space.node_counts()[1]):
        found = f"{fit.host}: {fit.total.memory_mib} MiB and {fit.total.vcpus} vCPUs for VMs"
        needed = (
            f"; the largest cluster needs {fit.needed.memory_mib} MiB and {fit.needed.vcpus} vCPUs"
        )
        yield _found(
            not fit.shortfall, "capacity", found + needed, "fewer nodes: cluster.nodes=[1,2]"
        )


def _hardware(composed: Composed) -> Iterator[Finding]:
    campaign = composed.campaign
    errors = list(hardware_errors(campaign, composed.space.node_counts()[1]))
    for error in errors:
        details = f"\n{error.details}" if error.details else ""
        yield Finding("missing", "hardware", error.brief + details, error.resolution)
    if campaign.cluster.attached and not errors:
        yield Finding("ok", "hardware", "the devices and networks that nodes ask for are there")


def _image(composed: Composed) -> Iterator[Finding]:
    image = composed.campaign.image
    store = store_of(composed.campaign.image)
    for name in _image_names(composed):
        build = f"hpc-campaign image build {name} (a search does it by itself)"
        bundle = next((one for one in store.bundles() if one.manifest.name == name), None)
        if bundle is None:
            yield from _missing_image(name, image, f"{name} is not in {store.path} yet", build)
        else:
            store.verify(bundle)
            yield Finding("ok", "image", f"{name} {bundle.hash[:16]} in {store.path}")


def _missing_image(name: str, image: ImageSettings, where: str, build: str) -> Iterator[Finding]:
    """Yield whether the image can be built, and which files a user must provide for that."""
    yield _found(image.build == "auto", "image", f"{where}: {build}", build)
    if image.build != "auto":
        return
    try:
        require(name, image.builder, extras=image.extras)
    except ImageError as error:
        yield Finding("missing", "files", f"{error.brief}\n{error.details}", error.resolution)


def _image_names(composed: Composed) -> list[str]:
    return sorted({composed.image_name(scheduler) for scheduler in composed.schedulers.values()})


def _acceleration(composed: Composed) -> Iterator[Finding]:
    from actors.hosts.state_dir import state_dir_of
    from actors.hypervisor.probe import acceleration

    bundles = [
        one
        for one in store_of(composed.campaign.image).bundles()
        if one.manifest.name in _image_names(composed)
    ]
    for name, settings in composed.campaign.local_hosts.items():
        if not bundles:
            kvm = "there is a /dev/kvm" if Path("/dev/kvm").exists() else "there is no /dev/kvm"
            yield Finding(
                "ok",
                "acceleration",
                f"{name}: {kvm}; whether it works is tried with the image's kernel",
            )
            continue
        found = acceleration(bundles[0].kernel, bundles[0].initrd, state_dir_of(settings))
        slow = "software emulation, some twenty times slower; " if found.kind == "tcg" else ""
        yield Finding("ok", "acceleration", f"{name}: {found.kind} ({slow}{found.reason})")


def _disk(composed: Composed) -> Iterator[Finding]:
    campaign = composed.campaign
    for what, folder in {
        "images": campaign.image.store,
        "results": campaign.output.results,
    }.items():
        path = user_path(folder).absolute()
        there = next(one for one in (path, *path.parents) if one.exists())
        free = shutil.disk_usage(there).free
        found = f"{free >> 20} MiB free for {what} ({path})"
        yield _found(
            free > tools.BUILD_SPACE, "disk", found, "free some disk: hpc-campaign image gc"
        )
