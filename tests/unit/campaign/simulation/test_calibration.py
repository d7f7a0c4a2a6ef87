"""Delays are found again in trials that were made with them, and the table says how far things are
apart."""

import json
from dataclasses import replace
from statistics import fmean

import numpy as np
import pyarrow as pa
import pytest

from campaign.bench.agreement_table import SHOWN, apart, as_json, as_text, overrides
from campaign.schema.workload import WorkloadSettings
from campaign.simulation.calibration import COMPARED, CalibrationCase, differences, fit, simulated
from campaign.simulation.engine import Delays, Nodes, simulate
from campaign.simulation.table import jobs_table
from campaign.workloads import load
from schedulers.policy import Policy
from schedulers.slurm.params import SlurmParams
from schedulers.slurm.policy import policy

TRUE = Delays(submit_s=0.1, launch_s=0.8, overrun_s=0.05, release_s=1.6)


def case(nodes: int, seed: int, delays: Delays = TRUE, **params: object) -> CalibrationCase:
    """A trial as a machine with these delays would have measured it, with the scheduler's account
    in whole seconds."""
    workload = load(WorkloadSettings(jobs=20, seed=seed, duration_s=10), slots=8)
    decides = policy(SlurmParams(**params))
    size = Nodes(nodes, 4)
    schedule = simulate(workload.table, size, decides, delays)
    jobs = jobs_table(workload, schedule)
    native = pa.array(np.floor(schedule.decided / 1e9), pa.float64())
    jobs = jobs.set_column(jobs.schema.get_field_index("native_start_s"), "native_start_s", native)
    return CalibrationCase(f"nodes={nodes}", workload, size, decides, jobs, 10.0)


def repeated(nodes: int, seed: int, **params: object) -> list[CalibrationCase]:
    """The same trial, with the clock at several moments when the workload begins."""
    return [
        case(nodes, seed, replace(TRUE, cycle_offset_s=first), **params)
        for first in (0.2, 1.1, 1.9, 2.7)
    ]


@pytest.fixture(scope="module")
def fitted() -> Delays:
    trials = (
        repeated(2, 21),
        repeated(3, 21, SchedulerType="sched/builtin"),
        repeated(4, 21, bf_interval=2),
    )
    return fit([one for repetitions in trials for one in repetitions])


def test_delays_are_found(fitted: Delays) -> None:
    assert fitted.submit_s == pytest.approx(TRUE.submit_s)
    assert fitted.overrun_s == pytest.approx(TRUE.overrun_s, abs=0.001)
    assert fitted.launch_s == pytest.approx(
        TRUE.launch_s, abs=0.15
    )  # moments are unknown but for whole seconds
    assert fitted.launch_s + fitted.release_s == pytest.approx(
        TRUE.launch_s + TRUE.release_s, abs=0.3
    )


def test_another_workload_is_foretold_with_them(fitted: Delays) -> None:
    for trials in (repeated(2, 7), repeated(3, 7), repeated(4, 7, SchedulerType="sched/builtin")):
        found = [differences(trial, fitted) for trial in trials]
        for name in COMPARED:
            measured = fmean(one[name][0] for one in found)
            assert abs(apart(measured, found[0][name][1])) < 0.1, (name, found)
        assert any(abs(apart(*differences(trials[0], Delays())[name])) > 0.1 for name in COMPARED)


def ideal(nodes: int, delays: Delays) -> CalibrationCase:
    """A trial of a scheduler without a clock."""
    trial = replace(case(nodes, 7, delays), policy=Policy())
    return replace(trial, jobs=simulated(trial, delays)[0])


def test_without_a_clock_and_with_the_same_delays_nothing_is_apart() -> None:
    trial = ideal(2, Delays())
    assert len(simulated(trial, Delays())) == 1 < len(simulated(case(2, 7), TRUE))
    assert all(measured == ours for measured, ours in differences(trial, Delays()).values())


@pytest.mark.parametrize(
    ("pair", "expected"), [((2.0, 1.5), -0.25), ((0.0, 0.0), 0.0), ((0.0, 1.0), float("inf"))]
)
def test_apart_is_relative_to_what_was_measured(pair: tuple[float, float], expected: float) -> None:
    assert apart(*pair) == expected


def test_the_table_and_the_json_have_every_point_and_the_overrides() -> None:
    cases = [ideal(2, TRUE), ideal(3, TRUE), ideal(3, TRUE)]
    text = as_text(cases, cases[:2], TRUE)
    assert overrides(TRUE) in text and "testbed.launch_s=0.8" in text
    rows = [line for line in text.splitlines() if line.startswith("  nodes=")]
    assert len(rows) == (2 + 2) * len(SHOWN)
    assert all(line.endswith("+0.0%") for line in rows)
    found = json.loads(as_json(cases, cases[:2], TRUE))
    assert found["delays"]["release_s"] == 1.6 and len(found["trials"]) == 5
