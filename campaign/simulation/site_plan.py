"""What backfill has planned: which nodes are closed in which piece of the time to come. Compiled.

The pieces are a chain, so that a planned job costs what it covers, and no more.
"""

from typing import NamedTuple

import numpy as np

from campaign.simulation.compiled import ONE, ZERO, compiled
from campaign.simulation.site_arrays import Flags, Ints, Live, Site
from campaign.simulation.site_choosing import Room
from campaign.simulation.work import NEVER, after


class PlanChain(NamedTuple):
    """The first `size[0]` pieces, with room for more; piece 0 is the first, the last one has no
    `following` (0).

    Piece i is from begin[i] until end[i]; closed[i] has a flag for each node. size[1] is how many
    pieces Slurm counts: it makes one where a plan begins, whether or not another begins there too.
    `horizon` is the end of the last one.
    """

    begin: Ints
    end: Ints
    closed: Flags
    following: Ints
    size: Ints
    horizon: int


@compiled
def no_plans(site: Site, now: int, waiting: int) -> PlanChain:
    """Return one piece in which all nodes are open, with room for the plans of `waiting` jobs."""
    rules = site.rules[0]
    room = 2 * min(rules.tests, waiting) + 3
    if rules.records > 0:
        room = min(room, rules.records + 2)
    begin = np.zeros(room, np.int64)
    end = np.zeros(room, np.int64)
    begin[0] = now - now % rules.resolution
    last = after(now, rules.window)
    end[0] = max(begin[0], last - last % rules.resolution)
    return PlanChain(
        begin,
        end,
        np.zeros((room, site.total.slots.size), np.bool_),
        np.zeros(room, np.int64),
        np.ones(2, np.int64),
        end[0],
    )


@compiled
def close_nodes(site: Site, live: Live, chain: PlanChain, since: int, until: int, job: int) -> None:
    """Close the job's chosen nodes from `since` until `until`, as far as there are pieces."""
    since = max(since, chain.begin[0])
    piece = ZERO
    while chain.end[piece] <= since:
        piece = chain.following[piece]
        if piece == 0:
            return
    if since >= until:
        return
    chain.size[1] += 1
    if chain.begin[piece] < since:
        piece = _cut(chain, piece, since)
    while True:
        if chain.end[piece] > until:
            _cut(chain, piece, until)
            chain.size[1] += 1
        for at in range(site.jobs.place[job], site.jobs.place[job] + site.jobs.count[job]):
            chain.closed[piece, live.places.nodes[at]] = True
        if chain.end[piece] >= until or chain.following[piece] == 0:
            return
        piece = chain.following[piece]


@compiled
def _cut(chain: PlanChain, piece: int, time: int) -> int:
    """Let the piece end at `time`, and another begin there; return that one."""
    added = chain.size[0]
    chain.begin[added] = time
    chain.end[added] = chain.end[piece]
    chain.closed[added] = chain.closed[piece]
    chain.following[added] = chain.following[piece]
    chain.end[piece] = time
    chain.following[piece] = added
    chain.size[0] = added + ONE
    return added


@compiled
def open_nodes(chain: PlanChain, room: Room, begin: int, end: int) -> int:
    """Leave those nodes of `room` open that no plan closes from `begin` to `end`.

    Returns the next time at which others may be open; -1 where there is none.
    """
    opened = room.opened
    room.seen.lasting[:] = opened
    later = ZERO - 1
    piece = ZERO
    while True:
        ends = chain.end[piece]
        following = chain.following[piece]
        if ends > begin:
            if following > 0 and later < 0 and _opens(chain, piece, following, room):
                later = ends
            if chain.begin[piece] > end:
                if later < 0 and following > 0 and chain.following[following] > 0:
                    later = chain.end[following]
                break
            for node in range(opened.size):
                opened[node] &= not chain.closed[piece, node]
        piece = following
        if piece == 0:
            break
    return later


@compiled
def _opens(chain: PlanChain, piece: int, following: int, room: Room) -> bool:
    """Return whether some node is open in the following piece that isn't by the end of this one."""
    for node in range(room.opened.size):
        if (
            room.seen.lasting[node]
            and not chain.closed[following, node]
            and (chain.closed[piece, node] or not room.opened[node])
        ):
            return True
    return False


@compiled
def overlaps(site: Site, live: Live, chain: PlanChain, since: int, until: int, job: int) -> bool:
    """Return whether one of the job's chosen nodes is closed meanwhile."""
    jobs = site.jobs
    piece = ZERO
    while True:
        if chain.end[piece] > since and chain.begin[piece] < until:
            for at in range(jobs.place[job], jobs.place[job] + jobs.count[job]):
                if chain.closed[piece, live.places.nodes[at]]:
                    return True
        piece = chain.following[piece]
        if piece == 0:
            return False


@compiled
def slot(begun: int, limit: int, now: int, resolution: int) -> tuple[int, int]:
    """Return begin and end of a planned job, on multiples of `resolution` but not before now."""
    since = begun - begun % resolution
    until = after(begun, limit) + resolution - 1
    until = max(until - until % resolution, since + resolution)
    return max(since, now), min(until, NEVER)
