"""Starts on alike nodes are those recorded when each backfill run planned everything anew.

Whatever makes the simulation faster changes no job's start. A digest is replaced only where a
scheduler's decisions are meant to differ.
"""

import hashlib
import random
from dataclasses import replace

import pytest

from campaign.simulation.engine import Delays, Nodes, simulate
from schedulers.policy import Backfill, Policy, Priority
from schedulers.registry import adapter
from tests.unit.campaign.simulation.reference import table

SLURM = adapter("slurm").policy(adapter("slurm").Params())
SHORT = Backfill(
    interval_s=20, window_s=600, resolution_s=7, max_test=12, max_start=2, foresight_s=30
)
ALL = Policy(reserve="all")
POLICIES = {
    "conservative": ALL,
    "conservative, by size": replace(ALL, priority=Priority(size=1000)),
    "conservative, by age": replace(ALL, priority=Priority(age=99, size=500, max_age_s=900)),
    "slurm": SLURM,
    "slurm, short window": replace(SLURM, backfill=SHORT),
    "slurm, by size": replace(SLURM, priority=Priority(size=1000, period_s=60)),
    "slurm, tests of some": replace(SLURM, backfill=replace(SHORT, window_s=86_400, max_start=0)),
}
RECORDED = {
    "conservative": "99ef2e1ba162d27a",
    "conservative, by size": "9cf68cf67f54fddc",
    "conservative, by age": "888b627072016ca6",
    "slurm": "df54d9a0f0680543",
    "slurm, short window": "b5c582811340155a",
    "slurm, by size": "5953c953027a6f8b",
    "slurm, tests of some": "14853aed2d9c16d7",
}


def drawn(draw: random.Random, slots: int) -> list[tuple[float, int, float, float]]:
    """Jobs that keep a queue: most of them narrow, with limits that are far too long for many."""
    jobs = []
    now = 0.0
    scale = draw.choice([10, 60, 900])
    for _ in range(70):
        now += draw.choice([0, 0, 0.5, 1, 2]) * scale
        width = max(1, int(slots * draw.random() ** draw.choice([1, 4])))
        run = draw.randint(1, 9) * scale * draw.choice([1, 0.9])
        jobs.append((now, width, run, run + draw.choice([0, 0, 1, 4, 40]) * scale))
    return jobs


def digest(policy: Policy) -> str:
    draw = random.Random(7)
    found = hashlib.sha256()
    for number in range(20):
        nodes = Nodes(draw.choice([5, 16, 64]), 1)
        jobs = table(drawn(draw, nodes.count))
        delays = Delays(launch_s=0.25, overrun_s=0.5, release_s=2, cycle_offset_s=0.5)
        schedule = simulate(jobs, nodes, policy, delays if number % 3 == 0 else Delays())
        found.update(schedule.decided.tobytes())
    return found.hexdigest()[:16]


@pytest.mark.parametrize("name", POLICIES)
def test_starts_are_as_recorded(name: str) -> None:
    assert digest(POLICIES[name]) == RECORDED[name]
