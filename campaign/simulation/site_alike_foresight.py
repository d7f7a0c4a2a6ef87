"""When a waiting job will start on nodes that are all alike, in sets of nodes. Compiled.

It is the same that `site_foresight` finds node by node. What running jobs will leave is worked out
once for all jobs that a run looks at.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from campaign.simulation.compiled import ONE, ZERO, compiled, lean
from campaign.simulation.node_sets import BITS, Words, count_common, count_word, include, meet
from campaign.simulation.site_alike import AlikeNodes, Wanted, is_left, picked, see_free, use_free
from campaign.simulation.site_arrays import RUNNING, Ints, Live, Records, Site
from campaign.simulation.site_plan import (
    PlanChain,
    choose_in,
    closing,
    next_with,
    open_nodes,
    opening,
    overlaps,
    piece_at,
)
from campaign.simulation.site_running import SECOND
from campaign.simulation.work import GO_ON, NEVER, after


class Foresight(NamedTuple):
    """What running jobs will leave, at the `times` of their limits, first to last.

    On the nodes of `ended[i]` something is free once the first i of them have ended. `held[i]` are
    those of the next one. Where nodes have several slots, it has so many `amounts` of the `nodes`
    from begins[i] until begins[i + 1].
    """

    times: Ints
    ended: NDArray[np.int64]
    held: NDArray[np.int64]
    begins: Ints
    nodes: Ints
    amounts: Ints


@compiled
def foreseen_of(site: Site, live: Live, alike: AlikeNodes | None) -> Foresight:
    """Return what running jobs will leave; nothing where nodes aren't `alike`."""
    if alike is None:
        nothing = np.empty(0, np.int64)
        no_sets = np.empty((0, 0), np.int64)
        return Foresight(nothing, no_sets, no_sets, nothing, nothing, nothing)
    jobs = site.jobs
    places = live.places
    size = live.state[RUNNING]
    words = alike.every.size
    ended = np.empty((size + 1, words), np.int64)
    held = np.zeros((size, words), np.int64)
    begins = np.zeros(size + 1, np.int64)
    _some_free(live.free, ended[0])
    see_free(live.free, alike)
    for index in range(size):
        job = live.limit_jobs[index]
        first = jobs.place[job]
        last = first + jobs.count[job]
        begins[index + 1] = begins[index] + (last - first)
        for at in range(first, last):
            node = places.nodes[at]
            held[index, node // BITS] |= ONE << (node % BITS)
        for place in range(words):
            ended[index + 1, place] = ended[index, place] | held[index, place]
    several = begins[size] if alike.slots > 1 else ZERO
    nodes = np.empty(several, np.int64)
    amounts = np.empty(several, np.int64)
    if several:
        for index in range(size):
            shift = jobs.place[live.limit_jobs[index]] - begins[index]
            for at in range(begins[index], begins[index + 1]):
                nodes[at] = places.nodes[at + shift]
                amounts[at] = places.amounts[at + shift]
    return Foresight(live.limit_times[:size].copy(), ended, held, begins, nodes, amounts)


@lean
def _some_free(free: Records, words: Words) -> None:
    """Let `words` be the nodes with a free slot."""
    words[:] = 0
    for node in range(free.size):
        if free.slots[node] > 0:
            include(words, node)


@lean
def planned_alike(
    halt: Ints,
    alike: AlikeNodes,
    ahead: Foresight,
    chain: PlanChain,
    places: Records,
    left: Ints,
    wanted: Wanted,
    now: int,
    now_only: bool,
) -> tuple[int, int, int]:
    """Choose a job's nodes, as `site_foresight.planned_start` does; they are `chain.chosen` too.

    Returns also until when the same would be found by a run that comes later.
    """
    count = wanted.number
    looked = piece = ZERO
    begin = now
    found = until = NEVER
    passed_now = False
    while halt[0] == GO_ON:
        piece = piece_at(chain, piece, begin)
        if chain.open[piece] < count and not now_only:
            # Where other nodes open is looked at one by one, until enough are open at once.
            piece = next_with(chain, piece, count)
            if piece == 0:
                break
            begin = max(chain.begin[piece], begin + 1)
        if begin > chain.horizon:
            until = min(until, begin - wanted.window)
            break
        following = _full_until(ahead, chain, piece, after(begin, wanted.limit), count)
        if following < 0:
            found, seen, following, kept = _start_at(
                alike, ahead, chain, places, left, wanted, piece, begin, now, now_only
            )
            until = min(until, kept)
            hindered = begin == now and found == NEVER
            passed_now = passed_now or hindered
            looked = max(looked, ZERO if hindered else seen)
            if found < NEVER or following < 0:
                break
        elif begin == now:
            passed_now = True
        elif looked == 0:
            looked = _looks(alike, chain, piece, wanted, begin)[0]
        if now_only:
            break
        begin = max(following, begin + 1)
    if looked == 0 and passed_now:
        # A run that comes later looks further ahead, and may find fewer nodes from its time on.
        looked, kept = _looks(alike, chain, ZERO, wanted, now)
        until = min(until, kept)
    if found > after(now, wanted.window):
        return NEVER, looked, min(until, found - wanted.window) if found < NEVER else until
    return (found if found <= now or not now_only else NEVER), looked, until


@lean
def _full_until(ahead: Foresight, chain: PlanChain, piece: int, end: int, count: int) -> int:
    """Return when nodes open next, if till then too few can be had at a time; -1 if not so.

    What is open from `piece` on only becomes less until then, and what running jobs leave more.
    """
    last = opening(chain, piece, end)
    if last < 0:
        return ZERO - 1
    opens = chain.end[last]
    if chain.open[last] < count:
        return opens
    ended = int(np.searchsorted(ahead.times, opens, "right"))
    room = ZERO
    for place in range(chain.chosen.size):
        room += count_word(ahead.ended[ended, place] & ~chain.closed[last, place])
    return opens if room < count else ZERO - 1


@lean
def _looks(
    alike: AlikeNodes, chain: PlanChain, piece: int, wanted: Wanted, begin: int
) -> tuple[int, int]:
    """Return 1 if enough nodes are open from `begin` on for the job, and until when that holds."""
    end = after(begin, wanted.limit)
    found, _, beyond = open_nodes(
        chain, piece, alike.every, alike.opened, begin, end, wanted.number
    )
    if found < wanted.number:
        return ZERO, NEVER
    return ONE, closing(chain, piece, beyond, alike.opened) - wanted.limit


@lean
def _start_at(
    alike: AlikeNodes,
    ahead: Foresight,
    chain: PlanChain,
    places: Records,
    left: Ints,
    wanted: Wanted,
    piece: int,
    begin: int,
    now: int,
    now_only: bool,
) -> tuple[int, int, int, int]:
    """Choose a job's nodes of those that are open from `begin` on, and return when it starts there.

    It is NEVER where it doesn't. Returns also 1 if nodes were looked for; when to look again, -1
    where that is of no use; and until when the same would be found by a run that comes later.
    """
    limit = wanted.limit
    count, later, beyond = open_nodes(
        chain, piece, alike.every, alike.opened, begin, after(begin, limit), wanted.number
    )
    until = NEVER
    if begin == now and not 0 <= later <= beyond:
        until = beyond - limit
    if count < wanted.number:
        return NEVER, ZERO, later, until
    start = _foreseen(alike, ahead, places, wanted, begin, later, now, now_only)
    if begin == now and beyond < NEVER and (start < NEVER or alike.slots > 1):
        # Where nodes have one slot, fewer open ones leave no room earlier.
        until = min(until, closing(chain, piece, beyond, alike.opened) - limit)
    if start <= now and is_left(places, left, wanted):
        start = now + SECOND
        later = ZERO - 1
        until = now
    if start <= now:
        return start, ONE, later, until
    if start >= NEVER:
        return NEVER, ONE, later, until
    choose_in(chain, places, wanted.place, wanted.number)
    if overlaps(chain, piece, start, after(start, limit)):
        return NEVER, ONE, start, until
    if 0 <= later < start:
        return NEVER, ONE, later, until
    return start, ONE, later, until


@lean
def _foreseen(
    alike: AlikeNodes,
    ahead: Foresight,
    places: Records,
    wanted: Wanted,
    begin: int,
    later: int,
    now: int,
    now_only: bool,
) -> int:
    """Return when the opened nodes have room for the job, from `begin` on; NEVER if not by `later`.

    Its nodes are chosen for that time.
    """
    use_free(alike)
    if begin <= now and picked(alike, places, wanted, ahead.ended[0]):
        return now
    if now_only:
        return NEVER
    size = ahead.times.size
    index = int(np.searchsorted(ahead.times, begin))
    _let_end(alike, ahead, ZERO, index)
    if (begin > now or index > 0) and picked(alike, places, wanted, ahead.ended[index]):
        # A job that is over its limit may end at any moment.
        return max(begin, now + SECOND)
    last = size if later < 0 else max(index, int(np.searchsorted(ahead.times, later, "right")))
    enough = _first_with(alike.opened, ahead.ended, index, last, wanted.number)
    if enough > last:
        return NEVER
    return _in_windows(alike, ahead, places, wanted, now, index, last, enough)


@lean
def _first_with(opened: Words, ended: NDArray[np.int64], first: int, last: int, least: int) -> int:
    """Return how many running jobs must have ended, from `first` to `last`, so that `least` opened
    nodes have something free; more than `last` if they never have."""
    low = first + ZERO
    high = last + ONE
    while low < high:
        middle = (low + high) // 2
        if count_common(opened, ended[middle]) >= least:
            high = middle
        else:
            low = middle + 1
    return low


@lean
def _let_end(alike: AlikeNodes, ahead: Foresight, first: int, last: int) -> None:
    """Let usable slots grow by those of the running jobs `first` to `last`."""
    if alike.slots > 1:
        for at in range(ahead.begins[first], ahead.begins[last]):
            alike.usable[ahead.nodes[at]] += ahead.amounts[at]


@lean
def _in_windows(
    alike: AlikeNodes,
    ahead: Foresight,
    places: Records,
    wanted: Wanted,
    now: int,
    index: int,
    last: int,
    enough: int,
) -> int:
    """Let the running jobs `index` to `last` end, window by window, until the job has room.

    It has none before `enough` have ended. Returns when it has; NEVER if that is not by `last`.
    """
    foresight = wanted.foresight
    times = ahead.times
    size = times.size
    origin = length = ZERO
    known = False
    while index < last:
        begun = index
        ended = ZERO - 1
        while index < last:
            row = index
            time = times[row]
            index += 1
            if not meet(ahead.held[row], alike.opened):
                continue
            if not known:
                # So that it moves with no job's start.
                origin = time + foresight - time % foresight if foresight > 0 else time
                length = foresight
                known = True
            ended = time
            if index < size and times[index] > origin + length:
                break
        if ended < 0:
            return NEVER
        _let_end(alike, ahead, begun, index)
        if index >= enough and picked(alike, places, wanted, ahead.ended[index]):
            return max(ended, now + SECOND)
        if index == last:
            return NEVER
        if foresight == 0:
            origin = times[index]
            continue
        length = longer(length, wanted.linear)
        while times[index] > after(origin, length) and length < NEVER // 2:
            length = longer(length, wanted.linear)
    return NEVER


@lean
def longer(length: int, linear: int) -> int:
    """Return how long the window after one of this length is: by `linear`, or twice as long."""
    return length + linear if linear > 0 else 2 * length
