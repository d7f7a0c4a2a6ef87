"""Which jobs a run looks at, and in which order. Compiled."""

import numpy as np

from campaign.simulation.compiled import ZERO, compiled, lean
from campaign.simulation.site_arrays import (
    COMPLETED,
    ENDED,
    ENDS,
    FAILS,
    NOBODY,
    ORDERED,
    QUEUED,
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


@compiled
def waiting(site: Site, live: Live, crowd: Crowd, now: int) -> Ints:
    """Return the jobs that may start if they have room, in the order in which they are tried."""
    leave_queue(live)
    found = np.empty(live.state[QUEUED], np.int64)
    size = ZERO
    for index in range(live.state[QUEUED]):
        job = live.queue[index]
        if site.jobs.barred[job] > 0:
            note(site, live, job, site.jobs.barred[job])
        elif not independent(site, live, job):
            note(site, live, job, DEPENDENCY)
            aging(crowd, job, now, site.rules[0].ages_of_all == 0)
        elif live.jobs.since[job] > now:
            note(site, live, job, BEGIN_TIME)
        else:
            aging(crowd, job, now, False)
            found[size] = job
            size += 1
    found = _sorted(site, live, found[:size])
    live.order[:size] = found
    live.state[ORDERED] = size
    return found


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
    """Return whether the last order of the queue, of jobs that never ran, is that of priorities."""
    order = live.order
    for index in range(1, live.state[ORDERED]):
        before = _key(site, live, order[index - 1])
        key = _key(site, live, order[index])
        if before > key or (before == key and order[index - 1] > order[index]):
            return False
    return True


@lean
def _key(site: Site, live: Live, job: int) -> int:
    """Return by what jobs are sorted, lowest first; equal ones by when they were queued."""
    reserved = np.int64(site.jobs.reservation[job] != NOBODY)
    tier = site.tier[site.jobs.part[job]]
    return -((reserved << 56) + (tier << 33) + live.jobs.priority[job])


@compiled
def _sorted(site: Site, live: Live, found: Ints) -> Ints:
    keys = np.empty(found.size, np.int64)
    in_order = True
    for index in range(found.size):
        keys[index] = _key(site, live, found[index])
        in_order = in_order and (index == 0 or keys[index - 1] <= keys[index])
    if not in_order:
        order = np.argsort(keys, kind="mergesort")
        found = found[order]
        keys = keys[order]
    if site.rules[0].gives_way:
        _put_first(site, found, keys)
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
