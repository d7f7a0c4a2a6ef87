"""Backfilling: plans the queue anew, starts what delays no planned job, reserves for the rest.

Compiled. Where nodes have several slots, a reservation closes whole nodes (`backfill_nodes`); nodes
of one slot are all alike, and it takes slots (`backfill_slots`).
"""

from typing import NamedTuple

import numpy as np

from campaign.simulation.compiled import ONE, ZERO, compiled
from campaign.simulation.event_queue import Jobs, Times
from campaign.simulation.future import Rows, copy_step, earliest, reserve, with_room
from campaign.simulation.nodes import Slots
from campaign.simulation.planning import (
    close_nodes,
    first_window,
    next_window,
    no_reservations,
    planned_start,
    scratch_of,
)
from campaign.simulation.work import GO_ON, NEVER, Running, Work, after, begin, give


class BackfillTimes(NamedTuple):
    """schedulers.policy.Backfill in ns; `on` is 0 where there is none.

    `whole` reserves all slots of a node.
    """

    on: int
    interval: int
    window: int
    resolution: int
    tests: int
    starts: int
    whole: int
    foresight: int


@compiled
def backfill_nodes(
    work: Work,
    free: Slots,
    left: Slots,
    running: Running,
    queue: Jobs,
    ends: tuple[int, int],
    now: int,
    rule: int,
    backfill: BackfillTimes,
) -> tuple[int, int]:
    """Backfill the queue between its `ends`, node by node.

    `left` are the jobs that are leaving, by node. Returns the queue's new end, and until when the
    same would be found.
    """
    first, last = ends
    scratch = scratch_of(free)
    pieces = no_reservations(
        free.size,
        now - now % backfill.resolution,
        after(now, backfill.window) - after(now, backfill.window) % backfill.resolution,
        min(backfill.tests, last - first),
    )
    same = running.limit_times[0] if running.size[0] > 0 else NEVER
    kept = looked = first
    started = tested = ZERO
    while looked < last and tested < backfill.tests and work.halt[0] == GO_ON:
        job = queue[looked]
        looked += 1
        start, tried = planned_start(
            work,
            job,
            rule,
            free,
            left,
            running,
            pieces,
            scratch,
            now,
            backfill.window,
            backfill.foresight,
        )
        tested += tried
        if start == now:
            begin(work, free, running, job, now)
            started += 1
            if started == backfill.starts:
                break
            continue
        queue[kept] = job
        kept += 1
        if start < NEVER:
            since, until = _window(start, work.limit[job], now, backfill.resolution)
            close_nodes(pieces, since, until, work, job)
            same = min(same, since)
    return _moved_up(queue, kept, looked, last), now if started else same


@compiled
def backfill_slots(
    work: Work,
    free: Slots,
    running: Running,
    queue: Jobs,
    ends: tuple[int, int],
    now: int,
    rule: int,
    backfill: BackfillTimes,
) -> tuple[int, int]:
    """Backfill the queue between its `ends` on nodes of one slot, which count as one node.

    Returns the queue's new end, and until when the same would be found.
    """
    first, last = ends
    times, rows, steps = _outlook(work, free, running, now, backfill.foresight)
    held = np.empty_like(free)
    kept = looked = first
    started = ZERO
    # From the first limit on, a running job may end any moment, which moves all plans along.
    same = running.limit_times[0] if running.size[0] > 0 else NEVER
    while looked < last and looked - first < backfill.tests:
        job = queue[looked]
        looked += 1
        # A job that would end just as a reservation begins is in its way.
        step = earliest(times, rows, steps, after(work.limit[job], 1), work, job, rule, held)
        if work.halt[0] != GO_ON:
            break
        times, rows = with_room(times, rows, steps, 2)
        if step == 0:
            begin(work, free, running, job, now)
            until = after(now, work.limit[job])
            steps = reserve(times, rows, steps, now, until, work, job)
            started += 1
            if started == backfill.starts:
                break
            continue
        queue[kept] = job
        kept += 1
        if times[step] > now + backfill.window:
            same = min(same, times[step] - backfill.window)
        else:
            since, until = _window(times[step], work.limit[job], now, backfill.resolution)
            same = min(same, since)
            steps = reserve(times, rows, steps, since, until, work, job)
    return _moved_up(queue, kept, looked, last), now if started else same


@compiled
def leaving(work: Work, free: Slots, running: Running, now: int, release: int) -> Slots:
    """Return, for each node, how many jobs have ended there whose slots are not free yet.

    A job's slots are free `release` ns after its end.
    """
    left = np.zeros_like(free)
    if release == 0:
        return left
    for index in range(running.size[0]):
        until, job = running.ends[index]
        if until - release <= now:
            for place in range(work.place[job], work.place[job] + work.spread[job]):
                left[work.nodes[place]] += 1
    return left


@compiled
def _moved_up(queue: Jobs, kept: int, looked: int, last: int) -> int:
    """Move jobs that weren't looked at up behind those that were kept; return the queue's end."""
    for index in range(looked, last):
        queue[kept + index - looked] = queue[index]
    return last - (looked - kept)


@compiled
def _window(begun: int, limit: int, now: int, resolution: int) -> tuple[int, int]:
    """Return begin and end of a reservation, on multiples of `resolution` but not before now."""
    since = begun - begun % resolution
    until = after(begun, limit) + resolution - 1
    until = max(until - until % resolution, since + resolution)
    return max(since, now), min(until, NEVER)


@compiled
def _outlook(
    work: Work, free: Slots, running: Running, now: int, foresight: int
) -> tuple[Times, Rows, int]:
    """Return the free slots from now on, if every running job ends at its limit, or with a window.

    A job that is over its limit may end any moment. The answer is times, rows of free slots by
    node, and the number of steps.
    """
    size = running.size[0]
    times = np.empty(size + 8, np.int64)
    rows = np.empty((size + 8, free.size), np.int32)
    steps = ONE
    times[0] = now
    for node in range(free.size):
        rows[0, node] = free[node]
    window = first_window(running.limit_times[0], foresight)
    index = ZERO
    while index < size:
        last = index
        while last + 1 < size and running.limit_times[last + 1] <= window.origin + window.length:
            last += 1
        until = max(running.limit_times[last], now + 1)
        if until > times[steps - 1]:
            times[steps] = until
            copy_step(rows, steps - 1, rows, steps)
            steps += 1
        for ended in range(index, last + 1):
            give(work, rows[steps - 1], running.limit_jobs[ended])
        index = last + 1
        if index < size:
            window = next_window(window, running.limit_times[index])
    return times, rows, steps
