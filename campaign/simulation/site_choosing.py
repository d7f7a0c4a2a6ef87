"""Which nodes a job gets, where nodes are unlike and have memory and GPUs. Compiled.

As select/cons_tres and topology/default choose: from the runs of neighbouring nodes that can be
used, the one that fits most tightly. For a job with GPUs, nodes with more of them for it come
first, and neighbours are of one run only where they have as many.
"""

from typing import Any, NamedTuple

import numpy as np

from campaign.simulation.best_fit import leave_out, most_of
from campaign.simulation.compiled import ONE, ZERO, compiled, lean
from campaign.simulation.node_sets import Words, words_for
from campaign.simulation.nodes import BEST_FIT, FIRST, LEAST_LOADED
from campaign.simulation.site_arrays import USAGE, Flags, Ints, Live, Records, Site, records

NONE: Any = np.int64(-1)


SEEN = np.dtype([(name, np.int64) for name in ("avail", "cards", "weight", "used", "lasting")])


class Room(NamedTuple):
    """A value for each node: for what is worked out of one job at one moment.

    `opened` nodes may be looked at. Of what was `seen`, `avail` and `cards` are the slots and GPUs
    that the job can have there, `weight` tells which nodes come first: the lowest, and `lasting`
    flags nodes that are to be remembered. `foreseen` is what will be free. `every` and `unplanned`
    are sets of opened nodes: all, and those that no plan closes. `taken` is how many of the job's
    nodes were found.
    """

    opened: Flags
    seen: Records
    foreseen: Records
    every: Words
    unplanned: Words
    taken: Ints


def room_of(nodes: int) -> Room:
    """Return room for so many nodes."""
    words = words_for(nodes)
    return Room(
        np.zeros(nodes, np.bool_),
        records(SEEN, nodes),
        records(USAGE, nodes),
        np.zeros(words, np.int64),
        np.zeros(words, np.int64),
        np.zeros(1, np.int64),
    )


@lean
def chosen(site: Site, live: Live, room: Room, job: int, free: Records, busy_first: int) -> bool:
    """Choose the job's nodes among the opened ones by what is free; return False if it can't be.

    With `busy_first`, nodes on which jobs run come first.
    """
    jobs = site.jobs
    _see_what_it_can_have(site, room, job, free)
    width = jobs.width[job]
    count = jobs.count[job]
    gpus = jobs.gpus[job]
    alone = jobs.alone[job]
    place = jobs.place[job]
    rule = site.rules[0].placement
    if busy_first:
        return _busy_first(site, live, room, width, count, gpus, alone, place)
    if rule == BEST_FIT and (
        _gathered(live, room, width, count, gpus, alone, place)
        or _gathered_from_fewer(live, room, width, count, gpus, alone, place)
    ):
        return True
    return _by_rule(live, room, width, count, gpus, alone, place, rule)


@lean
def take(site: Site, live: Live, free: Records, job: int) -> None:
    """Take what the job has on its chosen nodes from `free`."""
    _move(site, live, free, job, -ONE)


@lean
def give(site: Site, live: Live, free: Records, job: int) -> None:
    """Give what the job has on its chosen nodes back to `free`."""
    _move(site, live, free, job, ONE)


@lean
def copy_usage(source: Records, target: Records) -> None:
    """Let `target` be as `source` is."""
    for node in range(source.size):
        target.slots[node] = source.slots[node]
        target.memory[node] = source.memory[node]
        target.gpus[node] = source.gpus[node]


@lean
def _move(site: Site, live: Live, free: Records, job: int, sign: int) -> None:
    jobs = site.jobs
    for at in range(jobs.place[job], jobs.place[job] + jobs.count[job]):
        node = live.places.nodes[at]
        free.slots[node] += sign * live.places.amounts[at]
        free.gpus[node] += sign * live.places.cards[at]
        memory = jobs.slot_memory[job] * live.places.amounts[at]
        if jobs.node_memory[job] > 0:
            memory = jobs.node_memory[job]
        free.memory[node] += sign * memory


