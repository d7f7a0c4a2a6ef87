"""Pack a bundle of store paths: the Nix flake's images run this in a sandbox of their own.

    python3 -m campaign.images.packing.pack DESCRIPTION TARGET

DESCRIPTION is a JSON file (`Description`); TARGET is the folder to make.
"""

import re
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from campaign.core.errors import ImageError
from campaign.images.bundles import manifest, tools
from campaign.images.bundles.manifest import Bundle, FileFact, ImageManifest
from campaign.images.packing import erofs, initramfs, kernel

_INIT = Path(__file__).parents[1] / "debian/guest/init"
_FOLDERS = {
    "dev": 0o755,
    "etc": 0o755,
    "proc": 0o755,
    "root": 0o700,
    "run": 0o755,
    "sys": 0o755,
    "tmp": 0o1777,
    "var": 0o755,
}
_STORE_NAME = re.compile(r"[0-9a-z]{32}-(.+?)-(\d.*)")


class Description(BaseModel):
    """The ingredients of a bundle.

    `kernel` is the distribution's kernel file, `drivers` the folder with its modules, of which
    `modules` and what they need get into the initramfs with the static program `busybox`, and
    `memory_modules`, which are loaded only where the root file system is memory. `closure`
    is a file that names the store paths of the root file system, one on a line; `links` are
    symbolic links beside them, by path without a leading slash.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    system: str
    kernel_cmdline: str
    kernel_version: str
    kernel: Path
    drivers: Path
    modules: tuple[str, ...]
    memory_modules: tuple[str, ...]
    busybox: Path
    closure: Path
    links: dict[str, str]
    facts: dict[str, str]


def pack(wanted: Description, target: Path, *, epoch: int = 1) -> Bundle:
    """Make the bundle in the new folder `target`, with all files dated `epoch`.

    Raises ImageError, which says what is missing.
    """
    target.mkdir(parents=True)
    paths = [Path(line) for line in wanted.closure.read_text().splitlines()]
    (target / manifest.KERNEL).write_bytes(kernel.bootable(wanted.kernel.read_bytes()))
    archive = initramfs.build(
        busybox=wanted.busybox.read_bytes(),
        init=_INIT.read_bytes(),
        modules=initramfs.drivers(wanted.drivers, wanted.modules),
        memory_modules=initramfs.drivers(wanted.drivers, wanted.memory_modules),
    )
    (target / manifest.INITRD).write_bytes(archive)
    with tempfile.TemporaryDirectory() as folder:
        root = _root(Path(folder) / "root", paths, wanted.links)
        packing = erofs.command(target / manifest.ROOT, epoch)
        tools.run([*packing[:-1], "--all-root", packing[-1], str(root)], folder=target)
    erofs.pad(target / manifest.ROOT)
    files = {part: FileFact.of(target / part) for part in manifest.PARTS}
    return manifest.write(
        target,
        ImageManifest(
            name=wanted.name,
            system=wanted.system,
            builder="nix",
            hash=manifest.content_hash(files, wanted.kernel_cmdline),
            kernel_cmdline=wanted.kernel_cmdline,
            kernel_version=wanted.kernel_version,
            files=files,
            packages=packages(paths),
            facts=wanted.facts,
            tools={erofs.PROGRAM: tools.version(erofs.PROGRAM)},
        ),
    )


def packages(paths: Iterable[Path]) -> dict[str, str]:
    """Return packages and their versions, read from the names of store paths.

    Names without a version aren't packages.
    """
    named = (_STORE_NAME.fullmatch(path.name) for path in paths)
    return dict(sorted((found[1], found[2]) for found in named if found))


def _root(root: Path, paths: Iterable[Path], links: dict[str, str]) -> Path:
    """Lay out the root file system in the new folder `root`."""
    root.mkdir()
    for name, mode in _FOLDERS.items():
        (root / name).mkdir()
        (root / name).chmod(mode)
    (root / "etc/machine-id").touch()  # empty: a node draws its own, in RAM
    for path in paths:
        copy = root / path.relative_to("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, copy, symlinks=True)
        else:
            shutil.copy2(path, copy, follow_symlinks=False)
    for name, to in links.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(to)
    return root


def main(arguments: list[str]) -> None:
    """Pack as the command line says, or exit with a message."""
    description, target = map(Path, arguments)
    try:
        pack(Description.model_validate_json(description.read_bytes()), target)
    except (ImageError, ValidationError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
