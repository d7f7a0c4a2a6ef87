"""Policies that decide whenever a job comes or goes, without a clock. Compiled.

First come first served; whatever fits; EASY and conservative backfilling. EASY backfilling: Lifka
1995, The ANL/IBM SP Scheduling System. The first job of the queue that doesn't fit has its slots
set aside for the *shadow time*, at which it will fit by the limits of the running jobs; a later job
is started now if it is over by then, or uses only slots that are spare then. Conservative
backfilling: Mu'alem and Feitelson 2001, Utilization, Predictability, Workloads, and User Runtime
Estimates in Scheduling the IBM SP2 with Backfilling: every job has a reservation from its
submission on, which only ever moves towards now.

Limits are never shorter than what a job really takes, or reservations would mean nothing.
"""

import numpy as np

from campaign.simulation.compiled import ZERO, compiled
from campaign.simulation.event_queue import Jobs, Times
from campaign.simulation.future import Rows, earliest, from_now, reserve, unreserve, with_room
from campaign.simulation.nodes import Slots, fits
from campaign.simulation.work import (
    GO_ON,
    NEVER,
    NOWHERE,
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
    take,
    total,
)

IN_ORDER = 0
EASY = 1
WHATEVER_FITS = 2
BRIEF = 3
"""Which jobs may start before the first of the queue: none, those that don't delay it, all that
fit, or those that are over by the time at which it will start."""


@compiled
def run_queue(
    work: Work, free: Slots, overtaking: int, rule: int, order: QueueOrder, depth: int
) -> None:
    """Serve jobs in the order of the queue, but for `overtaking` by the first `depth` that wait.

    Fills in `work.start` and the nodes of all jobs, on nodes with `free` slots.
    """
    jobs = work.submit.size
    running = none_running(work, free)
    queue = np.empty(jobs, np.int64)
    spare = np.empty_like(free)
    both = np.empty_like(free)
    first = ZERO
    last = ZERO
    arrived = ZERO
    shadow = NOWHERE  # of the first in the queue, while nothing has changed that it depends on
    while (arrived < jobs or running.size[0] > 0) and work.halt[0] == GO_ON:
        now = next_event(work, running, arrived)
        again = order.dynamic > 0  # whether jobs that didn't fit before may fit now
        while running.size[0] > 0 and running.ends[0][0] == now:
            finish(work, free, running)
            again = True
        untried = last
        last, arrived = arrive(work, queue, last, arrived, now)
        if order.dynamic:
            sort_queue(work, queue, first, last, now, order)
        # If the queue was empty, the first newcomer is its head and hasn't been tried either.
        again = again or first == untried
        while again and first < last and picked(work, free, queue[first], rule):
            begin(work, free, running, queue[first], now)
            first += 1
        if again:
            shadow = NOWHERE
        if overtaking == IN_ORDER or last - first < 2:
            continue
        # Jobs that came earlier were tried then, and nothing has become free since.
        kept = candidate = first + 1 if again else untried
        idle = total(free)
        while candidate < last and idle > 0 and kept - first < depth and work.halt[0] == GO_ON:
            job = queue[candidate]
            candidate += 1
            fit = work.width[job] <= idle
            # Worked out only when a job needs it, since it goes through all running jobs.
            if fit and shadow == NOWHERE:
                # With NEVER, every job is brief enough, so whatever fits starts.
                shadow = NEVER
                if overtaking != WHATEVER_FITS:
                    shadow = _shadow(work, free, running, queue[first], rule, spare)
            brief = after(now, work.limit[job]) <= shadow
            fit = fit and (brief or overtaking != BRIEF)
            if fit and _backfilled(work, free, spare, both, job, rule, brief):
                begin(work, free, running, job, now)
                idle -= work.width[job]
            else:
                queue[kept] = job
                kept += 1
        last = _closed_up(queue, kept, candidate, last)


@compiled
def next_event(work: Work, running: Running, arrived: int) -> int:
    """Return the time at which the next job comes or goes."""
    now = NEVER
    if arrived < work.submit.size:
        now = work.submit[arrived]
    if running.size[0] > 0:
        now = min(now, running.ends[0][0])
    return now


