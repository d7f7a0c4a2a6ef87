"""Options of backfilling, worked out by hand, in seconds; and the room for reasons.

A job waits for a whole cluster of four slots; backfill runs at 30 and each 30 s after that.
"""

from dataclasses import replace

import pytest

from campaign.simulation import site_simulate
from schedulers.policy import Levers
from tests.unit.campaign.simulation.test_site import BACKFILLING, simulated, starts

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
