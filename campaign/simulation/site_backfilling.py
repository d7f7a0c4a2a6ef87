"""A run of sched/backfill: starts what delays no planned job, plans the others. Compiled."""

import numpy as np

from campaign.simulation.backfill import BackfillTimes
from campaign.simulation.beats import (
    BEATS,
    CHANGED,
    LAST_BACKFILL,
    SAME_UNTIL,
    TIME,
    backfilled,
)
from campaign.simulation.compiled import ONE, ZERO, compiled, lean
from campaign.simulation.site_alike import AlikeNodes, wanted_by
from campaign.simulation.site_alike_foresight import Foresight, foreseen_of, planned_alike
from campaign.simulation.site_arrays import (
    KEPT_UNTIL,
    NOBODY,
    QUEUED,
    RUNNING,
    Ints,
    Live,
    Site,
)
from campaign.simulation.site_choosing import Room
from campaign.simulation.site_foresight import planned_start
from campaign.simulation.site_found_before import (
    FoundBefore,
    begin_plan,
    close_plan,
    is_found_again,
    note_found,
    note_planned,
)
from campaign.simulation.site_in_order import array_is_full
from campaign.simulation.site_people import Crowd, held_back
from campaign.simulation.site_plan import PlanChain, choose_in, close_nodes, no_plans, slot
from campaign.simulation.site_preempting import preempted
from campaign.simulation.site_queueing import waiting
from campaign.simulation.site_reasons import ARRAY_LIMIT, DEPTH, GIVING_WAY, RESOURCES, WINDOW
from campaign.simulation.site_running import SECOND, Ends, begin, leave_queue, note
from campaign.simulation.work import GO_ON, NEVER


@compiled
def backfill(
    site: Site,
    live: Live,
    crowd: Crowd,
    room: Room | None,
    alike: AlikeNodes | None,
    before: FoundBefore | None,
    ends: Ends,
    times: BackfillTimes,
    now: int,
) -> None:
    """Plan the queue anew: start what delays no job before it, and plan nodes for the rest.

    Where nodes are `alike`, they are looked at as such, and what runs `before` found may be found
    again.
    """
    rules = site.rules[0]
    live.state[LAST_BACKFILL] = live.state[TIME]
    live.state[CHANGED] = 0
    queue = waiting(site, live, crowd, now)
    chain = no_plans(site, now, queue.size)
    counts = _no_counts(site)
    same = live.limit_times[0] if live.state[RUNNING] > 0 else NEVER
    kept = same - SECOND
    ahead = _ahead_of(site, live, alike, before, now, ZERO)
    tested = started = planned = ZERO
    for index in range(queue.size):
        job = queue[index]
        if tested >= rules.tests or live.halt[0] != GO_ON:
            _note_rest(site, live, queue, index)
            break
        once = not _may_reserve(site, live, counts, job, now)
        reason = _not_looked_at(site, live, crowd, counts, job)
        if reason > 0:
            note(site, live, job, reason)
            continue
        start, looked, until = _start_of(
            site, live, room, alike, before, ahead, chain, job, now, once
        )
        tested += looked
        kept = min(kept, until)
        if start < NEVER:
            reason = held_back(site, live, crowd, job, site.jobs.count[job])
        if reason > 0 and (start == now or not rules.limits_stop):
            note(site, live, job, reason)
            continue
        if start == now and not _gives_room(site, live, room, ends, job, now):
            begin(site, live, crowd, ends, job, now)
            started += 1
            ahead = _ahead_of(site, live, alike, before, now, started)
            if started == rules.starts:
                break
            continue
        note(site, live, job, WINDOW if start == NEVER else RESOURCES)
        planned = ONE
        if start < NEVER and not once:
            if rules.records > 0 and chain.size[1] >= rules.records:
                break
            since, until = _planned(site, live, before, chain, counts, job, (start, until), now)
            same = min(same, since)
            kept = min(kept, until)
    leave_queue(live)
    # On a machine, jobs that are held back are no change by themselves.
    live.state[BEATS] = planned if times.kernel else min(ONE, live.state[QUEUED])
    backfilled(live.state, times, tested, started)
    _keep(live.state, same, kept, now if started else NEVER)


@lean
def _keep(state: Ints, same: int, kept: int, most: int) -> None:
    """Note until when the same would be found, by itself and as the plan moves on."""
    state[SAME_UNTIL] = min(same, most)
    state[KEPT_UNTIL] = min(same, kept, most)


@compiled
def _ahead_of(
    site: Site,
    live: Live,
    alike: AlikeNodes | None,
    before: FoundBefore | None,
    now: int,
    started: int,
) -> Foresight:
    """Return what running jobs will leave, of which so many were started in this run."""
    if before is not None:
        if started:
            close_plan(before)
        else:
            begin_plan(before, live, now)
    return foreseen_of(site, live, alike)


