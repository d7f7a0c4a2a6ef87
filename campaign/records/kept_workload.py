"""The workload as it was replayed, kept beside the results: jobs and notes in one Parquet file."""

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from campaign.core.errors import LedgerError
from campaign.core.files import read_regular
from campaign.core.jobs import TRAITS_SCHEMA, WORKLOAD_SCHEMA, Workload
from campaign.workloads.traits import traits_of

_ABOUT = b"workload"
"""The key of the file's metadata under which all but the jobs stands, as JSON."""
TRAITS = frozenset(TRAITS_SCHEMA.names)
_GUESSED = "requested_guessed"
"""The column that tells of each job whether its requested time was guessed."""


def content_of(workload: Workload) -> bytes:
    """Return the content of the file that keeps `workload`, the order of its notes included."""
    about = {
        "name": workload.name,
        "notes": list(workload.notes.items()),
        "machine_slots": workload.machine_slots,
        "payload": workload.payload,
    }
    table = workload.table.select(WORKLOAD_SCHEMA.names).cast(WORKLOAD_SCHEMA)
    table = table.append_column(_GUESSED, pa.array(workload.is_guessed))
    for name in workload.traits.column_names:
        table = table.append_column(name, workload.traits.column(name))
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata({_ABOUT: json.dumps(about)}), sink, compression="zstd"
    )
    return bytes(sink.getvalue())


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
    table = pq.read_table(pa.BufferReader(content))
    about = json.loads(table.schema.metadata[_ABOUT])
    return Workload(
        about["name"],
        table.select(WORKLOAD_SCHEMA.names).replace_schema_metadata(None),
        dict(about["notes"]),
        about["machine_slots"],
        about["payload"],
        frozenset(table.filter(table.column(_GUESSED)).column("job_id").to_pylist()),
        traits_of({name: table.column(name) for name in table.column_names if name in TRAITS}),
    )


def _unusable(file: Path, why: str) -> LedgerError:
    return LedgerError(
        f"{file}, the workload that the campaign replayed, {why}",
        resolution="Restore the file from a copy of the results folder.",
    )
