"""A scheduler that follows a clock: each of its settings in a case worked out by hand, in seconds.

Unless a test says otherwise: two nodes of one slot; a run on the next whole second, once a job has
come or gone; the whole queue every 600 s; backfilling every 30 s, to the second.
"""

from dataclasses import replace

import pytest

from campaign.simulation.engine import NS, Delays, Nodes, simulate
from schedulers.policy import Backfill, Policy, Priority, SchedulingLoop
from tests.unit.campaign.simulation.reference import table

RHYTHM = SchedulingLoop(delay_s=0, interval_s=600, min_interval_s=0, depth=100)
BACKFILL = Backfill(interval_s=30, window_s=86_400, resolution_s=1, max_test=100)
IN_ORDER = Policy(loop=RHYTHM)
BACKFILLING = Policy(loop=RHYTHM, backfill=BACKFILL)
PATIENT = Policy(loop=replace(RHYTHM, delay_s=3))
SMALL_FIRST = replace(IN_ORDER, priority=Priority(size=1000, favor_small=True))
TWO = Nodes(2, 1)
LONG = (0, 1, 100, 100)
WIDE = (5, 2, 10, 10)
"""One of two nodes is taken until 100; the next job wants both."""


def starts(jobs, policy: Policy, nodes: Nodes = TWO, **delays: float) -> list[float]:
    return (simulate(table(jobs), nodes, policy, Delays(**delays)).decided / NS).tolist()


def loop(policy: Policy = IN_ORDER, **changes) -> Policy:
    return replace(policy, loop=replace(policy.loop, **changes))


def backfill(**changes) -> Policy:
    return replace(BACKFILLING, backfill=replace(BACKFILL, **changes))


def test_five_jobs_as_worked_out_by_hand() -> None:
    """Four nodes.

    At  0: A comes to an empty queue and cluster: it starts.
        1.5, 2, 2.5: B (3 wide), C (2 wide) and D (1 wide) come; nothing is free.
       20: A ends, which sets off a run in order: B starts; C doesn't fit, so the run is over,
       though D would fit. 30: Backfilling: C is given [80, 110), when B is over at the latest; D's
       limit ends at 40: it starts. 45.25: E comes. The clock's run at 46 ends at C.
       60: Backfilling, as D's end and E have changed something: E's limit ends at 95, but beside C
       there is room: it
           starts.
       65: B ends, 15 s before its limit: C starts.
    """
    jobs = [(0, 4, 20, 25), (1.5, 3, 45, 60), (2, 2, 30, 30), (2.5, 1, 10, 10), (45.25, 1, 30, 35)]
    assert starts(jobs, BACKFILLING, Nodes(4, 1)) == [0, 20, 65, 30, 60]


def test_what_comes_waits_for_the_clock() -> None:
    assert starts([(0.3, 1, 9, 9), (0.7, 1, 9, 9), (20.1, 2, 9, 9)], IN_ORDER) == [1, 1, 21]
    assert starts([(0.3, 1, 9, 9), (0.7, 1, 9, 9), (20.1, 2, 9, 9)], loop(tick_s=0.5)) == [
        0.5,
        1,
        20.5,
    ]


def test_runs_are_so_far_apart() -> None:
    """By 3 s: at 0; so the job of 1.5 waits until 3. That of 40.25 is tried on the next stroke, as
    the last run, at 6, is long past."""
    jobs = [(0, 1, 5, 5), (1.5, 1, 20, 20), (40.25, 1, 10, 10)]
    assert starts(jobs, PATIENT) == [0, 3, 41]
    assert starts(jobs, loop(delay_s=9)) == [0, 9, 41]


