"""Evaluates simulated trials side by side: on threads of this process, or where a caller says."""

import os
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from campaign.core.phases import Phase
from campaign.core.testbed import Status
from campaign.core.trials import Evaluation, Trial
from campaign.simulation.interruptible import end_loops

Evaluate = Callable[[Trial], Evaluation]
HandOut = Callable[[Trial], "Future[Evaluation]"]
Close = Callable[[Collection["Future[Evaluation]"]], None]
END_AGAIN_S = 0.1
"""How often loops are told to end until all have."""


class Lanes:
    """A testbed whose trials are handed out, `count` at once.

    `campaign.core.testbed.Testbed` says what each member promises. A trial is evaluated where it is
    started, by `evaluate`, as long as the last one took less than `worth_s` seconds: handing out
    would cost more than it saves. What comes of a trial doesn't depend on where it was evaluated.
    `close` is called at the end, with what was handed out and hasn't come back.
    """

    def __init__(
        self,
        evaluate: Evaluate,
        hand_out: HandOut,
        count: int,
        *,
        worth_s: float,
        close: Close,
    ) -> None:
        self._evaluate = evaluate
        self._hand_out = hand_out
        self._count = count
        self._worth_s = worth_s
        self._close = close
        self._out: dict[Future[Evaluation], Trial] = {}
        self._ended: list[tuple[Trial, Evaluation]] = []
        self._took_s = worth_s  # unknown, so the first trial is handed out

    def room(self) -> int:
        return self._count - len(self._out) - len(self._ended)

    def start(self, trial: Trial) -> None:
        if self._took_s < self._worth_s:
            self._end(trial, self._evaluate(trial))
        else:
            self._out[self._hand_out(trial)] = trial

    def wait(self, timeout_s: float) -> list[tuple[Trial, Evaluation]]:
        if not self._ended:
            for future in wait(self._out, timeout_s, FIRST_COMPLETED).done:
                self._end(self._out.pop(future), future.result())
        # Futures that ended together come in no order.
        ended = sorted(self._ended, key=lambda pair: pair[0].number)
        self._ended = []
        return ended

    def _end(self, trial: Trial, evaluation: Evaluation) -> None:
        self._ended.append((trial, evaluation))
        self._took_s = evaluation.phases.get(Phase.SIMULATED, self._took_s)

    def busy(self) -> str:
        """Return nothing: simulated trials are disturbed by nobody."""
        return ""

    def statuses(self) -> Mapping[int, Status]:
        return {}

    def close(self) -> None:
        self._close(tuple(self._out))
        self._out.clear()


def on_threads(evaluate: Evaluate, most: int) -> Lanes:
    """Return lanes on threads of this process, one for each core that it may use, `most` at most.

    Compiled loops run without Python's lock, so threads use several cores.
    """
    count = min(most, len(os.sched_getaffinity(0)))
    threads = ThreadPoolExecutor(count, thread_name_prefix="simulation")

    def hand_out(trial: Trial) -> "Future[Evaluation]":
        return threads.submit(evaluate, trial)

    def close(futures: Collection["Future[Evaluation]"]) -> None:
        threads.shutdown(wait=False, cancel_futures=True)
        # Again and again: a trial may be just before its loop.
        while wait(futures, END_AGAIN_S).not_done:
            end_loops()

    return Lanes(evaluate, hand_out, count, worth_s=0.0, close=close)