@lean
def _see_what_it_can_have(site: Site, room: Room, job: int, free: Records) -> None:
    jobs = site.jobs
    kind = jobs.kind[job]
    for node in range(room.seen.avail.size):
        room.seen.used[node] = False
        room.seen.avail[node] = 0
        room.seen.weight[node] = 0
        if not room.opened[node] or not site.kinds[kind, node]:
            continue
        avail = free.slots[node]
        if avail <= 0 or (jobs.alone[job] and avail < site.total.slots[node]):
            continue
        if jobs.count[job] == 1 and avail < jobs.width[job]:
            continue
        avail = _with_memory(site, job, free.memory[node], avail)
        if jobs.gpus[job] > 0:
            cards = free.gpus[node]
            if cards < 1:
                continue
            room.seen.cards[node] = cards
            room.seen.weight[node] = -min(cards, jobs.gpus[job])
        room.seen.avail[node] = avail


@lean
def _with_memory(site: Site, job: int, memory: int, avail: int) -> int:
    """Return how many of the node's `avail` slots have memory for the job."""
    jobs = site.jobs
    if jobs.node_memory[job] > 0:
        return avail if jobs.node_memory[job] <= memory else ZERO
    if jobs.slot_memory[job] > 0:
        fitting = memory // jobs.slot_memory[job]
        if fitting < avail:
            return ZERO if jobs.alone[job] else fitting
    return avail


@compiled
def _gathered_from_fewer(
    live: Live, room: Room, width: int, count: int, gpus: int, alone: bool, place: int
) -> bool:
    """Leave out nodes that have least for the job, one after the other, until the others do."""
    seen = room.seen
    cards = np.zeros(seen.avail.size, np.int64)
    if gpus > 0:
        cards += seen.cards * (seen.avail > 0)
    if count == 1 or most_of(seen.avail, count) < width or most_of(cards, count) < gpus:
        return False
    offered = seen.avail + cards
    _keep_to(live, room, offered, cards, alone, place)
    most = offered.max()
    few = ONE
    there = ZERO + np.count_nonzero(offered > 0)
    while there > count and few < most:
        out = leave_out(offered, few, there - count)
        there -= out
        for node in range(offered.size):
            if offered[node] == 0:
                seen.avail[node] = 0
        if out > 0 or few == 1:
            if _gathered(live, room, width, count, gpus, alone, place):
                return True
            _keep_to(live, room, offered, cards, alone, place)
        if out == 0:
            few += 1
    return False


@lean
def _keep_to(live: Live, room: Room, offered: Ints, cards: Ints, alone: bool, place: int) -> None:
    """Let nodes that were taken in vain offer no more than what was wanted of them, as in Slurm."""
    if alone:
        return
    for at in range(place, place + room.taken[0]):
        node = live.places.nodes[at]
        room.seen.avail[node] = live.places.amounts[at]
        offered[node] = live.places.amounts[at] + cards[node]


@lean
def _gathered(
    live: Live, room: Room, width: int, count: int, gpus: int, alone: bool, place: int
) -> bool:
    """Take nodes from run after run, of those that have anything for the job; note how many."""
    room.seen.used[:] = False
    taken = ZERO
    left = width
    wanted = gpus
    while taken < count:
        first, last = _tightest_run(room, left, count - taken, wanted, gpus)
        if first < 0:
            break
        only = _tightest_node(room, first, last, left, wanted) if count - taken == 1 else NONE
        for node in range(first, last + 1):
            room.seen.used[node] = True
            missing = count - taken
            if missing == 0 or (only >= 0 and node != only):
                continue
            if missing == 1 and (
                room.seen.avail[node] < left or (wanted > 0 and room.seen.cards[node] < wanted)
            ):
                continue
            left, wanted = _noted(live, room, node, place + taken, left, wanted, missing, alone)
            taken += 1
    room.taken[0] = taken
    return taken == count and left <= 0 and wanted <= 0


@lean
def _noted(
    live: Live, room: Room, node: int, at: int, left: int, wanted: int, missing: int, alone: bool
) -> tuple[int, int]:
    """Let the job have the node; return how many slots and GPUs it wants then."""
    # Each of the nodes to come needs at least one slot, and one GPU, of what is left.
    here = (
        room.seen.avail[node]
        if alone
        else min(room.seen.avail[node], max(ONE, left - (missing - 1)))
    )
    live.places.nodes[at] = node
    live.places.amounts[at] = here
    live.places.cards[at] = 0
    if wanted > 0:
        cards = min(room.seen.cards[node], max(ONE, wanted - (missing - 1)))
        live.places.cards[at] = cards
        wanted -= cards
    return left - here, wanted


