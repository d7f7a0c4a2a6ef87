"""Decides on a cluster with levers as a real scheduler does, by its clock. Compiled.

The moments are those of `clocked`: a run in order once a job has come or gone, granted on the
clock's next stroke; one over the whole queue, and a backfill run, at their intervals.
"""

from campaign.simulation.backfill import BackfillTimes
from campaign.simulation.beats import (
    ASKED_DUE,
    BACKFILL_DUE,
    FULL_DUE,
    LAST_BACKFILL,
    LAST_FULL,
    RUN_DUE,
    SHOWN,
    TIME,
    WANTED,
    LoopTimes,
    backfill_nothing,
    granted,
    reads,
    run_nothing,
    set_alarms,
    start_clock,
)
from campaign.simulation.compiled import ZERO, compiled
from campaign.simulation.site_arrays import (
    DOWN,
    ENDED,
    GAVE_WAY,
    LAST_NEWS,
    LOST_NODE,
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
from campaign.simulation.site_in_order import run_in_order
from campaign.simulation.site_people import Crowd, let_in, ranked
from campaign.simulation.site_queueing import hopeless
from campaign.simulation.site_running import Ends, cut_short, enqueue, finish, news, requeue
from campaign.simulation.work import GO_ON, NEVER, TOO_FAR


@compiled
def run_site(
    live: Live, site: Site, crowd: Crowd, room: Room, loop: LoopTimes, beat: BackfillTimes
) -> None:
    """Fill in what becomes of all jobs of the site."""
    jobs = live.submit.size
    state = live.state
    ends = [(NEVER, NEVER) for _ in range(0)]  # empty, but of a type that Numba can tell
    start_clock(state, loop)
    arrived = ZERO
    while live.halt[0] == GO_ON:
        coming = live.submit[arrived] if arrived < jobs else NEVER
        set_alarms(state, state[QUEUED] > 0, not site.rules[0].prompt, loop, beat)
        now = min(coming, _next_event(site, live, ends))
        now = min(now, state[RUN_DUE], state[ASKED_DUE], state[FULL_DUE], state[BACKFILL_DUE])
        if arrived == jobs and state[RUNNING] == 0 and _is_over(site, live, beat, loop.depth):
            break
        if now >= NEVER:
            live.halt[0] = TOO_FAR if state[RUNNING] > 0 or arrived < jobs else live.halt[0]
            break
        if state[QUEUED] == 0 and beat.on:
            backfill_nothing(state, beat, loop.tick, now)
        if state[QUEUED] == 0:
            run_nothing(state, loop, now)
        state[TIME] = now
        ranked(site, live, crowd, now)
        while len(ends) > 0 and ends[0][0] <= now:
            _leave(site, live, crowd, ends, now)
        _change_nodes(site, live, crowd, ends, now)
        while arrived < jobs and live.submit[arrived] <= now:
            if let_in(live, crowd, arrived, now):
                enqueue(live, arrived)
                news(live)
            else:
                live.jobs.status[arrived] = ENDED
            arrived += 1
        _run_if_due(site, live, crowd, room, ends, loop, now)
        if now >= state[BACKFILL_DUE]:
            ranked(site, live, crowd, now)
            _count_leaving(site, live, ends, loop.release, now)
            backfill(site, live, crowd, room, ends, beat, reads(loop, now))


@compiled
def _next_event(site: Site, live: Live, ends: Ends) -> int:
    time = ends[0][0] if len(ends) > 0 else NEVER
    change = live.state[NEXT_CHANGE]
    if change < site.changes.size and live.state[QUEUED] + live.state[RUNNING] > 0:
        time = min(time, max(site.changes.time[change], live.state[TIME]))
    return time


@compiled
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
def _leave(site: Site, live: Live, crowd: Crowd, ends: Ends, now: int) -> None:
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


@compiled
def _change_nodes(site: Site, live: Live, crowd: Crowd, ends: Ends, now: int) -> None:
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
        _leave(site, live, crowd, ends, now)


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
    site: Site, live: Live, crowd: Crowd, room: Room, ends: Ends, loop: LoopTimes, now: int
) -> None:
    """Run through the queue in order, if such a run is due."""
    due, full = granted(live.state, loop, now)
    if not due:
        return
    ranked(site, live, crowd, now)
    _count_leaving(site, live, ends, loop.release, now)
    run_in_order(site, live, crowd, room, ends, live.state[SHOWN], full)
