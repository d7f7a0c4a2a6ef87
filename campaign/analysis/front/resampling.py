"""The bootstrap's intervals and probabilities: pure functions over whole matrices of resamples.

An interval is the *expanded percentile interval* of Hesterberg (What Teachers Should Know About the
Bootstrap, The American Statistician 69(4), 2015, section 5.3): the percentiles of the resampled
statistic, at levels that make up for the narrowness of a bootstrap of few values. The plain
percentile interval and BCa lack that: of 1,500 samples of 8 exponential values, 90 % intervals of
the mean covered the truth in 79 and 80 %, expanded ones in 85 %; of 8 differences of two such
values, in 82, 80 and 89 %. Below `fewest` values there is no interval: not even the range of the
sample would keep its promise.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are had: the share of truths that they cover, the resamples, and their seed."""

    level: float = 0.9
    resamples: int = 1000
    seed: int = 0

    @property
    def fewest(self) -> int:
        """The least number of values of which there is an interval.

        The range of n values misses their median with probability 2^(1-n).
        """
        return max(2, math.ceil(1 - math.log2(1 - self.level)))

    def draws(self, n: int) -> Rows:
        """Return the indices of `n` values that each resample takes: a row per resample.

        They depend on the seed and `n` only, so that all statistics of the same values are paired.
        """
        generator = np.random.default_rng((self.seed, n))
        return generator.integers(0, n, size=(self.resamples, n))

    def interval(self, resampled: Floats, n: int) -> tuple[Floats, Floats]:
        """Return the low and high ends of each row of resampled statistics of `n` values.

        They are NaN where `n` is less than `fewest`, or where a resample has no value.
        """
        if n < self.fewest:
            none = np.full(len(resampled), np.nan)
            return none, none
        ordered = np.sort(resampled, axis=1)
        # NaN is sorted to the end.
        unknown = np.isnan(ordered[:, -1])
        tail = _expanded((1 - self.level) / 2, n)
        ends = (percentile(ordered, share) for share in (tail, 1 - tail))
        low, high = (np.where(unknown, np.nan, end) for end in ends)
        return low, high

    def probability_below_zero(self, resampled: Floats, n: int) -> Floats:
        """Return for each row the probability that its statistic of `n` values is less than zero.

        It is the share of resamples below zero, where zeros count half, drawn towards one half as
        far as `interval` is expanded: an interval has zero outside where it is above (1 + level)/2
        or below (1 - level)/2. NaN for fewer than two values.
        """
        from scipy import stats

        if n < 2:
            return np.full(len(resampled), np.nan)
        share = np.mean(resampled < 0, axis=1) + np.mean(resampled == 0, axis=1) / 2
        # Resamples that agree prove no certainty.
        least = 1 / (2 * self.resamples)
        deviate = stats.norm.ppf(np.clip(share, least, 1 - least))
        probability = stats.t.cdf(deviate * math.sqrt((n - 1) / n), n - 1)
        unknown = np.isnan(resampled).any(axis=1)
        return np.where(unknown, np.nan, probability)


def percentile(ordered: Floats, share: float) -> Floats:
    """Return the value below which `share` of each sorted row lies, between neighbours linearly.

    A row's values lie at 1/(m+1), ..., m/(m+1), for m of them (definition 6 of Hyndman and Fan).
    """
    count = ordered.shape[-1]
    return between(ordered, share * (count + 1) - 1)


def between(ordered: Floats, position: float) -> Floats:
    """Return what stands at `position` of each sorted row, from 0, between neighbours linearly."""
    position = min(max(position, 0.0), ordered.shape[-1] - 1.0)
    below = math.floor(position)
    above = min(below + 1, ordered.shape[-1] - 1)
    weight = position - below
    low = ordered[..., below]
    if weight == 0:
        return low
    # So that neighbours that are equal give themselves, without rounding.
    return np.asarray(low + weight * (ordered[..., above] - low))


def _expanded(tail: float, n: int) -> float:
    """Return Hesterberg's level in place of `tail`, the part outside at one end."""
    from scipy import stats

    quantile = math.sqrt(n / (n - 1)) * stats.t.ppf(tail, n - 1)
    return float(stats.norm.cdf(quantile))
