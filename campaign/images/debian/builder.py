"""Build image bundles from Debian packages: locked versions, and equal bytes from equal lists.

The bytes also depend on the version of mkfs.erofs, which the manifest records: machines of one
Debian release give one hash for one list, with and without root.
"""

import hashlib
import logging
import shlex
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from campaign.core.errors import ImageError
from campaign.images.bundles import manifest, tools
from campaign.images.bundles.manifest import Bundle, FileFact, ImageManifest, ImageRecipe
from campaign.images.bundles.store import Store
from campaign.images.debian import apt, lock, third_party
from campaign.images.debian.apt import Apt, Package
from campaign.images.debian.lock import Lock
from campaign.images.debian.third_party import ProvidedFile, ThirdPartyFile
from campaign.images.packing import erofs, initramfs, kernel

_HERE = Path(__file__).parent
_SPECS = _HERE / "specs"
_GUEST = _HERE / "guest"
_LOCK = "lock.json"
_UNPACKED = ("busybox-static",)  # used for the initramfs, not installed in the guest
_ADDED = ("modules", "memory_modules", "kernel_cmdline", "packages")
_NO_DOCS = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")

_log = logging.getLogger(__name__)


class LockDriftError(ImageError):
    """The mirror no longer has what the lock names, and the build was asked to insist on it."""


