"""The differences of two images: their ingredients, their facts, and the files of their roots."""

import os
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from campaign.images.bundles import tools
from campaign.images.bundles.manifest import ROOT, Bundle, FileFact


def differences(one: Bundle, other: Bundle, *, files: bool = True) -> Iterator[str]:
    """Yield the differences as lines.

    `- name value` is only in `one`, `+ name value` only in `other`, `~` in both. With `files`, both
    root file systems are unpacked and compared file by file: that takes seconds, and their size on
    the disk.
    """
    mine = one.manifest
    its = other.manifest
    for what in ("name", "system", "builder", "kernel_version"):
        yield from _compared(what, {what: getattr(mine, what)}, {what: getattr(its, what)})
    if one.hash == other.hash:
        return
    yield from _compared(
        "kernel command line", *(dict.fromkeys(m.kernel_cmdline.split(), "") for m in (mine, its))
    )
    for what in ("packages", "extras", "facts", "tools"):
        yield from _compared(what, getattr(mine, what), getattr(its, what))
    yield from _compared("recipe", *((m.recipe.tags if m.recipe else {}) for m in (mine, its)))
    yield from _compared(
        "parts", *({name: fact.sha256 for name, fact in m.files.items()} for m in (mine, its))
    )
    if files and mine.files[ROOT] != its.files[ROOT]:
        with tempfile.TemporaryDirectory() as folder:
            roots = [
                _unpacked(bundle, Path(folder) / name)
                for name, bundle in (("one", one), ("other", other))
            ]
            yield from _compared("files", *(dict(listing(root)) for root in roots))


def listing(root: Path) -> Iterator[tuple[str, str]]:
    """Yield each path below `root` with its mode, its owner, and its content's hash or target."""
    for folder, folders, names in os.walk(root):
        for name in sorted([*folders, *names]):
            path = Path(folder) / name
            # Not stat: a link is compared as a link, and may lead out of the tree.
            found = path.lstat()
            owner = f"{stat.filemode(found.st_mode)} {found.st_uid}:{found.st_gid}"
            yield f"/{path.relative_to(root)}", f"{owner} {_content(path, found.st_mode)}".rstrip()


def _content(path: Path, mode: int) -> str:
    if stat.S_ISLNK(mode):
        return f"-> {path.readlink()}"
    return FileFact.of(path).sha256[:16] if stat.S_ISREG(mode) else ""


def _unpacked(bundle: Bundle, folder: Path) -> Path:
    tools.run(["fsck.erofs", f"--extract={folder}", str(bundle.root)])
    return folder


def _compared(what: str, mine: Mapping[str, str], its: Mapping[str, str]) -> Iterator[str]:
    lines = list(_lines(mine, its))
    if lines:
        yield f"{what}:"
        yield from lines


def _lines(mine: Mapping[str, str], its: Mapping[str, str]) -> Iterable[str]:
    for name in sorted(mine.keys() | its.keys()):
        if name not in its:
            yield f"  - {name} {mine[name]}".rstrip()
        elif name not in mine:
            yield f"  + {name} {its[name]}".rstrip()
        elif mine[name] != its[name]:
            yield f"  ~ {name} {mine[name]} | {its[name]}"
