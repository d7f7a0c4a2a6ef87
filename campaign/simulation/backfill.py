"""Backfilling on nodes of several slots, where a reservation closes whole nodes. Compiled.

A run plans the queue anew, starts what delays no planned job, and reserves nodes for the rest.
"""

from typing import NamedTuple

import numpy as np

from campaign.simulation.compiled import ZERO, compiled, lean
from campaign.simulation.event_queue import Jobs
from campaign.simulation.nodes import Slots
from campaign.simulation.planning import (
    close_nodes,
    no_reservations,
    planned_start,
    scratch_of,
)
from campaign.simulation.shifting import shift
from campaign.simulation.work import GO_ON, NEVER, Running, Work, after, begin


class BackfillTimes(NamedTuple):
    """schedulers.policy.Backfill in ns; `on` is 0 where there is none.

    `whole` reserves all slots of a node. `kernel` is that of `beats.LoopTimes`, and `test` what
    looking at one job takes; after `turn` jobs (0: any number) the run sleeps for `sleep`.
    """

    on: int
    interval: int
    window: int
    resolution: int
    tests: int
    starts: int
    whole: int
    foresight: int
    kernel: int
    test: int
    turn: int
    sleep: int


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
            since, until = reserved_window(start, work.limit[job], now, backfill.resolution)
            close_nodes(pieces, since, until, work, job)
            same = min(same, since)
    return moved_up(queue, kept, looked, last), now if started else same


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


@lean
def moved_up(queue: Jobs, kept: int, looked: int, last: int) -> int:
    """Move jobs that weren't looked at up behind those that were kept; return the queue's end."""
    shift(queue, looked, last, kept - looked)
    return last - (looked - kept)


@lean
def reserved_window(begun: int, limit: int, now: int, resolution: int) -> tuple[int, int]:
    """Return begin and end of a reservation, on multiples of `resolution` but not before now."""
    since = begun - begun % resolution
    until = after(begun, limit) + resolution - 1
    until = max(until - until % resolution, since + resolution)
    return max(since, now), min(until, NEVER)
