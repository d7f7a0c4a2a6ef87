"""Which jobs a run looks at, and in which order. Compiled."""

from typing import Any

import numpy as np

from campaign.simulation.compiled import ONE, ZERO, compiled, lean
from campaign.simulation.site_arrays import (
    COMPLETED,
    ENDED,
    ENDS,
    FAILS,
    NOBODY,
    ORDERED,
    PLACED,
    PLACED_AT,
    QUEUED,
    RANKED,
    RUNS,
    STARTS,
    SUCCEEDS,
    Ints,
    Live,
    Site,
)
from campaign.simulation.site_people import Crowd, aging
from campaign.simulation.site_reasons import BEGIN_TIME, DEPENDENCY
from campaign.simulation.site_running import leave_queue, note

MOST_MOVES: Any = np.int64(16)
"""By so many places, in the mean, jobs are moved one by one; else the queue is sorted at once."""


@compiled
def waiting(site: Site, live: Live, crowd: Crowd, now: int) -> Ints:
    """Return the jobs that may start if they have room, in the order in which they are tried.

    Where all of the queue were in order last, only those that came since are put among them, and
    all are put in order anew if priorities have changed.
    """
    leave_queue(live)
    state = live.state
    placed = state[PLACED]
    if placed < 0 or now < state[PLACED_AT] or site.rules[0].gives_way:
        placed = state[ORDERED] = ZERO
    first = state[ORDERED]
    queued = state[QUEUED]
    for index in range(placed, queued):
        job = live.queue[index]
        if _may_start(site, live, crowd, job, now):
            live.order[state[ORDERED]] = job
            state[ORDERED] += 1
    size = state[ORDERED]
    state[PLACED] = queued if size == queued else NOBODY
    state[PLACED_AT] = now
    found = live.order[:size]
    if first > 0 and state[RANKED]:
        first = ONE
    if first == 0 or not _placed(site, live, first):
        live.order[:size] = _sorted(site, live, found)
    state[RANKED] = 0
    return found.copy()


@lean
def _may_start(site: Site, live: Live, crowd: Crowd, job: int, now: int) -> bool:
    """Return whether the job may start if it has room; else note why it waits."""
    if site.jobs.barred[job] > 0:
        note(site, live, job, site.jobs.barred[job])
        return False
    if not independent(site, live, job):
        note(site, live, job, DEPENDENCY)
        aging(crowd, job, now, site.rules[0].ages_of_all == 0)
        return False
    if live.jobs.since[job] > now:
        note(site, live, job, BEGIN_TIME)
        return False
    aging(crowd, job, now, False)
    return True


@lean
def _placed(site: Site, live: Live, first: int) -> bool:
    """Put jobs in order from `first` on, those before it are; return False if that takes long."""
    order = live.order
    size = live.state[ORDERED]
    moves = MOST_MOVES * size
    for index in range(first, size):
        job = order[index]
        key = _key(site, live, job)
        turn = live.jobs.turn[job]
        at = index
        while at > 0 and _comes_before(site, live, key, turn, order[at - 1]):
            order[at] = order[at - 1]
            at -= 1
        order[at] = job
        moves -= index - at
        if moves < 0:
            return False
    return True


@lean
def _comes_before(site: Site, live: Live, key: int, turn: int, other: int) -> bool:
    """Return whether a job with this key, queued in this turn, is tried before the other one."""
    others = _key(site, live, other)
    return key < others or (key == others and turn < live.jobs.turn[other])


@lean
def independent(site: Site, live: Live, job: int) -> bool:
    """Return whether the jobs on which it depends have done what it waits for."""
    jobs = site.jobs
    kind = jobs.after_kind[job]
    for index in range(jobs.after[job], jobs.after_end[job]):
        other = site.others[index]
        ended = live.jobs.status[other] == ENDED
        if kind == STARTS and not ended and live.jobs.status[other] != RUNS:
            return False
        if kind != STARTS and not ended:
            return False
        succeeded = live.jobs.outcome[other] == COMPLETED
        if (kind == SUCCEEDS and not succeeded) or (kind == FAILS and succeeded):
            return False
    return True


@lean
def others_ended(site: Site, live: Live, job: int) -> bool:
    """Return whether all jobs on which it depends have ended."""
    for index in range(site.jobs.after[job], site.jobs.after_end[job]):
        if live.jobs.status[site.others[index]] != ENDED:
            return False
    return True


@lean
def hopeless(site: Site, live: Live, job: int) -> bool:
    """Return whether it can never start: barred, or what it waits for can't happen any more."""
    jobs = site.jobs
    if jobs.barred[job] > 0:
        return True
    kind = jobs.after_kind[job]
    for index in range(jobs.after[job], jobs.after_end[job]):
        other = site.others[index]
        if live.jobs.status[other] != ENDED or kind in (ENDS, STARTS):
            continue
        if (live.jobs.outcome[other] == COMPLETED) != (kind == SUCCEEDS):
            return True
    return False


@lean
def still_in_order(site: Site, live: Live) -> bool:
    """Return whether the last order of the queue is that of priorities."""
    order = live.order
    if not live.state[RANKED]:
        return True
    for index in range(1, live.state[ORDERED]):
        job = order[index]
        key = _key(site, live, job)
        if _comes_before(site, live, key, live.jobs.turn[job], order[index - 1]):
            return False
    live.state[RANKED] = 0
    return True


@lean
def _key(site: Site, live: Live, job: int) -> int:
    """Return by what jobs are sorted, lowest first; equal ones by when they were queued."""
    if site.tier.size == 1 and site.reserved.size == 0:
        return -live.jobs.priority[job]
    reserved = np.int64(site.jobs.reservation[job] != NOBODY)
    tier = site.tier[site.jobs.part[job]]
    return -((reserved << 56) + (tier << 33) + live.jobs.priority[job])


@compiled
def _sorted(site: Site, live: Live, found: Ints) -> Ints:
    """Return jobs in their order."""
    values = np.empty(found.size, np.int64)
    # Those of equal keys stay in the order in which they were queued.
    for by_key in (False, True):
        in_order = True
        for index in range(found.size):
            job = found[index]
            values[index] = _key(site, live, job) if by_key else live.jobs.turn[job]
            in_order = in_order and (index == 0 or values[index - 1] <= values[index])
        if not in_order:
            order = np.argsort(values, kind="mergesort")
            found = found[order]
            values = values[order]
    if site.rules[0].gives_way:
        _put_first(site, found, values)
    return found


@lean
def _put_first(site: Site, found: Ints, keys: Ints) -> None:
    """Put jobs before those that have to give way to them."""
    first = site.first
    standing = site.jobs.standing
    for index in range(1, found.size):
        job = found[index]
        key = keys[index]
        at = index
        while at > 0:
            other = found[at - 1]
            before = first[standing[job], standing[other]]
            after = first[standing[other], standing[job]]
            if not before and (after or keys[at - 1] <= key):
                break
            found[at] = other
            keys[at] = keys[at - 1]
            at -= 1
        found[at] = job
        keys[at] = key