class Spec(BaseModel):
    """What an image is made of; read from `NAME.toml` beside this module."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    suite: str
    epoch: int
    kernel: str
    modules: tuple[str, ...]
    memory_modules: tuple[str, ...]
    kernel_cmdline: tuple[str, ...]
    packages: tuple[str, ...]
    extras: tuple[ThirdPartyFile, ...] = ()
    users: dict[str, int] = {}  # system users and their ids, beside those that packages bring
    facts: dict[str, str] = {}


@dataclass(frozen=True)
class _Contents:
    """What goes into an image: packages, all of them on this disk, and third-party files."""

    packages: list[Package]
    provided: list[ProvidedFile]


def spec(name: str) -> Spec:
    """Return the specification of the image `name`; an ImageError names those that exist."""
    try:
        return Spec.model_validate(_settings(name))
    except FileNotFoundError as error:
        known = ", ".join(sorted(path.stem for path in _SPECS.glob("[a-z]*.toml")))
        raise ImageError(f"there is no image {name!r} to build", f"there are: {known}") from error
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise ImageError(f"{name}.toml is not a valid image specification", str(error)) from error


def _settings(name: str) -> dict[str, Any]:
    """Return the content of `NAME.toml`.

    Where it `extends` another file, whatever it leaves out is the other's; the lists in _ADDED add
    up, and so do the facts.
    """
    own = tomllib.loads((_SPECS / f"{name}.toml").read_text())
    if "extends" not in own:
        return own
    base = _settings(own.pop("extends"))
    added = {key: [*base[key], *own.get(key, ())] for key in _ADDED}
    facts = base.get("facts", {}) | own.get("facts", {})
    return base | own | added | {"facts": facts}


def lock_path(name: str) -> Path:
    """Return the path of the committed lock of the image `name`."""
    return _SPECS / f"{name}.lock.json"


def build(
    name: str = "slurm",
    *,
    store: Store,
    third_party_folder: Path | None = None,
    mirror: str | None = None,
    locked: bool = True,
) -> Bundle:
    """Build the image `name`, put it into `store`, and return it; takes a minute or two.

    `third_party_folder` holds the files that the image needs and no mirror has; by default
    `third_party.folder_of(None)`. `mirror` is a Debian archive's URI, by default the one that this
    machine's apt uses. Where the mirror has a locked version, that very file is used; where not,
    this is a LockDriftError. Without `locked`, a warning is logged of what differs instead, and the
    list that was used is kept beside the bundle as `lock.json`. Every other failure is an
    ImageError. Nothing half-made is left behind.
    """
    wanted = spec(name)
    found = third_party.provided(
        name, wanted.extras, third_party_folder or third_party.folder_of(None)
    )
    tools.require_tools()
    tools.require_namespace()
    with tools.disk_errors(store.path), store.making() as folder:
        tools.require_space(folder)
        work = folder / "work"
        provided = third_party.copied(found, work / "third-party")
        packages = _fetch(name, wanted, provided, work, mirror=mirror, locked=locked)
        contents = _Contents(packages, provided)
        _log.info("taking the kernel apart")
        version = _boot_files(wanted, packages, work, folder)
        _log.info("installing %d packages and packing the root file system", len(packages))
        _root_file(wanted, contents, work, folder / manifest.ROOT)
        erofs.pad(folder / manifest.ROOT)
        _log.info("hashing and storing")
        made = _describe(name, wanted, contents, version, folder)
        # `put` moves the whole folder, in which nothing but the bundle may be left.
        tools.remove_tree(work)
        bundle = store.put(made)
    _log.info("image %s %s", name, bundle.hash)
    return bundle


def renew_lock(
    name: str = "slurm", *, mirror: str | None = None, scratch: Path, path: Path | None = None
) -> list[str]:
    """Write the lock of the mirror's present packages to `path` (default: the committed one).

    Returns the differences from the old lock as lines. `scratch` is a folder for temporary files
    that must not exist yet; it is the caller's to remove.
    """
    tools.require_tools()
    target = path or lock_path(name)
    old = lock.read(target) if target.exists() else Lock()
    installed, unpacked = _resolve(spec(name), Apt(scratch, _mirror(mirror), spec(name).suite))
    new = Lock.of(package.locked for package in [*installed, *unpacked])
    new.write(target)
    return lock.differences(old, new)


def _mirror(uri: str | None) -> apt.Mirror:
    return apt.Mirror(uri.rstrip("/")) if uri else apt.configured_mirror()


def _resolve(wanted: Spec, source: Apt) -> tuple[list[Package], list[Package]]:
    """Return the packages to install, and those only to take files from."""
    return source.closure([*wanted.packages, *source.own]), [
        *source.kernel(wanted.kernel),
        *source.candidates(_UNPACKED),
    ]


def _fetch(
    name: str,
    wanted: Spec,
    provided: list[ProvidedFile],
    work: Path,
    *,
    mirror: str | None,
    locked: bool,
) -> list[Package]:
    """Choose and download the packages into `work`/packages; those to install are indexed there."""
    _log.info("asking the mirror for the package lists")
    debs = [one.path for one in provided if one.wanted.unpack == "deb"]
    source = Apt(work / "apt", _mirror(mirror), wanted.suite, debs)
    committed = lock.read(lock_path(name))
    source.pin(committed)
    installed, unpacked = _resolve(wanted, source)
    packages = [*installed, *unpacked]
    mirrored = Lock.of(p.locked for p in packages if p.locked.name not in source.own)
    _judge_drift(name, lock.differences(committed, mirrored), locked)
    _log.info("downloading %d packages", len(packages))
    folder = work / "packages"
    folder.mkdir()
    source.download(packages, folder)
    apt.write_index(installed, folder, wanted.suite)
    return packages


def _judge_drift(name: str, drift: list[str], locked: bool) -> None:
    if not drift:
        return
    renew = f"renew the lock: hpc-campaign image lock {name}"
    if locked:
        raise LockDriftError(
            f"the mirror no longer has the locked packages of image {name}",
            "\n".join(drift),
            "Use a mirror that has them (image.mirror, --mirror), set image.locked=false "
            "(--no-locked) to build another image of what this one has, or " + renew,
        )
    differs = "WARNING: the mirror differs from the lock in %d packages, so the hash will differ:"
    _log.warning(differs, len(drift))
    for line in drift:
        _log.warning("WARNING:   %s", line)
    _log.warning("WARNING: to make this list the committed one, %s", renew)


def _boot_files(wanted: Spec, packages: list[Package], work: Path, folder: Path) -> str:
    """Write kernel and initramfs into `folder`; the kernel's version."""
    tree = work / "unpacked"
    for package in packages:
        if package.locked.name.startswith(("linux-image-", *_UNPACKED)):
            tools.run(
                ["dpkg-deb", "-x", str(work / "packages" / package.filename), str(tree)],
                folder=folder,
            )
    image = next(tree.glob("boot/vmlinuz-*"), None)
    if image is None:
        raise ImageError(f"package {wanted.kernel} brought no kernel")
    version = image.name.removeprefix("vmlinuz-")
    (folder / manifest.KERNEL).write_bytes(kernel.vmlinux(image.read_bytes()))
    drivers = tree / "usr/lib/modules" / version
    archive = initramfs.build(
        busybox=(tree / "usr/bin/busybox").read_bytes(),
        init=(_GUEST / "init").read_bytes(),
        modules=initramfs.drivers(drivers, wanted.modules),
        memory_modules=initramfs.drivers(drivers, wanted.memory_modules),
    )
    (folder / manifest.INITRD).write_bytes(archive)
    return version


