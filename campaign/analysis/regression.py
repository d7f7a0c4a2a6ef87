"""Whether one trial is worse than another beyond what chance does: metric by metric, as a gate.

Both have replayed the same jobs. What chance decides is resampled in pairs, by whatever there is
most of:

- the *workloads* that both replayed, where they are enough for an interval (`Bootstrap.fewest`);
- else the *jobs* of one workload, for metrics that are taken over jobs. Jobs that ran in one queue
  are no independent draws: such an interval tells what a metric owes to few jobs, and nothing of
  another day's jobs;
- else *nothing*: any change beyond the tolerance counts.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from campaign.analysis.front.instances import InstanceRule, changes
from campaign.analysis.front.resampling import Bootstrap
from campaign.analysis.metrics.definition import METRICS, NoMeaning, evaluated
from campaign.analysis.metrics.measured import ClusterFacts, measure
from campaign.schema.model import Direction

if TYPE_CHECKING:
    import pyarrow as pa

Resampled = Literal["workloads", "jobs", "nothing"]
ROUNDING_PERCENT = 1e-9
_NO_CLUSTER = ClusterFacts(0, 0)  # what is taken over jobs asks nothing of the cluster


@dataclass(frozen=True)
class GatedChange:
    """How a metric changed, in per cent, with the ends of its 90 % interval (NaN without one).

    `before` and `now` are its values; `count` tells how many of what was `resampled`. The change is
    NaN where the value was 0 before.
    """

    metric: str
    direction: Direction
    before: float
    now: float
    percent: float
    low: float
    high: float
    resampled: Resampled
    count: int

    def is_worse(self, tolerance: float) -> bool:
        """Return whether the whole interval is worse by more than `tolerance` per cent.

        Without an interval the change itself counts.
        """
        sign = 1 if self.direction == "minimize" else -1
        if math.isnan(self.percent):
            return sign * (self.now - self.before) > 0
        nearest = self.low if self.direction == "minimize" else self.high
        if math.isnan(nearest):
            nearest = self.percent
        return sign * nearest > tolerance + ROUNDING_PERCENT


def over_workloads(
    metric: str,
    direction: Direction,
    before: Sequence[float],
    now: Sequence[float],
    quantile: float | None,
) -> GatedChange:
    """Return how a metric changed over workloads; each place is one that both have replayed."""
    rule = InstanceRule(quantile)
    rows = [np.array(values, dtype=np.float64) for values in (before, now)]
    found = changes(rows[1][None], rows[0], direction, rule)
    was, is_now = (float(rule.of(values, direction)) for values in rows)
    return GatedChange(
        metric,
        direction,
        was,
        is_now,
        float(found.percent[0]),
        float(found.percent_low[0]),
        float(found.percent_high[0]),
        "workloads",
        len(before),
    )


def over_jobs(
    metric: str,
    direction: Direction,
    values: tuple[float, float],
    tables: "tuple[pa.Table, pa.Table]",
    tau_s: float,
) -> GatedChange | None:
    """Return how a metric changed over the jobs that finished in both `tables`, before and now.

    `values` are the metric's. None where it isn't taken over jobs, or these are too few.
    """
    definition = METRICS.get(metric)
    how = Bootstrap()
    pair = _paired(tables)
    count = pair[0].num_rows
    if definition is None or not definition.of_class or count < how.fewest:
        return None
    resampled = np.full((1, how.resamples), np.nan)
    generator = np.random.default_rng((how.seed, count))
    for at in range(how.resamples):
        rows = generator.integers(0, count, size=count)
        drawn = (measure(table.take(rows), _NO_CLUSTER, {}, tau_s) for table in pair)
        was, is_now = (evaluated(definition, one) for one in drawn)
        if not isinstance(was, NoMeaning) and not isinstance(is_now, NoMeaning):
            resampled[0, at] = percent_of(was, is_now)
    low, high = how.interval(resampled, count)
    return _plain(
        metric, direction, values, (float(low[0]), float(high[0])), resampled="jobs", count=count
    )


def over_nothing(metric: str, direction: Direction, values: tuple[float, float]) -> GatedChange:
    """Return how a metric changed of which nothing can be resampled."""
    return _plain(metric, direction, values)


def percent_of(before: float, now: float) -> float:
    """Return a change in per cent; NaN where there was nothing before."""
    if now == before:
        return 0.0
    return 100 * (now - before) / abs(before) if before else math.nan


def _plain(
    metric: str,
    direction: Direction,
    values: tuple[float, float],
    ends: tuple[float, float] = (math.nan, math.nan),
    *,
    resampled: Resampled = "nothing",
    count: int = 0,
) -> GatedChange:
    return GatedChange(metric, direction, *values, percent_of(*values), *ends, resampled, count)


def _paired(tables: "tuple[pa.Table, pa.Table]") -> "tuple[pa.Table, pa.Table]":
    """Return the jobs that finished in both tables, in the same order."""
    import pyarrow.compute as pc

    finished = [
        table.filter(
            pc.and_(pc.is_valid(table.column("start_ns")), pc.is_valid(table.column("end_ns")))
        ).sort_by("job_id")
        for table in tables
    ]
    first, second = finished
    return (
        first.filter(pc.is_in(first.column("job_id"), second.column("job_id").combine_chunks())),
        second.filter(pc.is_in(second.column("job_id"), first.column("job_id").combine_chunks())),
    )
