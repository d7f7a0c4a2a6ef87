"""What holds of every simulated schedule, whatever policy decides: ideal ones and those that follow
a clock."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign.core.jobs import WORKLOAD_SCHEMA
from campaign.simulation.engine import Delays, Nodes, Schedule, simulate
from schedulers.policy import Backfill, Policy, Priority, SchedulingLoop
from tests.unit.campaign.simulation.reference import clusters, table, workloads

checked = settings(deadline=None, max_examples=300)  # what runs first compiles
RHYTHMS = st.builds(
    SchedulingLoop,
    delay_s=st.integers(0, 5),
    interval_s=st.integers(1, 40),
    min_interval_s=st.sampled_from([0, 0.000002, 2]),
    depth=st.sampled_from([1, 2, 100]),
)
BACKFILLS = st.builds(
    Backfill,
    interval_s=st.sampled_from([1, 4, 30]),
    window_s=st.sampled_from([0, 10, 86_400]),
    resolution_s=st.sampled_from([1, 7, 60]),
    max_test=st.sampled_from([1, 3, 100]),
    max_start=st.sampled_from([0, 1, 2]),
)
PRIORITIES = st.just(Priority()) | st.builds(
    Priority,
    age=st.integers(0, 1000),
    size=st.integers(0, 1000),
    max_age_s=st.sampled_from([10, 3600]),
    favor_small=st.booleans(),
    period_s=st.sampled_from([0, 60]),
)
POLICIES = st.builds(
    Policy,
    reserve=st.sampled_from(["none", "first", "all", "skip"]),
    loop=st.none() | RHYTHMS,
    backfill=st.none() | BACKFILLS,
    priority=PRIORITIES,
    limit_unit_s=st.sampled_from([0, 60]),
    grace_s=st.sampled_from([0, 60]),
    placement=st.sampled_from(["first", "least_loaded", "pack"]),
)
SOME = st.sampled_from([0.0, 0.3, 2.0])
DELAYS = st.just(Delays()) | st.builds(
    Delays,
    submit_s=SOME,
    launch_s=SOME,
    overrun_s=SOME,
    release_s=SOME,
    cycle_offset_s=SOME,
    lead_s=SOME,
)


def nodes_of(schedule: Schedule) -> list[list[int]]:
    """Each job's nodes."""
    return [each.tolist() for each in np.split(schedule.nodes, np.cumsum(schedule.count)[:-1])]


@checked
@given(st.data(), clusters(), POLICIES, DELAYS)
def test_every_job_runs_once_it_is_submitted_on_slots_that_no_other_one_has(
    data, nodes, policy, delays
) -> None:
    jobs = data.draw(workloads(nodes))
    found = simulate(table(jobs), nodes, policy, delays)
    width = np.array([job[1] for job in jobs])
    assert (found.decided >= found.accepted).all() and (found.freed > found.decided).all()
    where = nodes_of(found)
    for job, used in enumerate(where):
        assert len(set(used)) == len(used) == -(-width[job] // nodes.slots)
        assert set(used) <= set(range(nodes.count))
    for now in found.decided:
        running = np.flatnonzero((found.decided <= now) & (now < found.freed))
        assert width[running].sum() <= nodes.count * nodes.slots
        for node in range(nodes.count):
            assert (
                sum(least(width[job], nodes) for job in running if node in where[job])
                <= nodes.slots
            )


def least(width: int, nodes: Nodes) -> int:
    """The fewest slots that a job can have on any of its nodes, as few as hold it."""
    return width - (-(-width // nodes.slots) - 1) * nodes.slots


@checked
@given(st.data(), clusters(), POLICIES, DELAYS)
def test_equal_inputs_give_equal_schedules_and_columns_have_no_order(
    data, nodes, policy, delays
) -> None:
    jobs = table(data.draw(workloads(nodes)))
    turned = jobs.select(data.draw(st.permutations(WORKLOAD_SCHEMA.names)))
    one, same, other = (simulate(each, nodes, policy, delays) for each in (jobs, jobs, turned))
    for name, values in vars(one).items():
        assert np.array_equal(values, vars(same)[name]) and np.array_equal(
            values, vars(other)[name]
        ), name


@settings(checked, max_examples=60)
@given(st.data(), clusters(), POLICIES)
def test_who_comes_alone_never_waits_longer_than_the_clock(data, nodes, policy) -> None:
    """An hour apart, every job is alone on the cluster when it comes."""
    jobs = [
        (3600 * number, width, 10, 10)
        for number, (_, width, *_) in enumerate(data.draw(workloads(nodes)))
    ]
    found = simulate(table(jobs), nodes, policy)
    waited = (found.decided - found.accepted) / 1e9
    if policy.loop is None:
        assert (waited == 0).all()
    else:
        loop = policy.loop
        assert (waited <= max(loop.delay_s, loop.min_interval_s) + loop.tick_s).all()
