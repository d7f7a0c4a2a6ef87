"""What survives of a front's gains on instances that the search has not seen, told in sentences."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from campaign.analysis.front.instances import MEAN, Changes, InstanceRule, changes
from campaign.analysis.front.resampling import Floats
from campaign.core.trials import TrialRecord
from campaign.schema.model import BETTER, Direction

Verdict = Literal["better", "worse", "same", "unclear"]
NEGLIGIBLE_PERCENT = 0.5
"""A change that is certain to be smaller is none: with whole numbers, 0 % is written."""


@dataclass(frozen=True)
class UnseenChange:
    """How an objective of a point differs from the baseline's on instances held out, in per cent.

    `claimed` is the change on the instances that the search saw. `low` and `high` are the ends of
    the 90 % interval, NaN where there are too few instances for one. `verdict` is "same" where the
    whole interval is negligible.
    """

    claimed: float
    percent: float
    low: float
    high: float
    verdict: Verdict

    @property
    def brief(self) -> str:
        """The change alone."""
        return "no value" if math.isnan(self.percent) else f"{_whole(self.percent)} %"

    @property
    def words(self) -> str:
        """The change with its interval."""
        if math.isnan(self.percent) or math.isnan(self.low):
            return self.brief
        return f"{self.brief}, {_whole(self.low)} to {_whole(self.high)} %"


@dataclass(frozen=True)
class UnseenPoint:
    """A point of the front beside the baseline, by objective, on instances held out."""

    record: TrialRecord
    changes: Mapping[str, UnseenChange]

    def with_verdict(self, verdict: Verdict) -> list[str]:
        """Return the objectives of which this was found."""
        return [name for name, one in self.changes.items() if one.verdict == verdict]


@dataclass(frozen=True)
class HoldoutFindings:
    """The points of a front that were run on so many `instances` that the search has not seen."""

    instances: int
    points: tuple[UnseenPoint, ...]

    @classmethod
    def of(
        cls,
        front: Sequence[TrialRecord],
        baseline: TrialRecord | None,
        objectives: Mapping[str, Direction],
        rule: InstanceRule = MEAN,
    ) -> Self | None:
        """Return what was found; None where front or baseline weren't run on held-out instances."""
        points = [one for one in front if one.held_out and not one.baseline]
        if not points or baseline is None or not baseline.held_out:
            return None
        found: list[dict[str, UnseenChange]] = [{} for _ in points]
        for name, direction in objectives.items():
            unseen = _changes(points, baseline, name, direction, rule)
            for row, record in enumerate(points):
                before = baseline.metrics[name]
                # Of nothing there is no percentage.
                claimed = 100 * (record.metrics[name] / before - 1) if before else math.nan
                found[row][name] = _change(unseen, row, claimed, direction)
        pairs = zip(points, found, strict=True)
        return cls(len(baseline.held_out), tuple(UnseenPoint(*pair) for pair in pairs))

    @property
    def best(self) -> UnseenPoint:
        """The point with most confirmed gains less confirmed losses; of several, the first."""
        return max(
            self.points,
            key=lambda one: len(one.with_verdict("better")) - len(one.with_verdict("worse")),
        )

    def of_trial(self, number: int) -> UnseenPoint | None:
        """Return what was found of a trial, if it was run on held-out instances."""
        return next((one for one in self.points if one.record.number == number), None)


def sentences(findings: HoldoutFindings, objectives: Mapping[str, Direction]) -> Iterator[str]:
    """Yield what survived: of the best point objective by objective, and of how many points."""
    where = f"on {findings.instances} workloads that the search has not seen"
    best = findings.best
    gains = best.with_verdict("better")
    if gains:
        kept = " and ".join(f"{name} ({best.changes[name].words})" for name in gains)
        yield f"Trial {best.record.number} is better than the baseline {where} in {kept}."
    else:
        yield f"No point of the front is certain to be better than the baseline {where}."
    for name in objectives:
        one = best.changes[name]
        if one.verdict != "better":
            yield f"{name} of trial {best.record.number}: {_unconfirmed(one, objectives[name])}."
    several = len(findings.points)
    if several > 1:
        keeping = sum(bool(one.with_verdict("better")) for one in findings.points)
        keep = "keeps" if keeping == 1 else "keep"
        yield f"Of {several} points of the front, {keeping} {keep} a gain there."


def _whole(percent: float) -> str:
    # Never -0.0: a change that can't be seen has no direction.
    return f"{round(percent, 0) + 0.0:+.0f}"


def _unconfirmed(one: UnseenChange, direction: Direction) -> str:
    gained = one.claimed < 0 if direction == "minimize" else one.claimed > 0
    if one.verdict == "worse":
        so = "worse than the baseline's there"
    elif one.verdict == "same":
        so = "the same as the baseline's there"
    elif gained:
        so = f"its gain ({_whole(one.claimed)} % where the search looked) is not confirmed there"
    else:
        so = f"not certain to be {BETTER[direction]} or not there"
    return f"{so} ({one.words})"


def _changes(
    points: Sequence[TrialRecord],
    baseline: TrialRecord,
    name: str,
    direction: Direction,
    rule: InstanceRule,
) -> Changes:
    instances = [one.instance for one in baseline.held_out]
    rows = np.array([_row(record, instances, name) for record in (baseline, *points)])
    return changes(rows[1:], rows[0], direction, rule)


def _row(record: TrialRecord, instances: Sequence[int], name: str) -> Floats:
    values = {one.instance: one.metrics.get(name, np.nan) for one in record.held_out if one.valid}
    return np.array([values.get(instance, np.nan) for instance in instances])


def _change(found: Changes, row: int, claimed: float, direction: Direction) -> UnseenChange:
    percent, low, high = (
        float(of[row]) for of in (found.percent, found.percent_low, found.percent_high)
    )
    verdict: Verdict = "unclear"
    if max(abs(low), abs(high)) < NEGLIGIBLE_PERCENT:
        verdict = "same"
    elif found.told_apart[row]:
        less = found.high[row] < 0
        verdict = "better" if less == (direction == "minimize") else "worse"
    return UnseenChange(claimed, percent, low, high, verdict)
