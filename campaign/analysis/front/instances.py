"""Points over instances: each objective's value and interval, and its change against the baseline.

An instance is one drawing of what chance decides: a seed of a workload model, a window of a trace,
a phase of the controller's clock. Instances are the unit that is resampled. A matrix has a row per
point and a column per instance, NaN where a point was not evaluated on an instance; every point
that was met the same jobs there, so all comparisons are paired.

    rule = InstanceRule()                           # or InstanceRule(quantile=0.9)
    estimate(waits, "minimize", rule)               # value, low, high, instances: arrays by point
    changes(waits, waits[0], "minimize", rule)      # against row 0: difference, percent, better
    alike([Sampled(waits, "minimize"), Sampled(use, "maximize")], rule)  # pairs of points

All of it is deterministic by `Bootstrap.seed`, and a point's figures don't depend on which other
points are in the matrix. A point's own value is over the instances that it has: where these differ,
as after a race, two values are compared by `changes` alone, which takes the instances that both
have. Where instances are too few for an interval (`Bootstrap.fewest`: 5 for 90 %), it is NaN.
10,000 points on 10 instances take less than a second each for `estimate` and `changes` of means,
and a few seconds for quantiles.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from campaign.analysis.front.resampling import Bootstrap, Floats, Rows, between
from campaign.schema.model import Direction

CHUNK = 1024
"""Rows that are resampled at once: their resamples of eight bytes each stay in a few megabytes."""

ROUNDING = 1e-12
"""A difference that is this share of the greatest one of its row is none."""
ONE_ROW = np.zeros(1, dtype=np.int64)


@dataclass(frozen=True)
class InstanceRule:
    """How the values of instances become one: their mean, or a quantile for the risk-averse.

    `quantile` is counted from the better side, whatever the direction: 0.9 is the value that nine
    of ten instances keep to. Between two instances it is interpolated linearly.
    """

    quantile: float | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a quantile that is none."""
        if self.quantile is not None and not 0 <= self.quantile <= 1:
            raise ValueError(f"a quantile lies between 0 and 1, not at {self.quantile}")

    def of(self, values: Floats, direction: Direction) -> Floats:
        """Return one value for the last axis of `values`, which has no gaps."""
        if self.quantile is None:
            return np.asarray(values.mean(axis=-1))
        share = self.quantile if direction == "minimize" else 1 - self.quantile
        return between(np.sort(values, axis=-1), share * (values.shape[-1] - 1))


MEAN = InstanceRule()


@dataclass(frozen=True)
class Estimates:
    """An objective's value of each point, the ends of its interval, and its number of instances."""

    value: Floats
    low: Floats
    high: Floats
    instances: Rows


@dataclass(frozen=True)
class Changes:
    """How an objective of each point differs from the baseline's, on the instances of both.

    `difference` is point less baseline in the metric's unit, `percent` the same of the baseline's
    value; each has its interval. `better` is the probability that the point is the better one.
    `percent` is NaN where the baseline's value is 0.
    """

    difference: Floats
    low: Floats
    high: Floats
    percent: Floats
    percent_low: Floats
    percent_high: Floats
    better: Floats
    instances: Rows

    @property
    def told_apart(self) -> NDArray[np.bool_]:
        """Whether the interval of the difference leaves out zero."""
        # A NaN makes both comparisons False.
        return np.asarray((self.low > 0) | (self.high < 0))


@dataclass(frozen=True)
class Sampled:
    """An objective's values, a row per point and a column per instance, and its direction."""

    values: Floats
    direction: Direction


def estimate(
    values: Floats,
    direction: Direction,
    rule: InstanceRule = MEAN,
    bootstrap: Bootstrap | None = None,
) -> Estimates:
    """Return the value of each point (row) over its own instances, with its interval."""
    how = bootstrap or Bootstrap()
    values = np.asarray(values, dtype=np.float64)
    found = _Columns(len(values), ("value", "low", "high"))
    for rows, columns in _chunks(~np.isnan(values)):
        own = values[np.ix_(rows, columns)]
        resampled = _resampled(own, how.draws(len(columns)), direction, rule)
        low, high = how.interval(resampled, len(columns))
        found.set(rows, value=rule.of(own, direction), low=low, high=high)
    return Estimates(**found.columns, instances=_counted(values))


