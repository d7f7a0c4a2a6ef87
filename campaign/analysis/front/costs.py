"""Trials as rows of costs: their objectives with the sign at which less is better."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from campaign.analysis.front.resampling import Floats
from campaign.core.trials import TrialRecord
from campaign.schema.model import Direction
from campaign.schema.search import Bound
from search.constraints import limits_among
from search.pareto import feasible


@dataclass(frozen=True)
class TrialCosts:
    """The feasible trials that have all objectives, in their order, and their costs.

    `costs` has a row per trial and a column per objective; `signs` turn costs into values.
    """

    records: tuple[TrialRecord, ...]
    costs: Floats
    objectives: tuple[str, ...]
    signs: Floats

    @classmethod
    def of(
        cls,
        records: Iterable[TrialRecord],
        objectives: Mapping[str, Direction],
        constraints: Mapping[str, Bound] | None = None,
    ) -> Self:
        """Return the costs of the valid trials among `records` that keep to the constraints."""
        compared = list(records)
        limits = limits_among(constraints or {}, compared)
        names = tuple(objectives)
        kept = [one for one in compared if one.valid and feasible(one, limits)]
        values = np.array(
            [[one.metrics.get(name, np.nan) for name in names] for one in kept], dtype=np.float64
        ).reshape(len(kept), len(names))
        signs = np.array([1.0 if one == "minimize" else -1.0 for one in objectives.values()])
        known = np.asarray(np.isfinite(values).all(axis=1))
        return cls(
            tuple(one for one, whole in zip(kept, known, strict=True) if whole),
            values[known] * signs,
            names,
            signs,
        )

    def row_of(self, record: TrialRecord | None) -> int | None:
        """Return the row of a trial; None where it isn't among these."""
        return next(
            (row for row, one in enumerate(self.records) if record and one.number == record.number),
            None,
        )
