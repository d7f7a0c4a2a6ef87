"""The clock of a scheduler that works in cycles: when which of its runs is due. Compiled.

Both engines that follow a clock (clocked.py, site_loop.py) keep it in a plain array, the state.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from campaign.simulation.backfill import BackfillTimes
from campaign.simulation.compiled import compiled
from campaign.simulation.work import NEVER

# Places of the state: the time; the last runs by kind, and the next ones; flags: a run is wanted
# now, or asked for by the clock; something has changed since a run in order saw all that it must,
# or since a backfill run; until when backfill runs would find what the last one did; whether the
# last one left a job waiting, so that the next one keeps the beat. Behind them are an engine's own.
TIME, LAST_RUN, LAST_ASKED, LAST_FULL, LAST_BACKFILL, RUN_DUE, ASKED_DUE, FULL_DUE, BACKFILL_DUE = (
    range(9)
)
WANTED, ASKED, UNSEEN, CHANGED, SAME_UNTIL, BEATS, OWN = range(9, 16)
# A plain array, which compiled functions can change in place.
State = NDArray[np.int64]


class LoopTimes(NamedTuple):
    """schedulers.policy.SchedulingLoop in ns; `first` is when the clock first ticks.

    No node that a job has left within `release` is given to another one. The scheduler began `lead`
    before its clock showed 0, or after that where it is negative.
    """

    first: int
    delay: int
    interval: int
    least: int
    depth: int
    tick: int
    release: int
    lead: int


@compiled
def start_clock(state: State, loop: LoopTimes) -> None:
    """Set the last runs to before the workload."""
    # So that a first run isn't held back by one that never was.
    state[LAST_RUN] = -loop.least
    # So that the first run that is asked for comes at `loop.first`.
    state[LAST_ASKED] = loop.first - loop.delay
    state[LAST_FULL] = state[LAST_BACKFILL] = -loop.lead


@compiled
def set_alarms(
    state: State, waiting: bool, restless: bool, loop: LoopTimes, backfill: BackfillTimes
) -> None:
    """Set the times at which something will be due by the clock, though no job comes or goes.

    Nothing is while no job is `waiting`. Where the queue is `restless`, what a run finds may change
    by itself, as priorities do.
    """
    for due in range(RUN_DUE, BACKFILL_DUE + 1):
        state[due] = NEVER
    if not waiting:
        return
    now = state[TIME]
    if state[WANTED]:
        state[RUN_DUE] = max(now, state[LAST_RUN] + loop.least)
    if state[ASKED]:
        state[ASKED_DUE] = _next_tick(
            max(now, state[LAST_ASKED] + loop.delay), loop.first, loop.tick
        )
    if state[UNSEEN] or restless:
        missed = max(
            0, (now - state[LAST_FULL]) // loop.interval
        )  # it keeps its beat when there is nothing to see
        state[FULL_DUE] = _next_tick(
            state[LAST_FULL] + (missed + 1) * loop.interval, loop.first, loop.tick
        )
    if backfill.on:
        news = state[CHANGED] or restless
        if news or (state[BEATS] and state[SAME_UNTIL] < NEVER):
            since = now if news else max(now, state[SAME_UNTIL])
            state[BACKFILL_DUE] = _next_backfill(state, backfill, loop.tick, since)


@compiled
def _next_backfill(state: State, backfill: BackfillTimes, tick: int, since: int) -> int:
    """Return when the next backfill run is due for something that is new `since` then.

    Runs that leave a job waiting keep their beat: such a job has nodes planned for it, which is a
    change by itself. Where nothing has changed, the clock looks on each tick.
    """
    due = state[LAST_BACKFILL] + backfill.interval
    return _next_tick(max(due, since), due, backfill.interval if state[BEATS] else tick)


@compiled
def backfill_nothing(state: State, backfill: BackfillTimes, tick: int, now: int) -> None:
    """Note the backfill run that an empty queue has seen before `now`, if one was due.

    It found nothing to do, but the interval to the next one counts from it.
    """
    if state[CHANGED] or state[BEATS]:
        due = _next_backfill(state, backfill, tick, state[TIME])
        if due < now:
            state[LAST_BACKFILL] = due
            state[CHANGED] = state[BEATS] = 0


@compiled
def _next_tick(time: int, first: int, tick: int) -> int:
    """Return the first tick at `time` or later.

    The clock ticks at `first` and every `tick` before and after that.
    """
    # The division rounds towards minus infinity, so the tick is never before `time`.
    return first - (first - time) // tick * tick


@compiled
def granted(state: State, loop: LoopTimes, now: int) -> tuple[bool, bool]:
    """Return whether a run in order begins now, and whether over the whole queue; note it."""
    full = bool(now >= state[FULL_DUE])
    if full or now >= state[ASKED_DUE]:
        state[WANTED] = 1
        state[ASKED] = 0
        state[LAST_ASKED] = now
        if full:
            state[LAST_FULL] = now
    if not state[WANTED] or now < state[LAST_RUN] + loop.least:
        return False, full
    state[WANTED] = 0
    state[LAST_RUN] = now
    return True, full
