"""What backfill has planned: which nodes are closed in which piece of the time to come. Compiled.

The pieces are a chain, so that a planned job costs what it covers, and no more.
"""

from typing import NamedTuple

import numpy as np

from campaign.simulation.compiled import ONE, ZERO, compiled, lean
from campaign.simulation.node_sets import Words, count_common, count_word, include, words_for
from campaign.simulation.site_arrays import NOBODY, Ints, Records, Site
from campaign.simulation.work import NEVER, after


class PlanChain(NamedTuple):
    """The first `size[0]` pieces, with room for more; piece 0 is the first, the last one has no
    `following` (0).

    Piece i is from begin[i] until end[i]; closed[i] is a set of nodes, beside which open[i] others
    are. size[1] is how many
    pieces Slurm counts: it makes one where a plan begins, whether or not another begins there too.
    `horizon` is the end of the last one. `chosen` is a set for the nodes of one job.
    """

    begin: Ints
    end: Ints
    closed: Words
    open: Ints
    following: Ints
    size: Ints
    horizon: int
    chosen: Words


@compiled
def no_plans(site: Site, now: int, waiting: int) -> PlanChain:
    """Return one piece in which all nodes are open, with room for the plans of `waiting` jobs."""
    words = words_for(site.total.size)
    rules = site.rules[0]
    room = 2 * min(rules.tests, waiting) + 3
    if rules.records > 0:
        room = min(room, rules.records + 2)
    begin = np.empty(room, np.int64)
    end = np.empty(room, np.int64)
    closed = np.empty((room, words), np.int64)
    opened = np.empty(room, np.int64)
    following = np.empty(room, np.int64)
    begin[0] = now - now % rules.resolution
    last = after(now, rules.window)
    end[0] = max(begin[0], last - last % rules.resolution)
    closed[0] = 0
    opened[0] = site.total.size
    following[0] = 0
    size = np.ones(2, np.int64)
    chosen = np.zeros(words, np.int64)
    return PlanChain(begin, end, closed, opened, following, size, end[0], chosen)


@lean
def choose_in(chain: PlanChain, places: Records, place: int, count: int) -> None:
    """Let `chain.chosen` be the `count` nodes from `place` on."""
    chain.chosen[:] = 0
    for at in range(place, place + count):
        include(chain.chosen, places.nodes[at])


@lean
def piece_at(chain: PlanChain, piece: int, time: int) -> int:
    """Return the piece, from this one on, in which `time` is; the last one if it is later."""
    while chain.end[piece] <= time and chain.following[piece] > 0:
        piece = chain.following[piece]
    return piece


@lean
def next_with(chain: PlanChain, piece: int, least: int) -> int:
    """Return the next piece with at least so many open nodes; 0 if there is none."""
    while True:
        piece = chain.following[piece]
        if piece == 0 or chain.open[piece] >= least:
            return piece


@lean
def close_nodes(chain: PlanChain, since: int, until: int) -> None:
    """Close the chosen nodes from `since` until `until`, as far as there are pieces."""
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
        for place in range(chain.chosen.size):
            closed = chain.closed[piece, place]
            chain.open[piece] -= count_word(chain.chosen[place] & ~closed)
            chain.closed[piece, place] = closed | chain.chosen[place]
        if chain.end[piece] >= until or chain.following[piece] == 0:
            return
        piece = chain.following[piece]


@lean
def _cut(chain: PlanChain, piece: int, time: int) -> int:
    """Let the piece end at `time`, and another begin there; return that one."""
    added = chain.size[0]
    chain.begin[added] = time
    chain.end[added] = chain.end[piece]
    chain.open[added] = chain.open[piece]
    chain.following[added] = chain.following[piece]
    for place in range(chain.chosen.size):
        chain.closed[added, place] = chain.closed[piece, place]
    chain.end[piece] = time
    chain.following[piece] = added
    chain.size[0] = added + ONE
    return added


@lean
def open_nodes(
    chain: PlanChain,
    piece: int,
    every: Words,
    opened: Words,
    begin: int,
    end: int,
    least: int,
) -> tuple[int, int, int]:
    """Let `opened` be those of `every` node that no plan closes from `begin` to `end`.

    `piece` isn't later than that in which `begin` is. Returns how many those are, and the next time
    at which others may be open; -1 where there is none. Where they are fewer than `least`, they
    needn't all have been looked at. Returns also when the first piece begins that is behind `end`;
    NEVER where none was looked at.
    """
    for place in range(every.size):
        opened[place] = every[place]
    later = ZERO - 1
    found = ZERO - 1
    beyond = NEVER
    while True:
        ends = chain.end[piece]
        following = chain.following[piece]
        if ends > begin:
            if following > 0 and later < 0 and _opens(chain, piece, following, every, opened):
                later = ends
            if chain.begin[piece] > end:
                beyond = chain.begin[piece]
                if later < 0 and following > 0 and chain.following[following] > 0:
                    later = chain.end[following]
                break
            found = ZERO
            for place in range(opened.size):
                opened[place] &= ~chain.closed[piece, place]
                found += count_word(opened[place])
            if later >= 0 and found < least:
                break
        piece = following
        if piece == 0:
            break
    return (found if found >= 0 else count_common(every, every)), later, beyond


@lean
def _opens(chain: PlanChain, piece: int, following: int, every: Words, opened: Words) -> bool:
    """Return whether some node is open in the following piece that isn't by the end of this one."""
    for place in range(opened.size):
        found = every[place] & ~chain.closed[following, place]
        if found & (chain.closed[piece, place] | ~opened[place]):
            return True
    return False


@lean
def closing(chain: PlanChain, piece: int, time: int, opened: Words) -> int:
    """Return when the first piece begins, at `time` or later, in which a plan closes an opened
    node; NEVER where there is none. `piece` isn't later than that."""
    while True:
        if chain.begin[piece] >= time:
            for place in range(opened.size):
                if opened[place] & chain.closed[piece, place]:
                    return chain.begin[piece]
        piece = chain.following[piece]
        if piece == 0:
            return NEVER


@lean
def opening(chain: PlanChain, piece: int, end: int) -> int:
    """Return the first piece from this one on at whose end a node opens; NOBODY if none begins
    by `end`."""
    while chain.begin[piece] <= end:
        following = chain.following[piece]
        if following == 0:
            break
        for place in range(chain.chosen.size):
            if chain.closed[piece, place] & ~chain.closed[following, place]:
                return piece
        piece = following
    return NOBODY


@lean
def overlaps(chain: PlanChain, piece: int, since: int, until: int) -> bool:
    """Return whether one of the chosen nodes is closed meanwhile, which isn't before `piece`."""
    while True:
        if chain.begin[piece] >= until:
            return False
        if chain.end[piece] > since:
            for place in range(chain.chosen.size):
                if chain.closed[piece, place] & chain.chosen[place]:
                    return True
        piece = chain.following[piece]
        if piece == 0:
            return False


@lean
def slot(begun: int, limit: int, now: int, resolution: int) -> tuple[int, int]:
    """Return begin and end of a planned job, on multiples of `resolution` but not before now."""
    since = begun - begun % resolution
    until = after(begun, limit) + resolution - 1
    until = max(until - until % resolution, since + resolution)
    return max(since, now), min(until, NEVER)
