"""Plans when and where a waiting job will start, node by node, as Slurm's backfill does. Compiled.

Reservations close whole nodes: they are pieces of the time to come, with the nodes that are closed
in each. The ends of running jobs are foreseen in windows: slots are looked for after all jobs of a
window have reached their limits, and each window is twice as long as the one before. So the farther
away a start is, the later it is planned (backfill.c, and job_test.c of select/cons_tres).
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from campaign.simulation.compiled import ONE, ZERO, compiled, lean
from campaign.simulation.event_queue import Times
from campaign.simulation.nodes import Slots
from campaign.simulation.work import GO_ON, NEVER, Running, Work, after, give, picked

SOON: Any = np.int64(1_000_000_000)
"""The time (ns) after which a job may start on nodes that another one is leaving."""
UNKNOWN: Any = np.int64(-1)
Flags = NDArray[np.bool_]


class Pieces(NamedTuple):
    """The first `size[0]` pieces of the time to come, with room for more.

    Piece i is from times[i] until times[i + 1]; closed[i] has a flag for each node.
    """

    times: Times
    closed: Flags
    size: Times


class Scratch(NamedTuple):
    """Room for a value per node: whether it is open, and slots of two kinds."""

    opened: Flags
    foreseen: Slots
    usable: Slots


class LimitWindow(NamedTuple):
    """A window of running jobs' limits: it ends `length` after `origin`."""

    origin: int
    length: int


@lean
def first_window(limit: int, foresight: int) -> LimitWindow:
    """Return the window of the first `limit` that is looked at; with a `foresight` of 0, it alone.

    Its origin is the next multiple of `foresight`, so that it moves with no job's start.
    """
    if foresight == 0:
        return LimitWindow(limit, ZERO)
    return LimitWindow(limit + foresight - limit % foresight, foresight)


@lean
def next_window(window: LimitWindow, limit: int) -> LimitWindow:
    """Return the window after `window`, in which the next `limit` is: twice as long, or longer."""
    if window.length == 0:
        return LimitWindow(limit, ZERO)
    length = 2 * window.length
    while limit > after(window.origin, length) and length < NEVER // 2:
        length *= 2
    return LimitWindow(window.origin, length)


@compiled
def scratch_of(free: Slots) -> Scratch:
    """Return room for as many nodes."""
    return Scratch(np.zeros(free.size, np.bool_), np.zeros_like(free), np.zeros_like(free))


@compiled
def no_reservations(nodes: int, begin: int, end: int, jobs: int) -> Pieces:
    """Return one piece in which all `nodes` are open, with room for reservations of `jobs` jobs."""
    times = np.empty(2 * jobs + 3, np.int64)
    times[0] = begin
    times[1] = max(begin, end)
    size = np.ones(1, np.int64)
    return Pieces(times, np.zeros((2 * jobs + 2, nodes), np.bool_), size)


@compiled
def close_nodes(pieces: Pieces, since: int, until: int, work: Work, job: int) -> None:
    """Close a job's chosen nodes from `since` until `until`, as far as there are pieces."""
    since = max(since, pieces.times[0])
    if since >= min(until, pieces.times[pieces.size[0]]):
        return
    first = _cut(pieces, since)
    last = _cut(pieces, min(until, pieces.times[pieces.size[0]]))
    for piece in range(first, last):
        for place in range(work.place[job], work.place[job] + work.spread[job]):
            pieces.closed[piece, work.nodes[place]] = True


@compiled
def _cut(pieces: Pieces, time: int) -> int:
    """Let a piece begin at `time`, and return its number; that of the end if it is the end."""
    size = pieces.size[0]
    number = np.searchsorted(pieces.times[: size + 1], time)
    if pieces.times[number] == time:
        return int(number)
    for piece in range(size, number - 1, -1):
        pieces.times[piece + 1] = pieces.times[piece]
    for piece in range(size, number - 1, -1):
        pieces.closed[piece] = pieces.closed[piece - 1]
    pieces.times[number] = time
    pieces.size[0] = size + 1
    return int(number)


