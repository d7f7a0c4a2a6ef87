"""Free slots of nodes that are all alike over the time to come: a step function. Compiled.

Step i holds from times[i] until times[i + 1], the last for ever. The most and the least free slots
of each block of steps are known, so that a search skips blocks. `future` is the same for nodes that
differ, by what is free on each.
"""

from typing import Any, NamedTuple

import numpy as np

from campaign.simulation.compiled import ONE, ZERO, compiled
from campaign.simulation.event_queue import Times
from campaign.simulation.work import after

BLOCK: Any = np.int64(16)
"""So many steps have their most and least free slots noted together."""


class Profile(NamedTuple):
    """The first `size[0]` steps count. Whoever adds steps makes room for them first.

    `most` and `least` are those of the blocks.
    """

    times: Times
    free: Times
    most: Times
    least: Times
    size: Times


@compiled
def empty_profile(room: int) -> Profile:
    """Return a profile of no step, with room for some."""
    blocks = room // BLOCK + 1
    return Profile(
        np.empty(room, np.int64),
        np.empty(room, np.int64),
        np.empty(blocks, np.int64),
        np.empty(blocks, np.int64),
        np.zeros(1, np.int64),
    )


@compiled
def start_level(profile: Profile, time: int, slots: int) -> None:
    """Let the profile have one step."""
    profile.times[0] = time
    profile.free[0] = slots
    profile.size[0] = 1
    note_blocks(profile, ZERO, ONE)


@compiled
def note_blocks(profile: Profile, first: int, last: int) -> None:
    """Note the most and the least free slots of the blocks of the steps `first` to `last`."""
    free = profile.free
    for block in range(first // BLOCK, (last - 1) // BLOCK + 1):
        begin = block * BLOCK
        most = least = free[begin]
        for step in range(begin + 1, min(begin + BLOCK, profile.size[0])):
            most = max(most, free[step])
            least = min(least, free[step])
        profile.most[block] = most
        profile.least[block] = least


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
    note_blocks(larger, ZERO, size)
    return larger


@compiled
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
    note_blocks(profile, ZERO, kept)


@compiled
def _cut(profile: Profile, time: int, first: int) -> int:
    """Let a step begin at `time`, which is not before step `first` does; return its place."""
    times = profile.times
    free = profile.free
    size = profile.size[0]
    place = first
    high = size
    while place < high:
        middle = (place + high) // 2
        if times[middle] < time:
            place = middle + 1
        else:
            high = middle
    if place < size and times[place] == time:
        return place
    for step in range(size, place, -1):
        times[step] = times[step - 1]
        free[step] = free[step - 1]
    times[place] = time
    # A new step begins as the one that it cuts in two.
    free[place] = free[place - 1]
    profile.size[0] = size + 1
    return place


@compiled
def add_slots(profile: Profile, begin: int, end: int, slots: int) -> None:
    """Let `slots` more be free from `begin` to `end`, or fewer where negative.

    It adds two steps at most. `begin` is not before the first.
    """
    if begin >= end:
        return
    size = profile.size[0]
    first = _cut(profile, begin, ZERO)
    last = _cut(profile, end, first)
    for step in range(first, last):
        profile.free[step] += slots
    note_blocks(profile, first, last if profile.size[0] == size else profile.size[0])


@compiled
def next_room(profile: Profile, step: int, slots: int, before: int) -> int:
    """Return the first step from `step` on with so many free slots.

    Any at `before` or later, or the number of steps, where none before it has.
    """
    size = profile.size[0]
    while step < size and profile.times[step] < before:
        block = step // BLOCK
        end = min(size, (block + 1) * BLOCK)
        if profile.most[block] >= slots:
            while step < end:
                if profile.free[step] >= slots:
                    return step
                step += 1
        step = end
    return step


@compiled
def next_shortage(profile: Profile, step: int, slots: int, before: int) -> int:
    """Return the first step from `step` on with fewer free slots.

    Any at `before` or later, or the number of steps, where none before it has.
    """
    size = profile.size[0]
    while step < size and profile.times[step] < before:
        block = step // BLOCK
        end = min(size, (block + 1) * BLOCK)
        if profile.least[block] < slots:
            while step < end:
                if profile.free[step] < slots:
                    return step
                step += 1
        step = end
    return step


@compiled
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
