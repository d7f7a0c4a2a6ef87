"""The clock of a trial's life: how long each arrow of it took."""

import time
from collections.abc import Callable

from campaign.core.testbed import Status


class PhaseClock:
    """Times the arrows of a trial's life; a phase that is lived through twice counts both times."""

    def __init__(self, on_tell: Callable[[str], None] | None = None) -> None:
        self.phases: dict[str, float] = {}
        self.status = Status("placed", time.time())
        self._since = time.monotonic()
        self._on_tell = on_tell

    def reached(self, phase: str, following: str) -> None:
        """The arrow to `phase` is done; the one to `following` begins."""
        now = time.monotonic()
        self.phases[phase] = self.phases.get(phase, 0.0) + now - self._since
        self._since = now
        self.status = Status(following, time.time())

    def split(self, phase: str, first: str, seconds: float) -> None:
        """Give the first `seconds` of a phase, at most all of it, a name of their own."""
        seconds = min(max(seconds, 0.0), self.phases[phase])
        self.phases[first] = seconds
        self.phases[phase] -= seconds

    def tell(self, detail: str) -> None:
        """Say how far the present phase is."""
        self.status = Status(self.status.phase, self.status.since, detail)
        if self._on_tell:
            self._on_tell(detail)
