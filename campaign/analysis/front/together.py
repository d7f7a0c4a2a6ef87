"""Which settings a search moved together, so that what one did may seem to be the other's doing.

Samplers look near what was good, where good values of several settings meet. No figure of
importance tells such settings apart; trials that differ in one of them do.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from campaign.core.trials import Point
from campaign.schema.settings import Scalar

STRONG = 0.5
"""From this rank correlation on, either way, two settings are named."""
FEWEST_POINTS = 20


@dataclass(frozen=True)
class SettingsTogether:
    """Two settings, and the rank correlation of their values over the points that have both."""

    settings: tuple[str, str]
    value: float


def settings_together(points: Sequence[Point]) -> list[SettingsTogether]:
    """Return the settings that moved together in different points, the strongest pair first.

    A setting of more than two names has no order and is left out.
    """
    different = list({tuple(sorted(point.items())): point for point in points}.values())
    names = sorted({name for point in different for name in point})
    found = []
    for one, other in combinations(names, 2):
        value = _correlation(
            [(point[one], point[other]) for point in different if one in point and other in point]
        )
        if abs(value) >= STRONG:
            found.append(SettingsTogether((one, other), value))
    return sorted(found, key=lambda pair: (-abs(pair.value), pair.settings))


def _correlation(pairs: Sequence[tuple[Scalar, Scalar]]) -> float:
    """Return the rank correlation of two columns; 0 where there is none."""
    from scipy import stats

    columns = [_ordered(column) for column in zip(*pairs, strict=True)]
    if len(pairs) < FEWEST_POINTS or any(len(set(column)) < 2 for column in columns):
        return 0.0
    value = float(stats.spearmanr(np.array(columns), axis=1).statistic)
    return 0.0 if math.isnan(value) else value


def _ordered(column: Sequence[Scalar]) -> list[float]:
    """Return numbers in the order of the values; all the same where they have no order."""
    if all(isinstance(value, int | float) for value in column):
        return [float(value) for value in column]
    names = sorted({str(value) for value in column})
    return [float(names.index(str(value))) if len(names) == 2 else 0.0 for value in column]
