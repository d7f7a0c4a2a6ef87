"""The replay of a log beside the log, against values worked out by hand."""

import random
import statistics

import pyarrow as pa
import pytest

from campaign.analysis.fidelity import bootstrap_interval, fidelity
from campaign.core.errors import WorkloadError
from campaign.core.jobs import JOBS_SCHEMA, WORKLOAD_SCHEMA, Workload
from campaign.report.fidelity import fidelity_sections
from campaign.report.sections import lines
from campaign.workloads.traits import traits_of

DAY = 86_400.0


def log_of(rows, **traits):
    """Return a workload of jobs (arrival, width, run, recorded wait)."""
    count = len(rows)
    return Workload(
        "log",
        pa.table(
            {
                "job_id": list(range(100, 100 + count)),
                "arrival_s": [row[0] for row in rows],
                "width": [row[1] for row in rows],
                "runtime_s": [row[2] for row in rows],
                "requested_s": [row[2] for row in rows],
                "user": [1] * count,
            }
        ).cast(WORKLOAD_SCHEMA),
        traits=traits_of({"recorded_wait_s": [row[3] for row in rows], **traits}),
    )


def replay_of(workload, waits):
    """Return the jobs table of a trial in which jobs waited so long; None never started."""
    rows = []
    for job, wait in zip(workload.jobs(), waits, strict=True):
        times = {"submit_ns": job.arrival_s, "intended_ns": job.arrival_s}
        if wait is not None:
            times |= {"start_ns": job.arrival_s + wait}
            times |= {"end_ns": job.arrival_s + wait + job.runtime_s}
        row = {name: int(at * 1e9) for name, at in times.items()}
        rows.append(row | {"job_id": job.job_id, "width": job.width, "user": 1, "exit_code": 0})
    random.Random(3).shuffle(rows)
    return pa.Table.from_pylist(rows, schema=JOBS_SCHEMA)


# Slots 4: recorded, the second waits 100 s for the first; replayed, 130 s.
ROWS = [
    (0.0, 4, 100.0, 0.0),
    (0.0, 2, 50.0, 100.0),
    (10.0, 2, 50.0, 90.0),
    (8 * DAY, 1, 20.0, 400.0),
]
REPLAYED = [0.0, 130.0, 90.0, 0.0]


def test_waits_by_class_stand_beside_each_other():
    workload = log_of(ROWS, partition=["a", "a", "b", "b"])
    found = fidelity(replay_of(workload, REPLAYED), workload, slots=4)
    assert found.whole.jobs == 4
    assert found.whole.recorded.mean == pytest.approx(590 / 4)
    assert found.whole.replayed.mean == pytest.approx(220 / 4)
    assert found.whole.recorded.median == pytest.approx(95)
    assert found.whole.replayed.p95 == pytest.approx(90 + 0.85 * 40)
    assert found.whole.difference_s == pytest.approx((220 - 590) / 4)
    assert found.whole.interval_s is None  # of four jobs
    means = {
        (field, one.label): (one.jobs, one.recorded.mean, one.replayed.mean)
        for field, classes in found.by.items()
        for one in classes
    }
    assert means["partition", "a"] == (2, 50.0, 65.0)
    assert means["partition", "b"] == (2, 245.0, 45.0)
    assert means["width", "2"] == (2, 95.0, 110.0)
    assert means["width", "3-4"] == (1, 0.0, 0.0)
    assert means["week", "1"] == (3, pytest.approx(190 / 3), pytest.approx(220 / 3))
    assert means["week", "2"] == (1, 400.0, 0.0)
    assert ("qos", "x") not in means and "qos" not in found.by


def test_weeks_of_scaled_times_are_scaled_too():
    workload = log_of(ROWS)
    found = fidelity(replay_of(workload, REPLAYED), workload, slots=4, time_scale=2.0)
    assert [one.label for one in found.by["week"]] == ["1"]


def test_a_log_may_be_years_long():
    # Its nanoseconds are more than a float tells apart.
    rows = [(place * 300 * DAY + 0.123456789, 1, 10.0, 5.0) for place in range(4)]
    workload = log_of(rows)
    found = fidelity(replay_of(workload, [7.0] * 4), workload, slots=1)
    assert found.whole.difference_s == pytest.approx(2.0, abs=1e-6)
    assert [one.label for one in found.by["week"]] == ["1", "43", "86", "129"]


