"""The benchmark of the simulation: the comparison is with the same jobs, and what is said follows
from the figures."""

import collections
import json
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign.bench import baseline, simulation
from campaign.bench.baseline import HOW, chosen, installed, run_accasim
from campaign.bench.simulation import SHARED, cases, schedule_figures, whole_seconds
from campaign.bench.simulation_table import (
    EASY,
    OURS,
    SHIPPED,
    TEXTBOOK,
    MemoryGrowth,
    ScheduleFigures,
    SimulatorRun,
    SpeedCase,
    SpeedMeasurements,
    SpeedRow,
    SpeedSample,
    as_json,
    as_text,
    ratios,
)
from campaign.core.errors import CampaignError
from campaign.simulation.engine import NS, Nodes, simulate
from campaign.workloads.lublin import lublin
from schedulers.policy import Policy
from tests.unit.campaign.simulation.reference import table

WITH_ACCASIM = pytest.mark.skipif(not installed(), reason=HOW)
BACKFILLING = Policy(reserve="first")


def crowded(jobs, nodes):
    """Jobs of Lublin and Feitelson in a hundredth of the time, so that many wait."""
    drawn = lublin(jobs=jobs, seed=3, slots=nodes).table
    arrival = pa.array(drawn.column("arrival_s").to_numpy() / 100)
    return whole_seconds(drawn.set_column(1, "arrival_s", arrival))


@WITH_ACCASIM
def test_accasim_with_the_textbook_dispatcher_starts_every_job_when_we_do():
    jobs = crowded(300, 50)
    ours = simulate(jobs, Nodes(50, 1), BACKFILLING)
    theirs = run_accasim(jobs, 50, "textbook", timeout_s=60)
    assert theirs.starts.tolist() == ours.start.tolist()
    assert (ours.start > ours.accepted).mean() > 0.5
    assert theirs.cpu_s > 0
    assert theirs.elapsed_s > 0
    assert not hasattr(collections, "Mapping")  # what AccaSim needs is done in its process


@WITH_ACCASIM
def test_accasims_own_easy_delays_the_first_waiting_job():
    late = table([(0, 3, 10, 10), (1, 4, 10, 10), (2, 1, 100, 100)])
    assert run_accasim(late, 4, "textbook", timeout_s=60).starts.tolist() == [0, 10 * NS, 20 * NS]
    assert run_accasim(late, 4, "shipped", timeout_s=60).starts.tolist() == [0, 102 * NS, 2 * NS]


@WITH_ACCASIM
def test_a_job_that_accasim_does_not_start_is_no_result():
    with pytest.raises(CampaignError, match="started 1 of 2"):
        run_accasim(table([(0, 1, 5, 5), (1, 9, 5, 5)]), 4, "textbook", timeout_s=60)


def test_a_baseline_that_fails_or_takes_too_long_is_no_result(monkeypatch):
    jobs = table([(0, 1, 5, 5)])
    with pytest.raises(CampaignError, match="failed") as failed:
        run_accasim(jobs, 4, "another", timeout_s=60)
    assert "another" in failed.value.details
    assert run_accasim(jobs, 4, "textbook", timeout_s=0.001) is None


requests = st.tuples(st.integers(0, 30), st.integers(1, 8), st.integers(1, 20), st.integers(0, 20))


@settings(max_examples=100, deadline=None)
@given(st.lists(requests, min_size=1, max_size=14))
def test_the_dispatcher_decides_as_our_engine_does(drawn):
    """In a loop that does what AccaSim's does: at each arrival and end, those that run and wait are
    all looked at."""
    asked = [(arrival, width, run, run + extra) for arrival, width, run, extra in sorted(drawn)]
    jobs = [
        SimpleNamespace(
            arrival=arrival,
            requested_nodes=width,
            run=run,
            expected_duration=limit,
            start_time=None,
        )
        for arrival, width, run, limit in asked
    ]
    times = {job.arrival for job in jobs}
    while times:
        now = min(times)
        times.remove(now)
        waiting = [job for job in jobs if job.arrival <= now and job.start_time is None]
        running = [
            job for job in jobs if job.start_time is not None and job.start_time + job.run > now
        ]
        for job in chosen(now, 8 - sum(job.requested_nodes for job in running), waiting, running):
            job.start_time = now
            times.add(now + job.run)
    ours = simulate(table(asked), Nodes(8, 1), BACKFILLING).start // NS
    assert [job.start_time for job in jobs] == ours.tolist()


