"""When and where a waiting job will start, as backfill and select/cons_tres foresee it. Compiled.

The ends of running jobs are foreseen in windows: nodes are looked for after all jobs of a window
have reached their limits, and each window is longer than the one before.
"""

from campaign.simulation.beats import TIME
from campaign.simulation.compiled import ONE, ZERO, lean
from campaign.simulation.node_sets import has, include
from campaign.simulation.site_alike import is_left, wanted_by
from campaign.simulation.site_alike_foresight import longer
from campaign.simulation.site_arrays import RUNNING, RUNS, STAYS, Live, Site
from campaign.simulation.site_choosing import Room, chosen, copy_usage, give
from campaign.simulation.site_plan import PlanChain, choose_in, closing, open_nodes, overlaps
from campaign.simulation.site_reserving import next_end, unreserved
from campaign.simulation.site_running import SECOND
from campaign.simulation.work import GO_ON, NEVER, after


@lean
def gives_way(site: Site, live: Live, job: int, other: int) -> bool:
    """Return whether the running job `other` gives way to `job`."""
    standing = site.jobs.standing
    return (
        live.jobs.status[other] == RUNS
        and live.jobs.end[other] > live.state[TIME]
        and site.above[standing[job], standing[other]]
        and site.classes.becomes[standing[other]] != STAYS
    )


@lean
def planned_start(
    site: Site, live: Live, room: Room, chain: PlanChain, job: int, now: int, now_only: bool
) -> tuple[int, int, int]:
    """Choose the job's nodes; return when it starts there, and 1 if nodes were looked for at all.

    It starts `now`, or later; at NEVER where that is beyond the plan, or not now and `now_only`.
    Returns also when it first might be planned otherwise only because the plan has moved on.
    """
    jobs = site.jobs
    looked = ZERO
    last = chain.horizon
    yielding = site.rules[0].gives_way > 0 and _any_gives_way(site, live, job, now)
    begin = now
    until = NEVER
    while live.halt[0] == GO_ON:
        begin, taken = unreserved(site, live, room, job, begin, 1)
        if begin > last:
            return NEVER, looked, min(until, begin - site.rules[0].window)
        later, beyond = _narrowed(site, room, chain, job, begin, now, last, taken)
        following = later
        if begin == now and not 0 <= later <= beyond:
            # A run that comes later looks further ahead.
            until = beyond - jobs.limit[job]
        if _opened(site, room, job) >= jobs.count[job]:
            looked = ONE
            if begin == now and beyond < NEVER:
                fewer = closing(chain, ZERO, beyond, room.unplanned)
                until = min(until, fewer - jobs.limit[job])
            start = _foreseen(site, live, room, job, begin, later, now, yielding, now_only)
            if (
                start <= now
                and not yielding
                and is_left(live.places, live.left, wanted_by(site, job))
            ):
                start = now + SECOND
                later = ZERO - 1
                until = now
            if start <= now:
                return now, looked, until
            if start < NEVER:
                ends = after(start, jobs.limit[job])
                choose_in(chain, live.places, jobs.place[job], jobs.count[job])
                clash = overlaps(chain, ZERO, start, ends)
                following = start
                if not clash and 0 <= later < start:
                    following = later
                elif not clash:
                    if start > after(now, site.rules[0].window):
                        return NEVER, looked, min(until, start - site.rules[0].window)
                    return (NEVER if now_only else start), looked, until
        if following < 0 or now_only:
            break
        begin = max(following, begin + 1)
    return NEVER, looked, until


@lean
def _narrowed(
    site: Site, room: Room, chain: PlanChain, job: int, begin: int, now: int, last: int, taken: bool
) -> tuple[int, int]:
    """Close what plans have; return when it is worth looking again, -1 where it isn't.

    Returns also when the first piece begins in which plans aren't looked at (`open_nodes`).
    """
    kind = site.jobs.kind[job]
    members = site.members[site.jobs.part[job]]
    room.every[:] = 0
    for node in range(room.opened.size):
        if room.opened[node] and members[node]:
            include(room.every, node)
    end = after(begin, site.jobs.limit[job])
    count = site.jobs.count[job]
    _, later, beyond = open_nodes(chain, ZERO, room.every, room.unplanned, begin, end, count)
    if taken:
        ends = next_end(site, begin, now)
        if 0 < ends < last and (later < 0 or ends < later):
            later = ends
    for node in range(room.opened.size):
        room.opened[node] = site.kinds[kind, node] and has(room.unplanned, node)
    return later, beyond


@lean
def _opened(site: Site, room: Room, job: int) -> int:
    opened = ZERO
    for node in range(room.opened.size):
        opened += room.opened[node]
    return opened


@lean
def _foreseen(
    site: Site,
    live: Live,
    room: Room,
    job: int,
    begin: int,
    later: int,
    now: int,
    yielding: bool,
    now_only: bool,
) -> int:
    """Return when the open nodes have room for the job, from `begin` on; NEVER if not by `later`.

    Its nodes are chosen for that time.
    """
    free = room.foreseen
    copy_usage(live.free, free)
    if begin <= now and chosen(site, live, room, job, free, 0):
        return now
    if now_only and not yielding:
        return NEVER
    size = live.state[RUNNING]
    index = ZERO
    while index < size and live.limit_times[index] < begin:
        give(site, live, free, live.limit_jobs[index])
        index += 1
    if yielding:
        for at in range(index, size):
            if gives_way(site, live, job, live.limit_jobs[at]):
                give(site, live, free, live.limit_jobs[at])
    if (begin > now or index > 0 or yielding) and chosen(site, live, room, job, free, 0):
        # A job that is over its limit may end at any moment.
        return begin if yielding else max(begin, now + SECOND)
    return _in_windows(site, live, room, job, later, now, yielding, index)


@lean
def _in_windows(
    site: Site, live: Live, room: Room, job: int, later: int, now: int, yielding: bool, index: int
) -> int:
    """Let running jobs end, window by window, until the job has room; NEVER if not by `later`."""
    size = live.state[RUNNING]
    foresight = site.rules[0].foresight
    origin = ZERO
    length = foresight
    known = False
    while index < size:
        ended = ZERO - 1
        while index < size and not 0 <= later < live.limit_times[index]:
            other = live.limit_jobs[index]
            time = live.limit_times[index]
            index += 1
            if yielding and gives_way(site, live, job, other):
                continue
            if not _uses(site, live, room, other):
                continue
            if not known:
                # So that it moves with no job's start.
                origin = time + foresight - time % foresight if foresight > 0 else time
                known = True
            ended = time
            give(site, live, room.foreseen, other)
            if index < size and live.limit_times[index] > origin + length:
                break
        if ended < 0:
            return NEVER
        if chosen(site, live, room, job, room.foreseen, site.rules[0].busy_first):
            return max(ended, now + SECOND)
        if index == size or 0 <= later < live.limit_times[index]:
            return NEVER
        if foresight == 0:
            origin = live.limit_times[index]
            continue
        length = longer(length, site.rules[0].linear)
        while live.limit_times[index] > after(origin, length) and length < NEVER // 2:
            length = longer(length, site.rules[0].linear)
    return NEVER


@lean
def _any_gives_way(site: Site, live: Live, job: int, now: int) -> bool:
    for index in range(live.state[RUNNING]):
        if gives_way(site, live, job, live.limit_jobs[index]):
            return True
    return False


@lean
def _uses(site: Site, live: Live, room: Room, job: int) -> bool:
    for at in range(site.jobs.place[job], site.jobs.place[job] + site.jobs.count[job]):
        if room.opened[live.places.nodes[at]]:
            return True
    return False
