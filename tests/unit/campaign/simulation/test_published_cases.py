"""Schedules that are known from elsewhere, or worked out by hand, come out to the second."""

import csv
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from campaign.analysis.metrics import ClusterFacts, compute
from campaign.core.jobs import WORKLOAD_SCHEMA, Workload
from campaign.simulation.engine import NS, Nodes, simulate
from campaign.simulation.table import jobs_table
from campaign.workloads.swf import FIELDS, read_swf
from schedulers.policy import Policy
from tests.conftest import CANNOT_RUN_HERE
from tests.unit.campaign.simulation.reference import table

RESERVE = {"fcfs": "none", "easy": "first", "conservative": "all"}
BOTH = ("easy", "conservative")
SCHEDULES = "CAMPAIGN_GOLDEN_SCHEDULES"
TRACES = "CAMPAIGN_TRACES"
NO_SCHEDULES = (
    f"{CANNOT_RUN_HERE}: other people's schedules aren't kept here; set {SCHEDULES} to a folder "
    "of files named "
    "<name>-<nodes>-<policy>.csv (policy: fcfs, easy, conservative), nodes of one slot, with the "
    "columns submit, run, "
    "estimate, width and start, by order of submission, in seconds"
)
NO_TRACES = (
    f"{CANNOT_RUN_HERE}: other people's traces aren't kept here; set {TRACES} to a "
    "folder of SWF files (*.swf)"
)


def files(variable: str, suffix: str) -> list:
    """The files of the folder that an environment variable names, as parameters of a test."""
    folder = os.environ.get(variable, "")
    found = sorted(Path(folder).glob(f"*{suffix}")) if folder else []
    assert found or not folder, f"{variable}: no *{suffix} in {folder}"
    return [pytest.param(file, id=file.stem) for file in found]


def starts(jobs: pa.Table, count: int, policy: str) -> np.ndarray:
    """In seconds."""
    return simulate(jobs, Nodes(count, 1), Policy(RESERVE[policy])).start / NS


