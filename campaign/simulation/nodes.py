"""Free slots by node, and which nodes a job gets. Compiled.

A job needs slots on exactly `count` nodes, at least `each` on each of several. A cluster whose
nodes have one slot each is given as one node with all slots: its nodes are all alike, and which of
them a job gets changes nothing.
"""

import numpy as np
from numpy.typing import NDArray

from campaign.simulation.best_fit import best_fit
from campaign.simulation.compiled import compiled

Slots = NDArray[np.int32]
Times = NDArray[np.int64]
Jobs = NDArray[np.int64]
FIRST = 0
LEAST_LOADED = 1
PACK = 2
BEST_FIT = 3


@compiled
def fits(free: Slots, width: int, count: int, each: int) -> bool:
    """Return True if some `count` nodes have `width` free slots together, and `each` of them."""
    if count == 1:
        for node in range(free.size):
            if free[node] >= width:
                return True
        return False
    return _threshold(free, width, count, each) > 0


@compiled
def choose(
    free: Slots,
    width: int,
    count: int,
    each: int,
    rule: int,
    nodes: Slots,
    amounts: Slots,
    place: int,
) -> bool:
    """Choose the nodes that a job gets, and its slots on each; return False if it doesn't fit.

    They are written into `nodes` and `amounts`, `count` places from `place` on. Several nodes are
    those with most free slots, filled in their order, unless the rule finds others.
    """
    if rule == BEST_FIT and best_fit(free, width, count, nodes, amounts, place):
        return True
    if count == 1:
        best = _single(free, width, rule)
        nodes[place] = best
        amounts[place] = width
        return best >= 0
    least = _threshold(free, width, count, each)
    if least == 0:
        return False
    above = 0
    for node in range(free.size):
        above += free[node] > least
    level = count - above
    taken = 0
    left = width
    for node in range(free.size):
        if free[node] > least or (free[node] == least and level > 0):
            level -= free[node] == least
            # Each of the nodes to come needs its share of what is left.
            here = min(free[node], left - each * (count - taken - 1))
            nodes[place + taken] = node
            amounts[place + taken] = here
            left -= here
            taken += 1
    return True


@compiled
def _single(free: Slots, width: int, rule: int) -> int:
    """Return the node for a job of one node, or -1."""
    best = -1
    for node in range(free.size):
        if free[node] >= width:
            if rule == FIRST:
                return node
            if best < 0 or (
                free[node] > free[best] if rule == LEAST_LOADED else free[node] < free[best]
            ):
                best = node
    return best


@compiled
def _threshold(free: Slots, width: int, count: int, each: int) -> int:
    """Return the free slots of the last of the `count` nodes with most of them.

    0 where those have less than `width` together, or where one of them has less than `each`.
    """
    most = 0
    for node in range(free.size):
        most = max(most, free[node])
    # Counting nodes by their free slots takes no sorting, since a node has few slots.
    with_slots = np.zeros(most + 1, np.int32)
    for node in range(free.size):
        if free[node] > 0:
            with_slots[free[node]] += 1
    held = taken = 0
    for slots in range(most, each - 1, -1):
        here = min(with_slots[slots], count - taken)
        taken += here
        held += here * slots
        if taken == count:
            return slots if held >= width else 0
    return 0


@compiled
def assign(
    begin: Times, by_begin: Jobs, end: Times, by_end: Jobs, width: Slots, count: int
) -> Slots:
    """Return nodes for jobs that hold `width` of `count` nodes of one slot, job after job.

    A job holds them from `begin` to `end`; `by_begin` and `by_end` are the jobs in the order of
    those.
    """
    place = np.zeros(width.size, np.int64)
    for job in range(1, width.size):
        place[job] = place[job - 1] + width[job - 1]
    nodes = np.empty(place[-1] + width[-1], np.int32)
    idle = np.empty(count, np.int32)
    for node in range(count):
        # The last place is given away first, so low numbers come first.
        idle[node] = count - 1 - node
    left = count
    ended = 0
    for job in by_begin:
        while end[by_end[ended]] <= begin[job]:
            other = by_end[ended]
            for index in range(place[other], place[other] + width[other]):
                idle[left] = nodes[index]
                left += 1
            ended += 1
        for index in range(place[job], place[job] + width[job]):
            left -= 1
            nodes[index] = idle[left]
    return nodes