@compiled
def _closed_up(queue: Jobs, kept: int, looked: int, last: int) -> int:
    """Close the gap between the jobs that were kept and those not looked at.

    Returns the new end of the queue.
    """
    if kept == looked:
        return last
    for index in range(looked, last):
        queue[kept + index - looked] = queue[index]
    return last - (looked - kept)


@compiled
def _shadow(work: Work, free: Slots, running: Running, job: int, rule: int, spare: Slots) -> int:
    """Return the time at which the job will fit, at the latest.

    `spare` is filled in with the slots that the job leaves free then.
    """
    for node in range(free.size):
        spare[node] = free[node]
    index = 0
    shadow = NOWHERE
    while index < running.size[0]:
        shadow = running.limit_times[index]
        while index < running.size[0] and running.limit_times[index] == shadow:
            give(work, spare, running.limit_jobs[index])
            index += 1
        if fits(spare, work.width[job], work.spread[job], work.each[job]):
            break
    picked(work, spare, job, rule)
    take(work, spare, job)
    return shadow


@compiled
def _backfilled(
    work: Work, free: Slots, spare: Slots, both: Slots, job: int, rule: int, brief: bool
) -> bool:
    """Choose nodes for the job that don't delay the first of the queue; False if there are none.

    It delays nothing if it is over by the shadow time (`brief`), or if it uses only slots that are
    spare then; what it uses is no longer spare. `both` is room for a node's slots each.
    """
    if brief:
        return picked(work, free, job, rule)
    for node in range(free.size):
        both[node] = min(free[node], spare[node])
    if not picked(work, both, job, rule):
        return False
    take(work, spare, job)
    return True


@compiled
def run_conservative(work: Work, free: Slots, rule: int, order: QueueOrder) -> None:
    """Serve jobs by conservative backfilling.

    Fills in `work.start` and the nodes of all jobs, on nodes with `free` slots. When a job ends
    before its limit, each waiting job gives its reservation back and takes the earliest there is
    then, in the queue's order: at worst the one that it had.
    """
    jobs = work.submit.size
    running = none_running(work, free)
    queue = np.empty(jobs, np.int64)
    times = np.zeros(64, np.int64)
    rows = np.empty((64, free.size), np.int32)
    steps = 1
    held = np.empty_like(free)
    for node in range(free.size):
        rows[0, node] = free[node]
    last = ZERO
    arrived = ZERO
    while (arrived < jobs or running.size[0] > 0 or last > 0) and work.halt[0] == GO_ON:
        # A reservation may begin when nothing ends any more: what it was behind has moved towards
        # now since.
        now = next_event(work, running, arrived)
        for index in range(last):
            now = min(now, work.start[queue[index]])
        steps = from_now(times, rows, steps, now)
        early = False
        while running.size[0] > 0 and running.ends[0][0] == now:
            job = finish(work, free, running)
            times, rows = with_room(times, rows, steps, 2)
            # It was reserved up to its limit; what is left of that becomes free.
            until = after(work.start[job], work.limit[job])
            steps = unreserve(times, rows, steps, now, until, work, job)
            early = early or until > now
        last, arrived = arrive(work, queue, last, arrived, now)
        if order.dynamic:
            sort_queue(work, queue, 0, last, now, order)
        kept = 0
        for index in range(last):
            job = queue[index]
            if early or work.start[job] == NOWHERE:
                times, rows = with_room(times, rows, steps, 4)
                steps = _planned(work, times, rows, steps, job, rule, held)
                if work.halt[0] != GO_ON:
                    return
            if work.start[job] == now:
                begin(work, free, running, job, now)
            else:
                queue[kept] = job
                kept += 1
        last = kept


@compiled
def _planned(
    work: Work, times: Times, rows: Rows, steps: int, job: int, rule: int, held: Slots
) -> int:
    """Reserve the earliest place for a job, in exchange for the one that it has.

    Returns the number of steps, four more at most.
    """
    since = work.start[job]
    limit = work.limit[job]
    # Given back first: else the job would stand in its own way.
    if since != NOWHERE:
        steps = unreserve(times, rows, steps, since, after(since, limit), work, job)
    step = earliest(times, rows, steps, limit, work, job, rule, held)
    if work.halt[0] != GO_ON:
        return steps
    since = times[step]
    work.start[job] = since
    return reserve(times, rows, steps, since, after(since, limit), work, job)
