"""What reservations leave to a job. Compiled.

As slurmctld's job_test_resv: a job has the nodes of its own reservation, without those that another
one takes meanwhile; a job without one has those that no reservation takes before its limit.
"""

from campaign.simulation.compiled import ZERO, lean
from campaign.simulation.site_arrays import NOBODY, Live, Site
from campaign.simulation.site_choosing import Room
from campaign.simulation.site_running import SECOND
from campaign.simulation.work import NEVER, after

TRIES = 10
"""How often a job is moved to the end of a reservation that takes all nodes."""


@lean
def unreserved(
    site: Site, live: Live, room: Room, job: int, when: int, moves: int
) -> tuple[int, bool]:
    """Open the nodes that the job may have from `when` on; return when, and whether any are taken.

    The time is NEVER where it may have none; with `moves`, it may be a later one than asked for.
    """
    own = site.jobs.reservation[job]
    if own != NOBODY:
        return _of_its_own(site, live, room, job, own, when)
    for _ in range(TRIES + 1):
        for node in range(live.up.size):
            room.opened[node] = live.up[node]
        until = after(when, site.jobs.limit[job])
        taken, ends = _closed(site, room, job, when, until)
        if ends < 0:
            return when, taken
        if not moves:
            break
        when = ends
    return NEVER, False


@lean
def next_end(site: Site, when: int, now: int) -> int:
    """Return just after when a reservation ends next, on a multiple of the plan's resolution.

    0 where none does.
    """
    ends = ZERO
    reserved = site.reserved
    for number in range(reserved.size):
        end = reserved.end[number]
        if end > now and end >= when and (ends == 0 or end < ends):
            ends = end
    if ends == 0:
        return ends
    resolution = site.rules[0].resolution
    return (ends + resolution - 1) // resolution * resolution + SECOND


@lean
def _of_its_own(
    site: Site, live: Live, room: Room, job: int, own: int, when: int
) -> tuple[int, bool]:
    reserved = site.reserved
    if when < reserved.begin[own] or when >= reserved.end[own]:
        return NEVER, False
    taken = False
    until = after(when, site.jobs.limit[job])
    for node in range(room.opened.size):
        room.opened[node] = live.up[node] and site.reserved_nodes[own, node]
    for other in range(reserved.size):
        if other == own or reserved.maintenance[own]:
            continue
        if reserved.begin[other] < until and reserved.end[other] > when:
            for node in range(room.opened.size):
                if room.opened[node] and site.reserved_nodes[other, node]:
                    room.opened[node] = False
                    taken = True
    return when, taken


@lean
def _closed(site: Site, room: Room, job: int, when: int, until: int) -> tuple[bool, int]:
    """Close reserved nodes; return whether any are of the job's partition, and -1.

    Instead of -1, the end of a reservation that takes all of them is returned.
    """
    reserved = site.reserved
    members = site.members[site.jobs.part[job]]
    taken = False
    for number in range(reserved.size):
        if reserved.begin[number] >= until or reserved.end[number] <= when:
            continue
        left = overlap = False
        for node in range(members.size):
            if members[node]:
                left = left or not site.reserved_nodes[number, node]
                overlap = overlap or site.reserved_nodes[number, node]
        if reserved.everything[number] or (reserved.maintenance[number] and not left):
            return taken, reserved.end[number]
        taken = taken or overlap
        for node in range(members.size):
            if site.reserved_nodes[number, node]:
                room.opened[node] = False
    return taken, ZERO - 1