def test_runs_are_in_the_order_of_priorities() -> None:
    """Small jobs go first. At 10 the wide one, which doesn't fit, is found to wait by a run; the
    first small one comes at 11.5 and is tried 3 s after that run; the second one on the next stroke
    of the clock, as the last run, at 33, is long past. By 9 s, the first small one ends at 39,
    which asks for a run then, and the second waits until 48."""
    jobs = [LONG, (10, 2, 10, 10), (11.5, 1, 20, 20), (40.25, 1, 10, 10)]
    assert starts(jobs, loop(SMALL_FIRST, delay_s=3)) == [0, 100, 13, 41]
    assert starts(jobs, loop(SMALL_FIRST, delay_s=9)) == [0, 100, 19, 48]
    assert starts(jobs, loop(SMALL_FIRST, delay_s=3, tick_s=0.5)) == [0, 100, 13, 40.5]


def test_the_clock_may_tick_later() -> None:
    """Between whole seconds; until then no run in order starts anything."""
    jobs = [(0, 2, 10, 20), (0.5, 2, 5, 5)]
    assert starts(jobs, PATIENT, cycle_offset_s=0.25) == [0.25, 10.25]
    assert starts(jobs, PATIENT, cycle_offset_s=2.75) == [2.75, 12.75]


def test_intervals_count_from_when_the_scheduler_began() -> None:
    """Backfilling every 40 s finds room for the third job beside the long one, at 80, before the
    wide one can start; 3.5 s earlier where the scheduler began so long before the workload."""
    jobs = [LONG, WIDE, (70, 1, 15, 15)]
    assert starts(jobs, backfill(interval_s=40)) == [0, 100, 80]
    assert starts(jobs, backfill(interval_s=40), lead_s=3.5) == [0, 100, 76.5]


def test_plans_are_on_multiples_of_the_schedulers_clock() -> None:
    """At 80 the third job would end at 95, before the wide one starts at 100. A plan in minutes has
    the nodes from 60 on; where the clock showed 20 as the workload began, from 100 on, its 120."""
    jobs = [LONG, WIDE, (70, 1, 15, 15)]
    plan = backfill(interval_s=40, resolution_s=60)
    assert starts(jobs, plan) == [0, 100, 110]
    assert starts(jobs, plan, clock_s=20) == [0, 100, 80]


def test_backfilling_an_empty_queue_begins_the_interval_anew() -> None:
    """At 40 the long job, which came since the last time, calls for backfilling, and nothing waits.
    So it is 80 before there is backfilling again, for the small job of 66."""
    jobs = [LONG, (65, 2, 10, 10), (66, 1, 10, 10)]
    assert starts(jobs, backfill(interval_s=40)) == [0, 100, 80]
    # Nothing has changed since 40: whatever comes next is seen on the next stroke of the clock.
    jobs = [(0, 1, 300, 300), (125, 2, 10, 10), (125.5, 1, 10, 10)]
    assert starts(jobs, backfill(interval_s=40)) == [0, 300, 165]


def test_free_slots_are_seen_by_the_clock() -> None:
    """The first job ends at 10.5, and the clock ticks at 11; or 20 s after the run at 0."""
    jobs = [(0, 2, 10.5, 20), (1, 2, 5, 5)]
    assert starts(jobs, IN_ORDER) == [0, 11]
    assert starts(jobs, PATIENT) == [0, 11]
    assert starts(jobs, loop(delay_s=20)) == [0, 20]


def test_runs_keep_their_distance() -> None:
    """At 10 the first job ends, and the third starts; at 11 the second ends, 1 s after that run."""
    jobs = [(0, 1, 10, 10), (0, 1, 11, 11), (1, 1, 9, 9), (1, 1, 9, 9)]
    assert starts(jobs, IN_ORDER) == [0, 0, 10, 11]
    assert starts(jobs, loop(min_interval_s=2)) == [0, 0, 10, 12]


def test_a_run_looks_at_so_many_jobs_and_at_all_of_them_at_intervals() -> None:
    """Three nodes, all taken until 20, then wanted by three jobs of one. The whole queue's turn
    comes on the beat that began at 0."""
    jobs = [(0, 3, 20, 20), *[(1, 1, 100, 100)] * 3]
    three = Nodes(3, 1)
    assert starts(jobs, IN_ORDER, three) == [0, 20, 20, 20]
    assert starts(jobs, loop(depth=1), three) == [0, 20, 120, 220]
    assert starts(jobs, loop(depth=2, interval_s=60), three) == [0, 20, 20, 60]
    assert starts(jobs, loop(depth=1, interval_s=15), three) == [0, 20, 30, 30]


