"""A schedule over time, as step functions: slots in use and jobs that wait.

All of it is over whole columns: time O(n log n), memory O(n). Where things happen at one instant,
slots are free before they are taken, and a job that takes no time takes no slots.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Timeline:
    """Step functions: entry k holds from `at[k]` (ascending, all different) until `at[k + 1]`."""

    at: Array
    used: Array  # slots
    waiting: Array  # jobs that were submitted and haven't started

    @classmethod
    def of(cls, width: Array, submit: Array, start: Array, end: Array) -> "Timeline":
        """Return the timeline of jobs with these widths (slots) and times (s)."""
        submit = np.minimum(submit, start)  # clocks may disagree by more than a job waited
        at, place = np.unique(np.concatenate([submit, start, end]), return_inverse=True)
        submitted, started, ended = np.split(place, 3)
        taken = np.bincount(started, width, at.size) - np.bincount(ended, width, at.size)
        queued = np.bincount(submitted, minlength=at.size) - np.bincount(started, minlength=at.size)
        return cls(at, np.cumsum(taken), np.cumsum(queued, dtype=np.float64))


def idle_while_waiting(timeline: Timeline, slots: int) -> float:
    """Return the slot seconds that were idle while at least one job waited."""
    idle = np.clip(slots - timeline.used[:-1], 0.0, None)
    return float((idle * np.diff(timeline.at))[timeline.waiting[:-1] > 0].sum())


def free_since(timeline: Timeline, slots: int, width: Array, start: Array) -> Array:
    """Return the moment since which `width` of `slots` slots were free, for each job.

    Free without a break until the job's `start`; minus infinity where they always were. A job's own
    slots don't count: it takes them at its start.
    """
    shortage = last_below(slots - timeline.used, np.searchsorted(timeline.at, start), width)
    # Free from the entry after the last shortage on.
    return np.where(shortage < 0, -np.inf, timeline.at[shortage + 1])


def last_below(values: Array, before: Counts, bound: Array) -> Counts:
    """Return, for each i, the last index below `before[i]` whose value is less than `bound[i]`.

    It is -1 where there is none. Minima of blocks of 2, 4, 8 .. values make a tree: each query
    climbs it to the nearest block to its left that holds such a value, and descends to the last one
    in it; all queries do so at once.
    """
    tree = [values]
    while tree[-1].size > 1:
        pairs = tree[-1].size // 2  # a last one without a partner is never looked at in a pair
        tree.append(tree[-1][: 2 * pairs].reshape(-1, 2).min(axis=1))
    node = np.full(before.size, -1, dtype=np.int64)
    found_on = np.zeros(before.size, dtype=np.int64)
    edge = before.astype(np.int64)
    asking = np.arange(before.size)
    for level, minima in enumerate(tree):
        left = edge[asking] - 1
        hit = (edge[asking] % 2 == 1) & (minima[left] < bound[asking])
        node[asking[hit]] = left[hit]
        found_on[asking[hit]] = level
        asking = asking[~hit]
        edge[asking] //= 2
        asking = asking[edge[asking] > 0]
    for level in range(len(tree) - 2, -1, -1):
        inside = np.flatnonzero((found_on > level) & (node >= 0))
        right = 2 * node[inside] + 1
        node[inside] = np.where(tree[level][right] < bound[inside], right, right - 1)
    return node


def backfilled(
    width: Array, submit: Array, start: Array, end: Array, slots: int
) -> NDArray[np.bool_]:
    """Return which jobs, by order of submission, were backfilled.

    A job is if it started ahead of the longest-waiting one while that didn't fit the free slots.
    Jobs submitted at one instant wait in the order in which they stand. What is free to the
    longest-waiting job is free just before the start, so jobs that were decided on together and
    launched in another order aren't backfilled.
    """
    order = np.argsort(submit, kind="stable")
    width = width[order]
    start = start[order]
    end = end[order]
    # The queue's head when a job starts: the first one in order that starts later.
    head = np.searchsorted(np.maximum.accumulate(start), start, side="right")
    ahead = head < np.arange(width.size)
    held = np.where(end > start, width, 0.0)
    by_start = np.argsort(start, kind="stable")
    by_end = np.argsort(end, kind="stable")
    taken = np.empty_like(held)
    # Without its own: what others had taken just before it.
    taken[by_start] = np.cumsum(held[by_start]) - held[by_start]
    returned = np.concatenate([[0.0], np.cumsum(held[by_end])])
    # From the right: what is given back at the very start is free to it.
    free = slots - taken + returned[np.searchsorted(end[by_end], start, side="right")]
    return np.asarray(ahead & (width[np.where(ahead, head, 0)] > free))
