"""Points not asked for yet: how many a space has, and one in place of a repetition."""

import itertools
import math
import random
from collections.abc import Collection, Iterator, Mapping

from campaign.core.trials import Point
from campaign.schema.settings import Scalar
from search.space import SCHEDULER, Categorical, Dimension, Integer, Real, Space

DRAWS = 100
"""Random points that are tried before all are gone through, which a nearly empty space needs."""
PointKey = tuple[tuple[str, str], ...]


def key_of(point: Point) -> PointKey:
    """Return what equal points have in common, and no others."""
    return tuple(sorted((path, repr(value)) for path, value in point.items()))


def size_of(space: Space) -> float:
    """Return the number of points of a space; infinite where a dimension is continuous."""
    if not space.conditional:
        return math.prod(map(_values, space.dimensions.values()))
    return sum(_size_of_arm(space, name) for name in space.schedulers)


def arms_left(space: Space, asked: Collection[PointKey]) -> list[str]:
    """Return the schedulers of a conditional space that have points not among those `asked`."""
    used = dict.fromkeys(space.schedulers, 0)
    for key in asked:
        used[_arm_of(key)] += 1
    return [name for name in space.schedulers if used[name] < _size_of_arm(space, name)]


def another(space: Space, point: Point, asked: Collection[PointKey], seed: int) -> Point:
    """Return a point that was not `asked` for, under the same scheduler as `point`.

    It is drawn at random, the same for the same `seed`. Return `point` where none is left.
    """
    dimensions = {
        path: dimension
        for path, dimension in space.dimensions.items()
        if path != SCHEDULER and space.exists(path, point)
    }
    fixed = {SCHEDULER: point[SCHEDULER]} if space.conditional else {}
    draw = random.Random(seed)  # noqa: S311  no secret
    drawn = (
        {path: _drawn(dimension, draw) for path, dimension in dimensions.items()}
        for _ in range(DRAWS)
    )
    for found in itertools.chain(drawn, _all_of(dimensions)):
        candidate: Point = {**fixed, **found}
        if key_of(candidate) not in asked:
            return candidate
    return point


def _arm_of(key: PointKey) -> str:
    # The value stands in the key as Python writes it.
    return dict(key)[SCHEDULER].strip("'\"")


def _size_of_arm(space: Space, name: str) -> float:
    point: Point = {SCHEDULER: name}
    return math.prod(
        _values(dimension)
        for path, dimension in space.dimensions.items()
        if path != SCHEDULER and space.exists(path, point)
    )


def _values(dimension: Dimension) -> float:
    if isinstance(dimension, Categorical):
        return len(dimension.choices)
    if isinstance(dimension, Integer):
        return (dimension.high - dimension.low) // dimension.step + 1
    return math.inf if dimension.high > dimension.low else 1


def _drawn(dimension: Dimension, draw: random.Random) -> Scalar:
    if isinstance(dimension, Categorical):
        return draw.choice(dimension.choices)
    if isinstance(dimension, Integer):
        return draw.randrange(dimension.low, dimension.high + 1, dimension.step)
    return draw.uniform(dimension.low, dimension.high)


def _all_of(dimensions: Mapping[str, Dimension]) -> Iterator[Point]:
    """Yield all points, those of a continuous dimension at its lower end only."""
    values = [
        dimension.choices
        if isinstance(dimension, Categorical)
        else (dimension.low,)
        if isinstance(dimension, Real)
        else range(dimension.low, dimension.high + 1, dimension.step)
        for dimension in dimensions.values()
    ]
    for combination in itertools.product(*values):
        yield dict(zip(dimensions, combination, strict=True))
