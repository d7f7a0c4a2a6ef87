"""Jobs give way to others: which, and in which order they are asked. Compiled.

As select/cons_tres does it: candidates are taken away one after the other, until the job would have
room; then the last one of them comes first, and it is tried again whether fewer are enough.
"""

import numpy as np

from campaign.simulation.beats import TIME
from campaign.simulation.compiled import ZERO, compiled, lean
from campaign.simulation.site_arrays import GAVE_WAY, NOBODY, RUNNING, Ints, Live, Site
from campaign.simulation.site_choosing import Room, chosen, copy_usage, give
from campaign.simulation.site_foresight import gives_way
from campaign.simulation.site_running import Ends, cut_short

LARGE = 99_999
"""More than the nodes that a job uses of another's."""


@compiled
def preempted(site: Site, live: Live, room: Room, ends: Ends, job: int, now: int) -> bool:
    """Let running jobs give way to the job, if it has room then; return whether any do.

    Its nodes, among the opened ones, are chosen for that time. It can't start before they have left
    them; meanwhile, no others are asked for it.
    """
    candidates = _candidates(site, live, job, now)
    if candidates.size == 0:
        return False
    usable = np.zeros(candidates.size, np.int64)
    tries = ZERO
    while True:
        last = _fewest(site, live, room, job, candidates)
        if last < 0:
            return False
        tries += 1
        if tries > site.rules[0].reorders + 1 or candidates.size <= tries:
            break
        for at in range(last):
            usable[at] = _shared(site, live, room, job, candidates[at])
        usable[last] = LARGE
        usable[last + 1 :] = 0
        candidates = candidates[np.argsort(-usable, kind="mergesort")]
    asked = (
        live.jobs.preempting[job] > 0 and live.jobs.preempting[job] > now - site.rules[0].patience
    )
    found = False
    for at in range(last + 1):
        other = candidates[at]
        if _shared(site, live, room, job, other) > 0:
            found = True
            if not asked:
                cut_short(site, live, ends, other, live.state[TIME], GAVE_WAY)
    if found and not asked:
        live.jobs.preempting[job] = now
    return found


@compiled
def _candidates(site: Site, live: Live, job: int, now: int) -> Ints:
    """Return the jobs that give way to it, in the order in which they are taken."""
    found = np.empty(live.state[RUNNING], np.int64)
    size = ZERO
    for index in range(live.state[RUNNING]):
        other = live.limit_jobs[index]
        if gives_way(site, live, job, other):
            found[size] = other
            size += 1
    found = found[:size]
    found.sort()
    keys = np.empty(size, np.int64)
    for index in range(size):
        other = found[index]
        if site.rules[0].youngest_first:
            keys[index] = -live.jobs.start[other]
        else:
            keys[index] = (site.classes.rank[site.jobs.standing[other]] << 16) + site.jobs.count[
                other
            ]
    return found[np.argsort(keys, kind="mergesort")]


@lean
def _fewest(site: Site, live: Live, room: Room, job: int, candidates: Ints) -> int:
    """Return the first place of a candidate without which, and those before, the job has room.

    Its nodes are chosen then; NOBODY where it never has room.
    """
    copy_usage(live.free, room.foreseen)
    for at in range(candidates.size):
        give(site, live, room.foreseen, candidates[at])
        if chosen(site, live, room, job, room.foreseen, 0):
            return at + ZERO
    return NOBODY


@lean
def _shared(site: Site, live: Live, room: Room, job: int, other: int) -> int:
    """Return how many of the nodes chosen for the job the other one has."""
    jobs = site.jobs
    room.seen.lasting[:] = False
    for at in range(jobs.place[job], jobs.place[job] + jobs.count[job]):
        room.seen.lasting[live.places.nodes[at]] = True
    shared = ZERO
    for at in range(jobs.place[other], jobs.place[other] + jobs.count[other]):
        shared += room.seen.lasting[live.places.nodes[at]]
    return shared
