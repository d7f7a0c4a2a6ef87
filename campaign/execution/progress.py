"""Logs how far a campaign is, in the words that a user reads."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from campaign.core.durations import duration_text
from campaign.core.phases import Phase
from campaign.core.testbed import Status
from campaign.core.trials import Evaluation, Trial, TrialRecord
from campaign.execution.terminal import PHASE
from campaign.records.history import Asked
from campaign.report.facts import change, number

_WHY = {"first": "search.first", "arm": "search.arm_trials", "promoted": "search.ladder"}
"""Why a point was asked for that the sampler didn't choose freely."""
_log = logging.getLogger(__name__)


class Progress:
    """Listens to the executor and logs what happens; `total` trials are wanted in all.

    Each record has an `event` (asked, started, phase, replicate, finished) and the event's `data`.
    Trials, which have so many `instances`, are compared with the baseline in the metrics
    `objectives`.
    """

    def __init__(
        self,
        total: int,
        clock: Callable[[], float] = time.time,
        *,
        objectives: Iterable[str] = (),
        instances: int = 1,
    ) -> None:
        self._total = total
        self._instances = instances
        self._objectives = tuple(objectives)
        self._baseline: TrialRecord | None = None
        self._clock = clock
        self._began = clock()
        self._done = self._done_here = 0
        self._shown: dict[int, tuple[str, str]] = {}

    def resumed(
        self, done: int, baseline: TrialRecord | None = None, *, again: bool = True
    ) -> None:
        """Count the `done` trials that were settled by an earlier driver, and log them if any.

        The `baseline` may be among them. Where a campaign isn't begun `again`, they were taken
        over.
        """
        self._done = done
        self._baseline = baseline
        self._began = self._clock()
        if done:
            resuming = "resuming: " if again else ""
            _log.info("%s%d of %d trials are done", resuming, done, self._total)

    def asked(self, trial: Asked) -> None:
        """Log the point that was chosen for a trial."""
        data = {"trial": trial.number, "point": trial.point, "baseline": trial.baseline}
        why = "baseline" if trial.baseline else _WHY.get(trial.origin)
        of = f" ({why})" if why else ""
        _log_event("asked", f"trial {trial.number}{of}: {point_text(trial.point)}", data)

    def started(self, trial: Trial) -> None:
        """Log that an attempt at a trial begins."""
        again = f", attempt {trial.attempt}" if trial.attempt > 1 else ""
        data = {"trial": trial.number, "attempt": trial.attempt, "instance": trial.instance}
        on = f" on instance {trial.instance}" if trial.instance else ""
        text = f"trial {trial.number} starts{on} ({self._done} of {self._total} done{again})"
        _log_event("started", text, data, logging.DEBUG if trial.instance else logging.INFO)

    def running(self, statuses: Mapping[int, Status]) -> None:
        """Log what each running trial does now, where that has changed."""
        for trial, status in statuses.items():
            if self._shown.get(trial) != (status.phase, status.detail):
                self._shown[trial] = (status.phase, status.detail)
                data = {"trial": trial, "phase": status.phase, "detail": status.detail}
                _log_event(PHASE, f"trial {trial} {status_text(status)}", data)

    def finished(self, record: TrialRecord, evaluation: Evaluation, *, settled: bool) -> None:
        """Log how an attempt ended and, where it was a whole trial's, how much is left to do."""
        self._shown.pop(record.number, None)
        if self._instances == 1 and not record.instance:
            self._log_trial(record, settled=settled)
            return
        again = "" if settled else "; another attempt follows"
        text = f"trial {record.number}{self._of_instance(record)} {_ending(record)}{again}"
        data = {"trial": record.number, "record": record.model_dump(mode="json")}
        level = logging.DEBUG if record.valid else logging.INFO
        _log_event("replicate", text, {**data, "settled": settled}, level)

    def concluded(self, record: TrialRecord) -> None:
        """Log what a trial of several replicates came to, and how much is left to do."""
        if record.replicates:
            self._log_trial(record, settled=True)

    def _log_trial(self, record: TrialRecord, *, settled: bool) -> None:
        self._done += settled
        self._done_here += settled
        if record.baseline:
            self._baseline = record
        text = f"trial {record.number} {_ending(record)}{self._values_text(record)}"
        if record.ruled_out:
            text += f", estimated from {len(record.replicates)} instances: {record.ruled_out}"
        left = self._left() if settled else "another attempt follows"
        data = {"trial": record.number, "record": record.model_dump(mode="json")}
        _log_event("finished", f"{text}; {left}", {**data, "settled": settled})

    def _of_instance(self, record: TrialRecord) -> str:
        if record.instance >= self._instances:
            return f" on the instance {record.instance}, held out,"
        return f" on instance {record.instance}" if self._instances > 1 else ""

    def _values_text(self, record: TrialRecord) -> str:
        if not record.valid:
            return ""
        found = (
            (name, number(record.metrics[name]), change(record, self._baseline, name))
            for name in self._objectives
        )
        parts = (
            f"{name} {value} ({changed})" if changed else f"{name} {value}"
            for name, value, changed in found
        )
        return f" with {', '.join(parts)}" if self._objectives else ""

    def _left(self) -> str:
        # The pace is that of this run, parallel trials and retries included.
        missing = max(0, self._total - self._done)
        if not missing:
            return "done"
        pace = (self._clock() - self._began) / self._done_here
        return f"{self._done} of {self._total} done, about {duration_text(pace * missing)} left"


def _ending(record: TrialRecord) -> str:
    reason = f" ({record.reason.splitlines()[0]})" if record.reason else ""
    took = duration_text(record.ended - record.started)
    return f"{record.outcome}{reason} after {took}{_cold_text(record)}"


def _log_event(event: str, text: str, data: dict[str, Any], level: int = logging.INFO) -> None:
    _log.log(level, "%s", text, extra={"event": event, "trial": data["trial"], "data": data})


def point_text(point: Mapping[str, Any]) -> str:
    """Return a point as one line, each dimension by the last part of its name."""
    return " ".join(f"{path.rpartition('.')[2]}={value}" for path, value in point.items())


def status_text(status: Status) -> str:
    """Return what a trial does now, in words."""
    # While a trial waits for its slot, the detail is what it waits for.
    if status.phase == Phase.PLACED and status.detail:
        return status.detail
    words = status.phase.doing
    return words if words.startswith(status.detail) else f"{words}: {status.detail}"


def _cold_text(record: TrialRecord) -> str:
    because = record.provenance.cold_because
    return f", booted cold instead of restored ({because.splitlines()[0]})" if because else ""
