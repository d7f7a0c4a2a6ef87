"""What constraints come to: limits on metrics, of each class of jobs, and by the baseline."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from campaign.core.metric_names import matching
from campaign.core.trials import TrialRecord
from campaign.schema.search import Bound

IMPOSSIBLE = math.inf


@dataclass(frozen=True)
class Limit:
    """The highest (`kind` max) or lowest (min) value of a metric; `setting` is where it stands.

    A limit by the baseline is IMPOSSIBLE where the baseline has no value of the metric.
    """

    metric: str
    kind: Literal["max", "min"]
    value: float
    setting: str

    def violation(self, metrics: Mapping[str, float]) -> float:
        """Return by how much the limit is violated, in the metric's unit; 0 or less is kept.

        A metric without a value violates it without limit.
        """
        value = metrics.get(self.metric, math.nan)
        over = value - self.value if self.kind == "max" else self.value - value
        return IMPOSSIBLE if math.isnan(over) else over

    def kept(self, metrics: Mapping[str, float]) -> bool:
        """Return whether these metrics keep to the limit."""
        return self.violation(metrics) <= 0


def limits(constraints: Mapping[str, Bound], baseline: Mapping[str, float] | None) -> list[Limit]:
    """Return the limits that constraints come to, given the metrics of the baseline, if it has any.

    A constraint on each class (`[partition=*]`) is one on each class that the baseline has a value
    of.
    """
    known = baseline or {}
    return [
        limit
        for pattern, bound in constraints.items()
        for metric in matching(pattern, known) or [pattern]
        for limit in _limits(metric, pattern, bound, known)
    ]


def limits_among(constraints: Mapping[str, Bound], records: Iterable[TrialRecord]) -> list[Limit]:
    """Return the limits that hold for trials of one group, the baseline among them."""
    baseline = next((one for one in records if one.baseline and one.valid), None)
    return limits(constraints, baseline.metrics if baseline else None)


def _limits(
    metric: str, pattern: str, bound: Bound, baseline: Mapping[str, float]
) -> Iterator[Limit]:
    setting = f"search.constraints.{pattern}"
    own = baseline.get(metric)
    if bound.max is not None:
        yield Limit(metric, "max", bound.max, f"{setting}.max = {bound.max:g}")
    if bound.min is not None:
        yield Limit(metric, "min", bound.min, f"{setting}.min = {bound.min:g}")
    if bound.max_x_baseline is not None:
        times = f"{setting}.max_x_baseline = {bound.max_x_baseline:g}"
        highest = -IMPOSSIBLE if own is None else bound.max_x_baseline * own
        yield Limit(metric, "max", highest, times)
    if bound.min_x_baseline is not None:
        times = f"{setting}.min_x_baseline = {bound.min_x_baseline:g}"
        lowest = IMPOSSIBLE if own is None else bound.min_x_baseline * own
        yield Limit(metric, "min", lowest, times)
