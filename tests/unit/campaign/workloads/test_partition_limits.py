"""Jobs beyond the longest time of their partition: cut to it or left out, and counted."""

from dataclasses import replace

import pyarrow as pa
import pytest

from campaign.core.cluster import ClusterModel, Partition, Qos
from campaign.core.errors import WorkloadError
from campaign.core.jobs import WORKLOAD_SCHEMA, Workload
from campaign.workloads.partition_limits import within_partitions
from campaign.workloads.traits import traits_of

MODEL = ClusterModel(
    partitions=(Partition("short", max_time_s=100), Partition("long", default=True)),
    qos=(Qos("free", flags=("partition_time_limit",)), Qos("plain")),
)


def workload(*times: tuple[float, float], **traits) -> Workload:
    """Jobs 1, 2, .. that arrive a second apart, each of a run time and a limit."""
    rows = [
        {
            "job_id": number,
            "arrival_s": number - 1,
            "width": 1,
            "runtime_s": run_s,
            "requested_s": limit_s,
            "user": 0,
        }
        for number, (run_s, limit_s) in enumerate(times, start=1)
    ]
    told = traits_of(traits)
    return Workload(
        "w",
        pa.Table.from_pylist(rows, WORKLOAD_SCHEMA),
        traits=told,
        obeyed=frozenset(told.column_names),
    )


def test_limits_are_cut_and_jobs_that_run_longer_are_left_out() -> None:
    jobs = workload(
        (200, 300),
        (50, 100),
        (60, 3000),
        (500, 9000),
        partition=["short", "short", "short", None],
        after=[None, [1], None, None],
        after_kind=[None, "afterok", None, None],
    )
    found = within_partitions(jobs, MODEL)
    assert found.table.column("job_id").to_pylist() == [2, 3, 4]
    assert found.table.column("requested_s").to_pylist() == [100, 100, 9000]
    assert found.table.column("arrival_s").to_pylist() == [0, 1, 2]
    assert [job.traits.after for job in found.jobs()] == [None] * 3
    assert found.sentences == [
        "time limits beyond the longest of the job's partition cut to that: 1 job",
        "jobs that run longer than any job of their partition may left out: 1 job",
        "dependencies on jobs that are not in the workload ignored: 1 job",
    ]
    assert within_partitions(found, MODEL) is found


def test_a_default_partition_limits_jobs_that_name_none() -> None:
    limited = replace(MODEL, partitions=(Partition("only", max_time_s=100),))
    found = within_partitions(workload((50, 400)), limited)
    assert found.table.column("requested_s").to_pylist() == [100]


def test_a_quality_of_service_may_lift_the_limit() -> None:
    jobs = workload((200, 300), (200, 300), partition=["short"] * 2, qos=["free", "plain"])
    assert within_partitions(jobs, MODEL).table.column("job_id").to_pylist() == [1]


def test_a_workload_of_which_nothing_is_left_is_refused() -> None:
    with pytest.raises(WorkloadError, match="longer than their partitions let any job run"):
        within_partitions(workload((200, 300), partition=["short"]), MODEL)
