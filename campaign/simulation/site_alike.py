"""Where jobs may run on nodes that are all alike, in sets of nodes. Compiled.

Nodes are alike where jobs count their slots alone, and each job may have any of them: then the same
is decided as in `site_choosing`, for dozens of nodes at once.
"""

from typing import NamedTuple

import numpy as np

from campaign.simulation.compiled import ONE, ZERO, lean
from campaign.simulation.node_sets import (
    BITS,
    Words,
    count_common,
    include,
    runs_of_common,
    words_for,
)
from campaign.simulation.nodes import BEST_FIT, Slots, choose
from campaign.simulation.site_arrays import Flags, Ints, Live, Records, Site


class AlikeNodes(NamedTuple):
    """Nodes of `slots` each, all of which are in the set `every`.

    `opened` are those that one job may have. Where nodes have several slots, those that are `free`
    now are known for each, and those that are `usable` at the time that is looked at; `offered` are
    these on the opened nodes. The rest is room for the nodes that are chosen, with their slots, and
    for runs of neighbours.
    """

    slots: int
    every: Words
    opened: Words
    free: Slots
    usable: Slots
    offered: Slots
    nodes: Slots
    amounts: Slots
    first: Words
    length: Words


class Wanted(NamedTuple):
    """What a job wants, in numbers alone: compiled functions are called with few arrays so.

    It wants `width` slots on that `number` of nodes, which are written down from `place` on, for
    `limit`. `placement`, `window`, `foresight` and `linear` are the rules'.
    """

    number: int
    width: int
    limit: int
    place: int
    placement: int
    window: int
    foresight: int
    linear: int


def alike_nodes(site: Site) -> AlikeNodes | None:
    """Return the nodes of the site where they are alike to jobs that ask for slots alone."""
    rules = site.rules[0]
    slots = site.total.slots
    unlike = (
        bool((slots != slots[0]).any())
        or site.tier.size > 1
        or not site.kinds.all()
        or not site.members.all()
        or site.reserved.size > 0
        or site.changes.size > 0
        or bool(rules.gives_way or rules.busy_first)
    )
    if unlike:
        return None
    nodes = slots.size
    words = words_for(nodes)
    every = np.zeros(words, np.int64)
    for node in range(nodes):
        every[node // int(BITS)] |= 1 << node % int(BITS)
    runs = nodes // 2 + 1
    return AlikeNodes(
        slots=int(slots[0]),
        every=every,
        opened=np.zeros(words, np.int64),
        free=np.zeros(nodes, np.int32),
        usable=np.zeros(nodes, np.int32),
        offered=np.zeros(nodes, np.int32),
        nodes=np.zeros(nodes, np.int32),
        amounts=np.zeros(nodes, np.int32),
        first=np.zeros(runs, np.int64),
        length=np.zeros(runs, np.int64),
    )


@lean
def wanted_by(site: Site, job: int) -> Wanted:
    """Return what the job wants."""
    jobs = site.jobs
    rules = site.rules[0]
    return Wanted(
        jobs.count[job],
        jobs.width[job],
        jobs.limit[job],
        jobs.place[job],
        rules.placement,
        rules.window,
        rules.foresight,
        rules.linear,
    )


@lean
def see_free(free: Records, alike: AlikeNodes) -> None:
    """Let what is free now be known, where nodes have several slots."""
    if alike.slots > 1:
        for node in range(free.size):
            alike.free[node] = free.slots[node]


@lean
def fits_now(site: Site, live: Live, alike: AlikeNodes, job: int, there: Flags) -> bool:
    """Choose nodes for the job among those that are `there` and that no job is leaving now."""
    alike.opened[:] = 0
    for node in range(there.size):
        if there[node] and live.left[node] == 0 and live.free.slots[node] > 0:
            include(alike.opened, node)
    see_free(live.free, alike)
    use_free(alike)
    return picked(alike, live.places, wanted_by(site, job), alike.opened)


@lean
def use_free(alike: AlikeNodes) -> None:
    """Let what is free now be usable."""
    if alike.slots > 1:
        for node in range(alike.free.size):
            alike.usable[node] = alike.free[node]


@lean
def picked(alike: AlikeNodes, places: Records, wanted: Wanted, some: Words) -> bool:
    """Choose the job's nodes among the opened ones in `some`, by their usable slots."""
    count = wanted.number
    if count_common(alike.opened, some) < count:
        return False
    if alike.slots == 1:
        _pick_whole(alike, places, wanted, some)
        return True
    for node in range(alike.offered.size):
        opened = (alike.opened[node // BITS] >> (node % BITS)) & ONE
        alike.offered[node] = alike.usable[node] if opened else 0
    if not choose(
        alike.offered,
        wanted.width,
        count,
        ONE,
        wanted.placement,
        alike.nodes,
        alike.amounts,
        ZERO,
    ):
        return False
    for number in range(count):
        places.nodes[wanted.place + number] = alike.nodes[number]
        places.amounts[wanted.place + number] = alike.amounts[number]
    return True


@lean
def _pick_whole(alike: AlikeNodes, places: Records, wanted: Wanted, some: Words) -> None:
    """Take the job's nodes, of one slot, from the tightest run of neighbours; all are there."""
    runs = runs_of_common(alike.opened, some, alike.first, alike.length)
    place = wanted.place
    missing = wanted.number
    following = ZERO
    while missing > 0:
        if wanted.placement == BEST_FIT:
            best = _tightest(alike.length, runs, missing)
        else:
            best = following
            following += 1
        taken = min(missing, alike.length[best])
        for number in range(taken):
            places.nodes[place + number] = alike.first[best] + number
            places.amounts[place + number] = 1
        place += taken
        missing -= taken
        alike.length[best] = 0


@lean
def _tightest(length: Ints, runs: int, wanted: int) -> int:
    """Return the shortest run that is long enough, else the longest; the first of equal ones."""
    best = ZERO
    for run in range(1, runs):
        if length[run] >= wanted:
            if length[best] < wanted or length[run] < length[best]:
                best = run + ZERO
        elif length[run] > length[best] and length[best] < wanted:
            best = run + ZERO
    return best


@lean
def is_left(places: Records, left: Ints, wanted: Wanted) -> bool:
    """Return True if another job is still leaving one of the nodes chosen for this one."""
    for at in range(wanted.place, wanted.place + wanted.number):
        if left[places.nodes[at]] > 0:
            return True
    return False
