"""Decides on a cluster with levers as a real scheduler does, by its clock. Compiled.

The moments are those of `clocked`: a run in order once a job has come or gone, granted on the
clock's next stroke; one over the whole queue, and a backfill run, at their intervals.
"""

import heapq

from campaign.simulation.backfill import BackfillTimes
from campaign.simulation.beats import (
    ASKED,
    ASKED_DUE,
    BACKFILL_DUE,
    CHANGED,
    FULL_DUE,
    LAST_BACKFILL,
    LAST_FULL,
    LAST_RUN,
    RUN_DUE,
    SHOWN,
    TIME,
    UNSEEN,
    WANTED,
    LoopTimes,
    backfill_nothing,
    granted,
    keep_late_beat,
    keeps_beat,
    pass_time,
    reads,
    run_nothing,
    set_alarms,
    start_clock,
)
from campaign.simulation.compiled import ZERO, compiled, lean
from campaign.simulation.site_alike import AlikeNodes
from campaign.simulation.site_arrays import (
    DOWN,
    ENDED,
    GAVE_WAY,
    KEPT_UNTIL,
    LAST_NEWS,
    LOST_NODE,
    MOVED,
    NEXT_CHANGE,
    NOBODY,
    QUEUED,
    REQUEUED,
    RUNNING,
    RUNS,
    UP,
    WAITS,
    Live,
    Site,
)
from campaign.simulation.site_backfilling import backfill
from campaign.simulation.site_choosing import Room
from campaign.simulation.site_found_before import FoundBefore
from campaign.simulation.site_in_order import run_in_order
from campaign.simulation.site_people import Crowd, let_in, rank_next, ranked
from campaign.simulation.site_queueing import hopeless, others_ended, still_in_order
from campaign.simulation.site_running import Ends, cut_short, enqueue, finish, news, requeue
from campaign.simulation.work import GO_ON, NEVER, TOO_FAR, after


@compiled
def run_site(
    live: Live,
    site: Site,
    crowd: Crowd,
    room: Room | None,
    alike: AlikeNodes | None,
    before: FoundBefore | None,
    loop: LoopTimes,
    beat: BackfillTimes,
) -> None:
    """Fill in what becomes of all jobs of the site, whose nodes may be alike.

    What backfill runs have found `before` is kept where they are.
    """
    jobs = live.submit.size
    state = live.state
    ends = [(NEVER, NEVER) for _ in range(0)]  # empty, but of a type that Numba can tell
    returns = [(NEVER, NEVER) for _ in range(0)]  # jobs whose users think
    start_clock(state, loop)
    arrived = _next_open(site, ZERO)
    while live.halt[0] == GO_ON:
        coming = live.submit[arrived] if arrived < jobs else NEVER
        if len(returns) > 0:
            coming = min(coming, returns[0][0])
        over = coming == NEVER
        until = min(coming, _next_event(site, live, ends))
        if site.rules[0].settles and state[QUEUED] > 0 and until < NEVER:
            _skip_idle_runs(site, live, crowd, loop, beat, until)
        set_alarms(state, state[QUEUED] > 0, not site.rules[0].prompt, loop, beat)
        if over and state[RUNNING] == 0:
            keep_late_beat(state, loop)
        now = min(until, state[RUN_DUE], state[ASKED_DUE], state[FULL_DUE], state[BACKFILL_DUE])
        if over and state[RUNNING] == 0 and _is_over(site, live, beat, loop.depth):
            break
        if now >= NEVER:
            live.halt[0] = TOO_FAR if state[RUNNING] > 0 or not over else live.halt[0]
            break
        if state[QUEUED] == 0 and beat.on:
            backfill_nothing(state, beat, loop.tick, now)
        if state[QUEUED] == 0:
            run_nothing(state, loop, now)
        state[TIME] = now
        _ranked(site, live, crowd, now)
        while len(ends) > 0 and ends[0][0] <= now:
            _leave(site, live, crowd, ends, returns, now)
        _change_nodes(site, live, crowd, ends, returns, now)
        while arrived < jobs and live.submit[arrived] <= now:
            _come(site, live, crowd, returns, arrived, now)
            arrived = _next_open(site, arrived + 1)
        while len(returns) > 0 and returns[0][0] <= now:
            _return(site, live, crowd, returns, reads(loop, now))
        _run_if_due(site, live, crowd, room, alike, ends, loop, now)
        if now >= state[BACKFILL_DUE]:
            ranked(site, live, crowd, now)
            _count_leaving(site, live, ends, loop.release, now)
            backfill(site, live, crowd, room, alike, before, ends, beat, reads(loop, now))


@lean
def _next_open(site: Site, job: int) -> int:
    """Return the first job from this one on that comes by itself; their number if there is none."""
    while job < site.jobs.size and site.jobs.think[job] != NOBODY:
        job += 1
    return job


@compiled
def _come(site: Site, live: Live, crowd: Crowd, returns: Ends, job: int, now: int) -> None:
    """Let a job be submitted, or refused."""
    if let_in(live, crowd, job, now):
        enqueue(live, job)
        news(live)
    else:
        live.jobs.status[job] = ENDED
        _let_think(site, live, returns, job, now)


@compiled
def _let_think(site: Site, live: Live, returns: Ends, job: int, ended: int) -> None:
    """Let users think who submit a job after this one."""
    for index in range(site.jobs.followed[job], site.jobs.followed_end[job]):
        other = site.followers[index]
        if others_ended(site, live, other):
            begun = max(after(ended, site.jobs.think[other]), live.state[TIME])
            live.submit[other] = after(begun, site.rules[0].submitting)
            heapq.heappush(returns, (live.submit[other], other))


