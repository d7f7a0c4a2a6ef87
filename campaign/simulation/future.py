"""Free slots by node over the time to come, as far as is known: a step function. Compiled.

It is a pair of arrays, `times` and `free` (a row of slots by node for each), of which the first
`steps` rows count: row i holds from times[i] until times[i + 1], the last for ever. Whoever adds
steps makes room for them first.
"""

import numpy as np
from numpy.typing import NDArray

from campaign.simulation.compiled import ZERO, compiled
from campaign.simulation.nodes import Slots, fits
from campaign.simulation.work import GO_ON, Work, after, give, picked, take

Times = NDArray[np.int64]
Rows = NDArray[np.int32]


@compiled
def with_room(times: Times, free: Rows, steps: int, more: int) -> tuple[Times, Rows]:
    """Return the same arrays, or larger copies with room for `more` steps."""
    if steps + more <= times.size:
        return times, free
    room = 2 * (steps + more)
    larger_times = np.empty(room, np.int64)
    larger_free = np.empty((room, free.shape[1]), np.int32)
    for step in range(steps):
        larger_times[step] = times[step]
        copy_step(free, step, larger_free, step)
    return larger_times, larger_free


@compiled
def copy_step(source: Rows, step: int, target: Rows, other: int) -> None:
    """Make row `other` of `target` equal to row `step` of `source`."""
    for node in range(source.shape[1]):
        target[other, node] = source[step, node]


@compiled
def _equal(free: Rows, step: int, other: int) -> bool:
    for node in range(free.shape[1]):
        if free[step, node] != free[other, node]:
            return False
    return True


@compiled
def from_now(times: Times, free: Rows, steps: int, now: int) -> int:
    """Drop what has passed and steps that change nothing.

    Returns how many steps are left, the first one at `now`.
    """
    first = 0
    while first + 1 < steps and times[first + 1] <= now:
        first += 1
    kept = ZERO
    for step in range(first, steps):
        if kept > 0 and _equal(free, step, kept - 1):
            continue
        times[kept] = times[step]
        copy_step(free, step, free, kept)
        kept += 1
    times[0] = now
    return kept


@compiled
def _split(times: Times, free: Rows, steps: int, time: int) -> tuple[int, int]:
    """Let a step begin at `time`, which is not before the first.

    Returns the number of steps and the place of the one at `time`.
    """
    low = 0
    high = steps
    while low < high:
        middle = (low + high) // 2
        if times[middle] < time:
            low = middle + 1
        else:
            high = middle
    if low < steps and times[low] == time:
        return steps, low
    for step in range(steps, low, -1):
        times[step] = times[step - 1]
        copy_step(free, step - 1, free, step)
    times[low] = time
    # A new step begins as the one that it cuts in two.
    copy_step(free, low - 1, free, low)
    return steps + 1, low


@compiled
def reserve(
    times: Times, free: Rows, steps: int, begin: int, end: int, work: Work, job: int
) -> int:
    """Take a job's slots on its chosen nodes from `begin` to `end`.

    Returns the number of steps, two more at most.
    """
    if begin >= end:
        return steps
    steps, first = _split(times, free, steps, begin)
    steps, last = _split(times, free, steps, end)
    for step in range(first, last):
        take(work, free[step], job)
    return steps


@compiled
def unreserve(
    times: Times, free: Rows, steps: int, begin: int, end: int, work: Work, job: int
) -> int:
    """Give a job's slots on its chosen nodes back from `begin` to `end`.

    Returns the number of steps, two more at most.
    """
    if begin >= end:
        return steps
    steps, first = _split(times, free, steps, begin)
    steps, last = _split(times, free, steps, end)
    for step in range(first, last):
        give(work, free[step], job)
    return steps


@compiled
def earliest(
    times: Times,
    free: Rows,
    steps: int,
    duration: int,
    work: Work,
    job: int,
    rule: int,
    held: Slots,
) -> int:
    """Choose nodes for a job and return the first step at which it fits on them for `duration`.

    `held` is room for a node's slots each. Returns -1 where even the last step has no room, and
    where all loops are to end.
    """
    width = work.width[job]
    count = work.spread[job]
    each = work.each[job]
    step = 0
    while step < steps and work.halt[0] == GO_ON:
        for node in range(held.size):
            held[node] = free[step, node]
        blocked = -1 if fits(held, width, count, each) else step
        end = after(times[step], duration)
        later = step + 1
        while blocked < 0 and later < steps and times[later] < end:
            for node in range(held.size):
                held[node] = min(held[node], free[later, node])
            if not fits(held, width, count, each):
                blocked = later
            later += 1
        if blocked < 0:
            picked(work, held, job, rule)
            return step
        # With one node, no step up to the blocking one can do better.
        step = blocked + 1 if held.size == 1 else step + 1
    return -1