def test_a_run_in_order_ends_at_the_first_job_that_does_not_fit() -> None:
    jobs = [LONG, WIDE, (6, 1, 10, 10)]
    assert starts(jobs, IN_ORDER) == [0, 100, 110]


def test_backfilling_is_done_at_intervals_only() -> None:
    jobs = [LONG, WIDE, (6, 1, 10, 10), (31, 1, 10, 10)]
    assert starts(jobs, BACKFILLING) == [0, 100, 30, 60]
    assert starts(jobs, backfill(interval_s=20)) == [0, 100, 20, 40]


def test_backfilling_keeps_its_beat_while_it_leaves_a_job_waiting() -> None:
    """Nothing comes or goes from 30 on until 70.4, but the wide job waits: so 60, then 90."""
    assert starts([LONG, WIDE, (70.4, 1, 9, 9)], BACKFILLING) == [0, 100, 90]


@pytest.mark.parametrize(("limit", "start"), [(69, 30), (70, 110), (71, 110)])
def test_a_backfilled_job_is_over_before_the_reservation_begins(limit, start) -> None:
    """The wide job has [100, 110) and whoever starts at 30 and may run until 100 is in its way."""
    assert starts([LONG, WIDE, (6, 1, 5, limit)], BACKFILLING) == [0, 100, start]


def test_jobs_that_begin_beyond_the_window_get_no_reservation() -> None:
    """At 30 the wide job can begin in 70 s. A job that may run for 200 s would delay it."""
    jobs = [LONG, WIDE, (6, 1, 200, 200)]
    assert starts(jobs, backfill(window_s=70)) == [0, 100, 110]
    assert starts(jobs, backfill(window_s=69)) == [0, 230, 30]


def test_reservations_begin_and_end_on_multiples_of_the_resolution() -> None:
    """The wide job's [100, 110) becomes [60, 120), in which the last one, at 60, finds no room,
    though it would be over by 70; it is left to the run in order at 110."""
    jobs = [LONG, WIDE, (6, 1, 10, 10), (31, 1, 10, 10)]
    assert starts(jobs, backfill(resolution_s=60)) == [0, 100, 30, 110]


def test_so_many_jobs_are_tested() -> None:
    """The third waiting job could start at 30; the second one would delay the first."""
    jobs = [LONG, WIDE, (6, 1, 500, 500), (7, 1, 10, 10)]
    assert starts(jobs, backfill(max_test=3)) == [0, 100, 110, 30]
    assert starts(jobs, backfill(max_test=2)) == [0, 100, 110, 110]


def test_so_many_jobs_are_started() -> None:
    """Three nodes; two jobs could start at 30."""
    jobs = [LONG, (5, 3, 10, 10), (6, 1, 10, 10), (7, 1, 10, 10)]
    assert starts(jobs, BACKFILLING, Nodes(3, 1)) == [0, 100, 30, 30]
    assert starts(jobs, backfill(max_start=2), Nodes(3, 1)) == [0, 100, 30, 30]
    assert starts(jobs, backfill(max_start=1), Nodes(3, 1)) == [0, 100, 30, 60]


def test_every_job_that_waits_has_a_reservation() -> None:
    """Four nodes, two of them taken until 100. At 30 the first waiting job is given [100, 110) on
    three, the second [110, 120) on all. The last one would run beside the first, and delay the
    second."""
    first = (5, 3, 10, 10)
    second = (6, 4, 10, 10)
    last = (7, 1, 200, 200)
    assert starts([(0, 2, 100, 100), first, last], BACKFILLING, Nodes(4, 1)) == [0, 100, 30]
    assert starts([(0, 2, 100, 100), first, second, last], BACKFILLING, Nodes(4, 1)) == [
        0,
        100,
        110,
        120,
    ]


