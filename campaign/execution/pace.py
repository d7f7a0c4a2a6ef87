"""How fast trials end, and how long those that are left will take."""

import time
from collections import deque
from collections.abc import Callable

REMEMBERED = 20
"""The pace is that of so many of the last trials: those of a search take longer and longer."""


class Pace:
    """Measures from the first trial on, so that building and compiling before it don't count.

    Up to `parallel` trials run at once.
    """

    def __init__(self, clock: Callable[[], float] = time.time, *, parallel: int = 1) -> None:
        self._clock = clock
        self._parallel = parallel
        self._ended: deque[float] = deque(maxlen=REMEMBERED + 1)
        self._begun = False
        self._count = 0
        self.restart()

    def restart(self) -> None:
        """Measure from here."""
        self._ended.clear()
        self._ended.append(self._clock())
        self._count = 0

    def begin(self) -> None:
        """Take note that a trial begins; the first one is where measuring begins."""
        if not self._begun:
            self._begun = True
            self.restart()

    def end(self) -> None:
        """Take note that a trial has ended for good."""
        self._count += 1
        if self._count == 2 and self._parallel == 1:
            # The first one had to make what the others share: a golden cluster, caches.
            self._ended.popleft()
        self._ended.append(self._clock())

    @property
    def seconds(self) -> float | None:
        """The seconds from the end of one trial to that of the next; None before the first end."""
        if not self._count:
            return None
        # While fewer have ended than run at once, the others are about to.
        trials = max(len(self._ended) - 1, min(self._parallel, REMEMBERED))
        return (self._ended[-1] - self._ended[0]) / trials