@compiled
def _return(site: Site, live: Live, crowd: Crowd, returns: Ends, since: int) -> None:
    """Let the first user submit a job who has thought."""
    now, job = heapq.heappop(returns)
    live.jobs.submit[job] = now
    live.jobs.since[job] = since
    crowd.factors.eligible[job] = now
    _come(site, live, crowd, returns, job, now)


@lean
def _skip_idle_runs(
    site: Site, live: Live, crowd: Crowd, loop: LoopTimes, beat: BackfillTimes, until: int
) -> None:
    """Leave out the runs before `until`, the next event, that would find all as the last ones did.

    Where priorities change by themselves, the queue is looked at on each beat, though its order
    stays.
    """
    state = live.state
    if state[WANTED] or state[ASKED] or state[UNSEEN] or state[LAST_RUN] < state[MOVED]:
        return
    if beat.on:
        if state[CHANGED] or state[LAST_BACKFILL] < state[MOVED]:
            return
        until = min(until, state[KEPT_UNTIL])
    if until <= state[TIME] + max(loop.interval, beat.interval) or not keeps_beat(state, loop):
        return
    while crowd.next_ranking[0] < until:
        time = rank_next(live, crowd)
        if not still_in_order(site, live):
            state[MOVED] = until = time
    pass_time(state, loop, beat, until)


@lean
def _ranked(site: Site, live: Live, crowd: Crowd, now: int) -> None:
    """Work out priorities; note where that puts the queue into another order."""
    before = crowd.next_ranking[0]
    ranked(site, live, crowd, now)
    if site.rules[0].settles and before <= now and not still_in_order(site, live):
        live.state[MOVED] = now


@compiled
def _next_event(site: Site, live: Live, ends: Ends) -> int:
    time = ends[0][0] if len(ends) > 0 else NEVER
    change = live.state[NEXT_CHANGE]
    if change < site.changes.size and live.state[QUEUED] + live.state[RUNNING] > 0:
        time = min(time, max(site.changes.time[change], live.state[TIME]))
    return time


@lean
def _is_over(site: Site, live: Live, beat: BackfillTimes, depth: int) -> bool:
    """Return whether no job that waits, while none runs and none comes, can ever start.

    Nothing can where a run has looked at all of them since the last change, and none is to come.
    """
    state = live.state
    now = state[TIME]
    if state[WANTED]:
        return False  # a run that was granted still waits for its time
    seen = state[LAST_FULL] if depth > 0 else state[LAST_BACKFILL]
    settled = seen > state[LAST_NEWS] and state[NEXT_CHANGE] == site.changes.size
    for number in range(site.reserved.size):
        settled = settled and site.reserved.end[number] < seen
    for index in range(state[QUEUED]):
        job = live.queue[index]
        if live.jobs.status[job] != WAITS or hopeless(site, live, job):
            continue
        if not settled or live.jobs.since[job] >= seen or now < seen:
            return False
    return True


@compiled
def _leave(site: Site, live: Live, crowd: Crowd, ends: Ends, returns: Ends, now: int) -> None:
    """Let the job go that is gone first, or be queued again."""
    job = finish(site, live, crowd, ends)
    if job == NOBODY:
        return
    outcome = live.jobs.outcome[job]
    becomes = site.classes.becomes[site.jobs.standing[job]]
    if (outcome == GAVE_WAY and becomes == REQUEUED) or (
        outcome == LOST_NODE and site.rules[0].restarts
    ):
        requeue(site, live, crowd, job, now)
    else:
        _let_think(site, live, returns, job, live.jobs.end[job])


@compiled
def _change_nodes(
    site: Site, live: Live, crowd: Crowd, ends: Ends, returns: Ends, now: int
) -> None:
    """Let happen to nodes what is due."""
    changes = site.changes
    while live.state[NEXT_CHANGE] < changes.size:
        change = live.state[NEXT_CHANGE]
        if changes.time[change] > now:
            break
        live.state[NEXT_CHANGE] += 1
        node = changes.node[change]
        live.up[node] = changes.becomes[change] == UP
        news(live)
        if changes.becomes[change] != DOWN:
            continue
        for index in range(live.state[RUNNING]):
            job = live.limit_jobs[index]
            place = site.jobs.place[job]
            for at in range(place, place + site.jobs.count[job]):
                if live.places.nodes[at] == node:
                    cut_short(site, live, ends, job, now, LOST_NODE)
    while len(ends) > 0 and ends[0][0] <= now:
        _leave(site, live, crowd, ends, returns, now)


@compiled
def _count_leaving(site: Site, live: Live, ends: Ends, release: int, now: int) -> None:
    """Count for each node how many jobs have ended there that aren't gone."""
    live.left[:] = 0
    if release == 0:
        return
    for freed, job in ends:
        if (
            live.jobs.status[job] == RUNS
            and live.jobs.freed[job] == freed
            and live.jobs.end[job] <= now
        ):
            place = site.jobs.place[job]
            for at in range(place, place + site.jobs.count[job]):
                live.left[live.places.nodes[at]] += 1


@compiled
def _run_if_due(
    site: Site,
    live: Live,
    crowd: Crowd,
    room: Room | None,
    alike: AlikeNodes | None,
    ends: Ends,
    loop: LoopTimes,
    now: int,
) -> None:
    """Run through the queue in order, if such a run is due."""
    due, full = granted(live.state, loop, now)
    if not due:
        return
    ranked(site, live, crowd, now)
    _count_leaving(site, live, ends, loop.release, now)
    run_in_order(site, live, crowd, room, alike, ends, live.state[SHOWN], full)
