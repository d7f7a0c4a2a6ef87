"""Whether the files of MLflow's runs are on the disk as they were at their completion."""

from pathlib import Path
from typing import Any

CHECKS = "checks.json"
ARTIFACT_BYTES = "artifact_bytes"
"""The tag of a complete run that says how many bytes its files have."""


def lacks_files(run: Any) -> bool:
    """Return True if a complete run's files aren't of the size that they had at its completion."""
    noted = run.data.tags.get(ARTIFACT_BYTES)
    if noted is None:  # by an earlier version; every run has this file, which is never empty
        checks = folder_of(run) / CHECKS
        return not checks.is_file() or checks.stat().st_size == 0
    return str(noted) != str(size_of(run))


def size_of(run: Any) -> int:
    """Return how many bytes a run's files have on the disk."""
    return sum(path.stat().st_size for path in folder_of(run).rglob("*") if path.is_file())


def folder_of(run: Any) -> Path:
    """Return the folder of a run's files."""
    return Path(str(run.info.artifact_uri).removeprefix("file://"))
