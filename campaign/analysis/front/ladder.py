"""How well the cheap rung of a ladder foretold the dear one, and what it saved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from campaign.analysis.front.correlation import spearman
from campaign.core.trials import TrialRecord
from campaign.schema.model import Direction
from search.distinct import key_of


@dataclass(frozen=True)
class RungCorrelation:
    """The rank correlation of an objective on both rungs, with its 90 % interval.

    NaN where too few points were evaluated on both, or where one rung gives the same to all.
    """

    objective: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class LadderFindings:
    """What a ladder did: points `rehearsed` on its cheap rung, and those of them `promoted`.

    `promoted` were evaluated on the dear rung too, for whatever reason, and are what `correlations`
    are of. `rehearsal_s` is what all rehearsals took, `trial_s` what a trial takes on average.
    """

    rehearsed: int
    promoted: int
    correlations: tuple[RungCorrelation, ...]
    rehearsal_s: float
    trial_s: float

    @property
    def spared(self) -> int:
        """The number of points that were not evaluated on the dear rung."""
        return self.rehearsed - self.promoted

    @property
    def spared_s(self) -> float:
        """The time that trials of these would have taken, less that of all rehearsals."""
        return self.spared * self.trial_s - self.rehearsal_s

    @classmethod
    def of(
        cls,
        rehearsed: Sequence[TrialRecord],
        records: Sequence[TrialRecord],
        objectives: Mapping[str, Direction],
    ) -> Self | None:
        """Return what the `rehearsed` points foretold of trials' `records`; None without any."""
        if not rehearsed:
            return None
        cheap = {key_of(one.point): one for one in rehearsed}
        trials = [one for one in records if one.valid]
        # Of repetitions on machines, the last one counts.
        dear = {key_of(one.point): one for one in trials if not one.ruled_out}
        both = [key for key in dear if key in cheap and cheap[key].valid]
        found = []
        for name in objectives:
            pairs = [(cheap[key].metrics[name], dear[key].metrics[name]) for key in both]
            values = np.array(pairs, dtype=np.float64).reshape(len(pairs), 2)
            found.append(RungCorrelation(name, *spearman(values)))
        tried = {key_of(one.point) for one in records} & cheap.keys()
        took = [one.ended - one.started for one in trials]
        return cls(
            len(cheap),
            len(tried),
            tuple(found),
            sum(one.ended - one.started for one in rehearsed),
            float(np.mean(took)) if took else 0.0,
        )
