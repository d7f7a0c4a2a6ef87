"""How sure the front is, by the instances that the search saw, and which points are alike.

The search chose its front on these very instances, so the intervals say how much a value depends on
which instances were drawn, not how far it will be off on others: that is what the hold-out tells.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from campaign.analysis.front.instances import (
    MEAN,
    InstanceRule,
    Sampled,
    alike,
    changes,
    estimate,
)
from campaign.analysis.front.resampling import Bootstrap, Floats
from campaign.core.trials import TrialRecord
from campaign.schema.model import Direction


@dataclass(frozen=True)
class Interval:
    """A figure with the ends of its 90 % interval, NaN where there is none."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class SearchedValue:
    """An objective of a point, and its change against the baseline's in per cent."""

    value: Interval
    change: Interval


@dataclass(frozen=True)
class SearchedPoint:
    """The values of a trial by objective, and the trials that it can't be told from.

    Those are points of the front or the baseline: the interval of their difference includes zero in
    every objective.
    """

    trial: int
    values: Mapping[str, SearchedValue]
    alike: tuple[int, ...]


@dataclass(frozen=True)
class SearchedFindings:
    """The points of a front and the baseline on so many `instances`, which the search saw."""

    instances: int
    points: tuple[SearchedPoint, ...]

    @classmethod
    def of(
        cls,
        front: Sequence[TrialRecord],
        baseline: TrialRecord | None,
        objectives: Mapping[str, Direction],
        rule: InstanceRule = MEAN,
    ) -> Self | None:
        """Return what is known of a front; None where there is a single instance, or no front."""
        compared = {one.number: one for one in front}
        if baseline is not None and baseline.valid:
            compared[baseline.number] = baseline
        records = [one for one in compared.values() if one.replicates]
        instances = max((len(one.replicates) for one in records), default=0)
        if not front or instances < 2:
            return None
        sampled = {
            name: Sampled(np.array([_row(one, name, instances) for one in records]), direction)
            for name, direction in objectives.items()
        }
        before = next((row for row, one in enumerate(records) if one is baseline), None)
        values = {name: list(_values(one, before, rule)) for name, one in sampled.items()}
        # Without intervals, nothing is told apart; to say so of each pair would tell nothing.
        pairs = alike(list(sampled.values()), rule) if _enough(instances) else []
        points = (
            SearchedPoint(
                record.number,
                {name: column[row] for name, column in values.items()},
                tuple(records[other].number for other in _paired_with(row, pairs)),
            )
            for row, record in enumerate(records)
        )
        return cls(instances, tuple(points))

    @property
    def has_intervals(self) -> bool:
        """Whether there are enough instances for intervals."""
        return _enough(self.instances)

    def of_trial(self, number: int) -> SearchedPoint | None:
        """Return what is known of a trial, if it is one of the points."""
        return next((one for one in self.points if one.trial == number), None)


def _enough(instances: int) -> bool:
    return instances >= Bootstrap().fewest


def _row(record: TrialRecord, name: str, instances: int) -> Floats:
    values = {one.instance: one.metrics.get(name, np.nan) for one in record.replicates}
    return np.array([values.get(instance, np.nan) for instance in range(instances)])


def _values(sampled: Sampled, before: int | None, rule: InstanceRule) -> Iterator[SearchedValue]:
    """Yield an objective's value of each point, with its change against the row `before`."""
    own = estimate(sampled.values, sampled.direction, rule)
    unknown = np.full(sampled.values.shape[1], np.nan)
    baseline = unknown if before is None else sampled.values[before]
    changed = changes(sampled.values, baseline, sampled.direction, rule)
    ends = (changed.percent, changed.percent_low, changed.percent_high)
    for row in range(len(sampled.values)):
        value = Interval(float(own.value[row]), float(own.low[row]), float(own.high[row]))
        percent, low, high = (np.nan if row == before else float(end[row]) for end in ends)
        yield SearchedValue(value, Interval(percent, low, high))


def _paired_with(row: int, pairs: Sequence[tuple[int, int]]) -> Iterator[int]:
    for first, second in pairs:
        if row in (first, second):
            yield second if row == first else first
