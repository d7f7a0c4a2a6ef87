"""Which nodes a job gets where those are taken that fit most tightly. Compiled.

As Slurm's topology/default chooses (common_topo.c, eval_nodes.c): among runs of neighbouring nodes
that can be used, the one with the fewest free slots that is large enough, else the one with most.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from campaign.simulation.compiled import ONE, ZERO, compiled

Slots = NDArray[np.int32]
NONE: Any = np.int64(-1)


@compiled
def best_fit(free: Slots, width: int, count: int, nodes: Slots, amounts: Slots, place: int) -> bool:
    """Choose `count` nodes for a job, as `nodes.choose` does; return False if none were found.

    Where the nodes that were gathered have too few slots together, those with fewest free slots are
    left out, one node after the other.
    """
    # A job of one node can use those alone on which it fits.
    least = width if count == 1 else 1
    taken, left = _gathered(free, width, count, least, nodes, amounts, place)
    if taken == count and left <= 0:
        return True
    if count == 1 or most_of(free, count) < width:
        return False
    offered = free.copy()
    _keep_to(offered, taken, nodes, amounts, place)
    most = offered.max()
    few = ONE
    there = ZERO + np.count_nonzero(offered > 0)
    while there > count and few < most:
        out = leave_out(offered, few, there - count)
        there -= out
        if out > 0 or few == 1:
            taken, left = _gathered(offered, width, count, 1, nodes, amounts, place)
            if taken == count and left <= 0:
                return True
            _keep_to(offered, taken, nodes, amounts, place)
        if out == 0:
            few += 1
    return False


@compiled
def most_of(free: NDArray[Any], count: int) -> int:
    """Return how much the `count` nodes with most of it have together."""
    return np.sort(free)[-count:].sum()


@compiled
def leave_out(offered: NDArray[Any], few: int, most: int) -> int:
    """Leave out nodes that offer `few` or less; return how many, `most` at most.

    It is the first of them. As Slurm lowers its bar at once, only those that offer still less
    go with it.
    """
    bar = few
    out = ZERO
    for node in range(offered.size):
        if 0 < offered[node] <= bar:
            offered[node] = 0
            out += 1
            bar = few - 1
            if out == most:
                break
    return out


@compiled
def _keep_to(offered: Slots, taken: int, nodes: Slots, amounts: Slots, place: int) -> None:
    """Let nodes that were taken in vain offer no more than what was wanted of them, as in Slurm."""
    for at in range(place, place + taken):
        offered[nodes[at]] = amounts[at]


@compiled
def _gathered(
    free: Slots, width: int, count: int, least: int, nodes: Slots, amounts: Slots, place: int
) -> tuple[int, int]:
    """Take nodes from run after run, of those with at least `least` free slots.

    Return how many were found, and how many slots are wanted then.
    """
    used = np.zeros(free.size, np.bool_)
    taken = ZERO
    left = width
    while taken < count:
        first, last = _tightest_run(free, used, left, count - taken, least)
        if first < 0:
            break
        only = _tightest_node(free, first, last, left) if count - taken == 1 else NONE
        for node in range(first, last + 1):
            used[node] = True
            missing = count - taken
            if missing == 0 or (only >= 0 and node != only) or (missing == 1 and free[node] < left):
                continue
            # Each of the nodes to come needs at least one slot of what is left.
            here = min(free[node], left - (missing - 1))
            nodes[place + taken] = node
            amounts[place + taken] = here
            left -= here
            taken += 1
    return taken, left


@compiled
def _tightest_run(
    free: Slots, used: NDArray[np.bool_], slots: int, count: int, least: int
) -> tuple[int, int]:
    """Return the first and the last node of the run to take from; (-1, -1) where there is none."""
    best_first = best_last = NONE
    best_slots = ZERO
    best_enough = False
    first = NONE
    found = ZERO
    for node in range(free.size + 1):
        if node < free.size and free[node] >= least and not used[node]:
            if first < 0:
                first = node
            found += free[node]
            continue
        if first < 0:
            continue
        enough = found >= slots and node - first >= count
        if (
            best_first < 0
            or (enough and (not best_enough or found < best_slots))
            or (not enough and found > best_slots)
        ):
            best_first = first
            best_last = node - 1
            best_slots = found
            best_enough = enough
        first = NONE
        found = ZERO
    return best_first, best_last


@compiled
def _tightest_node(free: Slots, first: int, last: int, slots: int) -> int:
    """Return the node of the run with fewest free slots that are enough; -1 if there is none."""
    best = NONE
    for node in range(first, last + 1):
        if free[node] >= slots and (best < 0 or free[node] < free[best]):
            best = node
    return best
