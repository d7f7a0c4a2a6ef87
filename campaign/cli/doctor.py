"""`python -m campaign doctor`: what this machine can do, and the command that mends each thing that
is missing."""

import argparse
import importlib.metadata
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from campaign.config.compose import Composed, compose
from campaign.core.errors import CampaignError
from campaign.images.builders import chosen
from campaign.images.bundles import tools
from campaign.testbeds.preflight import fits, store_of

QEMU = tools.Tool("qemu-system-x86_64", "qemu-system-x86", "runs the VMs")
LIBVIRTD = tools.Tool("libvirtd", "libvirt-daemon libvirt-daemon-driver-qemu", "manages the VMs")
PACKAGES = (
    "ray",
    "optuna",
    "mlflow",
    "libvirt-python",
    "asyncssh",
    "pyarrow",
    "hydra-core",
    "pydantic",
)


@dataclass(frozen=True)
class Finding:
    """One thing looked at: whether it will do, what was found, and what mends it."""

    ok: bool
    what: str
    found: str
    mend: str = ""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("overrides", nargs="*", help="settings, as for a search")


def run(options: argparse.Namespace) -> int:
    """Look at everything and print the findings; status 2 if something is missing."""
    composed = compose(options.overrides)
    findings = list(examine(composed))
    for finding in findings:
        print(f"{'ok     ' if finding.ok else 'MISSING'} {finding.what:<13} {finding.found}")
        if not finding.ok:
            print(f"{'':21} mend: {finding.mend}")
    return 0 if all(finding.ok for finding in findings) else 2


def examine(composed: Composed) -> Iterator[Finding]:
    """Every finding, one after the other; an error while looking is a finding too."""
    checks: tuple[Callable[[Composed], Iterator[Finding]], ...] = (
        _packages,
        _programs,
        _namespace,
        _libvirt,
        _ray,
        _capacity,
        _image,
        _acceleration,
        _disk,
    )
    for check in checks:
        try:
            yield from check(composed)
        except CampaignError as error:
            yield Finding(
                False, check.__name__.strip("_"), error.brief, error.resolution or error.details
            )


def _packages(composed: Composed) -> Iterator[Finding]:
    for name in PACKAGES:
        try:
            yield Finding(True, "package", f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            yield Finding(False, "package", name, "make setup")


def _programs(composed: Composed) -> Iterator[Finding]:
    with_nix = chosen(composed.campaign.image.builder) == "nix"
    for tool in (QEMU, LIBVIRTD, *(() if with_nix else tools.needed_tools())):
        path = shutil.which(tool.program, path=tools.search_path())
        yield Finding(
            path is not None,
            "program",
            path or f"{tool.program}: {tool.purpose}",
            tools.install_command([tool]),
        )

    if with_nix:
        found = shutil.which("nix")
        mend = "install Nix 2.18 or later, or image.builder=debian"
        yield Finding(
            found is not None,
            "program",
            found or "nix: builds images with the project's flake",
            mend,
        )


def _namespace(composed: Composed) -> Iterator[Finding]:
    if os.geteuid() != 0 and chosen(composed.campaign.image.builder) == "debian":
        tools.require_namespace()
        yield Finding(True, "namespace", "a user namespace to build images in, without root")


def _libvirt(composed: Composed) -> Iterator[Finding]:
    from actors.hosts.state_dir import connected

    for name, settings in composed.campaign.local_hosts.items():
        with connected(settings) as hypervisor:
            versions = hypervisor.versions()
            ours = len(hypervisor.ours())
        yield Finding(
            True,
            "libvirt",
            f"{name}: libvirt {versions.libvirt}, QEMU {versions.qemu}, {ours} VMs of ours",
        )
    for name in composed.campaign.far_hosts:
        yield Finding(
            True,
            "libvirt",
            f"{name} is far; `python -m campaign host list` says whether it is there",
        )


def _ray(composed: Composed) -> Iterator[Finding]:
    from actors.hosts.ray_session import OBJECT_STORE_BYTES

    address = composed.campaign.testbed.ray_address
    if address:
        yield Finding(
            True,
            "Ray",
            f"the campaign joins the Ray at {address}; whether it answers, it finds out",
        )
        return
    free = shutil.disk_usage("/dev/shm").free  # noqa: S108 - Ray's object store lies there
    found = (
        f"a local one starts with a campaign; it needs {OBJECT_STORE_BYTES >> 20} of "
        f"{free >> 20} MiB in /dev/shm"
    )
    yield Finding(free > OBJECT_STORE_BYTES, "Ray", found, "mount -o remount,size=512M /dev/shm")


def _capacity(composed: Composed) -> Iterator[Finding]:
    for fit in fits(composed.campaign, composed.space.node_counts()[1]):
        found = f"{fit.host}: {fit.total.memory_mib} MiB and {fit.total.vcpus} vCPUs for VMs"
        needed = (
            f"; the largest cluster needs {fit.needed.memory_mib} MiB and {fit.needed.vcpus} vCPUs"
        )
        yield Finding(
            not fit.shortfall, "capacity", found + needed, "fewer nodes: cluster.nodes=[1,2]"
        )


def _image(composed: Composed) -> Iterator[Finding]:
    image = composed.campaign.image
    store = store_of(composed.campaign.image)
    for name in _image_names(composed):
        build = f"python -m campaign image build {name} (a search does it by itself)"
        bundle = next((one for one in store.bundles() if one.manifest.name == name), None)
        if bundle is None:
            yield Finding(
                image.build == "auto", "image", f"{name} is not in {store.path} yet: {build}", build
            )
        else:
            store.verify(bundle)
            yield Finding(True, "image", f"{name} {bundle.hash[:16]} in {store.path}")


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
                True,
                "acceleration",
                f"{name}: {kvm}; whether it works is tried with the image's kernel",
            )
            continue
        found = acceleration(bundles[0].kernel, bundles[0].initrd, state_dir_of(settings))
        yield Finding(True, "acceleration", f"{name}: {found.kind} ({found.reason})")


def _disk(composed: Composed) -> Iterator[Finding]:
    campaign = composed.campaign
    for what, folder in {
        "images": campaign.image.store,
        "results": campaign.output.results,
    }.items():
        path = Path(folder).expanduser().absolute()
        there = next(one for one in (path, *path.parents) if one.exists())
        free = shutil.disk_usage(there).free
        found = f"{free >> 20} MiB free for {what} ({path})"
        yield Finding(
            free > tools.BUILD_SPACE, "disk", found, "free some disk: python -m campaign image gc"
        )