def test_whole_seconds_leave_no_job_without_time_or_asking_for_less():
    whole = whole_seconds(table([(0.9, 1, 0.2, 0.3), (1.2, 2, 2.6, 2.7), (2.0, 2, 3.4, 9.1)]))
    columns = [whole.column(name).to_pylist() for name in ("arrival_s", "runtime_s", "requested_s")]
    assert columns == [[0, 1, 2], [1, 3, 3], [1, 3, 10]]


def test_the_outcome_is_that_of_the_schedule():
    jobs = table([(0, 1000, 10, 10), (1, 500, 10, 10), (2, 500, 20, 20), (30, 1, 10, 10)])
    found = schedule_figures(
        jobs, SimulatorRun(1.0, 1.0, np.array([0, 10, 10, 30]) * NS, nodes=True), 3
    )
    assert found == ScheduleFigures(
        busy=pytest.approx(25010 / 40000), wait_s=17 / 4, queue=2, differ=3, nodes=True
    )


def test_what_starts_as_another_arrives_no_longer_waits_with_it():
    jobs = table([(0, 1000, 10, 10), (1, 1000, 10, 10), (10, 1000, 10, 10)])
    assert (
        schedule_figures(
            jobs, SimulatorRun(1.0, 1.0, np.array([0, 10, 20]) * NS, nodes=True), 0
        ).queue
        == 1
    )


def test_accasim_runs_jobs_that_we_ran_just_before():
    found = cases([EASY, "FCFS"])
    for at, case in enumerate(found):
        if case.simulator != OURS:
            assert replace(case, simulator=OURS) in found[:at]
    assert {case.jobs for case in found if case.simulator == TEXTBOOK} == set(SHARED)


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("campaign.bench.simulation", "campaign.bench.baseline"),
        ("campaign.bench.baseline", "campaign.simulation.engine"),
    ],
)
def test_engine_and_baseline_are_not_loaded_beside_each_other(module, absent):
    code = f"import sys, {module}; sys.exit({absent!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def small(monkeypatch):
    """The benchmark with few jobs, and a baseline that starts them as we do."""
    for name, value in {"MANY": 60, "SOME": 30, "SHARED": (10, 20)}.items():
        monkeypatch.setattr(simulation, name, value)
    monkeypatch.setattr(baseline, "installed", lambda: True)
    monkeypatch.setattr(
        baseline,
        "run_accasim",
        lambda jobs, nodes, kind, timeout_s: simulation.timed(jobs, BACKFILLING),
    )


def bench():
    return simulation._SpeedBench(simulation.policies("slurm"))


def test_every_case_is_measured_in_each_round_but_the_slow_one(small):
    rows = bench().run(3)
    assert [row.case for row in rows] == cases(simulation.policies("slurm"))
    assert {row.case.simulator: len(row.samples) for row in rows} == {
        OURS: 3,
        TEXTBOOK: 3,
        SHIPPED: 1,
    }
    assert {row.outcome.nodes for row in rows} == {True}


def test_without_accasim_the_rest_is_measured_and_it_is_said_how_to_get_it(small, monkeypatch):
    monkeypatch.setattr(baseline, "installed", lambda: False)
    one = bench()
    assert {row.case.simulator for row in one.run(1)} == {OURS}
    assert one.missing == [HOW]
    assert "\n" not in HOW


def test_a_baseline_that_is_too_slow_is_left_out_and_not_tried_again(small, monkeypatch, caplog):
    monkeypatch.setattr(baseline, "run_accasim", lambda *jobs, **limit: None)
    caplog.set_level("INFO")
    one = bench()
    assert {row.case.simulator for row in one.run(2)} == {OURS}
    assert len(one.missing) == 3
    assert all(any(missing in line for line in caplog.messages) for missing in one.missing)


def test_other_starts_of_the_textbook_dispatcher_end_the_benchmark_but_not_those_of_another_easy(
    small, monkeypatch
):
    def late(jobs, nodes, kind, timeout_s):
        done = simulation.timed(jobs, BACKFILLING)
        return replace(done, starts=done.starts + (NS if kind == wrong else 0))

    monkeypatch.setattr(baseline, "run_accasim", late)
    wrong = "shipped"
    assert bench().run(1)[-1].outcome.differ == 10
    wrong = "textbook"
    with pytest.raises(CampaignError, match="10 start at another time"):
        bench().run(1)


