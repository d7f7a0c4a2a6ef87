"""The front as a running campaign has it: what it holds, and whether a trial has moved it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from campaign.core.trials import TrialRecord
from campaign.schema.model import Direction
from campaign.schema.search import Bound
from search.pareto import Standstill


@dataclass(frozen=True)
class BestSoFar:
    """The best value of one objective, and the trial that has it."""

    metric: str
    direction: Direction
    record: TrialRecord

    @property
    def value(self) -> float:
        """The metric's value."""
        return self.record.metrics[self.metric]


class FrontSoFar:
    """Follows a campaign's front from trial to trial, in whatever order they end.

    `moved` is the trial that moved it last, None while there is no front.
    """

    def __init__(
        self, objectives: Mapping[str, Direction], constraints: Mapping[str, Bound] | None = None
    ) -> None:
        self.baseline: TrialRecord | None = None
        self._objectives = objectives
        self._front = Standstill(objectives, constraints or {})
        self._best: dict[str, BestSoFar] = {}

    @property
    def moved(self) -> int | None:
        """The trial that moved the front last; None while there is no front."""
        return self._front.moved

    @property
    def size(self) -> int:
        """The number of points of the front; those of equal values are one."""
        return len(self._front.costs)

    @property
    def best(self) -> tuple[BestSoFar, ...]:
        """The best value of each objective on the front, in the order of the objectives."""
        return tuple(self._best[name] for name in self._objectives if name in self._best)

    def tell(self, record: TrialRecord) -> bool:
        """Take in a trial; return whether it moved the front."""
        if record.baseline and record.valid:
            self.baseline = record
        if not self._objectives or not self._front.tell(record):
            return False
        for metric, direction in self._objectives.items():
            known = self._best.get(metric)
            value = record.metrics[metric]
            # Each objective's best is on the front, so trials that don't move it needn't be asked.
            if known is None or (
                value <= known.value if direction == "minimize" else value >= known.value
            ):
                self._best[metric] = BestSoFar(metric, direction, record)
        return True

    def holds(self, record: TrialRecord) -> bool:
        """Return whether the front has a point with the values of a valid trial."""
        signs = [1 if one == "minimize" else -1 for one in self._objectives.values()]
        pairs = zip(signs, self._objectives, strict=True)
        return tuple(sign * record.metrics[name] for sign, name in pairs) in self._front.costs

    @property
    def beyond_baseline(self) -> float | None:
        """The hypervolume of the front in the box between 0 and the baseline, as a share of it.

        Its reference point is the baseline, so it is 0 at the beginning and never falls. The box of
        the final report is another one: it ends where the final front does, which nobody knows yet.
        An objective that is maximized counts as its reciprocal. None without a baseline, or where
        one of the values isn't above 0.
        """
        if self.baseline is None or not self._front.costs:
            return None
        values = np.abs(np.array(self._front.costs, dtype=np.float64))
        reference = np.array([self.baseline.metrics.get(name, 0.0) for name in self._objectives])
        if not ((values > 0).all() and (reference > 0).all()):
            return None
        maximized = np.array([one == "maximize" for one in self._objectives.values()])
        shares = np.where(maximized, reference / values, values / reference)
        inside = shares[(shares < 1).all(axis=1)]
        if not len(inside):
            return 0.0
        import moocore

        return float(moocore.hypervolume(inside, ref=np.ones(len(self._objectives))))
