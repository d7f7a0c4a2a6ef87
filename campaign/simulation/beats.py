"""The clock of a scheduler that works in cycles: when which of its runs is due. Compiled.

Both engines that follow a clock (clocked.py, site_loop.py) keep it in a plain array, the state.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from campaign.simulation.backfill import BackfillTimes
from campaign.simulation.compiled import ONE, ZERO, lean
from campaign.simulation.work import NEVER

# Places of the state: the time; the last runs by kind, and the next ones; flags: a run is wanted
# now, or asked for by the clock; something has changed since a run in order saw all that it must,
# or since a backfill run; until when backfill runs would find what the last one did; whether the
# last one left a job waiting, so that the next one keeps the beat; what the clock showed to the
# last run in order; by how much the last backfill run lets the next one come later; when anything
# has changed last, by the clock. Behind them are an engine's own.
TIME, LAST_RUN, LAST_ASKED, LAST_FULL, LAST_BACKFILL, RUN_DUE, ASKED_DUE, FULL_DUE, BACKFILL_DUE = (
    range(9)
)
WANTED, ASKED, UNSEEN, CHANGED, SAME_UNTIL, BEATS, SHOWN, TOOK, LAST_CHANGE, OWN = range(9, 19)
SECOND = 1_000_000_000
SETTLED = SECOND // 8
"""So long before a workload a cluster's smoke test has ended (some 0.1 s in virtual time)."""
# A plain array, which compiled functions can change in place.
State = NDArray[np.int64]


class LoopTimes(NamedTuple):
    """schedulers.policy.SchedulingLoop in ns; `first` is when the clock first ticks.

    No node that a job has left within `release` is given to another one. The scheduler began `lead`
    before its clock showed 0, or after that where it is negative. `clock` is what that showed when
    the workload began, and `ranking` how often priorities are worked out anew.

    With `kernel`, the time between two ticks of its machine's kernel, the scheduler keeps time as a
    real one does: its clock shows whole seconds, as they were at the last tick, and sleeps end with
    one. What happens to an empty queue then counts too.
    """

    first: int
    delay: int
    interval: int
    least: int
    depth: int
    tick: int
    release: int
    lead: int
    clock: int
    ranking: int
    kernel: int


@lean
def start_clock(state: State, loop: LoopTimes) -> None:
    """Set the last runs to before the workload."""
    # So that a first run isn't held back by one that never was.
    state[LAST_RUN] = -loop.least
    # So that the first run that is asked for comes at `loop.first`.
    state[LAST_ASKED] = loop.first - loop.delay
    state[LAST_FULL] = state[LAST_BACKFILL] = -loop.lead
    if loop.kernel:
        # It counts in whole seconds.
        state[LAST_FULL] = _last_tick(-loop.lead, loop.first, loop.tick)
        state[LAST_ASKED] = state[LAST_FULL] - state[LAST_FULL] % SECOND
        # The job that has shown that the cluster works has just ended.
        state[ASKED] = 1
        state[TIME] = max(0, loop.clock - SETTLED)


