"""The sampler that models outcomes: it chooses what is expected to add most to the front.

Each objective and each limited metric is foretold by a Gaussian process (`search.gaussian_process`)
and the point comes next that is expected to add most hypervolume (`search.expected_gain`), weighed
with its chances of keeping to the constraints, of a valid trial, and of not coming out exactly as a
known one (`search.twins`).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from optuna.distributions import BaseDistribution

from campaign.core.trials import Point
from campaign.schema.model import Direction
from campaign.schema.search import Bound
from search.asked import AskedPoints
from search.candidates import PointColumns, beside, drawn
from search.constraints import Limit, limits
from search.discrepancy import Floats, Prediction
from search.distinct import key_of
from search.expected_gain import Outlook, expected_gains
from search.gaussian_process import GaussianProcess, Likeness, Scale
from search.pareto import non_dominated
from search.space import Space
from search.twins import Twins

MOST_TRIALS = 200
"""With more trials than so many, models would cost more than they find."""
EVERY = 2
"""The model chooses every second trial, TPE the others: where outcomes are too rough for a model,
that costs little."""
DRAWN = 400
BEST = 4
"""Of so many of the best candidates, the neighbours are looked at too."""
MOST_BESIDE = 300
"""So many candidates are drawn at random, and so many at most are neighbours of the front."""
GROWTH = 1.25
"""Likeness is learnt anew when there are so many times the trials."""
LEAST_CHANCE = 1e-6
VALID_FOR_GRANTED = 1.0
"""How many valid trials nearby are taken for granted at each point."""
NEAR = 0.3
"""How near trials count for whether a point will have a valid trial, times the root of the number
of settings."""


class ModelBased:
    """Chooses points by what earlier trials gave; it is told of each trial by its number.

    What it chooses depends on the trials and the seed alone, not on when it was told.
    """

    def __init__(
        self,
        space: Space,
        distributions: Mapping[str, BaseDistribution],
        objectives: Mapping[str, Direction],
        constraints: Mapping[str, Bound],
        least: int,
    ) -> None:
        self._space = space
        self._distributions = distributions
        self._signs = {name: 1 if way == "minimize" else -1 for name, way in objectives.items()}
        self._constraints = constraints
        self._least = max(least, 2)
        self._columns = PointColumns(space)
        self._points: dict[int, Point] = {}
        self._told: dict[int, Mapping[str, float]] = {}
        self._dropped: set[int] = set()
        self._baseline: Mapping[str, float] | None = None
        self._learnt: dict[tuple[str, tuple[int, ...]], Likeness] = {}

    def expect(self, number: int, point: Point) -> None:
        """Take note that a trial was asked for."""
        self._points[number] = point

    def tell(self, number: int, metrics: Mapping[str, float], *, baseline: bool = False) -> None:
        """Take note of what a trial gave."""
        self._told[number] = metrics
        if baseline:
            self._baseline = metrics

    def drop(self, number: int) -> None:
        """Take note that a trial gave nothing."""
        self._dropped.add(number)

    def next(self, asked: AskedPoints, seed: int) -> Point | None:
        """Return the point to try next; None where it is for another sampler to choose.

        There are too few trials then, or too many, or it isn't this one's turn.
        No point comes again. Trials of which nothing was told are taken to give what is expected
        of them.
        """
        known = len(self._told)
        if not (self._distributions and self._least <= known <= MOST_TRIALS):
            return None
        if len(self._points) % EVERY:
            return None
        models = self._models()
        first = self._fresh(drawn(self._space, self._distributions, DRAWN, seed), asked)
        near = [one for point in models.front for one in beside(self._space, point)]
        stride = max(1, math.ceil(len(near) / MOST_BESIDE))
        pool = first + self._fresh(near[::stride], asked)
        if not pool:
            return None
        gains = models.gains(self._columns.of(pool), seed)
        best = [pool[place] for place in np.argsort(-gains, kind="stable")[:BEST].tolist()]
        beside_best = (one for point in best for one in beside(self._space, point))
        last = [*best, *self._fresh(beside_best, asked)]
        chosen: Point = last[int(np.argmax(models.gains(self._columns.of(last), seed)))]
        return chosen

    def _fresh(self, points: Iterable[Point], asked: AskedPoints) -> list[Point]:
        """Return points that were not asked for, each once."""
        found = {key_of(point): point for point in points}
        return [point for key, point in found.items() if key not in asked.keys]

    def _models(self) -> "_Models":
        """Return what is known and foretold after the trials so far."""
        bounds = limits(self._constraints, self._baseline)
        kept = [
            number
            for number, metrics in sorted(self._told.items())
            if all(one.kept(metrics) for one in bounds)
            and all(_finite(metrics, name) for name in self._signs)
        ]
        foretold = {name: self._model(name) for name in (*self._signs, *(b.metric for b in bounds))}
        scaled = [
            sign * foretold[name].scale.of(np.array([self._told[n][name] for n in kept]))
            for name, sign in self._signs.items()
        ]
        known = np.column_stack(scaled)
        waiting = self._points.keys() - self._told.keys() - self._dropped
        best = zip(kept, non_dominated(known), strict=True)
        return _Models(
            self._signs,
            foretold,
            bounds,
            known,
            front=[self._points[number] for number, keep in best if keep],
            waiting=self._rows(waiting),
            valid=self._rows(self._told),
            invalid=self._rows(self._dropped),
            columns=self._columns,
            twins=self._twins(),
        )

    def _twins(self) -> Twins:
        numbers = sorted(self._told)
        outcomes = [[self._told[number][name] for name in self._signs] for number in numbers]
        return Twins(self._columns.settings(self._rows(numbers)), np.array(outcomes))

    def _rows(self, numbers: Iterable[int]) -> Floats:
        return self._columns.of([self._points[number] for number in sorted(numbers)])

    def _model(self, metric: str) -> "_Model":
        """Return the model of a metric; of one without values, one that foretells nothing."""
        numbers = [n for n, found in sorted(self._told.items()) if _finite(found, metric)]
        columns = self._rows(numbers)
        values = np.array([self._told[number][metric] for number in numbers])
        scale = Scale(values)
        if not numbers:
            return _Model(scale, None)
        # By so many of the first trials, so that it is the same after a resume.
        count = _step_below(len(numbers), self._least)
        key = (metric, tuple(numbers[:count]))
        if key not in self._learnt:
            own = Scale(values[:count])
            self._learnt[key] = Likeness.learnt(columns[:count], own.of(values[:count]))
        return _Model(scale, GaussianProcess(columns, scale.of(values), self._learnt[key]))


def _finite(metrics: Mapping[str, float], name: str) -> bool:
    return math.isfinite(metrics.get(name, math.nan))


def _step_below(count: int, least: int) -> int:
    """Return the largest of a growing row of numbers that is `count` at most, or `count`."""
    size = float(least)
    while size * GROWTH <= count:
        size *= GROWTH
    return min(int(size), count)


@dataclass(frozen=True)
class _Model:
    """A metric's scale, and what foretells it, if anything."""

    scale: Scale
    process: GaussianProcess | None