def test_use_over_time_has_the_slot_seconds_of_both():
    rows = [(0.0, 4, 60.0, 0.0), (0.0, 2, 60.0, 60.0)]
    workload = log_of(rows)
    use = fidelity(replay_of(workload, [60.0, 0.0]), workload, slots=4).use
    assert use.step_s == pytest.approx(2.0)
    assert use.recorded == pytest.approx([1.0] * 30 + [0.5] * 30)
    assert use.replayed == pytest.approx([0.5] * 30 + [1.0] * 30)
    assert use.difference == pytest.approx(0.5)


def test_the_verdict_is_by_the_stated_thresholds():
    draw = random.Random(2)
    waits = [draw.uniform(800, 1200) for _ in range(300)]
    rows = [(60.0 * place, 1, 30.0, wait) for place, wait in enumerate(waits)]
    workload = log_of(rows)

    def verdict(factor):
        replayed = [factor * wait for wait in waits]
        return fidelity(replay_of(workload, replayed), workload, slots=100)

    assert verdict(1.05).verdict == "agrees"
    assert verdict(1.2).verdict == "agrees roughly"
    assert verdict(1.5).verdict == "differs"
    mean = statistics.mean(waits)
    said = verdict(1.5).because
    assert (
        f"mean {1.5 * mean:.0f} s, recorded {mean:.0f} s" in said and "within 10% or 60 s" in said
    )


def test_short_waits_may_differ_by_a_minute():
    workload = log_of([(float(place), 1, 30.0, 1.0) for place in range(50)])
    assert fidelity(replay_of(workload, [50.0] * 50), workload, slots=1000).verdict == "agrees"
    scaled = fidelity(replay_of(workload, [50.0] * 50), workload, slots=1000, time_scale=0.1)
    assert scaled.verdict == "differs"


def test_the_interval_holds_the_mean_and_widens_where_neighbours_are_alike():
    draw = random.Random(4)
    alone = [draw.gauss(10, 5) for _ in range(2000)]
    low, high = bootstrap_interval(pa.array(alone).to_numpy())
    assert low < statistics.mean(alone) < high
    # That of a mean of independent values: 1.96 standard errors to each side.
    assert high - low == pytest.approx(2 * 1.96 * 5 / 2000**0.5, rel=0.25)
    together = [value for value in alone[:20] for _ in range(100)]
    wide_low, wide_high = bootstrap_interval(pa.array(together).to_numpy())
    assert wide_high - wide_low > 3 * (high - low)
    assert bootstrap_interval(pa.array(alone).to_numpy()) == (low, high)


def test_what_is_missing_is_counted():
    rows = [*ROWS, (8 * DAY, 1, 20.0, None), (8 * DAY, 1, 20.0, 5.0)]
    workload = log_of(rows)
    found = fidelity(replay_of(workload, [*REPLAYED, 0.0, None]), workload, slots=4)
    said = "\n".join(found.missing)
    assert "jobs whose recorded wait isn't known, left out: 1" in said
    assert "jobs that never started in the replay, left out: 1" in said
    assert "not known of any job: partition, QOS" in said
    # The job of the second week waited 400 s on an empty cluster.
    assert "left as many slots as they asked for: 1, 0 of them on the first day" in said


def test_jobs_that_wait_from_the_start_tell_of_others_before_the_log():
    workload = log_of([(0.0, 1, 50.0, 3600.0), (1.0, 1, 50.0, 3600.0)])
    found = fidelity(replay_of(workload, [0.0, 0.0]), workload, slots=4)
    assert any("asked for: 2, 2 of them on the first day" in one for one in found.missing)


def test_a_cluster_smaller_than_the_logs_is_said():
    workload = log_of(ROWS)
    found = fidelity(replay_of(workload, REPLAYED), workload, slots=3)
    assert any(
        "up to 4 slots at once, and the replay's cluster has 3" in one for one in found.missing
    )


def test_a_log_without_recorded_waits_is_one_error():
    workload = log_of([(0.0, 1, 10.0, None)])
    with pytest.raises(WorkloadError, match="no recorded waits"):
        fidelity(replay_of(workload, [0.0]), workload, slots=4)


def test_the_sections_show_all_of_it():
    rows = [(60.0 * place, 1 + place % 4, 30.0, 100.0) for place in range(40)]
    workload = log_of(rows, user_name=[f"u{place % 20}" for place in range(40)])
    found = fidelity(replay_of(workload, [110.0] * 40), workload, slots=80)
    text = "\n".join(lines("title", fidelity_sections(found)))
    assert "The replay agrees with the log" in text
    assert "+10.0" in text and "10 to 10" in text
    assert "and 8 with fewer jobs" in text
    assert "waits by week, s" in text and "recorded  " in text