@lean
def _start_of(
    site: Site,
    live: Live,
    room: Room | None,
    alike: AlikeNodes | None,
    before: FoundBefore | None,
    ahead: Foresight,
    chain: PlanChain,
    job: int,
    now: int,
    now_only: bool,
) -> tuple[int, int, int]:
    """Choose the job's nodes, and return what `planned_start` does."""
    if room is not None:
        return planned_start(site, live, room, chain, job, now, now_only)
    if alike is None or before is None:
        return NEVER, ZERO, NEVER
    if site.rules[0].settles and is_found_again(before, chain, job, now, now_only):
        known = before.jobs
        return known.start[job], known.looked[job], known.until[job]
    wanted = wanted_by(site, job)
    start, looked, until = planned_alike(
        live.halt, alike, ahead, chain, live.places, live.left, wanted, now, now_only
    )
    note_found(before, job, now_only, start, looked, until)
    return start, looked, until


@lean
def _not_looked_at(site: Site, live: Live, crowd: Crowd, counts: Ints, job: int) -> int:
    """Return for which reason nodes aren't looked for at all; 0 where they are."""
    if array_is_full(site, live, job):
        return ARRAY_LIMIT
    reason = held_back(site, live, crowd, job, ZERO)
    if reason == 0 and _too_many(site, live, counts, job):
        return DEPTH
    return reason


@compiled
def _gives_room(site: Site, live: Live, room: Room | None, ends: Ends, job: int, now: int) -> bool:
    """Return whether the job, to start now, waits for others that give way to it."""
    if room is None or not site.rules[0].gives_way or _has_room(site, live, job):
        return False
    preempted(site, live, room, ends, job, now)
    note(site, live, job, GIVING_WAY)
    return True


@lean
def _has_room(site: Site, live: Live, job: int) -> bool:
    """Return whether what the job would have on its chosen nodes is free."""
    jobs = site.jobs
    for at in range(jobs.place[job], jobs.place[job] + jobs.count[job]):
        node = live.places.nodes[at]
        memory = max(jobs.node_memory[job], jobs.slot_memory[job] * live.places.amounts[at])
        if (
            live.places.amounts[at] > live.free.slots[node]
            or live.places.cards[at] > live.free.gpus[node]
            or memory > live.free.memory[node]
        ):
            return False
    return True


@lean
def _planned(
    site: Site,
    live: Live,
    before: FoundBefore | None,
    chain: PlanChain,
    counts: Ints,
    job: int,
    found: tuple[int, int],
    now: int,
) -> tuple[int, int]:
    """Plan the job's nodes for it; return from when on, and when that might be done otherwise.

    It might once the end of all plans, a window from the present, has come to where this one ends.
    Its start was `found`, as it would be until a time.
    """
    rules = site.rules[0]
    start, kept = found
    since, until = slot(start, site.jobs.limit[job], now, rules.resolution)
    if start <= now:
        choose_in(chain, live.places, site.jobs.place[job], site.jobs.count[job])
    close_nodes(chain, since, until)
    counts[3, site.jobs.part[job]] += 1
    kept = min(kept, since - SECOND)
    if since >= chain.horizon:
        kept = min(kept, since - rules.window)
    elif until >= chain.horizon:
        kept = min(kept, until - rules.window)
    if before is not None:
        note_planned(before, chain, job, kept)
    return since, kept


@lean
def _note_rest(site: Site, live: Live, queue: Ints, first: int) -> None:
    if not site.rules[0].records_reasons:
        return
    for index in range(first, queue.size):
        note(site, live, queue[index], DEPTH)


@compiled
def _no_counts(site: Site) -> Ints:
    """Return rows of zeros, in which jobs are counted by user, partition, account, and plans.

    The last row is of users by partition.
    """
    partitions = site.tier.size
    return np.zeros((4 + partitions, max(partitions, site.rules[0].people)), np.int64)


@lean
def _may_reserve(site: Site, live: Live, counts: Ints, job: int, now: int) -> bool:
    """Return whether nodes may be planned for the job, not only given to it now."""
    rules = site.rules[0]
    if rules.least_age > 0 and now - live.jobs.since[job] < rules.least_age:
        return False
    if 0 < rules.least_priority > live.jobs.priority[job]:
        return False
    if site.jobs.unreserving[job]:
        return False
    partition = site.jobs.part[job]
    return not 0 < rules.plans_of_partition <= counts[3, partition]


@lean
def _too_many(site: Site, live: Live, counts: Ints, job: int) -> bool:
    """Return whether as many jobs of its user, partition or account were looked at as may be.

    Otherwise, the job is counted.
    """
    rules = site.rules[0]
    user = max(ZERO, site.jobs.user[job])
    partition = site.jobs.part[job]
    account = site.jobs.account[job]
    if (
        0 < rules.of_user_in_partition <= counts[4 + partition, user]
        or 0 < rules.of_partition <= counts[1, partition]
        or 0 < rules.of_user <= counts[0, user]
        or (account != NOBODY and 0 < rules.of_account <= counts[2, account])
    ):
        return True
    counts[4 + partition, user] += 1
    counts[1, partition] += 1
    counts[0, user] += 1
    if account != NOBODY:
        counts[2, account] += 1
    return False
