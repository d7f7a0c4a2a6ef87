"""The ideal policies do on random workloads what a plain simulator does, and keep their
promises."""

from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign.simulation.engine import NS, Delays, Nodes, Schedule, simulate
from schedulers.policy import Policy, Priority
from tests.unit.campaign.simulation.reference import (
    Request,
    clusters,
    place,
    reference,
    requests,
    table,
    workloads,
)

IDEAL = ("none", "first", "all", "skip")
POWERS = (1, 2, 4, 8)
checked = settings(deadline=None, max_examples=150)  # what runs first compiles


def policies(**more: st.SearchStrategy) -> st.SearchStrategy[Policy]:
    return st.builds(
        Policy,
        reserve=st.sampled_from([*IDEAL, "first_brief", "some"]),
        reservations=st.integers(1, 4),
        depth=st.sampled_from([0, 0, 1, 2, 5]),
        placement=st.sampled_from(["first", "least_loaded", "pack"]),
        even=st.booleans(),
        limit_unit_s=st.sampled_from([0, 0, 5]),
        grace_s=st.sampled_from([0, 0, 3]),
        **more,
    )


def delays() -> st.SearchStrategy[Delays]:
    some = st.integers(0, 2)
    return st.just(Delays()) | st.builds(
        Delays, submit_s=some, launch_s=some, overrun_s=some, release_s=some
    )


def seconds(times: np.ndarray) -> list[int]:
    whole, rest = np.divmod(times, NS)
    assert not rest.any()
    return whole.tolist()


def agrees(schedule: Schedule, nodes: Nodes, jobs: list[Request], expected) -> None:
    assert seconds(schedule.accepted) == [job.submit for job in jobs]
    assert seconds(schedule.decided) == [expected.start[job] for job in range(len(jobs))]
    assert seconds(schedule.freed - schedule.decided) == [job.hold for job in jobs]
    if nodes.slots > 1:
        assert schedule.nodes.tolist() == [
            node for job in range(len(jobs)) for node in expected.where[job]
        ]


@checked
@given(st.data(), clusters(), policies(), delays())
def test_every_job_gets_its_slots_when_and_where_the_plain_simulator_says(
    data, nodes, policy, delays
) -> None:
    jobs = data.draw(workloads(nodes))
    seen = requests(jobs, policy, delays)
    agrees(
        simulate(table(jobs), nodes, policy, delays), nodes, seen, reference(seen, nodes, policy)
    )


@checked
@given(
    st.data(),
    clusters(counts=POWERS, slots=POWERS[:3]),
    policies(
        priority=st.builds(
            Priority,
            age=st.sampled_from([0, 1, 100, 1000]),
            size=st.sampled_from([0, 1, 100, 1000]),
            max_age_s=st.sampled_from([4, 16, 64]),
            favor_small=st.booleans(),
            period_s=st.sampled_from([0, 0, 10]),
        )
    ),
)
def test_the_queue_is_in_the_order_of_priorities_that_are_worked_out_exactly(
    data, nodes, policy
) -> None:
    """Powers of two, whose shares are exact in binary too."""
    jobs = data.draw(workloads(nodes))
    seen = requests(jobs, policy, Delays())
    rank = (
        partial(priority, seen, nodes, policy.priority)
        if policy.priority.age or policy.priority.size
        else None
    )
    expected = reference(seen, nodes, policy, rank=rank)
    agrees(simulate(table(jobs), nodes, policy), nodes, seen, expected)


