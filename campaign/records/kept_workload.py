"""The workload as it was replayed, kept beside the results and told by the hash of its file."""

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from campaign.core.errors import LedgerError
from campaign.core.files import read_regular
from campaign.core.jobs import Workload
from campaign.workloads.kept import content_of, workload_in

__all__ = ["content_of", "digest", "read"]


def digest(content: bytes) -> str:
    """Return the SHA-256 of a file's content."""
    return hashlib.sha256(content).hexdigest()


def read(file: Path, sha256: str) -> Workload:
    """Return the workload that `file` keeps.

    Raises LedgerError where the file can't be read, or where its content hasn't this SHA-256.
    """
    try:
        content = read_regular(file)
    except OSError as error:
        raise _unusable(file, f"can't be read: {error.strerror}") from None
    if digest(content) != sha256:
        raise _unusable(file, "isn't the file that the campaign has kept: its hash differs")
    return workload_in(pq.read_table(pa.BufferReader(content)))


def _unusable(file: Path, why: str) -> LedgerError:
    return LedgerError(
        f"{file}, the workload that the campaign replayed, {why}",
        resolution="Restore the file from a copy of the results folder.",
    )
