"""How far two objectives go together: rank correlation over trials, with its interval.

A correlation is Spearman's, of costs: 1 where what improves one objective improves the other. Its
interval is that of Bonett and Wright (Sample Size Requirements for Estimating Pearson, Kendall and
Spearman Correlations, Psychometrika 65(1), 2000). Trials are chosen by the search, not drawn at
random: where it looks at the front only, objectives seem to oppose each other more than elsewhere.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from campaign.analysis.front.costs import TrialCosts
from campaign.analysis.front.resampling import Floats

FEWEST_TRIALS = 10
"""The 90 % interval of fewer outcomes would be wider than half of all that is possible."""
ONE = 1 - 1e-9
"""From this correlation on, two objectives put all trials in the same order."""


@dataclass(frozen=True)
class ObjectiveCorrelation:
    """The rank correlation of two objectives over `trials` outcomes, with its interval.

    NaN where there are too few outcomes, or where an objective is the same in all of them.
    """

    objectives: tuple[str, str]
    value: float
    low: float
    high: float
    trials: int

    @property
    def same(self) -> bool:
        """Whether both put all trials in the same order, so that one of them decides nothing."""
        return self.value >= ONE


def correlations(measured: TrialCosts, level: float = 0.9) -> list[ObjectiveCorrelation]:
    """Return the correlation of each pair of objectives, over trials of different outcomes.

    Trials with equal outcomes count once, since the search chose how often they are there.
    """
    outcomes = np.unique(measured.costs, axis=0)
    return [
        ObjectiveCorrelation((one, other), *spearman(outcomes[:, [a, b]], level), len(outcomes))
        for (a, one), (b, other) in combinations(enumerate(measured.objectives), 2)
    ]


def spearman(pairs: Floats, level: float = 0.9) -> tuple[float, float, float]:
    """Return the rank correlation of two columns, and the ends of its interval."""
    from scipy import stats

    if len(pairs) < FEWEST_TRIALS or np.any(pairs.min(axis=0) == pairs.max(axis=0)):
        return math.nan, math.nan, math.nan
    value = float(np.clip(stats.spearmanr(pairs[:, 0], pairs[:, 1]).statistic, -1, 1))
    if abs(value) >= ONE:
        return round(value), round(value), round(value)
    low, high = _ends(value, len(pairs), float(stats.norm.ppf((1 + level) / 2)))
    return value, low, high


def _ends(value: float, count: int, deviate: float) -> Iterator[float]:
    error = math.sqrt((1 + value**2 / 2) / (count - 3))
    for sign in (-1, 1):
        yield math.tanh(math.atanh(value) + sign * deviate * error)
