"""Backfilling on nodes of one slot, which are all alike. Compiled.

What a run has planned stays while jobs only come: the next run plans the newcomers behind it. Most
waiting jobs find no place within the window; places only become fewer while a run plans, so one job
without a place tells the same of all that are as wide and as long.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from campaign.simulation.backfill import BackfillTimes, moved_up, reserved_window
from campaign.simulation.compiled import ZERO, compiled, lean
from campaign.simulation.event_queue import Jobs, Times
from campaign.simulation.nodes import Slots
from campaign.simulation.planning import first_window, next_window
from campaign.simulation.profile import (
    Profile,
    add_slots,
    empty_profile,
    next_room,
    next_shortage,
)
from campaign.simulation.work import GO_ON, NEVER, Running, Work, after, begin, picked

STALE: Any = np.int64(-1)


class Hopeless(NamedTuple):
    """Jobs without a place: those at least `width` wide whose limits are at least `limit`.

    The first `size[0]` pairs count, of growing widths and falling limits.
    """

    width: Times
    limit: Times
    size: Times


class SlotPlan(NamedTuple):
    """What runs have planned for the first `planned[0]` jobs of the queue, unless STALE."""

    profile: Profile
    hopeless: Hopeless
    planned: Times


@compiled
def no_plan(running: Running, queue: Jobs, tests: int) -> SlotPlan:
    """Return room for a plan of `tests` jobs of the queue at most."""
    jobs = min(tests, queue.size)
    room = running.limit_times.size + 2 * jobs + 8
    hopeless = Hopeless(
        np.empty(jobs + 1, np.int64), np.empty(jobs + 1, np.int64), np.zeros(1, np.int64)
    )
    return SlotPlan(empty_profile(room), hopeless, np.full(1, STALE))


@lean
def forget(plan: SlotPlan) -> None:
    """Let the next run plan anew: a job has begun or ended."""
    plan.planned[0] = STALE


@compiled
def backfill_slots(
    work: Work,
    free: Slots,
    running: Running,
    queue: Jobs,
    ends: tuple[int, int],
    now: int,
    rule: int,
    backfill: BackfillTimes,
    plan: SlotPlan,
    same: int,
) -> tuple[int, int]:
    """Backfill the queue between its `ends` on nodes of one slot, which count as one node.

    What is planned holds until `same`. Returns the queue's new end, and until when the same would
    be found.
    """
    first, last = ends
    profile = plan.profile
    if plan.planned[0] == STALE or now >= same:
        same = _plan_anew(
            work.width,
            free[0],
            running.limit_times,
            running.limit_jobs,
            running.size[0],
            now,
            backfill.foresight,
            plan,
        )
    profile.times[0] = now
    kept = looked = first + plan.planned[0]
    started = ZERO
    while looked < last and looked - first < backfill.tests and work.halt[0] == GO_ON:
        job = queue[looked]
        looked += 1
        limit = work.limit[job]
        # A later start neither is planned nor changes until when the same would be found.
        latest = min(max(now, same - 1) + backfill.window, NEVER)
        step = _place(profile, plan.hopeless, work.width[job], limit, latest)
        if step == 0:
            picked(work, free, job, rule)
            begin(work, free, running, job, now)
            add_slots(profile, now, after(now, limit), -work.width[job])
            started += 1
            if started == backfill.starts:
                break
            continue
        queue[kept] = job
        kept += 1
        if step < 0:
            continue
        start = profile.times[step]
        if start > now + backfill.window:
            same = min(same, start - backfill.window)
        else:
            since, until = reserved_window(start, limit, now, backfill.resolution)
            same = min(same, since)
            add_slots(profile, since, until, -work.width[job])
    plan.planned[0] = STALE if started else kept - first
    return moved_up(queue, kept, looked, last), now if started else same


@lean
def _plan_anew(
    width: NDArray[np.int32],
    free: int,
    limit_times: Times,
    limit_jobs: Jobs,
    size: int,
    now: int,
    foresight: int,
    plan: SlotPlan,
) -> int:
    """Plan for no job yet: foresee the slots that are free if jobs run to their limits' windows.

    A job that is over its limit may end any moment. Returns until when that holds.
    """
    times = plan.profile.times
    slots = plan.profile.free
    plan.planned[0] = plan.hopeless.size[0] = 0
    times[0] = now
    slots[0] = free
    last = ZERO
    window = first_window(limit_times[0], foresight)
    index = ZERO
    while index < size:
        ended = ZERO
        until = now + 1
        while index < size and (ended == 0 or limit_times[index] <= window.origin + window.length):
            ended += width[limit_jobs[index]]
            until = max(limit_times[index], now + 1)
            index += 1
        if until > times[last]:
            last += 1
            times[last] = until
            slots[last] = slots[last - 1]
        slots[last] += ended
        if index < size:
            window = next_window(window, limit_times[index])
    plan.profile.size[0] = last + 1
    # From the first limit on, a running job may end any moment, which moves all plans along.
    return limit_times[0] if size > 0 else NEVER


@lean
def _place(profile: Profile, hopeless: Hopeless, width: int, limit: int, latest: int) -> int:
    """Return the step from which on `width` slots are free for `limit`; -1 if not by `latest`."""
    known = ZERO
    while known < hopeless.size[0] and hopeless.width[known] <= width:
        if hopeless.limit[known] <= limit:
            return -1
        known += 1
    times = profile.times
    size = profile.size[0]
    longest = ZERO
    step = next_room(profile, ZERO, width, latest + 1)
    while step < size and times[step] <= latest:
        # A job that would end just as a reservation begins is in its way.
        end = after(times[step], limit) + 1
        short = next_shortage(profile, step + 1, width, end)
        if short >= size or times[short] >= end:
            return step
        longest = max(longest, times[short] - times[step])
        step = next_room(profile, short + 1, width, latest + 1)
    _note(hopeless, known, width, longest)
    return -1


@lean
def _note(hopeless: Hopeless, place: int, width: int, limit: int) -> None:
    """Note that what is at least so wide and so long has no place; narrower ones end at `place`."""
    widths, limits, size = hopeless
    # Wider ones that had none for this limit are known by this one, too.
    behind = place
    while behind < size[0] and limits[behind] >= limit:
        behind += 1
    if place > 0 and widths[place - 1] == width:
        place -= 1
    shift = place + 1 - behind
    if shift > 0:
        for index in range(size[0] - 1, behind - 1, -1):
            widths[index + shift] = widths[index]
            limits[index + shift] = limits[index]
    elif shift < 0:
        for index in range(behind, size[0]):
            widths[index + shift] = widths[index]
            limits[index + shift] = limits[index]
    widths[place] = width
    limits[place] = limit
    size[0] += shift
