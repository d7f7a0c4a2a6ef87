"""The errors of a simulation over all trials, and how often their intervals have the true ones."""

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from campaign.bench.agreement_table import errors_json, held_out_lines
from campaign.bench.held_out import MAKESPAN, MEAN, P95, STARTS, Error, errors
from campaign.core.jobs import Workload
from campaign.schema.workload import WorkloadSettings
from campaign.simulation.calibration import CalibrationCase
from campaign.simulation.engine import NO_DELAYS, Delays, Nodes, simulate
from campaign.simulation.table import jobs_table
from campaign.workloads import load
from schedulers.policy import Policy

EASY = Policy(reserve="first")
NODES = Nodes(4, 4)
REAL = Delays(submit_s=0.1, launch_s=1.0, release_s=3.0)
"""What the real scheduler takes, unknown to a simulation without delays."""
DRAWS = 100
OF_EACH = 6
"""Workloads of each draw."""


def workload(seed: int, jobs: int = 40) -> Workload:
    return load(WorkloadSettings(jobs=jobs, seed=seed, duration_s=100), slots=16)


def measured(jobs: Workload, delays: Delays = REAL) -> CalibrationCase:
    """A trial as a real scheduler with these delays would have it."""
    table = jobs_table(jobs, simulate(jobs.table, NODES, EASY, delays))
    return CalibrationCase("point", jobs, NODES, EASY, table, 10.0)


def by_name(cases: list[CalibrationCase]) -> dict[str, Error]:
    return {one.name: one for one in errors(cases, NO_DELAYS)}


def later(case: CalibrationCase, seconds: float, jobs: int) -> CalibrationCase:
    """The same with the first `jobs` of them starting and ending later."""
    table = case.jobs
    for name in ("start_ns", "end_ns"):
        values = table.column(name).to_numpy().copy()
        values[:jobs] += int(seconds * 1e9)
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, pa.array(values))
    return replace(case, jobs=table)


def test_errors_are_those_of_all_jobs_together() -> None:
    exact = measured(workload(1), NO_DELAYS)
    found = by_name([exact, exact])
    assert (found[MEAN].value, found[P95].value, found[MAKESPAN].value) == (0, 0, 0)
    assert found[STARTS].value == found[STARTS].low == 1
    # A job that starts within a period, of five seconds here, starts as measured.
    near = by_name([later(exact, 4, 40)])
    waits = exact.jobs.column("start_ns").to_numpy() - exact.jobs.column("submit_ns").to_numpy()
    mean = waits.mean() / 1e9
    assert near[MEAN].value == pytest.approx(mean / (mean + 4) - 1)
    assert near[STARTS].value == 1
    end = exact.jobs.column("end_ns").to_numpy().max() / 1e9
    assert near[MAKESPAN].value == pytest.approx(end / (end + 4) - 1)
    assert math.isnan(near[MAKESPAN].low), "one trial has no interval of makespans"
    far = by_name([later(exact, 60, 10), exact])
    assert far[STARTS].value == pytest.approx(70 / 80)
    assert far[STARTS].low < 70 / 80 < far[STARTS].high
    tail = np.sort(np.concatenate([waits, waits]))[75] / 1e9
    shifted = np.where(np.arange(40) < 10, waits + 60 * 10**9, waits)
    real = np.sort(np.concatenate([shifted, waits]))[75] / 1e9
    assert far[P95].value == pytest.approx(tail / real - 1)


def test_a_job_that_never_started_counts_nowhere() -> None:
    case = measured(workload(1), NO_DELAYS)
    starts = case.jobs.column("start_ns").to_pylist()
    starts[3] = None
    place = case.jobs.schema.get_field_index("start_ns")
    table = case.jobs.set_column(place, "start_ns", pa.array(starts, pa.int64()))
    found = by_name([replace(case, jobs=table)])
    assert (found[MEAN].value, found[STARTS].value) == (0, 1)


def test_where_nothing_waits_there_is_no_relative_error() -> None:
    one = measured(workload(1), NO_DELAYS)
    (wait, *_) = errors(
        [
            replace(
                one,
                jobs=one.jobs.slice(0, 1),
                workload=replace(one.workload, table=one.workload.table.slice(0, 1)),
            )
        ],
        REAL,
    )
    assert math.isnan(wait.value) and wait.sentence == "none was measured"
    assert errors_json([wait])[MEAN]["value"] is None


def test_intervals_have_the_true_error_as_often_as_they_say() -> None:
    """The truth is the error over all workloads, of which each draw has some."""
    cases = [measured(workload(seed)) for seed in range(DRAWS * OF_EACH)]
    truth = by_name(cases)
    assert truth[MEAN].value < -0.05
    draws = [by_name(cases[first : first + OF_EACH]) for first in range(0, len(cases), OF_EACH)]
    for name in (MEAN, P95, MAKESPAN, STARTS):
        covered = sum(draw[name].low <= truth[name].value <= draw[name].high for draw in draws)
        assert 83 <= covered <= 98, (name, covered)


def test_the_table_has_both_with_their_intervals() -> None:
    found = errors([measured(workload(seed)) for seed in range(6)], REAL)
    other = [Error(MEAN, -0.02, -0.051, 0.013)]
    lines = list(held_out_lines(found[:1], other))
    assert lines[0].endswith("held out") and "fitted on" in lines[0]
    assert lines[1].endswith("-2.0% (-5.1% to +1.3%)") and "+0.0% (" in lines[1]
    assert errors_json([Error(MAKESPAN, 0.1, math.nan, math.nan)])[MAKESPAN]["low"] is None
