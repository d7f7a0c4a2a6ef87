"""Which trials wait because others keep every host busy, and for how long at most.

An attempt that a busy host has probably spoiled would be spoiled again if it were repeated at once.
It waits until a host is quiet, but no longer than RETRY_PAUSE_S, and other trials go before it.
"""

import logging
import math
from collections.abc import Callable, Iterable

from campaign.core.trials import Replicate, TrialRecord
from campaign.records.history import History

RETRY_PAUSE_S = 120.0
"""How long a trial that a busy host has spoiled waits at most, where no other time is set."""
REMINDER_S = 60.0

_log = logging.getLogger(__name__)


class QuietGate:
    """Holds trials back while `busy` names a reason, each for at most as long as is stated here.

    `wait_s` is testbed.wait_for_quiet_s; `clock` gives Unix seconds.
    """

    def __init__(self, busy: Callable[[], str], wait_s: float, clock: Callable[[], float]) -> None:
        self._busy = busy
        self._wait_s = wait_s
        self._clock = clock
        # by replicate and attempt: when its turn came
        self._since: dict[tuple[Replicate, int], float] = {}
        self._reminded = -math.inf

    def held(self, history: History, candidates: Iterable[Replicate]) -> frozenset[Replicate]:
        """Return those of the candidates, which could start now, that wait for a quiet host."""
        now = self._clock()
        turns = {one: (one, history.attempts.get(one, 0)) for one in candidates}
        self._since = {turn: self._since.get(turn, now) for turn in turns.values()}
        left_s = {one: self._until(history, turns[one]) - now for one in turns}
        waiting = {one: seconds for one, seconds in left_s.items() if seconds > 0}
        # Hosts are asked only where the answer matters.
        if not waiting or not (why := self._busy()):
            return frozenset()
        if now >= self._reminded + REMINDER_S:
            self._reminded = now
            trials = ", ".join(map(str, sorted({one.trial for one in waiting})))
            _log.warning(
                "waiting for quiet before trial %s, at most %.0f s more: %s",
                trials,
                max(waiting.values()),
                why,
            )
        return frozenset(waiting)

    def _until(self, history: History, turn: tuple[Replicate, int]) -> float:
        """Return when a trial waits no longer, whatever its hosts do."""
        records = history.records.get(turn[0], [])
        pause = _pause_until(records[-1]) if records else 0.0
        return max(self._since[turn] + self._wait_s, pause)


def _pause_until(last: TrialRecord) -> float:
    return last.ended + RETRY_PAUSE_S if last.busy else 0.0
