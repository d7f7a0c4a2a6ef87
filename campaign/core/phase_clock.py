"""The clock of a trial's life: how long each phase of it took, and how far the present one is."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from campaign.core.phases import Phase
from campaign.core.testbed import Status

TELL_S = 15.0
"""How often work that takes long says that it goes on."""

_log = logging.getLogger(__name__)


class PhaseClock:
    """Times the phases of a trial's life, logs them, and holds the status that people are shown.

    A phase ends when it is `reached`; one that is lived through twice counts both times. A trial's
    clock is the channel by which whoever works for the trial says how far the work is (`detail`).
    """

    def __init__(self) -> None:
        self.phases: dict[Phase, float] = {}
        """The seconds that each phase took."""
        self.spans: list[tuple[Phase, float, float]] = []
        """Each phase as it was lived through, with its begin and its end (monotonic seconds)."""
        self.status = Status(Phase.PLACED, time.time())
        self._since = time.monotonic()
        self._whole: PhaseClock | None = None
        self._prefix = ""

    def begin(self) -> None:
        """Log that the first phase begins, and count its time from now on."""
        self._since = time.monotonic()
        self.status = Status(self.status.phase, time.time())
        self._log_begin(self.status.phase)

    def phase_name(self) -> str:
        """Return the name of the present phase; as a `log.context`, it is every record's."""
        return self.status.phase.value

    def part(self, what: str) -> "PhaseClock":
        """Return a clock for work that is a part of the present phase.

        Its phases are its own; its details are told on this clock too, as `<what>: <detail>`.
        """
        part = PhaseClock()
        part._whole = self
        part._prefix = f"{what}: "
        return part

    def reached(self, phase: Phase, following: Phase) -> None:
        """End the present phase, which is counted as `phase`, and begin the one to `following`."""
        now = time.monotonic()
        took = now - self._since
        self.phases[phase] = self.phases.get(phase, 0.0) + took
        self.spans.append((phase, self._since, now))
        self._since = now
        done = {"event": "end", "span": phase.value, "duration_s": round(took, 6)}
        _log.debug("%sphase %s: done after %.3f s", self._prefix, phase, took, extra=done)
        self.status = Status(following, time.time())
        self._log_begin(following)

    def split(self, phase: Phase, first: Phase, seconds: float) -> None:
        """Give the first `seconds` of a phase, at most all of it, a name of their own."""
        seconds = min(max(seconds, 0.0), self.phases[phase])
        self.phases[first] = seconds
        self.phases[phase] -= seconds
        place, (begin, end) = next(
            (place, span)
            for place, (name, *span) in reversed(list(enumerate(self.spans)))
            if name == phase
        )
        turn = min(begin + seconds, end)
        self.spans[place : place + 1] = [(first, begin, turn), (phase, turn, end)]

    def detail(self, text: str) -> None:
        """Say how far the present phase is, in words for people."""
        if self._whole is not None:
            self._whole.detail(f"{self._prefix}{text}")
        elif text != self.status.detail:
            # What is polled says the same for minutes; the log needs it once.
            _log.debug("%s: %s", self.status.phase, text)
        self.status = Status(self.status.phase, self.status.since, text)

    @asynccontextmanager
    async def waiting(self, what: str, on: Callable[[], str] = str) -> AsyncIterator[None]:
        """Say `what` is done while the block runs, and every TELL_S for how long.

        `on` returns what is waited for at that moment, in words; empty if there are none.
        """
        self.detail(what)
        telling = asyncio.create_task(self._tell(what, on))
        try:
            yield
        finally:
            telling.cancel()

    async def _tell(self, what: str, on: Callable[[], str]) -> None:
        begun = time.monotonic()
        while True:
            await asyncio.sleep(TELL_S)
            present = on()
            waits = f"; waiting for {present}" if present else ""
            self.detail(f"{what}, for {time.monotonic() - begun:.0f} s{waits}")

    def _log_begin(self, phase: Phase) -> None:
        begun = {"event": "begin", "span": phase.value}
        _log.debug("%sphase %s ...", self._prefix, phase, extra=begun)
