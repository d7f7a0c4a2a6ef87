"""The gate's changes: worse only where the whole interval is, by more than is tolerated."""

import math
import random

import pyarrow as pa
import pytest

from campaign.analysis.metrics import compute
from campaign.analysis.metrics.measured import ClusterFacts
from campaign.analysis.regression import over_jobs, over_nothing, over_workloads
from tests.samples import SECOND, jobs_table

BEFORE = [100.0, 210.0, 90.0, 160.0, 130.0, 300.0]


def scaled(*percents):
    return [value * (1 + percent / 100) for value, percent in zip(BEFORE, percents, strict=True)]


@pytest.mark.parametrize(
    ("percents", "direction", "worse"),
    [
        ((0, 0, 0, 0, 0, 0), "minimize", False),
        ((9, 11, 10, 12, 8, 10), "minimize", True),
        ((9, 11, 10, 12, 8, 10), "maximize", False),
        ((-9, -11, -10, -12, -8, -10), "maximize", True),
        ((40, -35, 30, -20, 35, -30), "minimize", False),  # as much as chance does
    ],
)
def test_over_workloads_a_change_counts_where_its_interval_does(percents, direction, worse):
    found = over_workloads("awrt_s", direction, BEFORE, scaled(*percents), None)
    assert found.is_worse(0) is worse
    assert found.low <= found.percent <= found.high and found.resampled == "workloads"


def test_what_is_tolerated_is_not_worse():
    found = over_workloads("awrt_s", "minimize", BEFORE, scaled(9, 11, 10, 12, 8, 10), None)
    assert found.is_worse(5) and not found.is_worse(15)


def test_a_change_that_comes_of_one_workload_alone_is_not_certain():
    found = over_workloads("awrt_s", "minimize", BEFORE, scaled(0, 0, 0, 0, 0, 90), None)
    assert found.percent > 20 and not found.is_worse(0)


def later(table, delays):
    """The same jobs, begun and ended so many seconds later; None: not ended."""
    rows = table.to_pylist()
    for row, delay in zip(rows, delays, strict=True):
        for name in ("start_ns", "all_started_ns", "end_ns"):
            row[name] = None if delay is None else row[name] + int(delay * SECOND)
    random.Random(1).shuffle(rows)  # jobs are found by their ids
    return pa.Table.from_pylist(rows, schema=table.schema)


def value_of(table, metric):
    return compute(table, ClusterFacts(2, 8), {}).values[metric]


@pytest.mark.parametrize("metric", ["wait_mean_s", "awrt_s", "wait_p95_s", "bounded_slowdown_mean"])
def test_over_jobs_all_that_wait_longer_are_worse_and_one_is_not(metric):
    table = jobs_table()
    count = table.num_rows
    for delays, worse in (([20.0] * count, True), ([0.0] * count, False)):
        changed = later(table, delays)
        values = (value_of(table, metric), value_of(changed, metric))
        found = over_jobs(metric, "minimize", values, (table, changed), 10.0)
        assert found.resampled == "jobs" and found.count == count
        assert found.is_worse(0) is worse
        assert worse or found.low == found.high == 0  # each job is compared with itself
        assert found.percent == pytest.approx(100 * (values[1] / values[0] - 1), abs=1e-6)
    once = later(table, [0.0] * (count - 1) + [60.0])
    values = (value_of(table, "wait_mean_s"), value_of(once, "wait_mean_s"))
    found = over_jobs("wait_mean_s", "minimize", values, (table, once), 10.0)
    assert found.percent > 0 and not found.is_worse(0)


def test_over_jobs_those_count_that_finished_in_both():
    table = jobs_table()
    changed = later(table, [None, None] + [0.0] * (table.num_rows - 2))
    found = over_jobs("wait_mean_s", "minimize", (1.0, 1.0), (table, changed), 10.0)
    assert found.count == table.num_rows - 2


@pytest.mark.parametrize("metric", ["node_hours", "hook.perf.ipc"])
def test_what_is_not_taken_over_jobs_has_no_interval_by_them(metric):
    assert over_jobs(metric, "minimize", (1.0, 2.0), (jobs_table(), jobs_table()), 10.0) is None


def test_without_an_interval_any_change_counts_beyond_rounding():
    assert over_nothing("node_hours", "minimize", (1.0, 1.001)).is_worse(0)
    assert not over_nothing("node_hours", "minimize", (1.0, 1.001)).is_worse(1)
    assert not over_nothing("node_hours", "minimize", (0.3, 0.1 + 0.2)).is_worse(0)
    assert not over_nothing("utilisation", "maximize", (0.5, 0.6)).is_worse(0)


def test_of_nothing_before_there_is_no_percentage_but_a_verdict():
    found = over_nothing("wait_max_s", "minimize", (0.0, 5.0))
    assert math.isnan(found.percent) and found.is_worse(50)
    assert not over_nothing("wait_max_s", "minimize", (0.0, 0.0)).is_worse(0)
