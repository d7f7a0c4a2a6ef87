"""Simulations that last: simulated times up to the horizon, and loops that a signal ends."""

import signal
import threading
import time
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from campaign.core.errors import WorkloadError
from campaign.core.jobs import WORKLOAD_SCHEMA
from campaign.simulation.engine import Nodes, simulate
from campaign.simulation.interruptible import run_loop
from schedulers.policy import Backfill, Policy, Priority, SchedulingLoop
from schedulers.registry import adapter, names

UNLIMITED_S = 2.0**32
SLURM = adapter("slurm")
AGED = replace(
    SLURM.policy(SLURM.Params()),
    priority=Priority(age=1000, size=1000, max_age_s=604_800.0, period_s=60),
)
POLICIES = {
    **{reserve: Policy(reserve=reserve) for reserve in ("none", "first", "all", "skip")},
    **{name: adapter(name).policy(adapter(name).Params()) for name in names()},
    "slurm, by age": AGED,
}


def workload(runtimes, width=1, requested=UNLIMITED_S):
    count = len(runtimes)
    columns = [
        np.arange(1, count + 1),
        np.zeros(count),
        np.full(count, width, np.int32),
        np.asarray(runtimes, float),
        np.maximum(np.full(count, requested), runtimes),
        np.ones(count, np.int32),
    ]
    return pa.table([pa.array(each) for each in columns], names=WORKLOAD_SCHEMA.names).cast(
        WORKLOAD_SCHEMA
    )


@pytest.mark.parametrize("nodes", [Nodes(2, 2), Nodes(3, 1)])
@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_jobs_of_decades_end_under_every_policy(policy, nodes):
    # Three jobs, one after the other: for 146 years are enough for these, not for their limits.
    found = simulate(workload([1e9, 2.1e9, 1.5e9], width=3), nodes, policy)
    assert np.diff(np.sort(found.end), prepend=0) / 1e9 == pytest.approx(
        (found.end - found.start)[np.argsort(found.end)] / 1e9, abs=120
    )
    assert found.end.max() == pytest.approx(4.6e18, rel=1e-6) and (found.start >= 0).all()


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_what_would_end_beyond_the_horizon_is_refused(policy):
    with pytest.raises(WorkloadError, match="146 years"):
        simulate(workload([4e9, 4e9]), Nodes(1, 1), policy)


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_limits_that_add_up_to_more_than_can_be_counted_delay_nobody(policy):
    found = simulate(workload([100.0] * 12), Nodes(1, 1), policy)
    start = np.sort(found.start) / 1e9
    assert np.diff(start) == pytest.approx(100, abs=5 + 60 * bool(policy.loop))


def test_a_priority_that_grows_for_a_week_still_decides_after_it():
    # Job 2 is larger and wins by its size, as soon as ages are equal: that is after a week.
    loop = SchedulingLoop(delay_s=1, interval_s=60, min_interval_s=0, depth=100)
    backfill = Backfill(interval_s=30, window_s=86_400, resolution_s=60, max_test=100)
    # Of the types that the policies above have, for each other one would be compiled anew.
    order = Priority(age=1000, size=500, max_age_s=604_800.0, period_s=60)
    jobs = workload([1e6, 10.0, 10.0], width=2)
    jobs = jobs.set_column(1, WORKLOAD_SCHEMA.field(1), pa.array([0.0, 10.0, 400_000.0]))
    jobs = jobs.set_column(2, WORKLOAD_SCHEMA.field(2), pa.array([2, 1, 2], pa.int32()))
    found = simulate(jobs, Nodes(1, 2), Policy(loop=loop, backfill=backfill, priority=order))
    assert found.start[2] < found.start[1]


class Told(Exception):
    """What the handler of a signal raises."""


def tell(*_):
    raise Told


LONG = {
    "first": (Policy(reserve="first"), 1_000_000),
    "all": (Policy(reserve="all"), 60_000),
    "slurm": (AGED, 200_000),
}


@pytest.mark.parametrize(("policy", "count"), LONG.values(), ids=LONG)
def test_a_signal_ends_a_simulation_that_takes_hours(policy, count):
    jobs = workload(np.linspace(1000, 2000, count), width=2, requested=3000.0)
    nodes = Nodes(1, 3)
    simulate(jobs.slice(0, 0), nodes, policy)  # compiled
    before = signal.signal(signal.SIGVTALRM, tell)  # pytest-timeout has SIGALRM
    try:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.5)
        with pytest.raises(Told):
            simulate(jobs, nodes, policy)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    while any(thread.name == "simulation" for thread in threading.enumerate()):
        time.sleep(0.05)  # no thread goes on; if one does, the test never ends


def test_what_a_loop_raises_is_raised():
    class Work:
        submit = np.zeros(1)
        halt = np.zeros(1)

    def loop(_work):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_loop(loop, Work())