@lean
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
    _count_full(state, loop, now)
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
        news = state[CHANGED] or (restless and (state[BEATS] or loop.kernel == 0))
        since = NEVER
        if news:
            since = now
        elif state[BEATS]:
            since = max(now, state[SAME_UNTIL])
        elif loop.kernel > 0 and loop.ranking > 0:
            # Priorities that are worked out anew are a change, whatever comes out.
            seen = max(now, state[LAST_BACKFILL])
            since = -loop.lead + ((seen + loop.lead) // loop.ranking + 1) * loop.ranking
        if since < NEVER:
            state[BACKFILL_DUE] = _next_backfill(state, backfill, loop.tick, since)


@lean
def keep_late_beat(state: State, loop: LoopTimes) -> None:
    """Let a run over the whole queue come whose beat has passed, but whose tick is still to come.

    Where nothing runs and nothing comes, backfilling may go on between the two for ever, and such a
    run is the last that could start a job.
    """
    if state[FULL_DUE] < NEVER:
        now = state[TIME]
        beats = max(1, (now - state[LAST_FULL]) // loop.interval)
        due = _next_tick(state[LAST_FULL] + beats * loop.interval, loop.first, loop.tick)
        if due > now:
            state[FULL_DUE] = min(state[FULL_DUE], due)


@lean
def _count_full(state: State, loop: LoopTimes, now: int) -> None:
    """Let the delay count from the last run over the whole queue, if anything was to see or not."""
    if loop.kernel:
        full = state[LAST_FULL] + (now - state[LAST_FULL]) // loop.interval * loop.interval
        state[LAST_ASKED] = max(state[LAST_ASKED], full - full % SECOND)


@lean
def run_nothing(state: State, loop: LoopTimes, now: int) -> None:
    """Note the run in order that an empty queue has seen before `now`, if one was asked for."""
    if loop.kernel and state[ASKED]:
        _count_full(state, loop, state[TIME])
        due = _next_tick(max(state[TIME], state[LAST_ASKED] + loop.delay), loop.first, loop.tick)
        if due < now:
            state[ASKED] = 0
            state[LAST_ASKED] = _shown(state, loop, due)


@lean
def reads(loop: LoopTimes, now: int) -> int:
    """Return what the scheduler's clock shows it: whole seconds, if it is a machine's."""
    return now - now % SECOND if loop.kernel else now


@lean
def _shown(state: State, loop: LoopTimes, now: int) -> int:
    """Return what the clock shows to a run that was asked for.

    The scheduler wakes before the kernel's next tick, at which what its clock shows is set, and
    looks whether the delay is over; then again.
    """
    shown = reads(loop, now)
    if loop.kernel and shown - SECOND >= state[LAST_ASKED] + loop.delay:
        shown -= SECOND
    return shown


@lean
def change(state: State, time: int) -> None:
    """Note that something has changed that a backfill run may care for, by the clock's `time`."""
    state[CHANGED] = 1
    state[LAST_CHANGE] = max(state[LAST_CHANGE], time)


@lean
def backfilled(state: State, backfill: BackfillTimes, tested: int, started: int) -> None:
    """Note how long a backfill run took, and whether the next one has anything to do."""
    state[TOOK] = took(backfill, tested)
    if started > 0 and backfill.kernel:
        state[CHANGED] = 1
    state[CHANGED] = max(state[CHANGED], _is_in_this_second(state, backfill))


@lean
def _is_in_this_second(state: State, backfill: BackfillTimes) -> int:
    """Return 1 if the last change counts as one since the last backfill run, else 0.

    On a machine, changes are known by the second.
    """
    now = state[LAST_BACKFILL]
    return ONE if backfill.kernel and state[LAST_CHANGE] >= now - now % SECOND else ZERO


@lean
def _next_backfill(state: State, backfill: BackfillTimes, tick: int, since: int) -> int:
    """Return when the next backfill run is due for something that is new `since` then.

    Runs that leave a job waiting keep their beat: such a job has nodes planned for it, which is a
    change by itself. Where nothing has changed, the clock looks on each tick.
    """
    due = state[LAST_BACKFILL] + state[TOOK] + backfill.interval
    beat = backfill.interval + state[TOOK] if state[BEATS] else tick + backfill.kernel
    return _next_tick(max(due, since), due, beat)


@lean
def took(backfill: BackfillTimes, tested: int) -> int:
    """Return by how much the next run comes later than its interval after one of so many jobs."""
    took = backfill.test * tested
    if backfill.turn > 0:
        took += tested // backfill.turn * backfill.sleep
    if backfill.kernel > 0:
        # A sleep ends with a tick of the kernel.
        took = (took // backfill.kernel + 1) * backfill.kernel
    return took


@lean
def backfill_nothing(state: State, backfill: BackfillTimes, tick: int, now: int) -> None:
    """Note the backfill runs that an empty queue has seen before `now`, if any were due.

    They found nothing to do, but the interval to the next one counts from the last.
    """
    while state[CHANGED] or state[BEATS]:
        due = _next_backfill(state, backfill, tick, state[TIME])
        if due >= now:
            break
        state[LAST_BACKFILL] = due
        state[TOOK] = backfill.kernel
        state[BEATS] = 0
        state[CHANGED] = _is_in_this_second(state, backfill)


@lean
def _next_tick(time: int, first: int, tick: int) -> int:
    """Return the first tick at `time` or later.

    The clock ticks at `first` and every `tick` before and after that.
    """
    # The division rounds towards minus infinity, so the tick is never before `time`.
    return first - (first - time) // tick * tick


@lean
def _last_tick(time: int, first: int, tick: int) -> int:
    """Return the last tick at `time` or before."""
    return first + (time - first) // tick * tick


@lean
def granted(state: State, loop: LoopTimes, now: int) -> tuple[bool, bool]:
    """Return whether a run in order begins now, and whether over the whole queue; note it."""
    full = bool(now >= state[FULL_DUE])
    shown = reads(loop, now)
    if full or now >= state[ASKED_DUE]:
        if not full:
            shown = _shown(state, loop, now)
        state[WANTED] = 1
        state[ASKED] = 0
        state[LAST_ASKED] = shown
        if full:
            state[LAST_FULL] = now
    if not state[WANTED] or now < state[LAST_RUN] + loop.least:
        return False, full
    state[WANTED] = 0
    state[LAST_RUN] = now
    state[SHOWN] = shown
    return True, full


@lean
def keeps_beat(state: State, loop: LoopTimes) -> bool:
    """Return whether full runs keep their beat: it is the clock's, and none delays the next."""
    off_beat = loop.interval % loop.tick != 0 or (loop.first - state[LAST_FULL]) % loop.tick != 0
    following = state[LAST_FULL] + loop.interval
    return not (off_beat or loop.interval < loop.least or following < state[LAST_RUN] + loop.least)


@lean
def pass_time(state: State, loop: LoopTimes, backfill: BackfillTimes, until: int) -> None:
    """Leave out the runs before `until` that would find all as the last ones did.

    Only the time goes on. It serves where runs keep their beat (`keeps_beat`).
    """
    runs = max(0, until - 1 - state[LAST_FULL]) // loop.interval
    if runs > 0:
        state[LAST_FULL] += runs * loop.interval
        state[LAST_RUN] = state[LAST_ASKED] = state[LAST_FULL]
    if backfill.on:
        runs = max(0, until - 1 - state[LAST_BACKFILL]) // backfill.interval
        state[LAST_BACKFILL] += runs * backfill.interval
    state[TIME] = max(state[TIME], state[LAST_FULL], state[LAST_BACKFILL])
