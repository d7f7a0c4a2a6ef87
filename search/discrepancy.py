"""What a dear testbed will give of a metric, by what a cheap one gives: their discrepancy.

The metric there is a line in the metric here, and a discrepancy that is alike for points that are
near each other (Kennedy and O'Hagan, Predicting the output from a complex computer code when fast
approximations are available, Biometrika 87(1), 2000). Both are learnt from the points that were
evaluated on both testbeds. With few of them, what is assumed beforehand counts: the metric there is
the metric here, within a quarter of its spread. What is assumed is fixed, and no library is needed:
with the ten or twenty pairs that there are, nothing more could be fitted.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from campaign.core.trials import Point
from campaign.schema.settings import Scalar
from search.space import Categorical, Dimension, Space

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

ASSUMED_SPREAD = 0.25
"""The discrepancy that is assumed, in standard deviations of the metric on the cheap testbed."""
ASSUMED_PAIRS = 3.0
"""How many pairs what is assumed of the discrepancy counts for."""
SLOPE_SPREAD = 0.5
SHIFT_SPREAD = 3.0
"""How far the line's slope may be from 1, and the line be shifted (standard deviations)."""
NEAR_SETTINGS = 0.25
"""Settings as far apart as this share of their ranges have discrepancies that are alike."""
NEAR_VALUES = 0.5
"""So have values on the cheap testbed as far apart, in standard deviations."""
BY_SETTINGS = 0.5
BY_VALUE = 0.35
BY_CHANCE = 0.15
"""How much of the discrepancy's variance hangs together by either, and how much by nothing."""


@dataclass(frozen=True)
class Prediction:
    """A metric's expected values at some points, and their standard deviations, on its `scale`."""

    values: Floats
    spreads: Floats


class Places:
    """The places of points in a space, for how far they are from each other."""

    def __init__(self, space: Space, points: list[Point]) -> None:
        columns = [_shares(points, path, one) for path, one in space.dimensions.items()]
        self._kinds = [isinstance(one, Categorical) for one in space.dimensions.values()]
        self._shares = np.array(columns, dtype=np.float64).reshape(len(columns), len(points))

    def squared(self, rows: Rows) -> Floats:
        """Return the mean squared distance, over settings, of all points from those in `rows`.

        A setting's range counts as 1, and so does another choice, or a setting that one of the two
        points doesn't have.
        """
        total = np.zeros((self._shares.shape[1], len(rows)))
        for named, shares in zip(self._kinds, self._shares, strict=True):
            apart = np.abs(shares[:, None] - shares[None, rows])
            missing = np.isnan(shares)
            one_lacks = missing[:, None] != missing[None, rows]
            apart = np.where(one_lacks, 1.0, np.nan_to_num(apart))
            total += (apart > 0 if named else apart) ** 2
        return total / max(len(self._kinds), 1)


def _shares(points: list[Point], path: str, dimension: Dimension) -> list[float]:
    return [_share(dimension, point[path]) if path in point else math.nan for point in points]


def _share(dimension: Dimension, value: Scalar) -> float:
    """Return where a value is in its dimension, from 0 to 1; of a choice, its number."""
    if isinstance(dimension, Categorical):
        return dimension.choices.index(value)
    if dimension.high <= dimension.low:
        return 0.0
    if dimension.log:
        return math.log(float(value) / dimension.low) / math.log(dimension.high / dimension.low)
    return (float(value) - dimension.low) / (dimension.high - dimension.low)


class Discrepancy:
    """Foretells one metric for points that have the values `cheap` and are at `places`.

    Metrics are compared on a scale that leaves order alone, takes zero and negative values, and
    makes large ones comparable by their ratio: the inverse hyperbolic sine, the unit being the
    median.
    """

    def __init__(self, cheap: Floats, places: Places) -> None:
        middle = float(np.median(np.abs(cheap))) if len(cheap) else 0.0
        self._unit = middle or 1.0
        self._cheap = self.scaled(cheap)
        self._places = places
        self._spread = max(float(np.std(self._cheap)), 1e-6) if len(cheap) else 1.0

    def scaled(self, values: Floats) -> Floats:
        """Return values of the metric on the scale on which it is foretold."""
        found: Floats = np.arcsinh(values / self._unit)
        return found

    def foretell(self, rows: Rows, dear: Floats) -> Prediction:
        """Return what all points will give, by those in `rows`, which gave `dear`."""
        line, residuals = self._line(rows, self.scaled(dear))
        assumed = ASSUMED_PAIRS * (ASSUMED_SPREAD * self._spread) ** 2
        variance = (assumed + float(residuals @ residuals)) / (ASSUMED_PAIRS + len(rows))
        if not len(rows):
            return Prediction(line, np.full(len(line), np.sqrt(variance)))
        near = self._near(rows)
        among = near[rows] + BY_CHANCE * np.eye(len(rows))
        solved = np.linalg.solve(among, np.column_stack([residuals, near.T]))
        left = 1 - np.einsum("ij,ji->i", near, solved[:, 1:])
        spreads = np.sqrt(variance * np.clip(left, BY_CHANCE, None))
        return Prediction(line + near @ solved[:, 0], spreads)

    def _line(self, rows: Rows, dear: Floats) -> tuple[Floats, Floats]:
        """Return the line's values at all points, and what the known ones are beyond it."""
        if not len(rows):
            return self._cheap, np.zeros(0)
        known = self._cheap[rows]
        centre = float(known.mean())
        # Ridge regression, with the slope drawn towards 1 and the shift towards 0.
        noise = (ASSUMED_SPREAD * self._spread) ** 2
        difference = dear - known
        assumed = noise / (SHIFT_SPREAD * self._spread) ** 2
        shift = float(difference.sum()) / (len(rows) + assumed)
        along = known - centre
        assumed = noise / SLOPE_SPREAD**2
        slope = 1 + float(along @ (difference - shift)) / (float(along @ along) + assumed)
        line = centre + shift + slope * (self._cheap - centre)
        return line, dear - line[rows]

    def _near(self, rows: Rows) -> Floats:
        by_settings = np.exp(-self._places.squared(rows) / (2 * NEAR_SETTINGS**2))
        apart = (self._cheap[:, None] - self._cheap[None, rows]) / self._spread
        by_value = np.exp(-(apart**2) / (2 * NEAR_VALUES**2))
        return BY_SETTINGS * by_settings + BY_VALUE * by_value