def test_a_process_of_its_own_tells_how_its_memory_grows():
    grown = simulation._in_process("memory", "100000", "")
    assert 40 < grown / 100_000 < 1000  # the workload alone has 40 bytes for each job


def test_a_process_that_fails_says_why():
    with pytest.raises(CampaignError, match="memory") as failed:
        simulation._in_process("memory", "many", "")
    assert "many" in failed.value.details


EASY_HERE = ScheduleFigures(busy=0.9, wait_s=7200.0, queue=1234, differ=0, nodes=True)


@pytest.fixture
def measured():
    def row(by, jobs, *cpu, outcome=EASY_HERE):
        return SpeedRow(
            SpeedCase(by, "lublin", EASY, jobs),
            outcome,
            [SpeedSample(one, 2 * one, load=1.5) for one in cpu],
        )

    return SpeedMeasurements(
        facts={"cpu": "two of a kind"},
        compiling_s=30.0,
        loading_s=1.25,
        rows=[
            row(OURS, 250_000, 0.5, 1.0, 1.25),
            row(OURS, 2_000, 0.004, 0.005, 0.01),
            row(TEXTBOOK, 2_000, 2.0, 4.0, 5.0),
            row(SHIPPED, 2_000, 40.0, outcome=replace(EASY_HERE, differ=777)),
        ],
        memory=[
            MemoryGrowth(250_000, False, 50_000_000),
            MemoryGrowth(1_000_000, True, 500_000_000),
        ],
        missing=["something else"],
    )


def test_ratios_are_those_of_the_median_speeds_and_their_ends_those_of_the_extremes(measured):
    found = {one.what: (one.value, one.low, one.high) for one in ratios(measured)}
    same = found[f"ours with the same jobs / {TEXTBOOK}, with 2,000 jobs"]
    assert same == pytest.approx((4.0 / 0.005, 2.0 / 0.01, 5.0 / 0.004))
    most = found[f"ours with 250,000 jobs / {TEXTBOOK}, with 2,000 jobs"]
    assert most == pytest.approx((250_000 / 500, 200_000 / 1000, 500_000 / 400))
    assert len(found) == 4


def test_the_table_has_a_line_for_each_case_ratio_and_size(measured):
    lines = as_text(measured).splitlines()
    assert lines[:2] == ["cpu: two of a kind", "load average: 1.50 .. 1.50"]
    first = next(line for line in lines if line.startswith("ours: EASY, lublin"))
    assert (
        " ".join(first.split()[3:])
        == "250,000 250,000 200,000 500,000 3 125,000 yes 0.90 1,234 2 0"
    )
    shipped = next(line for line in lines if line.startswith(SHIPPED))
    assert shipped.split()[-1] == "777"
    assert [line.split()[-4:] for line in lines if "1,000,000" in line] == [
        ["1,000,000", "476.8", "500.0", "2.50"]
    ]
    assert "something else" in lines
    assert "30.0 s" in lines[-1]
    assert max(map(len, lines)) <= 120


def test_without_the_other_simulator_nothing_is_made_up(measured):
    alone = replace(measured, rows=measured.rows[:2], missing=[HOW])
    assert ratios(alone) == []
    assert HOW in as_text(alone).splitlines()
    assert TEXTBOOK not in as_text(alone)


def test_json_keeps_every_sample(measured):
    told = json.loads(as_json(measured))
    assert [[SpeedSample(**one) for one in row["samples"]] for row in told["rows"]] == [
        list(row.samples) for row in measured.rows
    ]
    assert [SpeedCase(**row["case"]) for row in told["rows"]] == [row.case for row in measured.rows]
    assert told["rows"][0]["jobs_per_cpu_s"]["median"] == 250_000
    assert told["rows"][0]["jobs_per_elapsed_s"] == 125_000
    assert [one["bytes_per_job"] for one in told["memory"]] == [200.0, 500.0]
    assert (told["compiling_s"], told["loading_s"], told["missing"]) == (
        30.0,
        1.25,
        ["something else"],
    )
