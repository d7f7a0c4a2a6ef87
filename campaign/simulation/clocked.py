"""Decides as a real scheduler does, by its clock: in order, and backfilling. Compiled.

The moments are those of Slurm's controller (slurmctld's job_mgr.c, job_scheduler.c and
controller.c, sched/backfill's backfill.c), in the words of schedulers.policy: a run through the
queue in order ends at the first job that doesn't fit; a backfill run plans the queue anew, and sets
whole nodes aside for the jobs that have to wait.
"""

import numpy as np

from campaign.simulation.alike_backfill import SlotPlan, backfill_slots, forget, no_plan
from campaign.simulation.backfill import BackfillTimes, backfill_nodes, leaving
from campaign.simulation.beats import (
    ASKED,
    ASKED_DUE,
    BACKFILL_DUE,
    BEATS,
    CHANGED,
    FULL_DUE,
    LAST_BACKFILL,
    LAST_FULL,
    OWN,
    RUN_DUE,
    SAME_UNTIL,
    SHOWN,
    TIME,
    UNSEEN,
    WANTED,
    LoopTimes,
    State,
    backfill_nothing,
    backfilled,
    change,
    granted,
    keep_late_beat,
    keeps_beat,
    pass_time,
    run_nothing,
    set_alarms,
    start_clock,
)
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

# Places of the state behind those of the clock: the queue's ends.
QUEUE_FIRST, QUEUE_LAST = range(OWN, OWN + 2)


@compiled
def run_clocked(
    work: Work, free: Slots, rule: int, order: QueueOrder, loop: LoopTimes, backfill: BackfillTimes
) -> None:
    """Fill in `work.start` and the nodes of all jobs, on nodes with `free` slots."""
    jobs = work.submit.size
    running = none_running(work, free)
    queue = np.empty(jobs, np.int64)
    state = np.zeros(OWN + 2, np.int64)
    start_clock(state, loop)
    plan = no_plan(running, queue, backfill.tests)
    arrived = ZERO
    while (
        arrived < jobs or running.size[0] > 0 or state[QUEUE_FIRST] < state[QUEUE_LAST]
    ) and work.halt[0] == GO_ON:
        if order.dynamic and state[QUEUE_FIRST] < state[QUEUE_LAST]:
            until = next_event(work, running, arrived)
            _skip_idle_runs(work, queue, state, order, loop, backfill, until)
        waiting = state[QUEUE_FIRST] < state[QUEUE_LAST]
        set_alarms(state, waiting, order.dynamic != 0, loop, backfill)
        if arrived == jobs and running.size[0] == 0:
            keep_late_beat(state, loop)
        now = min(state[RUN_DUE], state[ASKED_DUE], state[FULL_DUE], state[BACKFILL_DUE])
        now = min(now, next_event(work, running, arrived))
        if now >= NEVER:
            work.halt[0] = TOO_FAR
            return
        if not waiting and backfill.on:
            backfill_nothing(state, backfill, loop.tick, now)
        if not waiting:
            run_nothing(state, loop, now)
        state[TIME] = now
        while running.size[0] > 0 and running.ends[0][0] <= now:
            finish(work, free, running)
            forget(plan)
            change(state, now)
            state[UNSEEN] = state[ASKED] = 1
        while arrived < jobs and work.submit[arrived] <= now:
            queue[state[QUEUE_LAST]] = arrived
            state[QUEUE_LAST] += 1
            change(state, now)
            state[UNSEEN] = state[ASKED] = 1
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
    if state[WANTED] or state[ASKED] or state[UNSEEN] or loop.kernel:
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
    if keeps_beat(state, loop):
        pass_time(state, loop, backfill, until)


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
    due, full = granted(state, loop, now)
    if not due:
        return
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
        change(state, state[SHOWN])
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
    # Slots are looked for, for all jobs that it looked at, as far as this counts.
    tested = min(ends[1] - ends[0], backfill.tests)
    backfilled(state, backfill, tested, (ends[1] - ends[0]) - (last - ends[0]))
    state[BEATS] = last > ends[0]
    state[QUEUE_LAST] = last
    state[SAME_UNTIL] = same