def changes(
    values: Floats,
    baseline: Floats,
    direction: Direction,
    rule: InstanceRule = MEAN,
    bootstrap: Bootstrap | None = None,
) -> Changes:
    """Return the change of each point (row) against `baseline`, a row of the same instances.

    `baseline` may also be a matrix with a baseline for each point.
    """
    how = bootstrap or Bootstrap()
    values = np.asarray(values, dtype=np.float64)
    others = np.atleast_2d(np.asarray(baseline, dtype=np.float64))
    common = ~np.isnan(values) & ~np.isnan(others)
    found = _Columns(len(values), [one.name for one in fields(Changes) if one.name != "instances"])
    for rows, columns in _chunks(common):
        beside = others[np.ix_(rows if len(others) > 1 else ONE_ROW, columns)]
        found.set(rows, **_changed(values[np.ix_(rows, columns)], beside, direction, rule, how))
    return Changes(**found.columns, instances=common.sum(axis=1))


def alike(
    objectives: Sequence[Sampled], rule: InstanceRule = MEAN, bootstrap: Bootstrap | None = None
) -> list[tuple[int, int]]:
    """Return the pairs of points (rows, the lesser first) that cannot be told apart.

    The interval of a pair's difference includes zero in every objective, or does not exist. Each
    interval is at its own level: of many pairs that are equal, some will seem to differ.
    """
    count = len(objectives[0].values) if objectives else 0
    pairs = np.array(list(combinations(range(count), 2)), dtype=np.int64).reshape(-1, 2)
    differ = np.zeros(len(pairs), dtype=np.bool_)
    for one in objectives:
        first, second = (one.values[pairs[:, side]] for side in (0, 1))
        differ |= changes(first, second, one.direction, rule, bootstrap).told_apart
    return [(int(first), int(second)) for first, second in pairs[~differ]]


def _changed(
    values: Floats, others: Floats, direction: Direction, rule: InstanceRule, how: Bootstrap
) -> dict[str, Floats]:
    n = values.shape[1]
    draws = how.draws(n)
    base = rule.of(others, direction)
    resampled_base = _resampled(others, draws, direction, rule)
    if rule.quantile is None:
        # The mean of differences is exactly 0 for equal points; that of two means may not be.
        difference = rule.of(values - others, direction)
        resampled = _resampled(values - others, draws, direction, rule)
    else:
        difference = rule.of(values, direction) - base
        resampled = _resampled(values, draws, direction, rule) - resampled_base
    resampled = _exact_zeros(resampled)
    low, high = how.interval(resampled, n)
    percent_low, percent_high = how.interval(_percent(resampled, resampled_base), n)
    sign = 1 if direction == "minimize" else -1
    return {
        "difference": difference,
        "low": low,
        "high": high,
        "percent": _percent(difference, base),
        "percent_low": percent_low,
        "percent_high": percent_high,
        "better": how.probability_below_zero(sign * resampled, n),
    }


def _exact_zeros(resampled: Floats) -> Floats:
    """Return statistics with 0 where rounding alone keeps them from it.

    Sums of the same terms in another order would otherwise lie on either side of zero.
    """
    least = ROUNDING * np.abs(resampled).max(axis=1, keepdims=True)
    return np.where(np.abs(resampled) <= least, 0.0, resampled)


def _percent(difference: Floats, base: Floats) -> Floats:
    known = np.where(base == 0, np.nan, np.abs(base))
    return np.asarray(100 * difference / known)


def _resampled(values: Floats, draws: Rows, direction: Direction, rule: InstanceRule) -> Floats:
    """Return the statistic of each row (first axis) in each resample (second axis)."""
    if rule.quantile is not None:
        return rule.of(values[:, draws], direction)
    n = values.shape[1]
    times = np.zeros((len(draws), n))
    np.add.at(times, (np.arange(len(draws))[:, None], draws), 1 / n)
    return np.asarray(values @ times.T)


def _chunks(present: NDArray[np.bool_]) -> Iterator[tuple[Rows, Rows]]:
    """Yield rows that have the same instances, CHUNK of them at most, and these instances."""
    kinds, which = np.unique(present, axis=0, return_inverse=True)
    for number, kind in enumerate(kinds):
        columns = np.flatnonzero(kind)
        rows = np.flatnonzero(which == number)
        for begin in range(0, len(rows) if len(columns) else 0, CHUNK):
            yield rows[begin : begin + CHUNK], columns


def _counted(values: Floats) -> Rows:
    return np.asarray((~np.isnan(values)).sum(axis=1), dtype=np.int64)


class _Columns:
    """Columns of a result by name, NaN where nothing is set."""

    def __init__(self, count: int, names: Sequence[str]) -> None:
        self.columns = {name: np.full(count, np.nan) for name in names}

    def set(self, rows: Rows, **values: Floats) -> None:
        """Set the values of some rows."""
        for name, column in values.items():
            self.columns[name][rows] = column
