"""Decides on a cluster with levers as a real scheduler does, by its clock. Compiled.

The moments are those of `clocked`: a run in order once a job has come or gone, granted on the
clock's next stroke; one over the whole queue, and a backfill run, at their intervals.
"""

from campaign.simulation.backfill import BackfillTimes
from campaign.simulation.clocked import LoopTimes
from campaign.simulation.compiled import ZERO, compiled
from campaign.simulation.site_arrays import (
    ASKED,
    ASKED_DUE,
    BACKFILL_DUE,
    BEATS,
    CHANGED,
    DOWN,
    ENDED,
    FULL_DUE,
    GAVE_WAY,
    LAST_ASKED,
    LAST_BACKFILL,
    LAST_FULL,
    LAST_NEWS,
    LAST_RUN,
    LOST_NODE,
    NEXT_CHANGE,
    NOBODY,
    QUEUED,
    REQUEUED,
    RUN_DUE,
    RUNNING,
    RUNS,
    SAME_UNTIL,
    TIME,
    UNSEEN,
    UP,
    WAITS,
    WANTED,
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
    state[LAST_RUN] = -loop.least
    state[LAST_ASKED] = loop.first - loop.delay
    state[LAST_FULL] = state[LAST_BACKFILL] = -loop.lead
    arrived = ZERO
    while live.halt[0] == GO_ON:
        coming = live.submit[arrived] if arrived < jobs else NEVER
        _set_alarms(site, live, loop, beat)
        now = min(coming, _next_event(site, live, ends))
        now = min(now, state[RUN_DUE], state[ASKED_DUE], state[FULL_DUE], state[BACKFILL_DUE])
        if arrived == jobs and state[RUNNING] == 0 and _is_over(site, live, beat, loop.depth):
            break
        if now >= NEVER:
            live.halt[0] = TOO_FAR if state[RUNNING] > 0 or arrived < jobs else live.halt[0]
            break
        if state[QUEUED] == 0 and beat.on:
            _backfill_nothing(live, beat, loop.tick, now)
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
            backfill(site, live, crowd, room, ends, now)


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
def _set_alarms(site: Site, live: Live, loop: LoopTimes, beat: BackfillTimes) -> None:
    """Set the times at which something will be due by the clock, though no job comes or goes."""
    state = live.state
    for due in range(RUN_DUE, BACKFILL_DUE + 1):
        state[due] = NEVER
    if state[QUEUED] == 0:
        return
    now = state[TIME]
    if state[WANTED]:
        state[RUN_DUE] = max(now, state[LAST_RUN] + loop.least)
    if state[ASKED]:
        state[ASKED_DUE] = _next_tick(
            max(now, state[LAST_ASKED] + loop.delay), loop.first, loop.tick
        )
    restless = not site.rules[0].prompt
    if state[UNSEEN] or restless:
        # It keeps its beat when there is nothing to see.
        missed = max(0, (now - state[LAST_FULL]) // loop.interval)
        state[FULL_DUE] = _next_tick(
            state[LAST_FULL] + (missed + 1) * loop.interval, loop.first, loop.tick
        )
    if beat.on:
        fresh = state[CHANGED] or restless
        if fresh or (state[BEATS] and state[SAME_UNTIL] < NEVER):
            since = now if fresh else max(now, state[SAME_UNTIL])
            state[BACKFILL_DUE] = _next_backfill(live, beat, loop.tick, since)


@compiled
def _next_backfill(live: Live, beat: BackfillTimes, tick: int, since: int) -> int:
    """Return when the next backfill run is due for something that is new `since` then."""
    due = live.state[LAST_BACKFILL] + beat.interval
    return _next_tick(max(due, since), due, beat.interval if live.state[BEATS] else tick)


@compiled
def _backfill_nothing(live: Live, beat: BackfillTimes, tick: int, now: int) -> None:
    """Note the backfill run that an empty queue has seen before `now`, if one was due."""
    state = live.state
    if state[CHANGED] or state[BEATS]:
        due = _next_backfill(live, beat, tick, state[TIME])
        if due < now:
            state[LAST_BACKFILL] = due
            state[CHANGED] = state[BEATS] = 0


@compiled
def _next_tick(time: int, first: int, tick: int) -> int:
    """Return the first tick at `time` or later; the clock ticks at `first`, before and after."""
    return first - (first - time) // tick * tick


@compiled
def _run_if_due(
    site: Site, live: Live, crowd: Crowd, room: Room, ends: Ends, loop: LoopTimes, now: int
) -> None:
    """Run through the queue in order, if such a run is due."""
    state = live.state
    full = now >= state[FULL_DUE]
    if full or now >= state[ASKED_DUE]:
        state[WANTED] = 1
        state[ASKED] = 0
        state[LAST_ASKED] = now
        if full:
            state[LAST_FULL] = now
    if not state[WANTED] or now < state[LAST_RUN] + loop.least:
        return
    state[WANTED] = 0
    state[LAST_RUN] = now
    ranked(site, live, crowd, now)
    _count_leaving(site, live, ends, loop.release, now)
    run_in_order(site, live, crowd, room, ends, now, full)
