"""What a simulation makes of jobs before anything is decided: submissions, limits, how long slots
are held."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign.core.errors import WorkloadError
from campaign.simulation.engine import NS, Delays, Nodes, simulate
from schedulers.policy import Policy, SchedulingLoop
from tests.unit.campaign.simulation.reference import clusters, table, workloads

quick = settings(deadline=None, max_examples=100)  # what runs first compiles
ONE = Nodes(1, 1)


@quick
@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=30).map(sorted),
    st.sampled_from([0.0, 0.25, 1.0, 7.5]),
)
def test_submissions_take_their_time_one_after_the_other(arrivals, service) -> None:
    found = simulate(
        table((arrival, 1, 1, 1) for arrival in arrivals), ONE, Policy(), Delays(submit_s=service)
    )
    idle = 0.0
    for arrival, begun, accepted in zip(
        arrivals, found.begun / NS, found.accepted / NS, strict=True
    ):
        assert begun == max(idle, arrival)
        idle = begun + service
        assert accepted == idle
    assert found.decided[0] == found.accepted[0]


@quick
@given(st.data(), clusters(), st.sampled_from(["none", "first", "all"]))
def test_slots_are_held_from_the_decision_to_the_release(data, nodes, reserve) -> None:
    delays = Delays(submit_s=0.5, launch_s=1.5, overrun_s=0.25, release_s=2.0)
    jobs = data.draw(workloads(nodes))
    found = simulate(table(jobs), nodes, Policy(reserve, grace_s=1), delays)
    ran = np.array([min(run + 0.25, limit + 1) for *_, run, limit in jobs])
    assert ((found.start - found.decided) / NS == 1.5).all()
    assert ((found.end - found.start) / NS == ran).all()
    assert ((found.freed - found.end) / NS == 2.0).all()
    width = np.array([job[1] for job in jobs])
    assert (width * (found.freed - found.decided)).sum() / NS == (width * (ran + 3.5)).sum()


@pytest.mark.parametrize(
    ("run", "requested", "overrun", "ran", "killed"),
    [
        (70, 50, 0, 70, False),  # a limit of 50 s is one of 60, and 20 more are let pass
        (80, 50, 0, 80, False),
        (80.001, 50, 0, 80, True),
        (500, 60, 0, 80, True),
        (500, 60.5, 0, 140, True),
        (500, 0.5, 0, 80, True),
        (79.5, 50, 1, 80, False),  # it was done; only what is around it was cut
    ],
)
def test_a_job_is_ended_some_time_after_its_limit_in_whole_units(
    run, requested, overrun, ran, killed
) -> None:
    policy = Policy(limit_unit_s=60, grace_s=20)
    found = simulate(table([(0, 1, run, requested)]), ONE, policy, Delays(overrun_s=overrun))
    assert (found.end[0] / NS, found.killed[0]) == (ran, killed)


@pytest.mark.parametrize(
    ("requested", "expected"), [(50, 60), (60, 60), (60.5, 120), (0.25, 60), (120, 120)]
)
def test_an_ideal_policy_expects_limits_in_whole_units(requested, expected) -> None:
    """Two nodes: the first job leaves one to a third that is over when the second, which wants
    both, may begin."""
    before = [(0, 1, 0.25, requested), (0, 2, 1, 1)]
    for limit, starts_at_once in ((expected, True), (expected + 1, False)):
        found = simulate(
            table([*before, (0, 1, 1, limit)]), Nodes(2, 1), Policy("first", limit_unit_s=60)
        )
        assert bool(found.start[2] == 0) == starts_at_once


def test_without_a_unit_a_limit_is_what_was_asked_for() -> None:
    found = simulate(table([(0, 1, 9, 2.5)]), ONE, Policy())
    assert (found.end[0] / NS, found.killed[0]) == (2.5, True)


def test_a_scheduler_with_a_clock_plans_by_limits_and_lets_jobs_overrun_them() -> None:
    clock = SchedulingLoop(delay_s=0, interval_s=30, min_interval_s=0, depth=10)
    found = simulate(
        table([(0, 1, 9, 2)]), ONE, Policy(loop=clock, grace_s=4), Delays(launch_s=3, release_s=1)
    )
    assert (found.freed[0] / NS, found.killed[0]) == (3 + 6 + 1, True)


@pytest.mark.parametrize("width", [0, 7])
def test_a_job_that_cannot_run_on_the_cluster_is_named(width) -> None:
    with pytest.raises(
        WorkloadError, match=rf"job 1 is {width} slots wide; the cluster has 6"
    ) as caught:
        simulate(table([(0, 6, 1, 1), (0, width, 1, 1)]), Nodes(3, 2), Policy())
    assert "workload.max_width" in str(caught.value.resolution)


def test_no_jobs_make_an_empty_schedule() -> None:
    for nodes in (Nodes(3, 1), Nodes(3, 2)):
        found = simulate(table([]), nodes, Policy("all"))
        assert not found.start.size and not found.killed.size


def test_nodes_of_one_slot_are_found_out_up_to_a_number_of_places() -> None:
    jobs = table([(0, 2, 1, 1), (0, 2, 1, 1)])
    assert simulate(jobs, Nodes(3, 1), Policy(), places=4).nodes.tolist() == [0, 1, 1, 0]
    assert simulate(jobs, Nodes(3, 1), Policy(), places=3).nodes is None