def test_whole_nodes_are_reserved() -> None:
    """At 30 the second job is given [100, 110), on two of four slots. The third, of one, may run
    beyond that: there is room on another node, none on the same one."""
    jobs = [(0, 3, 100, 100), (5, 2, 10, 10), (6, 1, 200, 200)]
    assert starts(jobs, BACKFILLING, Nodes(4, 1)) == [0, 100, 30]
    assert starts(jobs, BACKFILLING, Nodes(1, 4)) == [0, 100, 100]


def test_backfilling_leaves_nodes_alone_on_which_a_job_has_just_ended() -> None:
    """The second job ends at 28, and its slot is free at 33: at 30 the last one doesn't get the
    third slot of that node."""
    jobs = [LONG, (0, 1, 28, 28), (5, 3, 10, 10), (6, 1, 10, 10)]
    assert starts(jobs, BACKFILLING, Nodes(1, 3)) == [0, 0, 100, 30]
    assert starts(jobs, BACKFILLING, Nodes(1, 3), release_s=5) == [0, 0, 105, 60]
    assert starts(jobs, BACKFILLING, Nodes(3, 1), release_s=5) == [0, 0, 105, 30]


def test_backfilling_is_in_the_order_of_priorities() -> None:
    """Three nodes. One of the last two jobs can start at 30. The smaller comes later and goes
    first; the other one is then the first in order, at 50."""
    jobs = [LONG, (5, 3, 10, 10), (6, 2, 20, 20), (7, 1, 20, 20)]
    assert starts(jobs, BACKFILLING, Nodes(3, 1)) == [0, 100, 30, 60]
    by_size = replace(backfill(), loop=replace(RHYTHM, delay_s=50), priority=SMALL_FIRST.priority)
    assert starts(jobs, by_size, Nodes(3, 1)) == [0, 100, 50, 30]


def test_limits_are_foreseen_in_windows_that_double() -> None:
    """Four nodes of two slots; the first three are taken until 100, 400 and 500. At 30, three nodes
    are wanted from 400 on, if each limit counts alone: they are 1, 2 and 4, and on the last one
    nobody may run for so long before. In windows from 100 on, 400 is in one with 500: then all
    nodes are free, and the first three are taken."""
    jobs = [(0, 2, 100, 100), (0, 2, 400, 400), (0, 2, 500, 500), (5, 6, 9, 9), (6, 2, 371, 371)]
    assert starts(jobs, backfill(), Nodes(4, 2)) == [0, 0, 0, 400, 409]
    assert starts(jobs, backfill(foresight_s=30), Nodes(4, 2)) == [0, 0, 0, 401, 30]


def test_only_jobs_for_which_slots_were_looked_for_count_as_tested() -> None:
    """Two nodes of two slots, one of them taken until 100. The first two waiting jobs want both.
    The second one may run into the reservation of the first, so no node is open for it within the
    window, and no slots are looked for. The third one ends before."""
    jobs = [(0, 2, 100, 100), (5, 4, 500, 500), (6, 4, 10, 90), (7, 1, 10, 10)]
    windowed = backfill(window_s=80, max_test=2)
    assert starts(jobs, windowed, Nodes(2, 2)) == [0, 100, 600, 30]
    assert starts(jobs, backfill(window_s=80, max_test=1), Nodes(2, 2)) == [0, 100, 600, 610]


def test_no_node_is_given_away_that_a_job_is_leaving() -> None:
    """The first job has ended at 20, and its slot is free at 25. The last one comes at 22: it gets
    the other slot of the node when nobody leaves it."""
    jobs = [(0, 1, 20, 20), (22, 1, 10, 10)]
    assert starts(jobs, IN_ORDER, Nodes(1, 2), release_s=0) == [0, 22]
    assert starts(jobs, IN_ORDER, Nodes(1, 2), release_s=5) == [0, 25]
