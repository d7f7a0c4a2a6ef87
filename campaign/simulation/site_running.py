"""Jobs begin, end, give way and are queued again. Compiled."""

import heapq
from typing import Any

import numpy as np

from campaign.simulation.beats import (
    ASKED,
    TIME,
    UNSEEN,
    change,
)
from campaign.simulation.compiled import ONE, ZERO, compiled, lean
from campaign.simulation.event_queue import insert, remove
from campaign.simulation.site_arrays import (
    COMPLETED,
    DEPARTED,
    ENDED,
    LAST_NEWS,
    NEVER_RAN,
    NOBODY,
    NOTED,
    ORDERED,
    PLACED,
    QUEUED,
    RUNNING,
    RUNS,
    TIMED_OUT,
    TURNS,
    WAITS,
    Ints,
    Live,
    Site,
)
from campaign.simulation.site_choosing import give, take
from campaign.simulation.site_people import Crowd, counted_in, counted_out, let_in_again
from campaign.simulation.work import NEVER, TOO_FAR, after

Ends = list[tuple[int, int]]
SECOND: Any = np.int64(1_000_000_000)


@lean
def news(live: Live) -> None:
    """Note that something has changed that a run may care for."""
    change(live.state, live.state[TIME])
    live.state[UNSEEN] = live.state[ASKED] = 1
    live.state[LAST_NEWS] = live.state[TIME]


@lean
def note(site: Site, live: Live, job: int, reason: int) -> None:
    """Note why the job waits, with the time where reasons are recorded."""
    if live.jobs.reason[job] == reason:
        return
    live.jobs.reason[job] = reason
    at = live.state[NOTED]
    if site.rules[0].records_reasons and at < live.history.shape[0]:
        live.history[at, 0] = live.state[TIME]
        live.history[at, 1] = job
        live.history[at, 2] = reason
        live.state[NOTED] = at + 1


@lean
def enqueue(live: Live, job: int) -> None:
    """Put the job at the end of the queue."""
    live.queue[live.state[QUEUED]] = job
    live.state[QUEUED] += 1
    live.jobs.status[job] = WAITS
    live.jobs.turn[job] = live.state[TURNS]
    live.state[TURNS] += 1


@lean
def leave_queue(live: Live) -> None:
    """Take those jobs out of the queue that don't wait any longer."""
    state = live.state
    if not state[DEPARTED]:
        return
    state[DEPARTED] = 0
    waited = state[QUEUED]
    state[QUEUED] = _those_waiting(live, live.queue, waited)
    state[ORDERED] = _those_waiting(live, live.order, state[ORDERED])
    if state[PLACED] == waited:
        state[PLACED] = state[QUEUED]
    elif state[PLACED] > 0:
        state[PLACED] = NOBODY


@lean
def _those_waiting(live: Live, jobs: Ints, size: int) -> int:
    """Keep those of the first jobs that wait; return their number."""
    kept = ZERO
    for index in range(size):
        job = jobs[index]
        if live.jobs.status[job] == WAITS:
            jobs[kept] = job
            kept += 1
    return kept


@compiled
def begin(site: Site, live: Live, crowd: Crowd, ends: Ends, job: int, now: int) -> None:
    """Let a job have its chosen nodes from now on."""
    jobs = site.jobs
    ran = jobs.ran[job]
    outcome = TIMED_OUT if jobs.timed_out[job] else COMPLETED
    reservation = jobs.reservation[job]
    if reservation != NOBODY:
        # A job doesn't outlive its reservation.
        most = site.reserved.end[reservation] - now
        if most < ran:
            ran = max(most, ZERO)
            outcome = TIMED_OUT
    end = after(after(live.state[TIME], site.rules[0].launch), ran)
    freed = after(end, site.rules[0].release)
    if freed >= NEVER:
        live.halt[0] = TOO_FAR
    live.jobs.start[job] = live.state[TIME]
    live.jobs.end[job] = end
    live.jobs.freed[job] = freed
    live.jobs.outcome[job] = outcome
    live.jobs.status[job] = RUNS
    live.state[DEPARTED] = 1
    live.jobs.preempting[job] = 0
    live.jobs.until[job] = after(now, jobs.limit[job])
    take(site, live, live.free, job)
    counted_in(site, live, crowd, job, now)
    if jobs.array[job] != NOBODY:
        live.tasks[jobs.array[job]] += 1
    heapq.heappush(ends, (freed, job))
    insert(live.limit_times, live.limit_jobs, live.state[RUNNING], live.jobs.until[job], job)
    live.state[RUNNING] += 1


@compiled
def finish(site: Site, live: Live, crowd: Crowd, ends: Ends) -> int:
    """Give back what the job has that is gone first; return the job, or NOBODY for a stale end."""
    freed, job = heapq.heappop(ends)
    if live.jobs.status[job] != RUNS or live.jobs.freed[job] != freed:
        return NOBODY
    remove(live.limit_times, live.limit_jobs, live.state[RUNNING], live.jobs.until[job], job)
    live.state[RUNNING] -= 1
    live.jobs.status[job] = ENDED
    give(site, live, live.free, job)
    counted_out(site, live, crowd, job, live.jobs.end[job])
    if site.jobs.array[job] != NOBODY:
        live.tasks[site.jobs.array[job]] -= 1
    news(live)
    return job


@compiled
def cut_short(site: Site, live: Live, ends: Ends, job: int, now: int, outcome: int) -> None:
    """End a running job now; its nodes are free once it has left them."""
    if live.jobs.end[job] <= now:
        return
    live.jobs.end[job] = now
    live.jobs.freed[job] = after(now, site.rules[0].release)
    live.jobs.outcome[job] = outcome
    heapq.heappush(ends, (live.jobs.freed[job], job))


@lean
def requeue(site: Site, live: Live, crowd: Crowd, job: int, now: int) -> None:
    """Queue a job again that has just left its nodes."""
    # Slurm counts a submission in whole seconds, and lets the job wait for its old credential.
    live.jobs.submit[job] = now
    live.jobs.since[job] = after(now - now % SECOND, site.rules[0].requeue)
    live.jobs.restarts[job] += ONE
    live.jobs.outcome[job] = NEVER_RAN
    live.jobs.start[job] = NOBODY
    let_in_again(live, crowd, job, now)
    live.state[PLACED] = NOBODY
    enqueue(live, job)