@dataclass(frozen=True)
class _Models:
    """What is known after some trials, and what foretells the rest.

    `known` are the costs of those that keep to the `bounds`, and `front` the points of the best.
    The others are rows of trials: those that still run, and those that gave values or none.
    """

    signs: Mapping[str, int]
    models: Mapping[str, _Model]
    bounds: Sequence[Limit]
    known: Floats
    front: Sequence[Point]
    waiting: Floats
    valid: Floats
    invalid: Floats
    columns: PointColumns
    twins: Twins

    def gains(self, columns: Floats, seed: int) -> Floats:
        """Return what points are expected to add to the front."""
        costs, spreads = self._foretold(columns)
        known = self.known
        if len(self.waiting):
            known = np.vstack([known, self._foretold(self.waiting)[0]])
        new = 1 - self.twins.chances(self.columns.settings(columns))
        chances = self._chances(columns) * self._valid(columns) * new
        return expected_gains(Outlook(costs, spreads, chances), known, seed)

    def _foretold(self, columns: Floats) -> tuple[Floats, Floats]:
        found = [self._of(name, columns) for name in self.signs]
        costs = [sign * one.values for sign, one in zip(self.signs.values(), found, strict=True)]
        return np.column_stack(costs), np.column_stack([one.spreads for one in found])

    def _of(self, metric: str, columns: Floats) -> Prediction:
        process = self.models[metric].process
        if process is None:
            return Prediction(np.zeros(len(columns)), np.ones(len(columns)))
        return process.foretell(columns)

    def _chances(self, columns: Floats) -> Floats:
        """Return the chance of points to keep to the bounds."""
        # Takes long to import, and other samplers need none of it.
        from scipy.special import ndtr

        chances = np.ones(len(columns))
        for bound in self.bounds:
            if not math.isfinite(bound.value):
                continue
            found = self._of(bound.metric, columns)
            at = self.models[bound.metric].scale.of(np.array([bound.value]))[0]
            room = (at - found.values) * (1 if bound.kind == "max" else -1)
            chances *= ndtr(room / found.spreads)
        return np.maximum(chances, LEAST_CHANCE)

    def _valid(self, columns: Floats) -> Floats:
        """Return the chance of points to have a valid trial: the share nearby, and some granted."""
        if not len(self.invalid):
            return np.ones(len(columns))
        lengths = np.full(columns.shape[1], NEAR * math.sqrt(columns.shape[1]))
        near = Likeness(lengths, lengths, 0.0, 0.0).between
        valid = VALID_FOR_GRANTED + near(columns, self.valid).sum(1)
        found: Floats = valid / (valid + near(columns, self.invalid).sum(1))
        return found
