"""The files of MLflow's runs: where they are, and whether they are as at the run's completion."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from campaign.core.files import make_folder, sweep_drafts, write_durably

CHECKS = "checks.json"
ARTIFACT_BYTES = "artifact_bytes"
"""The tag of a complete run that says how many bytes its files have."""


def folder_of(mlruns: Path, uri: str) -> Path:
    """Return the folder of a run's files by the run's `artifact_uri`.

    It is relative to the store's folder `mlruns`; a store of an earlier version has absolute ones.
    """
    return mlruns / (unquote(uri.removeprefix("file://")) if uri.startswith("file://") else uri)


def keep_files(folder: Path, files: Mapping[str, bytes]) -> int:
    """Put a run's files on the disk; return how many bytes there are in its folder.

    Not by MLflow, which leaves them to the kernel's cache: the database would be on the disk before
    them, and say that the run is complete.
    """
    if files:
        make_folder(folder)
        sweep_drafts(folder)
    for name, content in files.items():
        write_durably(folder / inside(name), content)
    return size_of(folder)


def lacks_files(folder: Path, noted: str | None) -> bool:
    """Return True if a complete run's files aren't of the size that was `noted` of them."""
    if noted is None:  # by an earlier version; every run had this file, which is never empty
        checks = folder / CHECKS
        return not checks.is_file() or checks.stat().st_size == 0
    return noted != str(size_of(folder))


def size_of(folder: Path) -> int:
    """Return how many bytes of files a folder has; 0 where there is none."""
    if not folder.is_dir():
        return 0
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def inside(name: str) -> str:
    """Return `name` as a path that can't leave the folder it is put in."""
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", "..", ".")]
    return str(PurePosixPath(*parts)) if parts else "unnamed"
