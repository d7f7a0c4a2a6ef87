"""Points not asked for yet: how many a space has, and one in place of a repetition."""

import itertools
import math
import random
from collections.abc import Collection, Iterator, Mapping
from typing import cast

from campaign.core.trials import Point
from campaign.schema.settings import Scalar
from search.space import Categorical, Dimension, Integer, Real, Space

DRAWS = 100
"""Random points that are tried before all are gone through, which a nearly empty space needs."""
PointKey = tuple[tuple[str, str], ...]


def key_of(point: Point) -> PointKey:
    """Return what equal points have in common, and no others."""
    return tuple(sorted((path, repr(value)) for path, value in point.items()))


def size_of(space: Space) -> float:
    """Return the number of points of a space; infinite where a dimension is continuous."""
    return _size_with(space, {})


def choices_left(
    space: Space, path: str, point: Point, asked: Collection[PointKey]
) -> list[Scalar]:
    """Return the choices of a deciding dimension that lead to points not among those `asked`.

    `point` has what comes before it. What decides nothing doesn't count: another value of it can be
    drawn.
    """
    choices = cast(Categorical, space.dimensions[path]).choices
    decided = {name: value for name, value in point.items() if name in space.deciding}
    return [choice for choice in choices if _any_left(space, {**decided, path: choice}, asked)]


def another(space: Space, point: Point, asked: Collection[PointKey], seed: int) -> Point:
    """Return a point that was not `asked` for, with the same dimensions as `point`.

    So it has the same scheduler, and the same of all else that decides which dimensions exist. It
    is drawn at random, the same for the same `seed`. Return `point` where none is left.
    """
    dimensions = {
        path: dimension
        for path, dimension in space.dimensions.items()
        if path not in space.deciding and space.exists(path, point)
    }
    fixed = {path: point[path] for path in space.deciding if path in point}
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


def points_of(space: Space) -> Iterator[Point]:
    """Yield all points of a space; those of a continuous dimension at its lower end only."""
    yield from _points_with(space, {})


def _points_with(space: Space, point: Point) -> Iterator[Point]:
    """Yield the points that have what `point` has, the first ones of the deciding dimensions."""
    for path in space.deciding:
        if path not in point and space.exists(path, point):
            for choice in cast(Categorical, space.dimensions[path]).choices:
                yield from _points_with(space, {**point, path: choice})
            return
    free = {
        path: dimension
        for path, dimension in space.dimensions.items()
        if path not in space.deciding and space.exists(path, point)
    }
    yield from ({**point, **found} for found in _all_of(free))


def _size_with(space: Space, point: Point) -> float:
    """Return how many points have what `point` has, the first ones of the deciding dimensions."""
    for path in space.deciding:
        if path not in point and space.exists(path, point):
            choices = cast(Categorical, space.dimensions[path]).choices
            return sum(_size_with(space, {**point, path: choice}) for choice in choices)
    return math.prod(
        _values(dimension)
        for path, dimension in space.dimensions.items()
        if path not in space.deciding and space.exists(path, point)
    )


def _any_left(space: Space, point: Point, asked: Collection[PointKey]) -> bool:
    given = set(key_of(point))
    return sum(given <= set(key) for key in asked) < _size_with(space, point)


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
