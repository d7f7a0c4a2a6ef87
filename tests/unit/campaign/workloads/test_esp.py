"""ESP-2: its mix as published, how it is submitted, and the efficiency that only it has."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign.core.jobs import WORKLOAD_SCHEMA, Workload
from campaign.workloads.esp import efficiency, esp
from campaign.workloads.lublin import lublin

# Type: width for 1024 slots, jobs, run time in seconds.
PUBLISHED = [
    (32, 75, 267),
    (64, 9, 322),
    (512, 3, 534),
    (256, 3, 616),
    (512, 3, 315),
    (64, 9, 1846),
    (128, 6, 1334),
    (162, 6, 1067),
    (32, 24, 1432),
    (64, 24, 725),
    (98, 15, 487),
    (128, 36, 366),
    (256, 15, 187),
    (1024, 2, 100),
]


def ended(
    workload: Workload, *, elapsed_s: float, scale: float = 1.0, first_s: float = 0.0
) -> pa.Table:
    """A jobs table of which the last job ends `elapsed_s` after the first submission."""
    arrival = workload.table.column("arrival_s").to_numpy() * scale
    submit = np.round((first_s + arrival) * 1e9).astype(np.int64)
    end = np.maximum(submit, round((first_s + elapsed_s / 2) * 1e9))
    end[np.argmin(end)] = round((first_s + elapsed_s) * 1e9)
    columns = {
        "width": workload.table.column("width"),
        "runtime_s": workload.table.column("runtime_s").to_numpy() * scale,
        "submit_ns": submit,
        "end_ns": end,
    }
    return pa.table(columns)


def area(workload: Workload) -> float:
    return float(
        (
            workload.table.column("width").to_numpy()
            * workload.table.column("runtime_s").to_numpy()
        ).sum()
    )


def test_the_mix_is_the_published_one() -> None:
    jobs = [(job.width, job.runtime_s) for job in esp(slots=1024, seed=1).jobs()]
    assert len(jobs) == 230
    assert sorted(jobs) == sorted(
        (width, runtime) for width, count, runtime in PUBLISHED for _ in range(count)
    )
    assert area(esp(slots=1024, seed=1)) / 1024 == pytest.approx(11003, abs=3)


@settings(deadline=None, max_examples=30)
@given(slots=st.integers(1, 100_000), seed=st.integers(0, 2**32))
def test_jobs_are_a_workload_for_the_machine(slots: int, seed: int) -> None:
    workload = esp(slots=slots, seed=seed)
    jobs = list(workload.jobs())
    assert workload.table.schema == WORKLOAD_SCHEMA and workload.machine_slots == slots
    assert [job.job_id for job in jobs] == list(range(1, 231))
    assert [job.arrival_s for job in jobs] == sorted(job.arrival_s for job in jobs)
    assert all(1 <= job.width <= slots and job.requested_s == 1.5 * job.runtime_s for job in jobs)
    assert max(job.width for job in jobs) == slots


def test_fifty_come_at_once_the_others_one_by_one_and_the_widest_when_they_must() -> None:
    jobs = list(esp(slots=64, seed=3).jobs())
    arrival = [job.arrival_s for job in jobs]
    assert arrival[:50] == [0] * 50
    assert arrival[50:228] == [10.0 * (n + 1) for n in range(178)]
    assert [(job.arrival_s, job.width, job.runtime_s) for job in jobs[228:]] == [
        (2400, 64, 100),
        (7200, 64, 100),
    ]
    assert all(job.width < 64 for job in jobs[:228])


def test_the_seed_is_the_order_and_nothing_else() -> None:
    one, same, other = (esp(slots=32, seed=seed) for seed in (1, 1, 2))
    assert one.hash == same.hash != other.hash
    assert sorted((job.width, job.runtime_s) for job in one.jobs()) == sorted(
        (job.width, job.runtime_s) for job in other.jobs()
    )


@settings(deadline=None, max_examples=30)
@given(
    slots=st.integers(1, 10_000),
    seed=st.integers(0, 100),
    scale=st.floats(0.01, 100),
    first=st.floats(0, 100),
)
def test_efficiency_is_the_least_time_over_the_elapsed_whatever_the_scale(
    slots: int, seed: int, scale: float, first: float
) -> None:
    workload = esp(slots=slots, seed=seed)
    least = area(workload) / slots
    for times in (1.0, 2.0):
        jobs = ended(workload, elapsed_s=times * least * scale, scale=scale, first_s=first)
        assert efficiency(jobs, slots) == pytest.approx(1 / times, rel=1e-6)


def test_efficiency_counts_the_slots_of_the_cluster_not_those_of_the_mix() -> None:
    workload = esp(slots=32, seed=1)
    jobs = ended(workload, elapsed_s=area(workload) / 32)
    assert efficiency(jobs, 64) == pytest.approx(0.5)


def test_efficiency_survives_times_rounded_to_milliseconds() -> None:
    workload = esp(slots=32, seed=1)
    jobs = ended(workload, elapsed_s=area(workload) / 32 * 0.001, scale=0.001)
    rounded = pa.array(jobs.column("runtime_s").to_numpy().round(3))
    assert efficiency(jobs.set_column(1, "runtime_s", rounded), 32) == pytest.approx(1, rel=0.01)


def replaced(jobs: pa.Table, name: str, row: int, value: float | None) -> pa.Table:
    column = jobs.column(name).to_pylist()
    column[row] = value
    return jobs.set_column(
        jobs.schema.get_field_index(name), name, pa.array(column, jobs.schema.field(name).type)
    )


def test_efficiency_has_no_meaning_for_anything_else() -> None:
    whole = ended(esp(slots=32, seed=1), elapsed_s=20_000)
    assert efficiency(whole, 32) is not None
    width = whole.column("width").to_numpy()
    others = {
        "a job less": whole.slice(1),
        "no job": whole.slice(0, 0),
        "other widths": replaced(whole, "width", 0, whole.column("width")[0].as_py() + 1),
        "other run times": replaced(
            whole, "runtime_s", 5, whole.column("runtime_s")[5].as_py() * 1.1
        ),
        "not all ended": replaced(whole, "end_ns", 7, None),
        "not all submitted": replaced(whole, "submit_ns", 7, None),
        "another model": ended(lublin(jobs=230, seed=1, slots=32), elapsed_s=1e6),
        "cut to half the machine": whole.set_column(
            0, "width", pa.array(np.minimum(width, 16), pa.int32())
        ),
        "all but the widest wider": whole.set_column(
            0, "width", pa.array(width + (width < 32), pa.int32())
        ),
    }
    assert {name: efficiency(jobs, 32) for name, jobs in others.items()} == dict.fromkeys(others)
