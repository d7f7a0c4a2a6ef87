"""Tells how far a campaign is: live on a terminal, plain lines elsewhere, JSON lines on request."""

import atexit
import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, TextIO

from campaign.core.phases import Phase
from campaign.core.testbed import Status
from campaign.core.trials import Evaluation, Trial, TrialRecord

Kind = Literal["auto", "plain", "json"]
Emit = Callable[[str, str, dict[str, Any]], None]


class Progress:
    """Hears what happens and says it; `total` trials are wanted in all."""

    def __init__(self, emit: Emit, total: int, clock: Callable[[], float] = time.time) -> None:
        self._emit = emit
        self._total = total
        self._clock = clock
        self._began = clock()
        self._done = self._done_here = 0
        self._shown: dict[int, tuple[str, str]] = {}

    def say(self, text: str, **data: Any) -> None:
        """Say something that is no trial's."""
        self._emit("note", text, data)

    def resumed(self, done: int) -> None:
        """So many trials were settled before."""
        self._done = done
        self._began = self._clock()
        if done:
            self.say(f"resuming: {done} of {self._total} trials are done")

    def asked(self, trial: int, point: Mapping[str, Any]) -> None:
        self._emit(
            "asked", f"trial {trial}: {point_text(point)}", {"trial": trial, "point": dict(point)}
        )

    def started(self, trial: Trial) -> None:
        again = f", attempt {trial.attempt}" if trial.attempt > 1 else ""
        data = {"trial": trial.number, "attempt": trial.attempt}
        self._emit(
            "started",
            f"trial {trial.number} starts ({self._done} of {self._total} done{again})",
            data,
        )

    def running(self, statuses: Mapping[int, Status]) -> None:
        for number, status in statuses.items():
            if self._shown.get(number) != (status.phase, status.detail):
                self._shown[number] = (status.phase, status.detail)
                data = {"trial": number, "phase": status.phase, "detail": status.detail}
                self._emit("phase", f"trial {number} {status_text(status)}", data)

    def finished(self, record: TrialRecord, evaluation: Evaluation, *, settled: bool) -> None:
        self._done += settled
        self._done_here += settled
        self._shown.pop(record.number, None)
        reason = f" ({record.reason.splitlines()[0]})" if record.reason else ""
        took = duration_text(record.ended - record.started)
        left = self._left() if settled else "another attempt follows"
        text = (
            f"trial {record.number} {record.outcome}{reason} after "
            f"{took}{_cold_text(record)}; {left}"
        )
        self._emit("finished", text, {"record": record.model_dump(mode="json"), "settled": settled})

    def _left(self) -> str:
        """How far it is, and how long it will take at the pace of this run, parallel trials and
        retries included."""
        missing = max(0, self._total - self._done)
        if not missing:
            return "that was the last one"
        pace = (self._clock() - self._began) / self._done_here
        return f"{self._done} of {self._total} done, about {duration_text(pace * missing)} left"


def make_progress(kind: Kind, total: int, stream: TextIO = sys.stderr) -> Progress:
    """The progress of `kind`; auto is live on a terminal and plain elsewhere."""
    if kind == "json":
        return Progress(_json_lines(stream), total)
    if kind == "auto" and stream.isatty():
        return Progress(_live(stream), total)
    return Progress(_plain_lines(stream), total)


def point_text(point: Mapping[str, Any]) -> str:
    """A point on one line, each dimension by its last name."""
    return " ".join(f"{path.rpartition('.')[2]}={value}" for path, value in point.items())


def status_text(status: Status) -> str:
    """What a trial does now. While it waits for its slot, a detail says what for."""
    if status.phase == Phase.PLACED and status.detail:
        return status.detail
    words = status.phase.doing
    return f"{words}: {status.detail}" if status.detail else words


def _cold_text(record: TrialRecord) -> str:
    """Why a trial was booted although a golden cluster was wanted, if so."""
    because = record.provenance.cold_because
    return f", booted cold instead of restored ({because.splitlines()[0]})" if because else ""


def duration_text(seconds: float) -> str:
    """Seconds as people say them."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _plain_lines(stream: TextIO) -> Emit:
    started = time.monotonic()

    def emit(event: str, text: str, data: dict[str, Any]) -> None:
        print(f"[{time.monotonic() - started:7.1f} s] {text}", file=stream, flush=True)

    return emit


def _json_lines(stream: TextIO) -> Emit:
    def emit(event: str, text: str, data: dict[str, Any]) -> None:
        line = {"time": round(time.time(), 3), "event": event, "message": text, **data}
        print(json.dumps(line, default=str), file=stream, flush=True)

    return emit


def _live(stream: TextIO) -> Emit:
    """Phases replace one another in a status line; everything else scrolls above it."""
    from rich.console import Console
    from rich.markup import escape
    from rich.status import Status as Spinner

    console = Console(file=stream, highlight=False)
    spinner = Spinner("starting", console=console)
    atexit.register(
        spinner.stop
    )  # else a run that ends in mid-phase leaves the terminal without its cursor
    started = time.monotonic()

    def emit(event: str, text: str, data: dict[str, Any]) -> None:
        if event == "phase":
            spinner.update(escape(text))
            spinner.start()
            return
        spinner.stop()
        console.print(f"[dim]{time.monotonic() - started:7.1f} s[/] {escape(text)}")

    return emit
