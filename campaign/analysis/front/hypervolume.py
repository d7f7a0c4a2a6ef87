"""The hypervolume of a front, how it grew with the trials, and what several searches attained.

Volumes are shares of a box. It reaches from the *ideal*, the best value of each objective on the
final front, to a *reference point*: the worst value that the front or the baseline has, and a tenth
of the way from the ideal beyond it, so that the ends of the front count too (Ishibuchi et al., How
to Specify a Reference Point in Hypervolume Calculation for Fair Performance Comparison,
Evolutionary Computation 26(3), 2018). Trials that are worse than that in an objective add nothing,
and so move nothing: the worst value of all trials would be whatever the sampler's worst guess was.
Objectives are taken as they are, not as logarithms: a wait may be 0, and a volume in the metrics'
own units is that of the pictures.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from campaign.analysis.front.costs import TrialCosts
from campaign.analysis.front.resampling import Floats
from campaign.core.trials import TrialRecord

MARGIN = 0.1
"""How far the reference point lies beyond the worst value, as a share of the objective's range."""
REACHED = (0.9, 0.95, 0.99)
"""The shares of the final hypervolume of which it is said when they were reached."""


@dataclass(frozen=True)
class VolumeBox:
    """What volumes are shares of: the best and the worst cost of each objective."""

    ideal: Floats
    reference: Floats

    @classmethod
    def around(cls, costs: Floats, spare: Floats) -> Self:
        """Return the box around some points, with its margin; both have a row per point.

        An objective that all of `costs` share reaches to the worst of `spare`.
        """
        ideal = costs.min(axis=0)
        worst = costs.max(axis=0)
        if len(spare):
            worst = np.where(worst > ideal, worst, np.maximum(worst, spare.max(axis=0)))
        # An objective that never differs still needs a width.
        width = np.where(worst > ideal, worst - ideal, 1.0)
        return cls(ideal, ideal + (1 + MARGIN) * width)

    def scaled(self, costs: Floats) -> Floats:
        """Return costs as shares of the box: 0 at its best end, 1 at the reference point."""
        return np.asarray((costs - self.ideal) / (self.reference - self.ideal))

    def volume(self, costs: Floats) -> float:
        """Return the share of the box that these points dominate."""
        import moocore

        inside = self.scaled(costs)
        # What is better than the ideal has no more to gain within the box.
        inside = np.maximum(inside[(inside < 1).all(axis=1)], 0.0)
        return float(moocore.hypervolume(inside, ref=np.ones(costs.shape[1]))) if len(inside) else 0


@dataclass(frozen=True)
class VolumeHistory:
    """How the hypervolume grew: after each trial that counts, by its number.

    `reference` is the reference point in the objectives' own values. `last_gain` is the trial that
    raised the hypervolume last, `since` how many trials there were after it, of whatever outcome.
    `reached` has the trial by which each share of REACHED was there. `baseline` is the hypervolume
    of the baseline alone; None without one.
    """

    trials: tuple[int, ...]
    volumes: tuple[float, ...]
    reference: Mapping[str, float]
    last_gain: int
    since: int
    reached: Mapping[float, int]
    baseline: float | None

    @property
    def final(self) -> float:
        """The hypervolume of all trials together."""
        return self.volumes[-1]


def volume_history(
    measured: TrialCosts,
    front: Sequence[TrialRecord],
    records: Sequence[TrialRecord],
    baseline: TrialRecord | None = None,
) -> VolumeHistory | None:
    """Return how the hypervolume of the trials `measured` grew; None where there is no front.

    `front` is that of these trials, `records` are all trials of the campaign.
    """
    rows = [row for one in front if (row := measured.row_of(one)) is not None]
    if not rows:
        return None
    own = measured.row_of(baseline)
    beside = [own] if own is not None else []
    box = VolumeBox.around(measured.costs[rows + beside], measured.costs)
    volumes = tuple(growth(measured.costs, box))
    trials = tuple(one.number for one in measured.records)
    last = trials[int(np.argmax(volumes))]
    return VolumeHistory(
        trials,
        volumes,
        dict(zip(measured.objectives, (box.reference * measured.signs).tolist(), strict=True)),
        last_gain=last,
        since=sum(one.number > last for one in records),
        reached={share: trials[int(row)] for share, row in _reached(volumes)},
        baseline=box.volume(measured.costs[beside]) if beside else None,
    )


def growth(costs: Floats, box: VolumeBox) -> Iterator[float]:
    """Yield the hypervolume of each row and those before it; it never falls."""
    best = np.empty((0, costs.shape[1]))
    volume = 0.0
    for row in costs:
        if not np.any(np.all(best <= row, axis=1)):
            best = np.vstack([best[~np.all(best >= row, axis=1)], row])
            # The same volume may come out a little less when it is summed otherwise.
            volume = max(volume, box.volume(best))
        yield volume


def attained(fronts: Sequence[Floats], shares: Sequence[float]) -> dict[float, Floats]:
    """Return the costs that each share of several searches attained or bettered, point by point.

    `fronts` has an array of costs for each search, without rows where it found nothing. This is the
    empirical attainment function of Grunert da Fonseca, Fonseca and Hall (EMO 2001): at 0.5, half
    of the searches found something at least as good as each of the points that are returned.
    """
    import moocore

    some = [front for front in fronts if len(front)]
    found = {}
    for share in shares:
        # Searches are counted, not interpolated, and those that found nothing count too.
        wanted = math.ceil(share * len(fronts))
        if wanted > len(some):
            found[share] = np.empty((0, fronts[0].shape[1]))
            continue
        sets = np.repeat(np.arange(len(some)), [len(front) for front in some])
        surface = moocore.eaf(np.vstack(some), sets, percentiles=[100 * wanted / len(some)])
        found[share] = surface[:, :-1]
    return found


def _reached(volumes: Sequence[float]) -> Iterator[tuple[float, int]]:
    for share in REACHED:
        yield share, int(np.argmax(np.asarray(volumes) >= share * volumes[-1]))
