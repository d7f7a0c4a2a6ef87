"""A workload in one Parquet file: jobs, traits, and notes; read back, it is equal to itself.

Campaigns keep what they replayed in it, and `hpc-campaign import` writes it.
"""

import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from campaign.core.jobs import TRAITS_SCHEMA, WORKLOAD_SCHEMA, Workload
from campaign.workloads.traits import traits_of

ABOUT = b"workload"
"""The key of the file's metadata under which all but the jobs stands, as JSON."""
TRAITS = frozenset(TRAITS_SCHEMA.names)
GUESSED = "requested_guessed"
"""The column that tells of each job whether its requested time was guessed."""


def content_of(workload: Workload) -> bytes:
    """Return the content of the file that keeps `workload`, the order of its notes included."""
    about: dict[str, Any] = {
        "name": workload.name,
        "notes": list(workload.notes.items()),
        "machine_slots": workload.machine_slots,
        "payload": workload.payload,
    }
    if workload.obeyed:
        about["obeyed"] = sorted(workload.obeyed)
    table = workload.table.select(WORKLOAD_SCHEMA.names).cast(WORKLOAD_SCHEMA)
    table = table.append_column(GUESSED, pa.array(workload.is_guessed))
    for name in workload.traits.column_names:
        table = table.append_column(name, workload.traits.column(name))
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata({ABOUT: json.dumps(about)}), sink, compression="zstd"
    )
    return bytes(sink.getvalue())


def is_kept(schema: pa.Schema) -> bool:
    """Return whether a Parquet file of this schema keeps a workload."""
    return ABOUT in (schema.metadata or {})


def workload_in(table: pa.Table) -> Workload:
    """Return the workload that the table of such a file keeps.

    Raises ValueError, KeyError or TypeError for one that nobody has written like that.
    """
    about: dict[str, Any] = json.loads(table.schema.metadata[ABOUT])
    guessed = table.filter(table.column(GUESSED)).column("job_id")
    return Workload(
        about["name"],
        table.select(WORKLOAD_SCHEMA.names).replace_schema_metadata(None),
        dict(about["notes"]),
        about["machine_slots"],
        about["payload"],
        frozenset(guessed.to_pylist()),
        traits_of({name: table.column(name) for name in table.column_names if name in TRAITS}),
        frozenset(about.get("obeyed", ())),
    )
