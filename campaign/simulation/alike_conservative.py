"""Conservative backfilling on nodes of one slot, which are all alike. Compiled.

The schedule is that of `ideal.run_conservative`, but only what can have changed is looked at. A
waiting job can move only to where its slots are free beside all reservations, up to the begin of
its own. It was looked for before, so only what was given back since can make room.
"""

import numpy as np

from campaign.simulation.compiled import ZERO, compiled, lean
from campaign.simulation.event_queue import Jobs
from campaign.simulation.ideal import next_event
from campaign.simulation.nodes import Slots
from campaign.simulation.profile import (
    Profile,
    add_slots,
    drop_past,
    empty_profile,
    first_room,
    roomy,
    start_level,
)
from campaign.simulation.work import (
    GO_ON,
    NEVER,
    NOWHERE,
    QueueOrder,
    Running,
    Work,
    after,
    arrive,
    begin,
    finish,
    none_running,
    picked,
    sort_queue,
)


@compiled
def run_conservative_slots(work: Work, free: Slots, rule: int, order: QueueOrder) -> None:
    """Serve jobs by conservative backfilling on nodes of one slot, which count as one node.

    Fills in `work.start` and the nodes of all jobs.
    """
    running = none_running(work, free)
    queue = np.empty(work.submit.size, np.int64)
    profile = empty_profile(64)
    start_level(profile, ZERO, free[0])
    last = arrived = moved = ZERO
    # A reservation may begin when nothing ends any more: what it was behind has moved towards now.
    due = NEVER
    while (arrived < work.submit.size or running.size[0] > 0 or last > 0) and work.halt[0] == GO_ON:
        now = min(next_event(work, running, arrived), due)
        drop_past(profile, now)
        profile, freed = _give_back(work, free, running, profile, now)
        known = last
        last, arrived = arrive(work, queue, last, arrived, now)
        if order.dynamic:
            sort_queue(work, queue, 0, last, now, order)
            known = ZERO
        profile = roomy(profile, 4 * last)
        if freed > 0:
            moved = _plan(work, profile, queue, ZERO, last, max(freed, moved))
        else:
            _plan(work, profile, queue, known, last, ZERO)
        due = NEVER
        kept = ZERO
        for index in range(last):
            job = queue[index]
            if work.start[job] == now:
                picked(work, free, job, rule)
                begin(work, free, running, job, now)
            else:
                due = min(due, work.start[job])
                queue[kept] = job
                kept += 1
        last = kept


@compiled
def _give_back(
    work: Work, free: Slots, running: Running, profile: Profile, now: int
) -> tuple[Profile, int]:
    """Let the jobs end that end `now`, and free what is left of their reservations.

    Returns the profile, and until when something was freed; 0 where nothing was.
    """
    freed = ZERO
    while running.size[0] > 0 and running.ends[0][0] == now:
        job = finish(work, free, running)
        until = after(work.start[job], work.limit[job])
        if until > now:
            profile = roomy(profile, 2)
            add_slots(profile, now, until, work.width[job])
            freed = max(freed, until)
    return profile, freed


@lean
def _plan(work: Work, profile: Profile, queue: Jobs, first: int, last: int, freed: int) -> int:
    """Reserve places for newcomers in a part of the queue, and earlier ones for others.

    What was given back since they were looked at is before `freed`. Returns until when those that
    move give back more; 0 where none moves.
    """
    moved = ZERO
    for index in range(first, last):
        job = queue[index]
        width = work.width[job]
        limit = work.limit[job]
        begun = work.start[job]
        if begun == NOWHERE:
            start = first_room(profile, width, limit, NEVER, NEVER)
            add_slots(profile, start, after(start, limit), -width)
        else:
            start = first_room(profile, width, limit, begun, max(freed, moved))
            if start == begun:
                continue
            # Where the two places overlap, nothing changes.
            ends = after(start, limit)
            moved = max(moved, after(begun, limit))
            add_slots(profile, max(begun, ends), after(begun, limit), width)
            add_slots(profile, start, min(begun, ends), -width)
        work.start[job] = start
    return moved
