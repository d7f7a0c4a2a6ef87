"""Backfilling around reservations that are planned anew whenever a job comes or goes. Compiled.

It is what Fluxion does under its policies `hybrid` and `conservative` (flux-sched's
queue_policy_bf_base_impl.hpp): each time, jobs are looked at in the order of the queue; one that
fits starts, the first others get reservations, and those behind may start if they fit beside these.
A reservation may come later than the one before it was, since nothing is kept.
"""

import numpy as np

from campaign.simulation.backfill import moved_up
from campaign.simulation.compiled import ONE, ZERO, compiled
from campaign.simulation.event_queue import Times
from campaign.simulation.future import Rows, copy_step, earliest, reserve, with_room
from campaign.simulation.ideal import next_event
from campaign.simulation.nodes import Slots, fits
from campaign.simulation.work import (
    GO_ON,
    QueueOrder,
    Running,
    Work,
    after,
    arrive,
    begin,
    finish,
    give,
    none_running,
    picked,
    sort_queue,
)


@compiled
def run_replanned(
    work: Work, free: Slots, rule: int, order: QueueOrder, reservations: int, depth: int
) -> None:
    """Serve jobs with `reservations` for so many of them, looking at `depth` waiting ones.

    Fills in `work.start` and the nodes of all jobs, on nodes with `free` slots.
    """
    jobs = work.submit.size
    running = none_running(work, free)
    queue = np.empty(jobs, np.int64)
    times = np.zeros(64, np.int64)
    rows = np.empty((64, free.size), np.int32)
    held = np.empty_like(free)
    last = arrived = ZERO
    while (arrived < jobs or running.size[0] > 0) and work.halt[0] == GO_ON:
        now = next_event(work, running, arrived)
        while running.size[0] > 0 and running.ends[0][0] == now:
            finish(work, free, running)
        last, arrived = arrive(work, queue, last, arrived, now)
        if order.dynamic:
            sort_queue(work, queue, 0, last, now, order)
        times, rows = with_room(times, rows, ZERO, running.size[0] + 2)
        steps = _foreseen(work, free, running, times, rows, now)
        kept = looked = reserved = ZERO
        while looked < last and kept < depth and work.halt[0] == GO_ON:
            job = queue[looked]
            looked += 1
            times, rows = with_room(times, rows, steps, 4)
            limit = work.limit[job]
            if reserved < reservations:
                step = earliest(times, rows, steps, limit, work, job, rule, held)
            else:
                step = _at_once(times, rows, steps, limit, work, job, rule, held)
            if step >= 0:
                since = times[step]
                steps = reserve(times, rows, steps, since, after(since, limit), work, job)
            if step == 0:
                begin(work, free, running, job, now)
                continue
            reserved += step > 0
            queue[kept] = job
            kept += 1
        last = moved_up(queue, kept, looked, last)


@compiled
def _foreseen(work: Work, free: Slots, running: Running, times: Times, rows: Rows, now: int) -> int:
    """Let steps be what is free if jobs run to their limits; return their number.

    A job that is over its limit may end at any moment.
    """
    times[0] = now
    for node in range(free.size):
        rows[0, node] = free[node]
    steps = ONE
    for index in range(running.size[0]):
        time = max(running.limit_times[index], now + 1)
        if times[steps - 1] < time:
            times[steps] = time
            copy_step(rows, steps - 1, rows, steps)
            steps += 1
        give(work, rows[steps - 1], running.limit_jobs[index])
    return steps


@compiled
def _at_once(
    times: Times,
    rows: Rows,
    steps: int,
    limit: int,
    work: Work,
    job: int,
    rule: int,
    held: Slots,
) -> int:
    """Choose nodes for a job that are free from now on for its limit; -1 where there are none."""
    for node in range(held.size):
        held[node] = rows[0, node]
    end = after(times[0], limit)
    step = ONE
    while step < steps and times[step] < end:
        for node in range(held.size):
            held[node] = min(held[node], rows[step, node])
        step += 1
    if not fits(held, work.width[job], work.spread[job], work.each[job]):
        return ZERO - 1
    picked(work, held, job, rule)
    return ZERO
