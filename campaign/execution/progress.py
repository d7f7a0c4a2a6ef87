"""Logs how far a campaign is, in the words that a user reads."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from campaign.analysis.front.same_outcome import Outcomes
from campaign.analysis.front.so_far import FrontSoFar
from campaign.core.durations import duration_text
from campaign.core.log import PHASE
from campaign.core.phases import Phase
from campaign.core.testbed import Status
from campaign.core.trials import Evaluation, Trial, TrialRecord
from campaign.execution.pace import Pace
from campaign.records.history import Asked
from campaign.report.facts import change, number
from campaign.report.same_outcome import why_same
from campaign.schema.model import Direction
from campaign.schema.search import Bound

_WHY = {"first": "search.first", "arm": "search.arm_trials", "promoted": "search.ladder"}
"""Why a point was asked for that the sampler didn't choose freely."""
UNSEEN_EVERY_S = 1.0
"""Runs that are held out may take milliseconds each: how far they are is told no more often."""
_log = logging.getLogger(__name__)


class Progress:
    """Listens to the executor and logs what happens; `total` trials are wanted in all.

    Each record has an `event` (asked, started, phase, replicate, finished) and the event's `data`.
    Trials, which have so many `instances`, are compared with the baseline in the metrics
    `objectives`. Up to `parallel` of them run at once. A trial has a line when it starts and one
    when it ends; where trials are `short`, one line has both. The other events are for programs.
    Where trials are `deterministic`, one that brings no new outcome says so, and why.
    """

    def __init__(
        self,
        total: int,
        clock: Callable[[], float] = time.time,
        *,
        objectives: Mapping[str, Direction] | None = None,
        constraints: Mapping[str, Bound] | None = None,
        instances: int = 1,
        held_out: int = 0,
        parallel: int = 1,
        short: bool = False,
        deterministic: bool = False,
    ) -> None:
        self._total = total
        self._instances = instances
        self._held_out = held_out
        self._objectives = objectives or {}
        self._front = FrontSoFar(self._objectives, constraints)
        self._outcomes = Outcomes(self._objectives) if deterministic else None
        self._short = short
        self._clock = clock
        self._pace = Pace(clock, parallel=parallel)
        self._done = 0
        self._unseen = 0
        self._unseen_told = -math.inf
        self._shown: dict[int, tuple[str, str]] = {}
        self._names: dict[int, str] = {}

    def resumed(
        self, done: int, records: Iterable[TrialRecord] = (), *, again: bool = True
    ) -> None:
        """Count the `done` trials that were settled by an earlier driver, and log them if any.

        `records` are those of them that can be compared with the trials to come. Where a campaign
        isn't begun `again`, they were taken over.
        """
        self._done = done
        for record in records:
            self._front.tell(record)
            if self._outcomes:
                self._outcomes.tell(record)
        self._pace.restart()
        if done:
            resuming = "resuming: " if again else ""
            _log.info("%s%d of %d trials are done", resuming, done, self._total)

    def asked(self, trial: Asked) -> None:
        """Log the point that was chosen for a trial."""
        self._pace.begin()
        data = {"trial": trial.number, "point": trial.point, "baseline": trial.baseline}
        why = "baseline" if trial.baseline else _WHY.get(trial.origin)
        name = f"trial {trial.number}" + (f" ({why})" if why else "")
        self._names[trial.number] = name
        _log_event("asked", f"{name}: {point_text(trial.point)}", data, silent=True)

    def started(self, trial: Trial) -> None:
        """Log that an attempt at a trial begins."""
        self._pace.begin()
        again = f", attempt {trial.attempt}," if trial.attempt > 1 else ""
        data = {"trial": trial.number, "attempt": trial.attempt, "instance": trial.instance}
        on = f" on instance {trial.instance}" if trial.instance else ""
        name = self._names.get(trial.number, f"trial {trial.number}")
        text = f"{name}{again} starts{on}: {point_text(trial.point)}"
        _log_event("started", text, data, silent=self._short or bool(trial.instance))

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
        unseen = record.instance >= self._instances
        self._unseen += unseen and settled
        text = f"trial {record.number}{self._of_instance(record)} {_ending(record)}{again}"
        data = {"trial": record.number, "record": record.model_dump(mode="json")}
        _log_event("replicate", text, {**data, "settled": settled}, silent=record.valid)
        if unseen:
            self._log_unseen()

    def concluded(self, record: TrialRecord) -> None:
        """Log what a trial of several replicates came to, and how much is left to do."""
        if record.replicates:
            self._log_trial(record, settled=True)

    def _log_trial(self, record: TrialRecord, *, settled: bool) -> None:
        self._done += settled
        if settled:
            self._pace.end()
        moved = self._front.tell(record)
        name = self._names.pop(record.number, "") if settled else ""
        name = name if self._short and name else f"trial {record.number}"
        text = f"{name} {_ending(record, short=self._short)}{self._values_text(record)}"
        if record.ruled_out:
            text += f", estimated from {len(record.replicates)} instances: {record.ruled_out}"
        if moved:
            text += f", moves the front ({_points(self._front.size)})"
        known = self._outcomes.tell(record) if self._outcomes else None
        if known:
            text += f"; {why_same(known)}"
        left = self._left_text() if settled else "another attempt follows"
        point = f"; {point_text(record.point)}" if self._short else ""
        data = {
            "trial": record.number,
            "record": record.model_dump(mode="json"),
            "settled": settled,
            "moved_front": moved,
            "known": asdict(known) if known else None,
            "short": self._short,
            "ruled_out": record.ruled_out,
            "changes": self._changes(record),
            "progress": self.so_far(),
        }
        _log_event("finished", f"{text}; {left}{point}", data)

    def so_far(self) -> dict[str, Any]:
        """Return what the campaign has come to so far, as JSON has it."""
        pace = self._pace.seconds
        missing = max(0, self._total - self._done)
        return {
            "done": self._done,
            "total": self._total,
            "front": self._front.size,
            "moved": self._front.moved,
            "hypervolume": self._front.beyond_baseline,
            "trials_per_s": 1 / pace if pace else None,
            "left_s": None if pace is None else pace * missing,
            "best": [
                {
                    "metric": best.metric,
                    "direction": best.direction,
                    "value": best.value,
                    "trial": best.record.number,
                    "change": change(best.record, self._front.baseline, best.metric),
                }
                for best in self._front.best
            ],
        }

    def _changes(self, record: TrialRecord) -> dict[str, dict[str, Any]]:
        """Return the objectives of a valid trial, and their changes against the baseline."""
        if not record.valid:
            return {}
        return {
            name: {
                "value": record.metrics.get(name),
                "change": change(record, self._front.baseline, name),
            }
            for name in self._objectives
        }

    def _log_unseen(self) -> None:
        """Log how far what is held out is, for as many points as the front has and the baseline."""
        baseline = self._front.baseline
        apart = baseline is not None and not self._front.holds(baseline)
        total = max(self._unseen, (self._front.size + apart) * self._held_out)
        now = self._clock()
        if now - self._unseen_told < UNSEEN_EVERY_S and self._unseen < total:
            return
        self._unseen_told = now
        text = f"running the front on jobs that the search has not seen: {self._unseen} of {total}"
        _log_event(PHASE, text, {"unseen": self._unseen, "unseen_total": total})

    def _of_instance(self, record: TrialRecord) -> str:
        if record.instance >= self._instances:
            return f" on the instance {record.instance}, held out,"
        return f" on instance {record.instance}" if self._instances > 1 else ""

    def _values_text(self, record: TrialRecord) -> str:
        parts = []
        for name, found in self._changes(record).items():
            changed = f" ({found['change']})" if found["change"] else ""
            parts.append(f"{name} {number(found['value'])}{changed}")
        return f" with {', '.join(parts)}" if parts else ""

    def _left_text(self) -> str:
        missing = max(0, self._total - self._done)
        pace = self._pace.seconds
        if not missing:
            return "done"
        left = f", about {duration_text(pace * missing)} left" if pace is not None else ""
        return f"{self._done} of {self._total} done{left}"


def _points(count: int) -> str:
    return "1 point" if count == 1 else f"{count} points"


def _ending(record: TrialRecord, *, short: bool = False) -> str:
    reason = f" ({record.reason.splitlines()[0]})" if record.reason else ""
    # What takes milliseconds is nobody's concern, unless it took seconds.
    took = record.ended - record.started
    after = "" if short and took < 1 else f" after {duration_text(took)}"
    return f"{record.outcome}{reason}{after}{_cold_text(record)}"


def _log_event(event: str, text: str, data: dict[str, Any], *, silent: bool = False) -> None:
    """Log an event; a `silent` one is for programs and for `--verbose`."""
    about = {"trial": data["trial"]} if "trial" in data else {}
    _log.info("%s", text, extra={"event": event, "data": data, "silent": silent, **about})


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