@lean
def _tightest_run(room: Room, slots: int, count: int, wanted: int, gpus: int) -> tuple[int, int]:
    """Return the first and the last node of the run to take from; (-1, -1) where there is none."""
    best_first = best_last = first = NONE
    best_slots = best_weight = found = cards = weight = ZERO
    best_enough = False
    size = room.seen.avail.size
    for node in range(size + 1):
        counts = node < size and room.seen.avail[node] > 0 and not room.seen.used[node]
        if counts and first >= 0 and room.seen.weight[node] == weight:
            found += room.seen.avail[node]
            cards += room.seen.cards[node]
            continue
        if first >= 0:
            enough = found >= slots and node - first >= count and (wanted == 0 or cards >= wanted)
            better = best_first < 0 or weight < best_weight
            if not better and weight == best_weight:
                better = (enough and (not best_enough or found < best_slots)) or (
                    not enough and found > best_slots
                )
            if better:
                best_first = first
                best_last = node - ONE
                best_slots = found
                best_enough = enough
                best_weight = weight
        first = NONE
        if counts:
            first = node + ZERO
            found = room.seen.avail[node]
            cards = room.seen.cards[node]
            weight = room.seen.weight[node]
    return best_first, best_last


@lean
def _tightest_node(room: Room, first: int, last: int, slots: int, wanted: int) -> int:
    """Return the node of the run with fewest slots that are enough; -1 if there is none."""
    best = NONE
    for node in range(first, last + 1):
        enough = room.seen.avail[node] >= slots and (wanted <= 0 or room.seen.cards[node] >= wanted)
        if enough and (best < 0 or room.seen.avail[node] < room.seen.avail[best]):
            best = node + ZERO
    return best


@compiled
def _by_rule(
    live: Live, room: Room, width: int, count: int, gpus: int, alone: bool, place: int, rule: int
) -> bool:
    """Take the nodes with most slots, in their order; a single node as the rule says."""
    if count == 1:
        best = _single(room, width, gpus, rule)
        if best < 0:
            return False
        _noted(live, room, best, place, width, gpus, 1, alone)
        return True
    order = np.argsort(-room.seen.avail, kind="mergesort")[:count]
    if order.size < count or room.seen.avail[order[count - 1]] <= 0:
        return False
    held = cards = ZERO
    for node in order:
        held += room.seen.avail[node]
        cards += room.seen.cards[node] if gpus > 0 else ZERO
    if held < width or cards < gpus:
        return False
    left = width
    wanted = gpus
    order.sort()
    for number in range(count):
        missing = count - number
        left, wanted = _noted(
            live, room, order[number], place + number, left, wanted, missing, alone
        )
    return True


@lean
def _single(room: Room, width: int, gpus: int, rule: int) -> int:
    """Return the node for a job of one node, or -1."""
    best = NONE
    for node in range(room.seen.avail.size):
        if room.seen.avail[node] < width or (gpus > 0 and room.seen.cards[node] < gpus):
            continue
        if rule == FIRST:
            return node + ZERO
        if best < 0 or (
            room.seen.avail[node] > room.seen.avail[best]
            if rule == LEAST_LOADED
            else room.seen.avail[node] < room.seen.avail[best]
        ):
            best = node + ZERO
    return best


@lean
def _busy_first(
    site: Site,
    live: Live,
    room: Room,
    width: int,
    count: int,
    gpus: int,
    alone: bool,
    place: int,
) -> bool:
    """Take nodes in their order, those on which jobs run now before the others."""
    taken = ZERO
    left = width
    wanted = gpus
    for idle in range(2):
        for node in range(room.seen.avail.size):
            is_idle = live.free.slots[node] == site.total.slots[node]
            if taken == count or room.seen.avail[node] <= 0 or is_idle != (idle == 1):
                continue
            missing = count - taken
            if missing == 1 and (
                room.seen.avail[node] < left or (wanted > 0 and room.seen.cards[node] < wanted)
            ):
                continue
            left, wanted = _noted(live, room, node, place + taken, left, wanted, missing, alone)
            taken += 1
    return taken == count and left <= 0 and wanted <= 0
