"""Options of backfilling, worked out by hand, in seconds; and the room for reasons.

A job waits for a whole cluster of four slots; backfill runs at 30 and each 30 s after that.
"""

from dataclasses import replace

import pytest

from campaign.simulation import site_simulate
from campaign.simulation.engine import NS, Delays, Nodes, most_tests, simulate
from schedulers.policy import Backfill, Levers
from tests.unit.campaign.simulation.reference import table
from tests.unit.campaign.simulation.test_site import BACKFILL, BACKFILLING, simulated, starts

pytestmark = [pytest.mark.timeout(1200), pytest.mark.xdist_group("levers")]
ONE = {"groups": {"a": {"nodes": 1, "slots": 4}}}
WAITS_FOR_ALL = [(0.0, 2, 100.0, 120.0), (1.0, 4, 50.0, 60.0)]
SMALL = (1, 10.0, 40.0)


def test_no_reason_is_lost_where_more_are_noted_than_there_was_room_for(monkeypatch) -> None:
    """Each run in order finds the second job waiting for priority, each backfill for resources."""
    jobs = [*WAITS_FOR_ALL, *((2.0 + 7 * number, *SMALL) for number in range(9))]
    wanted = simulated(ONE, jobs, None, BACKFILLING, reasons=True).reasons
    monkeypatch.setattr(site_simulate, "NOTES_PER_JOB", 1)
    assert len(wanted) > 4 * len(jobs) / 3
    found = simulated(ONE, jobs, None, BACKFILLING, reasons=True).reasons
    assert found.tolist() == wanted.tolist()


def policy(levers: Levers):
    return replace(BACKFILLING, levers=levers)


@pytest.mark.parametrize(("most", "second"), [(0, 30), (1, 60)])
def test_backfill_looks_at_so_many_jobs_of_a_user(most: int, second: float) -> None:
    """Two of bob's would fit before the job that waits for all."""
    jobs = [*WAITS_FOR_ALL, (2.0, *SMALL), (3.0, *SMALL)]
    users = {job: {"user_name": "ann" if job < 2 else "bob"} for job in range(4)}
    people = {"ann": {"accounts": ["c"]}, "bob": {"accounts": ["c"]}}
    cluster = ONE | {"accounts": {"c": {}}, "users": people}
    assert starts(cluster, jobs, users, policy(Levers(of_user=most))) == [0, 100, 30, second]


@pytest.mark.parametrize(("most", "second"), [(0, 30), (1, 60)])
def test_backfill_looks_at_so_many_jobs_of_a_partition(most: int, second: float) -> None:
    cluster = ONE | {"partitions": {"p": {"default": True}, "q": {}}}
    jobs = [*WAITS_FOR_ALL, (2.0, *SMALL), (3.0, *SMALL)]
    both = {2: {"partition": "q"}, 3: {"partition": "q"}}
    assert starts(cluster, jobs, both, policy(Levers(of_partition=most))) == [0, 100, 30, second]


@pytest.mark.parametrize(("least", "expected"), [(0, [0, 100, 150]), (10, [0, 502, 2])])
def test_nothing_is_kept_for_jobs_of_too_little_priority(least: int, expected: list[float]) -> None:
    """A long job that fits now comes before the one that waits for all, if that one is nobody."""
    jobs = [*WAITS_FOR_ALL, (2.0, 2, 500.0, 600.0)]
    assert starts(ONE, jobs, None, policy(Levers(least_priority=least))) == expected


@pytest.mark.parametrize(("busy_first", "last"), [(False, 100), (True, 30)])
def test_nodes_in_use_are_planned_before_idle_ones(busy_first: bool, last: float) -> None:
    """The first node is idle from 10 on; the fourth job wants two, which it finds at 120 at the
    latest: the first two, or the two in use. A long job gets the first one if that isn't planned.
    """
    cluster = {"groups": {"a": {"nodes": 3, "slots": 2}}}
    jobs = [(0.0, 2, 10.0, 60.0), (0.0, 2, 100.0, 120.0), (0.0, 2, 100.0, 120.0)]
    jobs += [(15.0, 4, 50.0, 60.0), (20.0, 2, 500.0, 600.0)]
    found = starts(cluster, jobs, None, policy(Levers(busy_first=busy_first)))
    assert found == [0, 0, 0, 100, last]


@pytest.mark.parametrize(
    ("backfill", "expected"),
    [
        # It looks at three jobs at 30, for 6 s, and again at 66.
        ({}, [0, 100, 30, 30, 66]),
        # It looks at no third one, as 3 s are over by then; the next runs come at 64 and 98, when
        # the last job might run into what is planned for 120.
        ({"longest_s": 3.0}, [0, 100, 30, 64, 150]),
        # It looks at two jobs, sleeps for 5 s, and looks at the third one: the next is at 71.
        ({"yields_after_s": 3.0, "yields_s": 5.0}, [0, 100, 30, 30, 71]),
        # The 9 s are over once it has slept, so the next is at 69.
        ({"longest_s": 9.0, "yields_after_s": 3.0, "yields_s": 5.0}, [0, 100, 30, 69, 150]),
    ],
)
def test_a_backfill_run_ends_when_it_has_taken_its_time(
    backfill: dict[str, float], expected: list[float]
) -> None:
    """Looking at a job takes 2 s. The last job comes when the first run is over."""
    jobs = [*WAITS_FOR_ALL, (2.0, *SMALL), (3.0, *SMALL), (45.0, *SMALL)]
    timed = replace(BACKFILLING, backfill=replace(BACKFILL, **backfill))
    delays = Delays(plan_s=2.0)
    found = simulated(ONE, jobs, None, timed, delays=delays).schedule
    assert (found.decided / NS).tolist() == expected
    # The engine for clusters without levers decides the same, on one node and on four.
    for nodes in (Nodes(1, 4), Nodes(4, 1)):
        alike = simulate(table(jobs), nodes, timed, delays)
        assert (alike.decided / NS).tolist() == expected, nodes
    # Where it takes no time, nothing is ended.
    untimed = simulated(ONE, jobs, None, timed).schedule
    assert (untimed.decided / NS).tolist() == [0, 100, 30, 30, 60]


@pytest.mark.parametrize(
    ("longest_s", "yields_after_s", "yields_s"),
    [(30.0, 2.0, 0.5), (30.0, 2.0, 0.0), (1.0, 0.1, 9.0), (7.3, 0.25, 0.11), (5.0, 0.0, 0.0)],
)
def test_as_many_jobs_are_looked_at_as_there_is_time_for(
    longest_s: float, yields_after_s: float, yields_s: float
) -> None:
    """Job by job: the run ends before the first at which its time is over."""
    test = 37_000_000
    elapsed = worked = jobs = 0
    while elapsed < longest_s * NS:
        jobs += 1
        elapsed += test
        worked += test
        if yields_s and worked >= yields_after_s * NS:
            elapsed += int(yields_s * NS)
            worked = 0
    plan = Backfill(30, 60, 1, 10**6, 0, 0.0, longest_s, yields_after_s, yields_s)
    assert most_tests(plan, Delays(plan_s=0.037)) == jobs
    assert most_tests(replace(plan, max_test=3), Delays(plan_s=0.037)) == 3
    assert most_tests(plan, Delays()) == 10**6
