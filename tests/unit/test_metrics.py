"""Metrics against values worked out by hand."""

import pyarrow as pa
import pytest

from campaign.jobs import JOBS_SCHEMA
from campaign.metrics import METRICS, ClusterFacts, compute

CLUSTER = ClusterFacts(nodes=2, slots=4)
PHASES = {"golden": 5000.0, "fallback": 300.0, "placed": 1000.0, "started": 60.0, "reachable": 40.0, "workload": 20.0}


def table(*jobs: tuple[int, float, float, float | None, float | None], exit_code: int = 0) -> pa.Table:
    """Jobs as (width, intended, submitted, started, ended)."""
    rows = []
    for number, (width, intended, submit, start, end) in enumerate(jobs):
        times = {"intended_ns": intended, "submit_ns": submit, "start_ns": start, "end_ns": end}
        row = {name: None if value is None else int(value * 1e9) for name, value in times.items()}
        rows.append(row | {"job_id": number, "width": width, "exit_code": exit_code if end is not None else None})
    return pa.Table.from_pylist(rows, schema=JOBS_SCHEMA)


# Two jobs of 2 and 4 slots: waits 0 and 8 s, runs 10 and 2 s, responses 10 and 10 s, areas 20 and 8 slot seconds.
TWO = table((2, 0, 0, 0, 10), (4, 2, 2.5, 10.5, 12.5))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("makespan_s", 12.5),
        ("wait_mean_s", 4.0),
        ("wait_median_s", 4.0),
        ("wait_p95_s", 7.6),
        ("wait_max_s", 8.0),
        ("response_mean_s", 10.0),
        ("bounded_slowdown_mean", 1.0),
        ("awrt_s", 10.0),
        ("utilisation", 28 / 50),
        ("idle_fraction", 22 / 50),
        ("utilisation_steady", 0.5),
        ("throughput_jobs_per_h", 2 / 12.5 * 3600),
        ("node_hours", 2 * 12.5 / 3600),
        ("node_hours_provisioned", 3 * 120 / 3600),
        ("submit_lag_max_s", 0.5),
        ("jobs_completed", 2),
        ("jobs_unfinished", 0),
    ],
)
def test_two_jobs_by_hand(name: str, expected: float) -> None:
    assert compute(TWO, CLUSTER, PHASES)[name] == pytest.approx(expected)


def test_every_metric_has_a_hand_worked_value() -> None:
    assert set(compute(TWO, CLUSTER, PHASES)) == set(METRICS)


def test_awrt_weighs_by_area() -> None:
    jobs = table((1, 0, 0, 0, 10), (3, 0, 0, 20, 30))  # areas 10 and 30, responses 10 and 30
    assert compute(jobs, CLUSTER, {})["awrt_s"] == pytest.approx((10 * 10 + 30 * 30) / 40)


def test_bounded_slowdown_bounds_short_jobs_and_never_falls_below_one() -> None:
    jobs = table((1, 0, 0, 9, 10), (1, 0, 0, 0, 1))  # responses 10 and 1, runs 1 and 1
    assert compute(jobs, CLUSTER, {}, tau_s=2)["bounded_slowdown_mean"] == pytest.approx((10 / 2 + 1) / 2)


def test_steady_utilisation_cuts_warm_up_and_drain() -> None:
    # Arrivals from 0 to 10 s: the window is 1..10 s, where the first job uses 4 slots for 4 s and the last one none.
    jobs = table((4, 0, 0, 0, 5), (4, 10, 10, 10, 100))
    assert compute(jobs, CLUSTER, {})["utilisation_steady"] == pytest.approx(4 * 4 / (4 * 9))


def test_unfinished_jobs_are_counted_and_left_out() -> None:
    values = compute(table((1, 0, 0, 1, 2), (1, 0, 0, None, None), (1, 0, 0, 50, None)), CLUSTER, {})
    assert values["jobs_unfinished"] == 2
    assert values["makespan_s"] == 2


def test_jobs_that_failed_are_not_completed() -> None:
    assert compute(table((1, 0, 0, 1, 2), exit_code=143), CLUSTER, {})["jobs_completed"] == 0


@pytest.mark.parametrize("jobs", [table(), table((1, 0, 0, None, None))])
def test_metrics_without_meaning_are_absent(jobs: pa.Table) -> None:
    values = compute(jobs, CLUSTER, {})
    assert set(values) <= {"jobs_completed", "jobs_unfinished", "submit_lag_max_s"}


def test_simultaneous_arrivals_have_no_steady_state() -> None:
    assert "utilisation_steady" not in compute(table((1, 0, 0, 0, 5), (1, 0, 0, 0, 5)), CLUSTER, {})
