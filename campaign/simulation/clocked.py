"""Decides as a real scheduler does, by its clock: in order, and backfilling. Compiled.

The moments are those of Slurm's controller (slurmctld's job_mgr.c, job_scheduler.c and
controller.c, sched/backfill's backfill.c), in the words of schedulers.policy: a run through the
queue in order ends at the first job that doesn't fit; a backfill run plans the queue anew, and sets
whole nodes aside for the jobs that have to wait.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from campaign.simulation.alike_backfill import SlotPlan, backfill_slots, forget, no_plan
from campaign.simulation.backfill import BackfillTimes, backfill_nodes, leaving
from campaign.simulation.compiled import ZERO, compiled
from campaign.simulation.event_queue import Jobs
from campaign.simulation.ideal import next_event
from campaign.simulation.nodes import Slots
from campaign.simulation.work import (
    GO_ON,
    NEVER,
    TOO_FAR,
    QueueOrder,
    Running,
    Work,
    begin,
    finish,
    none_running,
    picked,
    sort_queue,
)

# Places of the state: the time; the last runs by kind, and the next ones; flags: a run is wanted
# now, or asked for by the clock; something has changed since a run in order saw all that it must,
# or since a backfill run; the queue's ends; until when backfill runs would find what the last one
# did; whether the last one left a job waiting, so that the next one keeps the beat.
TIME, LAST_RUN, LAST_ASKED, LAST_FULL, LAST_BACKFILL, RUN_DUE, ASKED_DUE, FULL_DUE, BACKFILL_DUE = (
    range(9)
)
WANTED, ASKED, UNSEEN, CHANGED, QUEUE_FIRST, QUEUE_LAST, SAME_UNTIL, BEATS = range(9, 17)
# A plain array, which compiled functions can change in place.
State = NDArray[np.int64]


class LoopTimes(NamedTuple):
    """schedulers.policy.SchedulingLoop in ns; `first` is when the clock first ticks.

    No node that a job has left within `release` is given to another one. The scheduler began `lead`
    before its clock showed 0, or after that where it is negative.
    """

    first: int
    delay: int
    interval: int
    least: int
    depth: int
    tick: int
    release: int
    lead: int


@compiled
def run_clocked(
    work: Work, free: Slots, rule: int, order: QueueOrder, loop: LoopTimes, backfill: BackfillTimes
) -> None:
    """Fill in `work.start` and the nodes of all jobs, on nodes with `free` slots."""
    jobs = work.submit.size
    running = none_running(work, free)
    queue = np.empty(jobs, np.int64)
    state = np.zeros(17, np.int64)
    # So that a first run isn't held back by one that never was.
    state[LAST_RUN] = -loop.least
    # So that the first run that is asked for comes at `loop.first`.
    state[LAST_ASKED] = loop.first - loop.delay
    state[LAST_FULL] = state[LAST_BACKFILL] = -loop.lead
    plan = no_plan(running, queue, backfill.tests)
    arrived = ZERO
    while (
        arrived < jobs or running.size[0] > 0 or state[QUEUE_FIRST] < state[QUEUE_LAST]
    ) and work.halt[0] == GO_ON:
        if order.dynamic and state[QUEUE_FIRST] < state[QUEUE_LAST]:
            until = next_event(work, running, arrived)
            _skip_idle_runs(work, queue, state, order, loop, backfill, until)
        _set_alarms(state, order, loop, backfill)
        now = min(state[RUN_DUE], state[ASKED_DUE], state[FULL_DUE], state[BACKFILL_DUE])
        now = min(now, next_event(work, running, arrived))
        if now >= NEVER:
            work.halt[0] = TOO_FAR
            return
        if state[QUEUE_FIRST] == state[QUEUE_LAST] and backfill.on:
            _backfill_nothing(state, backfill, loop.tick, now)
        state[TIME] = now
        while running.size[0] > 0 and running.ends[0][0] <= now:
            finish(work, free, running)
            forget(plan)
            state[CHANGED] = state[UNSEEN] = state[ASKED] = 1
        while arrived < jobs and work.submit[arrived] <= now:
            queue[state[QUEUE_LAST]] = arrived
            state[QUEUE_LAST] += 1
            state[CHANGED] = state[UNSEEN] = state[ASKED] = 1
            arrived += 1
        _run_if_due(work, free, running, queue, state, rule, order, loop, plan)
        if now >= state[BACKFILL_DUE]:
            _backfill(work, free, running, queue, state, rule, order, loop, backfill, plan)


@compiled
def _skip_idle_runs(
    work: Work,
    queue: Jobs,
    state: State,
    order: QueueOrder,
    loop: LoopTimes,
    backfill: BackfillTimes,
    until: int,
) -> None:
    """Leave out the runs before `until`, the next event, that would find all as the last ones did.

    Where priorities grow with age, the queue is looked at on each beat, though nothing happens.
    Once all of its jobs are so old that their order is final, only the time goes on.
    """
    if state[WANTED] or state[ASKED] or state[UNSEEN]:
        return
    seen = state[LAST_FULL]
    if backfill.on:
        if state[CHANGED]:
            return
        seen = min(seen, state[LAST_BACKFILL])
        until = min(until, state[SAME_UNTIL])
    if until <= state[TIME] + max(loop.interval, backfill.interval):
        return
    if order.age > 0:
        for index in range(state[QUEUE_FIRST], state[QUEUE_LAST]):
            if work.submit[queue[index]] + int(order.max_age) + order.period > seen:
                return
    # Full runs keep their beat only where it is one of the clock's, and none delays the next.
    off_beat = loop.interval % loop.tick != 0 or (loop.first - state[LAST_FULL]) % loop.tick != 0
    following = state[LAST_FULL] + loop.interval
    if off_beat or loop.interval < loop.least or following < state[LAST_RUN] + loop.least:
        return
    runs = max(0, until - 1 - state[LAST_FULL]) // loop.interval
    if runs > 0:
        state[LAST_FULL] += runs * loop.interval
        state[LAST_RUN] = state[LAST_ASKED] = state[LAST_FULL]
    if backfill.on:
        runs = max(0, until - 1 - state[LAST_BACKFILL]) // backfill.interval
        state[LAST_BACKFILL] += runs * backfill.interval
    state[TIME] = max(state[TIME], state[LAST_FULL], state[LAST_BACKFILL])


@compiled
def _set_alarms(state: State, order: QueueOrder, loop: LoopTimes, backfill: BackfillTimes) -> None:
    """Set the times at which something will be due by the clock, though no job comes or goes."""
    for due in range(RUN_DUE, BACKFILL_DUE + 1):
        state[due] = NEVER
    if state[QUEUE_FIRST] == state[QUEUE_LAST]:
        return
    now = state[TIME]
    if state[WANTED]:
        state[RUN_DUE] = max(now, state[LAST_RUN] + loop.least)
    if state[ASKED]:
        state[ASKED_DUE] = _next_tick(
            max(now, state[LAST_ASKED] + loop.delay), loop.first, loop.tick
        )
    if state[UNSEEN] or order.dynamic:
        missed = max(
            0, (now - state[LAST_FULL]) // loop.interval
        )  # it keeps its beat when there is nothing to see
        state[FULL_DUE] = _next_tick(
            state[LAST_FULL] + (missed + 1) * loop.interval, loop.first, loop.tick
        )
    if backfill.on:
        news = state[CHANGED] or order.dynamic
        if news or (state[BEATS] and state[SAME_UNTIL] < NEVER):
            since = now if news else max(now, state[SAME_UNTIL])
            state[BACKFILL_DUE] = _next_backfill(state, backfill, loop.tick, since)


@compiled
def _next_backfill(state: State, backfill: BackfillTimes, tick: int, since: int) -> int:
    """Return when the next backfill run is due for something that is new `since` then.

    Runs that leave a job waiting keep their beat: such a job has nodes planned for it, which is a
    change by itself. Where nothing has changed, the clock looks on each tick.
    """
    due = state[LAST_BACKFILL] + backfill.interval
    return _next_tick(max(due, since), due, backfill.interval if state[BEATS] else tick)


@compiled
def _backfill_nothing(state: State, backfill: BackfillTimes, tick: int, now: int) -> None:
    """Note the backfill run that an empty queue has seen before `now`, if one was due.

    It found nothing to do, but the interval to the next one counts from it.
    """
    if state[CHANGED] or state[BEATS]:
        due = _next_backfill(state, backfill, tick, state[TIME])
        if due < now:
            state[LAST_BACKFILL] = due
            state[CHANGED] = state[BEATS] = 0


@compiled
def _next_tick(time: int, first: int, tick: int) -> int:
    """Return the first tick at `time` or later.

    The clock ticks at `first` and every `tick` before and after that.
    """
    # The division rounds towards minus infinity, so the tick is never before `time`.
    return first - (first - time) // tick * tick


@compiled
def _run_if_due(
    work: Work,
    free: Slots,
    running: Running,
    queue: Jobs,
    state: State,
    rule: int,
    order: QueueOrder,
    loop: LoopTimes,
    plan: SlotPlan,
) -> None:
    """Run through the queue in order, if such a run is due."""
    now = state[TIME]
    full = now >= state[FULL_DUE]
    if full or now >= state[ASKED_DUE]:
        state[WANTED] = 1
        state[ASKED] = 0
        state[LAST_ASKED] = now
        if full:
            state[LAST_FULL] = now
    if not state[WANTED] or now < state[LAST_RUN] + loop.least:
        return
    state[WANTED] = 0
    state[LAST_RUN] = now
    # Set again below if the run ends at its depth.
    state[UNSEEN] = 0
    if order.dynamic:
        sort_queue(work, queue, state[QUEUE_FIRST], state[QUEUE_LAST], now, order)
    left = leaving(work, free, running, now, loop.release)
    usable = free if loop.release == 0 else free.copy()
    seen = 0
    while state[QUEUE_FIRST] < state[QUEUE_LAST]:
        if seen == loop.depth and not full:
            state[UNSEEN] = 1
            break
        if loop.release > 0:
            for node in range(free.size):
                usable[node] = 0 if left[node] else free[node]
        job = queue[state[QUEUE_FIRST]]
        if not picked(work, usable, job, rule):
            break
        begin(work, free, running, job, now)
        forget(plan)
        state[QUEUE_FIRST] += 1
        state[CHANGED] = 1
        seen += 1


@compiled
def _backfill(
    work: Work,
    free: Slots,
    running: Running,
    queue: Jobs,
    state: State,
    rule: int,
    order: QueueOrder,
    loop: LoopTimes,
    backfill: BackfillTimes,
    plan: SlotPlan,
) -> None:
    """Plan the queue anew: start what delays no job before it, and reserve nodes for the rest."""
    now = state[TIME]
    state[LAST_BACKFILL] = now
    state[CHANGED] = 0
    ends = (state[QUEUE_FIRST], state[QUEUE_LAST])
    if order.dynamic:
        sort_queue(work, queue, ends[0], ends[1], now, order)
        forget(plan)
    if backfill.whole:
        left = leaving(work, free, running, now, loop.release)
        last, same = backfill_nodes(work, free, left, running, queue, ends, now, rule, backfill)
    else:
        last, same = backfill_slots(
            work, free, running, queue, ends, now, rule, backfill, plan, state[SAME_UNTIL]
        )
    state[BEATS] = last > ends[0]
    state[QUEUE_LAST] = last
    state[SAME_UNTIL] = same
