"""A run through the queue in order, as slurmctld's main scheduler makes it. Compiled.

The first job of a partition that doesn't fit now, though it could on what is there, keeps the
partition's nodes for itself: no later job of the partition is tried, and none of another gets them.
"""

import numpy as np

from campaign.simulation.beats import SHOWN, UNSEEN, change
from campaign.simulation.compiled import ONE, ZERO, compiled, lean
from campaign.simulation.limits import NO_NODES
from campaign.simulation.site_alike import AlikeNodes, fits_now
from campaign.simulation.site_arrays import (
    NOBODY,
    WAITS,
    Flags,
    Ints,
    Live,
    Site,
)
from campaign.simulation.site_choosing import Room, chosen
from campaign.simulation.site_people import Crowd, held_back
from campaign.simulation.site_preempting import preempted
from campaign.simulation.site_queueing import waiting
from campaign.simulation.site_reasons import (
    ARRAY_LIMIT,
    DEPTH,
    GIVING_WAY,
    NODES_NOT_THERE,
    PRIORITY,
    RESERVATION,
    RESOURCES,
)
from campaign.simulation.site_reserving import unreserved
from campaign.simulation.site_running import Ends, begin, leave_queue, note
from campaign.simulation.work import NEVER


@compiled
def run_in_order(
    site: Site,
    live: Live,
    crowd: Crowd,
    room: Room | None,
    alike: AlikeNodes | None,
    ends: Ends,
    now: int,
    full: bool,
) -> None:
    """Start jobs in their order; a run that isn't `full` looks at so many of them."""
    rules = site.rules[0]
    queue = waiting(site, live, crowd, now)
    there = np.ones(live.up.size, np.bool_)
    failed = np.zeros(site.tier.size, np.bool_)
    closed = np.zeros(site.reserved.size, np.bool_)
    of_partition = np.zeros(failed.size, np.int64)
    only_one = site.tier.size == 1 and site.reserved.size == 0
    seen = started = ZERO
    live.state[UNSEEN] = 0
    for index in range(queue.size):
        job = queue[index]
        partition = site.jobs.part[job]
        if rules.most_starts > 0 and started >= rules.most_starts:
            live.state[UNSEEN] = 1
            break
        if array_is_full(site, live, job):
            note(site, live, job, ARRAY_LIMIT)
            continue
        of_partition[partition] += 1
        if 0 < rules.partition_depth < of_partition[partition]:
            note(site, live, job, PRIORITY)
            continue
        if seen == rules.depth and not full:
            live.state[UNSEEN] = _unseen(site, live, queue, index, failed, closed)
            break
        seen += 1
        if _comes_later(site, live, job, failed, closed):
            continue
        if _started(site, live, crowd, room, alike, ends, job, now, there):
            started += 1
            change(live.state, live.state[SHOWN])
            continue
        if _blocks(site, live, room, job, now, there):
            _close(site, job, failed, there)
            if only_one and not rules.records_reasons:
                break
        elif site.jobs.reservation[job] != NOBODY:
            _close_reservation(site, live, job, closed, there)
    leave_queue(live)


@lean
def array_is_full(site: Site, live: Live, job: int) -> bool:
    """Return whether as many tasks of the job's array run as may."""
    array = site.jobs.array[job]
    if array == NOBODY or site.jobs.at_once[job] == 0:
        return False
    return live.tasks[array] >= site.jobs.at_once[job]


@lean
def _unseen(site: Site, live: Live, queue: Ints, first: int, failed: Flags, closed: Flags) -> int:
    """Return 1 if a run that went on from `first` on might start a job, else 0."""
    unseen = ZERO
    for index in range(first, queue.size):
        if not _comes_later(site, live, queue[index], failed, closed):
            note(site, live, queue[index], DEPTH)
            unseen = ONE
    return unseen


@lean
def _comes_later(site: Site, live: Live, job: int, failed: Flags, closed: Flags) -> bool:
    """Return whether an earlier job of the same partition or reservation waits."""
    reservation = site.jobs.reservation[job]
    late = failed[site.jobs.part[job]] if reservation == NOBODY else closed[reservation]
    if late:
        note(site, live, job, PRIORITY)
    return late


@compiled
def _started(
    site: Site,
    live: Live,
    crowd: Crowd,
    room: Room | None,
    alike: AlikeNodes | None,
    ends: Ends,
    job: int,
    now: int,
    there: Flags,
) -> bool:
    """Start the job if it may and fits; else note why it waits."""
    reason = held_back(site, live, crowd, job, ZERO)
    if reason > 0:
        note(site, live, job, reason)
        return False
    note(site, live, job, RESOURCES)
    fits = False
    if room is not None:
        when, _ = unreserved(site, live, room, job, now, 0)
        if when == NEVER:
            note(site, live, job, RESERVATION)
            return False
        for node in range(there.size):
            room.opened[node] = room.opened[node] and there[node] and live.left[node] == 0
        fits = chosen(site, live, room, job, live.free, 0)
    if alike is not None:
        fits = fits_now(site, live, alike, job, there)
    reason = held_back(site, live, crowd, job, site.jobs.count[job] if fits else NO_NODES)
    if reason > 0:
        note(site, live, job, reason)
        return False
    if fits:
        begin(site, live, crowd, ends, job, now)
        return True
    if room is not None and site.rules[0].gives_way and preempted(site, live, room, ends, job, now):
        note(site, live, job, GIVING_WAY)
    return False


@lean
def _blocks(site: Site, live: Live, room: Room | None, job: int, now: int, there: Flags) -> bool:
    """Return whether the job that wasn't started keeps its partition for itself.

    It does if it could start now on the nodes that are there, if they were idle; and if too few of
    its partition are there at all. Without `room`, all nodes are alike and there.
    """
    rules = site.rules[0]
    members = site.members[site.jobs.part[job]]
    reason = live.jobs.reason[job]
    blocks = True
    if reason > GIVING_WAY:
        blocks = rules.limits_stop > 0
    elif room is not None and _count(members, live.up, there) >= site.jobs.count[job]:
        when, _ = unreserved(site, live, room, job, now, 0)
        for node in range(there.size):
            room.opened[node] = room.opened[node] and there[node]
        if when == NEVER or not chosen(site, live, room, job, site.total, 0):
            if reason == RESOURCES:
                note(site, live, job, NODES_NOT_THERE)
            blocks = False
    if site.jobs.reservation[job] != NOBODY:
        return False
    if blocks and rules.least_age > 0 and now - live.jobs.since[job] < rules.least_age:
        blocks = False
    return blocks and not 0 < rules.least_priority > live.jobs.priority[job]


@lean
def _count(members: Flags, up: Flags, there: Flags) -> int:
    count = ZERO
    for node in range(members.size):
        count += members[node] and up[node] and there[node]
    return count


@lean
def _close(site: Site, job: int, failed: Flags, there: Flags) -> None:
    partition = site.jobs.part[job]
    failed[partition] = True
    for node in range(there.size):
        if site.members[partition, node]:
            there[node] = False


@lean
def _close_reservation(site: Site, live: Live, job: int, closed: Flags, there: Flags) -> None:
    """Let no later job of the reservation be tried, and none have its nodes if it isn't usable."""
    reservation = site.jobs.reservation[job]
    if live.jobs.reason[job] == RESERVATION:
        for node in range(there.size):
            if site.reserved_nodes[reservation, node]:
                there[node] = False
    elif live.jobs.status[job] == WAITS:
        closed[reservation] = True
