"""Workloads of jobs with wishes, and campaigns that replay one, for tests of a cluster's model."""

import pyarrow as pa
import pyarrow.parquet as pq

from campaign.core.jobs import JOBS_SCHEMA, TRAITS_SCHEMA, WORKLOAD_SCHEMA, Workload
from campaign.core.trials import Replicate
from campaign.records.dataset import path_of
from campaign.records.ledger import history_of
from campaign.workloads.kept import content_of
from campaign.workloads.traits import traits_of


def workload_file(folder, rows):
    """Write jobs, each a mapping of columns and traits; the user is the job's number."""
    full = [
        {"width": 1, "requested_s": 300.0} | row | {"user": row["job_id"]}
        for row in sorted(rows, key=lambda row: row["arrival_s"])
    ]
    table = pa.Table.from_pylist(full, WORKLOAD_SCHEMA)
    names = {name for row in full for name in row} & set(TRAITS_SCHEMA.names)
    traits = traits_of({name: [row.get(name) for row in full] for name in names})
    file = folder / "wishes.parquet"
    file.write_bytes(content_of(Workload("wishes", table, traits=traits)))
    return file


def replayed(place, name, *settings):
    """Run a campaign of one trial, which ends well; the record, and the jobs by their numbers."""
    done = place.search(
        f"name={name}", "testbed=virtual-time", "search.trials=1", *settings, timeout=1500
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [record] = history_of(place.results / name / "ledger.jsonl").records[Replicate(0)]
    assert (record.outcome, record.reason) == ("ok", "")
    path = path_of(place.results / name / "jobs", Replicate(0))
    table = pq.read_table(path, partitioning=None).select(JOBS_SCHEMA.names)
    return record, {row["job_id"]: row for row in table.to_pylist()}
