"""Free slots of nodes that are all alike over the time to come: a step function. Compiled.

Step i holds from times[i] until times[i + 1], the last for ever. `future` is the same for nodes
that differ, by what is free on each.
"""

from typing import NamedTuple

import numpy as np

from campaign.simulation.compiled import ONE, ZERO, compiled, lean
from campaign.simulation.event_queue import Times
from campaign.simulation.shifting import shift
from campaign.simulation.work import after


class Profile(NamedTuple):
    """The first `size[0]` steps count. Whoever adds steps makes room for them first."""

    times: Times
    free: Times
    size: Times


@compiled
def empty_profile(room: int) -> Profile:
    """Return a profile of no step, with room for some."""
    return Profile(np.empty(room, np.int64), np.empty(room, np.int64), np.zeros(1, np.int64))


@lean
def start_level(profile: Profile, time: int, slots: int) -> None:
    """Let the profile have one step."""
    profile.times[0] = time
    profile.free[0] = slots
    profile.size[0] = 1


@compiled
def roomy(profile: Profile, more: int) -> Profile:
    """Return the profile, or a larger copy with room for `more` steps."""
    size = profile.size[0]
    if size + more <= profile.times.size:
        return profile
    larger = empty_profile(2 * (size + more))
    larger.times[:size] = profile.times[:size]
    larger.free[:size] = profile.free[:size]
    larger.size[0] = size
    return larger


@lean
def drop_past(profile: Profile, now: int) -> None:
    """Let the profile begin `now`, without steps that change nothing."""
    times = profile.times
    free = profile.free
    size = profile.size[0]
    first = ZERO
    while first + 1 < size and times[first + 1] <= now:
        first += 1
    free[0] = free[first]
    times[0] = now
    kept = ONE
    for step in range(first + 1, size):
        if free[step] != free[kept - 1]:
            times[kept] = times[step]
            free[kept] = free[step]
            kept += 1
    profile.size[0] = kept


@lean
def _step_at(times: Times, first: int, size: int, time: int) -> int:
    """Return the first of the steps `first` to `size` (excluded) that begins at `time` or later."""
    while first < size:
        middle = (first + size) >> 1
        if times[middle] < time:
            first = middle + 1
        else:
            size = middle
    return first


@lean
def add_slots(profile: Profile, begin: int, end: int, slots: int) -> None:
    """Let `slots` more be free from `begin` to `end`, or fewer where negative.

    It adds two steps at most. `begin` is not before the first.
    """
    if begin >= end:
        return
    times = profile.times
    free = profile.free
    size = profile.size[0]
    first = _step_at(times, ZERO, size, begin)
    last = _step_at(times, first, size, end)
    opening = ONE if first == size or times[first] != begin else ZERO
    closing = ONE if last == size or times[last] != end else ZERO
    # What is behind moves up first. A new step begins as the one that it cuts in two.
    added = opening + closing
    if added > 0:
        shift(times, last, size, added)
        shift(free, last, size, added)
    if closing:
        times[last + opening] = end
        free[last + opening] = free[last - 1]
    if opening:
        shift(times, first, last, ONE)
        shift(free, first, last, ONE)
        times[first] = begin
        free[first] = free[first - 1]
    for step in range(first, last + opening):
        free[step] += slots
    profile.size[0] = size + added


@lean
def next_room(profile: Profile, step: int, slots: int, before: int) -> int:
    """Return the first step from `step` on with so many free slots.

    Any at `before` or later, or the number of steps, where none before it has.
    """
    times = profile.times
    free = profile.free
    size = profile.size[0]
    while step < size and free[step] < slots and times[step] < before:
        step += 1
    return step


@lean
def next_shortage(profile: Profile, step: int, slots: int, before: int) -> int:
    """Return the first step from `step` on with fewer free slots.

    Any at `before` or later, or the number of steps, where none before it has.
    """
    times = profile.times
    free = profile.free
    size = profile.size[0]
    while step < size and free[step] >= slots and times[step] < before:
        step += 1
    return step


@lean
def first_room(profile: Profile, slots: int, duration: int, latest: int, before: int) -> int:
    """Return the first time before `before` from which on so many slots are free for `duration`.

    Or until `latest`, which is the answer where there is no such time before it.
    """
    times = profile.times
    size = profile.size[0]
    before = min(latest, before)
    step = next_room(profile, ZERO, slots, before)
    while step < size and times[step] < before:
        end = min(after(times[step], duration), latest)
        short = next_shortage(profile, step + 1, slots, end)
        if short >= size or times[short] >= end:
            return times[step]
        step = next_room(profile, short + 1, slots, before)
    return latest
