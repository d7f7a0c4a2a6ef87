"""The checksums of a folder's files, as `sha256sum -c SHA256SUMS` checks them too."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from campaign.records.results import sha256_of

SUMS = "SHA256SUMS"


@dataclass(frozen=True)
class WrongFile:
    """A file of a publication that isn't what was published; `problem` says why."""

    path: Path
    problem: str


def files_in(folder: Path) -> list[str]:
    """Return all that is below `folder` and no folder, by relative path, sorted.

    Links are not followed: what stands outside is no part of it.
    """
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(path.relative_to(folder).as_posix() for path in found)


def sums_of(folder: Path) -> dict[str, str]:
    """Return the checksum of each file below `folder`, SUMS itself aside, by relative path."""
    return {name: sha256_of(folder / name) for name in files_in(folder) if name != SUMS}


def text_of(sums: Mapping[str, str]) -> str:
    """Return the content of SUMS; ValueError for a name that its lines can't hold."""
    if odd := next((name for name in sums if "\n" in name or "\\" in name), None):
        raise ValueError(f"{odd!r} has a line break or a backslash in its name")
    return "".join(f"{sums[name]}  {name}\n" for name in sorted(sums))


def wrong_files(folder: Path) -> Iterator[WrongFile]:
    """Yield the files of a published folder that are altered, gone, or no part of it."""
    try:
        known = _known((folder / SUMS).read_bytes())
    except (OSError, ValueError) as error:
        yield WrongFile(folder / SUMS, f"it can't be read: {error}")
        return
    there = files_in(folder)
    for name in sorted(known.keys() - set(there)):
        yield WrongFile(folder / name, "it was published, and is gone")
    for name in there:
        if name == SUMS:
            continue
        if name not in known:
            yield WrongFile(folder / name, "it is no part of what was published")
        elif problem := _problem(folder / name, known[name]):
            yield WrongFile(folder / name, problem)


def _problem(path: Path, sha256: str) -> str:
    try:
        same = not path.is_symlink() and sha256_of(path) == sha256
    except OSError as error:
        return f"it can't be read: {error.strerror}"
    return "" if same else "its content isn't what was published"


def _known(content: bytes) -> dict[str, str]:
    """Return the checksums by name; ValueError for what `text_of` wouldn't have written."""
    lines = (line.split("  ", 1) for line in content.decode().splitlines())
    sums = {name: digest for digest, name in lines}
    # Whatever differs from the one way to write it was altered.
    if text_of(sums).encode() != content:
        raise ValueError("it isn't as it was written")
    return sums
