"""The Pareto front of a campaign's trials: what no other trial beats, and since when it stands."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from campaign.core.trials import TrialRecord
from campaign.schema.model import Direction
from campaign.schema.search import Bound
from search.constraints import Limit, limits, limits_among


def front(
    records: Iterable[TrialRecord],
    objectives: Mapping[str, Direction],
    constraints: Mapping[str, Bound] | None = None,
) -> list[TrialRecord]:
    """Return the valid, feasible, non-dominated trials, best in the first objective first.

    Constraints by the baseline are those by the baseline among `records`.
    A trial that lacks an objective's value (absent or not finite) can't be compared and is left
    out, and so is one that was ruled out before it had met all instances. A point that was measured
    several times with the same values counts once, as its lowest trial number; different points
    with equal values all stay.
    """
    compared = list(records)
    limits = limits_among(constraints or {}, compared)
    candidates = _distinct(
        [
            record
            for record in compared
            if record.valid
            and not record.ruled_out
            and _measured(record, objectives)
            and feasible(record, limits)
        ],
        objectives,
    )
    if not candidates:
        return []
    costs = np.array([_costs(record, objectives) for record in candidates], dtype=np.float64)
    best = [record for record, keep in zip(candidates, non_dominated(costs), strict=True) if keep]
    return sorted(best, key=lambda record: (_costs(record, objectives), record.number))


def dominates(one: TrialRecord, other: TrialRecord, objectives: Mapping[str, Direction]) -> bool:
    """Return True if `one` is at least as good as `other` in every objective, and better in one."""
    ours = _costs(one, objectives)
    theirs = _costs(other, objectives)
    return all(a <= b for a, b in zip(ours, theirs, strict=True)) and ours != theirs


def better_in_all(
    one: TrialRecord, other: TrialRecord, objectives: Mapping[str, Direction]
) -> bool:
    """Return True if `one` is better than `other` in every objective."""
    return all(
        a < b for a, b in zip(_costs(one, objectives), _costs(other, objectives), strict=True)
    )


def feasible(record: TrialRecord, limits: Iterable[Limit]) -> bool:
    """Return True if every limited metric was measured and keeps to its limits."""
    return all(limit.kept(record.metrics) for limit in limits)


class Standstill:
    """Follows a front from trial to trial, in the order of their numbers.

    A trial moves the front if it is valid, feasible, evaluated on all instances, and no trial
    before it is at least as good in every objective. `moved` is the last one that did, None while
    there is no front; `costs` are the objectives of the front's points, less being better.
    """

    def __init__(
        self, objectives: Mapping[str, Direction], constraints: Mapping[str, Bound]
    ) -> None:
        self.moved: int | None = None
        self._objectives = objectives
        self._constraints = constraints
        self._limits = limits(constraints, None)
        self.costs: list[tuple[float, ...]] = []

    def tell(self, record: TrialRecord) -> bool:
        """Take in the next trial, which may be the baseline that limits those after it.

        Return whether it moved the front.
        """
        if not record.valid or record.ruled_out or not _measured(record, self._objectives):
            return False
        if record.baseline:
            self._limits = limits(self._constraints, record.metrics)
        if not feasible(record, self._limits):
            return False
        costs = _costs(record, self._objectives)
        if any(_no_worse(other, costs) for other in self.costs):
            return False
        self.costs = [other for other in self.costs if not _no_worse(costs, other)]
        self.costs.append(costs)
        self.moved = record.number
        return True

    def after(self, count: int, since: int = 0) -> int:
        """Return how many of the first `count` trials came after the one that moved the front last.

        Those before trial `since` don't count. While there is no front, nothing stands still.
        """
        return 0 if self.moved is None else max(0, count - max(self.moved + 1, since))


def standstill_of(
    records: Iterable[TrialRecord],
    objectives: Mapping[str, Direction],
    constraints: Mapping[str, Bound],
) -> Standstill:
    """Return how the front of these trials has moved."""
    found = Standstill(objectives, constraints)
    for record in sorted(records, key=lambda one: one.number):
        found.tell(record)
    return found


def _no_worse(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True))


def _measured(record: TrialRecord, objectives: Mapping[str, Direction]) -> bool:
    return all(math.isfinite(record.metrics.get(metric, math.nan)) for metric in objectives)


def _costs(record: TrialRecord, objectives: Mapping[str, Direction]) -> tuple[float, ...]:
    """Return the objectives' values with the sign at which less is better."""
    return tuple(
        record.metrics[metric] if direction == "minimize" else -record.metrics[metric]
        for metric, direction in objectives.items()
    )


def _distinct(
    records: Sequence[TrialRecord], objectives: Mapping[str, Direction]
) -> list[TrialRecord]:
    kept: dict[object, TrialRecord] = {}
    for record in sorted(records, key=lambda record: (record.number, record.attempt)):
        kept.setdefault((_costs(record, objectives), tuple(sorted(record.point.items()))), record)
    return list(kept.values())


def non_dominated(costs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark the rows that no other row dominates."""
    # A row at a time: comparing all pairs at once would take memory that grows with the square.
    keep = np.ones(len(costs), dtype=np.bool_)
    for index, row in enumerate(costs):
        # A row that is dominated needs no comparing with: who dominates it dominates as much.
        others = costs[keep]
        keep[index] = not np.any(np.all(others <= row, axis=1) & np.any(others < row, axis=1))
    return keep