@compiled
def planned_start(
    work: Work,
    job: int,
    rule: int,
    free: Slots,
    left: Slots,
    running: Running,
    pieces: Pieces,
    scratch: Scratch,
    now: int,
    window: int,
    foresight: int,
) -> tuple[int, int]:
    """Choose the job's nodes; return when it starts there, and 1 if slots were looked for at all.

    It starts `now`, or later; at NEVER where that is beyond the pieces or `window`. `left` counts,
    by node, the jobs that have ended there whose slots aren't free yet.
    """
    looked = ZERO
    begin = now
    while begin <= pieces.times[pieces.size[0]] and work.halt[0] == GO_ON:
        end = after(begin, work.limit[job])
        opened, later = _open_nodes(pieces, begin, end, scratch.opened)
        following = later
        if opened >= work.spread[job]:
            looked = ONE
            start = _foreseen(work, job, rule, free, running, scratch, begin, later, now, foresight)
            if start <= now and _is_left(work, left, job):
                start = now + SOON
                later = UNKNOWN
            if start <= now:
                return now, looked
            if start < NEVER:
                following = start
                overlaps = _overlaps(pieces, start, after(start, work.limit[job]), work, job)
                if not overlaps and later >= 0 and start > later:
                    following = later
                elif not overlaps:
                    return (start if start <= after(now, window) else NEVER), looked
        if following < 0:
            break
        begin = max(following, begin + 1)
    return NEVER, looked


@compiled
def _open_nodes(pieces: Pieces, begin: int, end: int, opened: Flags) -> tuple[int, int]:
    """Flag the nodes that no reservation closes from `begin` to `end`.

    Returns their number, and the next time at which others may be open; UNKNOWN where there is
    none.
    """
    later = UNKNOWN
    opened[:] = True
    size = pieces.size[0]
    for piece in range(size):
        ends = pieces.times[piece + 1]
        if ends <= begin:
            continue
        if later < 0 and piece + 1 < size and _opens(pieces.closed, piece, opened):
            later = ends
        if pieces.times[piece] > end:
            if later < 0 and piece + 2 < size:
                later = pieces.times[piece + 2]
            break
        for node in range(opened.size):
            opened[node] &= not pieces.closed[piece, node]
    return opened.sum(), later


@compiled
def _opens(closed: Flags, piece: int, opened: Flags) -> bool:
    """Return whether some node is open in the next piece that isn't by the end of this one."""
    for node in range(opened.size):
        if not closed[piece + 1, node] and not (opened[node] and not closed[piece, node]):
            return True
    return False


@compiled
def _overlaps(pieces: Pieces, since: int, until: int, work: Work, job: int) -> bool:
    """Return whether one of the job's chosen nodes is closed meanwhile."""
    for piece in range(pieces.size[0]):
        if pieces.times[piece + 1] > since and pieces.times[piece] < until:
            for place in range(work.place[job], work.place[job] + work.spread[job]):
                if pieces.closed[piece, work.nodes[place]]:
                    return True
    return False


@compiled
def _foreseen(
    work: Work,
    job: int,
    rule: int,
    free: Slots,
    running: Running,
    scratch: Scratch,
    begin: int,
    later: int,
    now: int,
    foresight: int,
) -> int:
    """Return when the open nodes have room for the job, from `begin` on; NEVER if not by `later`.

    Its nodes are chosen for that time.
    """
    foreseen = scratch.foreseen
    foreseen[:] = free
    if begin <= now and _picked_of(work, scratch, job, rule):
        return now
    size = running.size[0]
    index = ZERO
    while index < size and running.limit_times[index] < begin:
        give(work, foreseen, running.limit_jobs[index])
        index += 1
    if (begin > now or index > 0) and _picked_of(work, scratch, job, rule):
        # A job that is over its limit may end at any moment.
        return max(begin, now + SOON)
    known = False
    window = first_window(now, foresight)
    while index < size:
        ended = UNKNOWN
        while index < size and not 0 <= later < running.limit_times[index]:
            other = running.limit_jobs[index]
            time = running.limit_times[index]
            index += 1
            if not _uses(work, scratch.opened, other):
                continue
            if not known:
                window = first_window(time, foresight)
                known = True
            ended = time
            give(work, foreseen, other)
            if index < size and running.limit_times[index] > window.origin + window.length:
                break
        if ended < 0:
            return NEVER
        if _picked_of(work, scratch, job, rule):
            return max(ended, now + SOON)
        if index == size or 0 <= later < running.limit_times[index]:
            return NEVER
        window = next_window(window, running.limit_times[index])
    return NEVER


@compiled
def _picked_of(work: Work, scratch: Scratch, job: int, rule: int) -> bool:
    """Choose the job's nodes among the open ones, by the slots that are foreseen there."""
    for node in range(scratch.opened.size):
        scratch.usable[node] = scratch.foreseen[node] if scratch.opened[node] else 0
    return picked(work, scratch.usable, job, rule)


@compiled
def _uses(work: Work, opened: Flags, job: int) -> bool:
    for place in range(work.place[job], work.place[job] + work.spread[job]):
        if opened[work.nodes[place]]:
            return True
    return False


@compiled
def _is_left(work: Work, left: Slots, job: int) -> bool:
    """Return True if another job is still leaving one of the nodes chosen for this one."""
    for place in range(work.place[job], work.place[job] + work.spread[job]):
        if left[work.nodes[place]] > 0:
            return True
    return False
