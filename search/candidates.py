"""Points that a sampler with a model chooses from: drawn from the space, and beside known ones."""

from collections.abc import Iterable, Iterator, Mapping
from typing import cast

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution

from campaign.core.trials import Point
from campaign.schema.settings import Scalar
from search.quasi_random import value_at
from search.space import Categorical, Dimension, Integer, Real, Space, is_number

Floats = NDArray[np.float64]
MISSING = 0.5
"""Where a setting is that a point doesn't have; which it has is told by what decides that."""
STRIDES = (-0.15, -0.03, -0.001, 0.001, 0.03, 0.15)
"""How far neighbours are, as shares of a setting's range; a step at least."""


class PointColumns:
    """Points as rows of numbers: where each setting is in its range, from 0 to 1.

    Choices that are all numbers are in their order; other choices have a column each.
    """

    def __init__(self, space: Space) -> None:
        self._dimensions = space.dimensions

    def settings(self, columns: Floats) -> Floats:
        """Return rows with one number for each setting, the same where the setting is the same."""
        widths = [len(list(_places(kind, {}, path))) for path, kind in self._dimensions.items()]
        starts = np.cumsum([0, *widths[:-1]])
        weighed = columns * np.concatenate([np.arange(1, width + 1) for width in widths])
        found: Floats = np.add.reduceat(weighed, starts, axis=1)
        return found

    def of(self, points: Iterable[Point]) -> Floats:
        """Return the rows of some points."""
        found = [
            [one for path, kind in self._dimensions.items() for one in _places(kind, point, path)]
            for point in points
        ]
        return np.array(found, dtype=np.float64)


def _places(dimension: Dimension, point: Point, path: str) -> Iterator[float]:
    value = point.get(path)
    if not isinstance(dimension, Categorical):
        yield MISSING if value is None else _share(dimension, float(value))
    elif all(is_number(choice) for choice in dimension.choices):
        ordered = sorted(dimension.choices)
        last = max(len(ordered) - 1, 1)
        yield MISSING if value is None else ordered.index(value) / last
    else:
        for choice in dimension.choices:
            yield MISSING if value is None else float(choice == value)


def _share(dimension: Integer | Real, value: float) -> float:
    low = float(dimension.low)
    high = float(dimension.high)
    if high <= low:
        return MISSING
    if dimension.log:
        return float(np.log(value / low) / np.log(high / low))
    return (value - low) / (high - low)


def drawn(
    space: Space, distributions: Mapping[str, BaseDistribution], count: int, seed: int
) -> Iterator[Point]:
    """Yield `count` points at random; each has what exists there."""
    shares = np.random.default_rng(seed).random((count, len(space.dimensions)))
    for row in shares.tolist():
        point: Point = {}
        for path, share in zip(space.dimensions, row, strict=True):
            if space.exists(path, point):
                point[path] = value_at(distributions[path], share)
        yield point


def beside(space: Space, point: Point) -> Iterator[Point]:
    """Yield the neighbours of a point: those that differ from it in one setting.

    What decides which settings exist stays.
    """
    for path, value in point.items():
        if path not in space.deciding:
            for other in _others(space.dimensions[path], value):
                yield {**point, path: other}


def _others(dimension: Dimension, value: Scalar) -> Iterator[Scalar]:
    if isinstance(dimension, Categorical):
        yield from (choice for choice in dimension.choices if choice != value)
        return
    moved = [_moved(dimension, cast(float, value), stride) for stride in STRIDES]
    yield from (one for one in moved if dimension.low <= one <= dimension.high and one != value)


def _moved(dimension: Integer | Real, value: float, stride: float) -> float:
    """Return what is further up or down by a share of the range, by a step at least."""
    low = dimension.low
    high = dimension.high
    far = value * (high / low) ** stride if dimension.log else value + stride * (high - low)
    if isinstance(dimension, Real):
        return far
    steps = round((far - value) / dimension.step) or (1 if stride > 0 else -1)
    return int(value) + steps * dimension.step