def priority(jobs: list[Request], nodes: Nodes, wanted: Priority, job: int, now: int) -> int:
    """The job's place in the queue: the lowest is first."""
    if wanted.period_s:
        now -= now % int(wanted.period_s)
    age = min(Fraction(1), Fraction(max(0, now - jobs[job].submit), int(wanted.max_age_s)))
    width = jobs[job].width
    of_slots = Fraction(width, nodes.count * nodes.slots)
    share = (Fraction(-(-width // nodes.slots), nodes.count) + of_slots) / 2
    return -int(
        int(wanted.age) * age + int(wanted.size) * (1 - share if wanted.favor_small else share)
    )


@checked
@given(st.data(), clusters(), st.sampled_from(IDEAL[:2]))
def test_first_come_first_served_starts_in_order_and_no_policy_before_a_submission(
    data, nodes, reserve
) -> None:
    found = simulate(table(data.draw(workloads(nodes))), nodes, Policy(reserve))
    assert (found.decided >= found.accepted).all()
    if reserve == "none":
        assert (np.diff(found.decided) >= 0).all()


class Ran(NamedTuple):
    """A job on a cluster whose nodes have one slot: what became of it."""

    submit: int
    width: int
    start: int
    end: int
    limit: int


def ran(jobs: list[tuple[int, int, int, int]], nodes: Nodes, policy: Policy) -> list[Ran]:
    start = seconds(simulate(table(jobs), nodes, policy).start)
    return [
        Ran(submit, width, begun, begun + run, begun + limit)
        for begun, (submit, width, run, limit) in zip(start, jobs, strict=True)
    ]


def moments(jobs: list[Ran]) -> Iterator[tuple[Ran, list[Ran]]]:
    """Whenever a job has come, gone or started while another waits: the first that waits, and those
    that run."""
    for now in sorted({time for job in jobs for time in (job.submit, job.start, job.end)}):
        head = next((job for job in jobs if job.submit <= now < job.start), None)
        if head:
            yield head, [job for job in jobs if job.start <= now < job.end]


@checked
@given(st.data(), clusters(slots=[1]))
def test_easy_starts_the_first_that_waits_by_every_shadow_time_that_it_ever_had(
    data, nodes
) -> None:
    """From the schedule alone: whenever anything happens, the first job that waits will start no
    later than when it would fit if all that runs then ran to its limit and nothing else were
    started."""
    for head, running in moments(ran(data.draw(workloads(nodes)), nodes, Policy("first"))):
        free = nodes.count - sum(job.width for job in running)
        shadow = 0
        for job in sorted(running, key=lambda job: job.limit):
            if free < head.width:
                free = free + job.width
                shadow = job.limit
        assert head.start <= shadow


@checked
@given(st.data(), clusters())
def test_shadow_times_and_reservations_only_move_towards_now(data, nodes) -> None:
    jobs = data.draw(workloads(nodes))
    seen = requests(jobs, Policy(), Delays())
    shadows = reference(seen, nodes, Policy("first")).shadows.items()
    promised = reference(seen, nodes, Policy("all")).promised.items()
    easy, conservative = (
        seconds(simulate(table(jobs), nodes, Policy(reserve)).start) for reserve in IDEAL[1:3]
    )
    for start, promises in ((easy, shadows), (conservative, promised)):
        for job, times in promises:
            assert times == sorted(times, reverse=True) and start[job] <= times[-1]
    assert all(times[-1] == conservative[job] for job, times in promised)


@checked
@given(st.data(), clusters(slots=[1]), st.sampled_from(IDEAL))
def test_the_first_job_that_waits_never_waits_for_nothing(data, nodes, reserve) -> None:
    """Under conservative backfilling that is so where requested times are exact: when jobs end
    early, reservations are made anew in one pass, in which a job may have to keep clear of one that
    is moved after it."""
    jobs = data.draw(workloads(nodes, exact=reserve == "all"))
    for head, running in moments(ran(jobs, nodes, Policy(reserve))):
        assert head.width > nodes.count - sum(job.width for job in running)


def test_a_reservation_may_begin_when_nothing_comes_or_goes() -> None:
    """Three nodes. At 0 the first two start, until 4 and 5; the third gets [5, 7), the fourth [4,
    5) before it, the fifth [7, 10). At 3 both end early: the third, being asked first, still has to
    keep clear of [4, 5); the fourth moves to [3, 4). Nothing ends at 5, when the third begins; that
    it ends at 6 lets the fifth begin then."""
    jobs = [(0, 2, 3, 4), (0, 1, 3, 5), (0, 3, 1, 2), (0, 1, 1, 1), (0, 1, 1, 3)]
    assert seconds(simulate(table(jobs), Nodes(3, 1), Policy("all")).start) == [0, 0, 5, 3, 6]


WAITING = [(0, 3, 100, 100), (1, 4, 100, 100), (2, 5, 50, 50), (3, 2, 300, 300)]


@pytest.mark.parametrize(
    ("policy", "starts"),
    [
        # Beside the second job, from 100 until 200, two of six slots are left: the fourth has them.
        (Policy("first"), [0, 100, 303, 3]),
        (Policy("some", reservations=1), [0, 100, 303, 3]),
        # The third has five slots from 200 on, so the fourth comes after it.
        (Policy("some", reservations=2), [0, 100, 200, 250]),
        (Policy("all"), [0, 100, 200, 250]),
        # The fourth is looked at once one job waits before it: from 100 on, when it is in the way.
        (Policy("first", depth=2), [0, 100, 200, 250]),
        (Policy("some", reservations=9, depth=2), [0, 100, 200, 250]),
        # It isn't over by the time at which the second job starts, nor the third.
        (Policy("first_brief"), [0, 100, 200, 250]),
        (Policy("none", depth=1), [0, 100, 200, 250]),
    ],
)
def test_some_jobs_have_reservations_and_some_are_looked_at(policy: Policy, starts: list) -> None:
    for nodes in (Nodes(6, 1), Nodes(1, 6)):
        assert seconds(simulate(table(WAITING), nodes, policy).start) == starts


def test_a_shadow_time_is_when_every_node_has_its_even_share() -> None:
    """Two nodes of four. The third job has three slots on each or none: not when the first job has
    left one of them, but when the second has left the other too. The fourth would be in its way."""
    jobs = [(0, 4, 4, 4), (0, 2, 10, 10), (0, 5, 1, 1), (0, 2, 20, 20)]
    for even, starts in ((True, [0, 0, 10, 11]), (False, [0, 0, 4, 5])):
        found = simulate(table(jobs), Nodes(2, 4), Policy("first", even=even))
        assert seconds(found.start) == starts


@checked
@given(st.data(), clusters(slots=[2, 3, 4]))
def test_whole_nodes_are_like_nodes_of_one_slot(data, nodes) -> None:
    """First come first served. Backfilling isn't: on nodes with several slots it is settled ahead
    which ones are set aside."""
    alike = Nodes(nodes.count, 1)
    jobs = data.draw(workloads(alike))
    whole = [(submit, width * nodes.slots, *times) for submit, width, *times in jobs]
    found, expected = (
        simulate(table(each), on, Policy()) for each, on in ((whole, nodes), (jobs, alike))
    )
    assert (
        found.start.tolist() == expected.start.tolist()
        and found.count.tolist() == expected.count.tolist()
    )


@pytest.mark.parametrize(
    ("rule", "free", "width", "where"),
    [
        ("first", [2, 4, 3, 1], 2, {0: 2}),
        ("least_loaded", [2, 4, 3, 1], 2, {1: 2}),
        ("pack", [2, 4, 3, 1], 3, {2: 3}),
        ("first", [2, 4, 3, 1], 5, {1: 4, 2: 1}),
        ("first", [3, 4, 3, 3], 9, {0: 3, 1: 4, 2: 2}),
        ("first", [4, 0, 3, 0], 5, {0: 4, 2: 1}),
        ("first", [4, 0, 1, 0], 6, None),
        ("pack", [1, 0, 1, 1], 2, None),
    ],
)
def test_the_plain_simulator_places_as_is_said(rule, free, width, where) -> None:
    assert place(free, width, 4, rule) == where


@pytest.mark.parametrize(
    ("free", "width", "where"),
    [
        ([2, 4, 3, 1], 5, {1: 3, 2: 3}),
        ([2, 4, 2, 1], 5, None),
        ([2, 4, 2, 1], 3, {1: 3}),
    ],
)
def test_where_it_gives_each_node_the_same_share_it_places_as_is_said(free, width, where) -> None:
    assert place(free, width, 4, even=True) == where
