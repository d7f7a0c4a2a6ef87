"""The rungs of a ladder: which of the points tried on a cheap testbed are promoted to a dear one.

What a point will give there is foretold by what it gave here (`search.discrepancy`). Promoted next
is the point that is expected to add most to the hypervolume of the front that is known there
(`search.expected_gain`): how likely it is to be on that front, weighed with how much further it
would move it. A point that is likely to come out like one that is known adds nothing, however sure
its place on the front is.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from campaign.core.trials import Point
from campaign.schema.model import Direction
from campaign.schema.search import Bound
from search.asked import AskedPoints
from search.constraints import Limit, limits
from search.discrepancy import Discrepancy, Floats, Places, Prediction, Rows
from search.distinct import key_of
from search.expected_gain import Outlook, expected_gains
from search.opening import Given
from search.space import Space

LEAST_CHANCE = 1e-6
"""The least chance of keeping to constraints: where all are hopeless, the least hopeless counts."""


TWIN = 0.01
"""How much the gain of a point counts that came out on the cheap testbed exactly as one that was
promoted: on the dear one, it probably will too. It may not, where the cheap one knows less."""


@dataclass(frozen=True)
class Rehearsed:
    """A point and its metrics on the cheap testbed."""

    point: Point
    metrics: Mapping[str, float]


class Ladder:
    """Promotes points that were `rehearsed`; it is told what points gave on the dear testbed.

    Each that was rehearsed has all objectives. Until the dear baseline is told, the first one
    stands for it.
    """

    def __init__(
        self,
        space: Space,
        objectives: Mapping[str, Direction],
        constraints: Mapping[str, Bound],
        rehearsed: Sequence[Rehearsed],
    ) -> None:
        self._signs = {name: 1 if way == "minimize" else -1 for name, way in objectives.items()}
        self._constraints = constraints
        self._pool = list(rehearsed)
        self._rows = {key_of(one.point): row for row, one in enumerate(rehearsed)}
        self._places = Places(space, [one.point for one in rehearsed])
        self._outcomes = _numbered([one.metrics for one in rehearsed])
        self._told: list[tuple[int | None, Mapping[str, float]]] = []
        self._dropped: set[int | None] = set()
        self._baseline = self._pool[0].metrics if self._pool else {}

    def tell(self, point: Point, metrics: Mapping[str, float], *, baseline: bool = False) -> None:
        """Take note of what a point gave on the dear testbed."""
        self._told.append((self._rows.get(key_of(point)), metrics))
        if baseline:
            self._baseline = metrics

    def drop(self, point: Point) -> None:
        """Take note that a point gave nothing on the dear testbed."""
        self._dropped.add(self._rows.get(key_of(point)))

    def next(self, asked: AskedPoints, seed: int) -> Given | None:
        """Return the point to promote next; None where all were.

        It is the same for the same `seed`, points and results. Points that were asked for, and of
        which nothing was told, are taken to give what is expected of them.
        """
        left = [row for row, one in enumerate(self._pool) if one.point not in asked]
        if not left:
            return None
        ended = self._dropped.union(row for row, _ in self._told)
        pending = sorted(set(range(len(self._pool))) - ended - set(left))
        expected = [self._foretold(name) for name in self._signs]
        signs = np.array(list(self._signs.values()))
        costs = signs * np.column_stack([one.values for one in expected])
        spreads = np.column_stack([one.spreads for one in expected])
        bounds = limits(self._constraints, self._baseline)
        outlook = Outlook(costs[left], spreads[left], self._chances(bounds)[left])
        known = np.vstack([self._known(bounds), costs[pending]])
        gains = expected_gains(outlook, known, seed)
        gone = sorted(set(range(len(self._pool))) - set(left))
        twins = self._outcomes[gone]
        gains[np.isin(self._outcomes[left], twins)] *= TWIN
        return Given(self._pool[left[int(np.argmax(gains))]].point, "promoted")

    def _foretold(self, metric: str) -> Prediction:
        """Return what all points of the pool will give of a metric that each of them has."""
        model = self._model(metric)
        pairs = [
            (row, found[metric]) for row, found in self._told if row is not None and metric in found
        ]
        rows = np.array([row for row, _ in pairs], dtype=np.intp)
        return model.foretell(rows, np.array([value for _, value in pairs]))

    def _model(self, metric: str) -> Discrepancy:
        return Discrepancy(np.array([one.metrics[metric] for one in self._pool]), self._places)

    def _known(self, bounds: Sequence[Limit]) -> Floats:
        """Return the costs of the feasible points that were told, on the scale of the models."""
        feasible = [found for _, found in self._told if all(one.kept(found) for one in bounds)]
        columns = [
            sign * self._model(name).scaled(np.array([found[name] for found in feasible]))
            for name, sign in self._signs.items()
        ]
        return np.column_stack(columns)

    def _chances(self, bounds: Sequence[Limit]) -> Floats:
        """Return the chance of each point of the pool to keep to the constraints.

        A metric that the cheap testbed doesn't give to all points is not foretold.
        """
        chances = np.ones(len(self._pool))
        for limit in bounds:
            if not all(limit.metric in one.metrics for one in self._pool):
                continue
            foretold = self._foretold(limit.metric)
            at = self._model(limit.metric).scaled(np.array([limit.value]))[0]
            room = (at - foretold.values) * (1 if limit.kind == "max" else -1)
            kept = [0.5 * math.erfc(-z / math.sqrt(2)) for z in room / foretold.spreads]
            chances *= np.array(kept)
        return np.maximum(chances, LEAST_CHANCE)


def _numbered(outcomes: Sequence[Mapping[str, float]]) -> Rows:
    """Return for each outcome the number of the first one that equals it."""
    first: dict[tuple[tuple[str, float], ...], int] = {}
    keys = [tuple(sorted(one.items())) for one in outcomes]
    return np.array([first.setdefault(key, row) for row, key in enumerate(keys)], dtype=np.intp)
