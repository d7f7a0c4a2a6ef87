"""What points are expected to add to the hypervolume of a front, where they are known by chance.

The expectation is that of Emmerich, Giannakoglou and Naujoks (Single- and multiobjective
evolutionary optimization assisted by Gaussian random field metamodels, IEEE Transactions on
Evolutionary Computation 10(4), 2006), as a mean over targets, which are random points of the box in
which fronts may lie: a point reaches a target with the product of the chances to be no worse than
it in each objective.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from search.pareto import non_dominated

Floats = NDArray[np.float64]

TARGETS = 256
BOX_SPREADS = 2.0
"""The box reaches so many standard deviations beyond the front of what is expected."""
WIDER = 2.0
WIDEN_TIMES = 8
LEAST_GAIN = 1e-9
"""Where no point is expected to add more than that, spreads are taken to be so much wider, so
often."""


@dataclass(frozen=True)
class Outlook:
    """What points are expected to cost, by objective, with standard deviations.

    `chances` are those of being feasible.
    """

    costs: Floats
    spreads: Floats
    chances: Floats


def expected_gains(outlook: Outlook, known: Floats, seed: int) -> Floats:
    """Return the share of the box that each point is expected to add to what `known` costs reach.

    All are 0 where not even wide spreads let one add anything.
    """
    # Takes long to import, and most searches need none of it.
    from scipy.special import ndtr

    box = _Box.around(outlook, known)
    objectives = outlook.costs.shape[1]
    targets = np.random.default_rng(seed).random((TARGETS, objectives))
    still_open = targets[~_reached(box.scaled(known)[:, None], targets).any(axis=0)]
    gains = np.zeros(len(outlook.costs))
    if not len(still_open):
        return gains
    room = box.unscaled(still_open)[None] - outlook.costs[:, None]
    for times in range(WIDEN_TIMES):
        # An objective at a time: it is the product of the chances to reach a target in each.
        reached = np.ones(room.shape[:2])
        for one in range(objectives):
            reached *= ndtr(room[:, :, one] / (outlook.spreads[:, None, one] * WIDER**times))
        gains = reached.mean(axis=1) * outlook.chances
        if gains.max() > LEAST_GAIN:
            break
    return gains


def _reached(values: Floats, targets: Floats) -> NDArray[np.bool_]:
    """Return which of the targets each of the values reaches."""
    found: NDArray[np.bool_] = np.all(values <= targets, axis=-1)
    return found


@dataclass(frozen=True)
class _Box:
    """The box from the `best` that can be hoped for in each objective to the `worst` of a front."""

    best: Floats
    worst: Floats

    @classmethod
    def around(cls, outlook: Outlook, known: Floats) -> Self:
        front = non_dominated(outlook.costs)
        near = outlook.costs[front]
        beyond = BOX_SPREADS * outlook.spreads[front]
        own = known[non_dominated(known)]
        return cls(
            np.vstack([near - beyond, own]).min(axis=0), np.vstack([near + beyond, own]).max(axis=0)
        )

    def scaled(self, costs: Floats) -> Floats:
        """Return costs with the box as their unit."""
        size = np.maximum(self.worst - self.best, 1e-12)
        found: Floats = (costs - self.best) / size
        return found

    def unscaled(self, shares: Floats) -> Floats:
        """Return costs that are given as shares of the box."""
        found: Floats = self.best + shares * (self.worst - self.best)
        return found