def _root_file(wanted: Spec, contents: _Contents, work: Path, target: Path) -> None:
    """Install the indexed packages in a fresh root, add third-party files, trim it, and pack it."""
    tools.run(
        _mmdebstrap(wanted, contents.provided, work / "packages", target),
        env={"SOURCE_DATE_EPOCH": str(wanted.epoch), "TMPDIR": str(work)},
        folder=target.parent,
    )


def _mmdebstrap(
    wanted: Spec, provided: list[ProvidedFile], packages: Path, target: Path
) -> list[str]:
    # Through a second mount, in which /proc and /sys aren't mounted: without root theirs have
    # another owner.
    pack = (
        'mkdir "$1.view" && mount --bind "$1" "$1.view" && '
        f'{shlex.join(erofs.command(target, wanted.epoch))} "$1.view" && umount "$1.view"'
    )
    return [
        *_confined(),
        "mmdebstrap",
        "--mode=root",
        # No archive of its own: the last hook packs the root.
        "--format=null",
        # The guest needs no apt, which every larger variant has.
        "--variant=essential",
        "--skip=cleanup",  # customize.sh has removed what it would clean
        "--architectures=amd64",
        f"--include={','.join(wanted.packages)}",
        '--aptopt=APT::Install-Recommends "false"',
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in _NO_DOCS),
        *(f"--customize-hook={hook}" for hook in third_party.user_hooks(wanted.users)),
        *(f"--customize-hook={one.hook}" for one in provided if one.wanted.unpack != "deb"),
        f'--customize-hook=sh {shlex.quote(str(_GUEST / "customize.sh"))} "$1"',
        f"--customize-hook={pack}",
        wanted.suite,
        "-",
        # Trusted without a signature: the index is ours, and its files were checked by their
        # hashes.
        f"deb [trusted=yes] copy:{packages} ./",
    ]


def _confined() -> list[str]:
    """Return the beginning of a command that runs as root, in namespaces of its own.

    They end with this process, and with them the command's processes and mounts.
    """
    own = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    return ["setpriv", "--pdeathsig", "KILL", *(tools.as_root() or own)]


def _describe(name: str, wanted: Spec, contents: _Contents, version: str, folder: Path) -> Bundle:
    used = Lock.of(package.locked for package in contents.packages)
    files = {part: FileFact.of(folder / part) for part in manifest.PARTS}
    cmdline = " ".join(wanted.kernel_cmdline)
    used.write(folder / _LOCK)
    # QEMU may run as another user, who must be able to read them.
    for part in (*manifest.PARTS, _LOCK):
        (folder / part).chmod(0o644)
    described = ImageManifest(
        name=name,
        builder="debian",
        hash=manifest.content_hash(files, cmdline),
        kernel_cmdline=cmdline,
        kernel_version=version,
        files=files,
        packages=used.versions,
        extras={one.wanted.file: one.sha256 for one in contents.provided},
        facts=wanted.facts,
        tools={erofs.PROGRAM: tools.version(erofs.PROGRAM)},
        recipe=ImageRecipe(id=f"debian:{_recipe_hash(wanted, used, contents.provided)}"),
    )
    return manifest.write(folder, described)


def _recipe_hash(wanted: Spec, used: Lock, provided: Sequence[ProvidedFile]) -> str:
    """Return a hash of all that a build is made from, except for the versions of its tools."""
    parts = [
        wanted.model_dump_json(),
        used.model_dump_json(),
        *sorted(f"{one.wanted.file} {one.sha256}" for one in provided),
    ]
    ours = (path for path in _GUEST.rglob("*") if path.is_file())
    parts += sorted(f"{path.relative_to(_GUEST)} {FileFact.of(path).sha256}" for path in ours)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