@pytest.mark.parametrize(
    ("name", "policies", "jobs"),
    [
        (
            "cons_bf_input.0",
            ["conservative"],
            [
                (0, 100, 100, 70, 0),
                (1, 100, 100, 80, 100),
                (2, 100, 100, 90, 200),
                (50, 250, 250, 20, 300),
            ],
        ),
        (
            "easy_bf_input.0",
            ["easy"],
            [
                (0, 100, 100, 70, 0),
                (1, 100, 100, 80, 100),
                (2, 100, 100, 90, 300),
                (50, 250, 250, 20, 50),
            ],
        ),
        (
            "bf_input.2",
            BOTH,
            [
                (0, 600, 800, 50, 0),
                (1, 200, 200, 60, 600),
                (2, 100, 400, 60, 800),
                (10, 600, 700, 10, 10),
            ],
        ),
        (
            "bf_input.5",
            BOTH,
            [(0, 600, 600, 50, 0), (10, 200, 400, 100, 600), (20, 1000, 1000, 10, 800)],
        ),
        (
            "bf_input.6",
            BOTH,
            [(0, 600, 700, 50, 0), (10, 200, 400, 100, 600), (20, 10, 10, 60, 800)],
        ),
        (
            "bf_input.7",
            BOTH,
            [(100, 100, 600, 50, 100), (101, 10, 600, 60, 204), (104, 100, 100, 50, 104)],
        ),
        (
            "cons_bf_input.1",
            ["conservative"],
            [
                (0, 600, 800, 50, 0),
                (1, 200, 400, 100, 600),
                (2, 100, 200, 10, 2),
                (99, 10, 10, 10, 99),
                (100, 30, 31, 40, 102),
            ],
        ),
        (
            "easy_bf_input.3",
            ["easy"],
            [
                (0, 600, 600, 90, 0),
                (0, 10, 10, 10, 0),
                (1, 10, 10, 100, 600),
                (2, 10, 10, 6, 10),
                (3, 10, 10, 4, 10),
            ],
        ),
        (
            "fcfs_input.0",
            ["fcfs"],
            [
                *[(0, 100, 100, 15, 0)] * 6,
                (5, 100, 100, 50, 100),
                (6, 100, 100, 10, 100),
                (7, 100, 1000, 99, 200),
                (8, 2, 2, 10, 300),
            ],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_small_cases_of_pyss_start_as_they_do_there(name, policies, jobs) -> None:
    """(submission, run time, requested time, width, start) on 100 nodes: pyss,
    src/schedulers/Input_test_files, the Python Scheduling Simulator of D. Feitelson's group."""
    rows = table((submit, width, run, requested) for submit, run, requested, width, _ in jobs)
    for policy in policies:
        assert starts(rows, 100, policy).tolist() == [start for *_, start in jobs], policy


def test_ten_jobs_under_easy_as_worked_out_by_hand() -> None:
    """Ten nodes of one slot; in brackets what is free, and by the limits of what runs the shadow
    and its spare nodes.

    At   0: A (6 wide, until 120 at the latest) and B (3 wide, until 80) start [1 free].
        10: C (8 wide) is the first that waits: with B gone there are 4, with A gone 10 [shadow 120,
        2 spare]. 20: D is over by 110: it starts [0 free].
        30: E (1 wide), F (2 wide) and G (2 wide) wait.
        50: B ends, 30 s before its limit [3 free; shadow 120, 2 spare]. E runs beyond the shadow,
        on a spare node: it
            starts [2 free, 1 spare]. F would too, and needs two spare nodes: at 120 there would be
            7 for C, so it is refused. G needs two as well, but its limit ends at 120, exactly at
            the shadow: it starts [0 free].
        80: G ends, 40 s before its limit; H has waited since 60 [2 free; shadow 120, 1 spare]. F is
        refused again; H is
            over by 100: it starts [1 free].
        95: H ends, 5 s before its limit [2 free; shadow 120, 1 spare]. F is refused again.
       100: A ends, 20 s before its limit: C fits now, and starts 20 s before its shadow [0 free; F
       is the first that
            waits: shadow 160, when C is over at the latest, 7 spare].
       110: D ends, I (3 wide) comes [1 free]: neither F nor I fits.
       125: J runs beyond the shadow, on a spare node: it starts [0 free].
       140: C ends, 20 s before its limit: F and then I start [3 free].
    """
    jobs = {
        "A": (0, 6, 100, 120),
        "B": (0, 3, 50, 80),
        "C": (10, 8, 40, 60),
        "D": (20, 1, 90, 90),
        "E": (30, 1, 200, 200),
        "F": (30, 2, 300, 300),
        "G": (30, 2, 30, 70),
        "H": (60, 1, 15, 20),
        "I": (110, 3, 10, 50),
        "J": (125, 1, 60, 60),
    }
    expected = {
        "A": 0,
        "B": 0,
        "C": 100,
        "D": 20,
        "E": 50,
        "F": 140,
        "G": 50,
        "H": 80,
        "I": 140,
        "J": 125,
    }
    assert (
        dict(zip(jobs, starts(table(jobs.values()), 10, "easy").tolist(), strict=True)) == expected
    )


@pytest.mark.skipif(SCHEDULES not in os.environ, reason=NO_SCHEDULES)
@pytest.mark.parametrize("file", files(SCHEDULES, ".csv"))
def test_every_job_starts_as_in_the_schedule_of_another_simulator(file: Path) -> None:
    _, count, policy = file.stem.rsplit("-", 2)
    with file.open() as stream:
        rows = list(csv.DictReader(stream))
    column = {
        name: [float(row[name]) for row in rows]
        for name in ("submit", "width", "run", "estimate", "start")
    }
    jobs = table(
        zip(*(column[name] for name in ("submit", "width", "run", "estimate")), strict=True)
    )
    assert np.abs(starts(jobs, int(count), policy) - np.array(column["start"])).max() < 1e-6


@pytest.mark.skipif(TRACES not in os.environ, reason=NO_TRACES)
@pytest.mark.parametrize("file", files(TRACES, ".swf"))
def test_metrics_of_a_recorded_schedule_are_those_of_its_own_waits(
    file: Path, record_testsuite_property
) -> None:
    """A job started when it had waited: mean wait and utilisation of the recorded starts, worked
    out straight from the lines. What the simulated schedule has instead only goes into the report
    (pytest --junitxml): a real machine had more rules than any policy here, and of some the trace
    doesn't tell the size."""
    workload = read_swf(file)
    recorded = waits(file)
    if not recorded:
        pytest.skip(
            f"{CANNOT_RUN_HERE}: {file.name} says of no job how long it waited; use a trace that "
            "does"
        )
    known = np.isin(workload.table.column("job_id").to_numpy(), list(recorded))
    jobs = workload.table.filter(pa.array(known))
    wait = np.array([recorded[job] for job in jobs.column("job_id").to_pylist()])
    submit, run, width = (
        jobs.column(name).to_numpy() for name in ("arrival_s", "runtime_s", "width")
    )
    start = submit + wait
    slots = workload.machine_slots or int(width.max())
    found = metrics(jobs, submit, start, start + run, slots)
    assert found["wait_mean_s"] == pytest.approx(wait.mean())
    assert found["utilisation"] == pytest.approx(
        (width * run).sum() / slots / (max(start + run) - min(submit))
    )
    if found["utilisation"] > 1:
        return
    schedule = simulate(jobs, Nodes(slots, 1), Policy("first"))
    ours = compute(
        jobs_table(Workload(file.stem, jobs), schedule), ClusterFacts(slots, slots), {}
    ).values
    for name in ("wait_mean_s", "utilisation"):
        record_testsuite_property(f"{file.stem}: {name} recorded", f"{found[name]:.3f}")
        record_testsuite_property(f"{file.stem}: {name} under EASY", f"{ours[name]:.3f}")


def waits(file: Path) -> dict[int, float]:
    """How long each job of a trace waited (s), by its number, for those that ran and of which it is
    known."""
    lines = [
        line.split()
        for line in file.read_text().splitlines()
        if line.strip() and not line.startswith(";")
    ]
    jobs = [[float(word) for word in line[:FIELDS]] for line in lines]
    return {int(number): wait for number, _, wait, run, *_ in jobs if wait >= 0 and run > 0}


def metrics(
    jobs: pa.Table, submit: np.ndarray, start: np.ndarray, end: np.ndarray, slots: int
) -> dict[str, float]:
    """The metrics of a schedule whose times (s) are known."""
    empty = simulate(jobs.slice(0, 0), Nodes(slots, 1), Policy())
    rows = jobs_table(Workload("", jobs.slice(0, 0)), empty)
    times = {"intended_ns": submit, "submit_ns": submit, "start_ns": start, "end_ns": end}
    known = {name: jobs.column(name) for name in WORKLOAD_SCHEMA.names} | {
        name: pa.array((seconds * NS).astype(np.int64)) for name, seconds in times.items()
    }
    full = {
        field.name: known.get(field.name, pa.nulls(jobs.num_rows, field.type))
        for field in rows.schema
    }
    full["exit_code"] = pa.array(np.zeros(jobs.num_rows, np.int32))
    return dict(compute(pa.table(full).cast(rows.schema), ClusterFacts(slots, slots), {}).values)
