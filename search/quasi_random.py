"""Quasi-random points: a scrambled Sobol sequence, which fills a space more evenly than chance.

Optuna's QMCSampler keeps its place in the sequence in the study, where a resume would lose it, and
its dimensions are those of the first trial, which conditional spaces don't have in common. Here the
place is the trial's number, and each dimension of the space has its own coordinate, at points where
it doesn't exist too.
"""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial


class QuasiRandomSampler(BaseSampler):
    """Draws trial n from place n of the sequence that `seed` scrambles (Owen 1998).

    `names` are the dimensions of the space, in their order.
    """

    def __init__(self, names: Sequence[str], seed: int, number: int) -> None:
        self._names = tuple(names)
        self._seed = seed
        self._number = number

    @cached_property
    def _place(self) -> dict[str, float]:
        # Takes over a second of CPU time to import, and other samplers need none of it.
        from scipy.stats import qmc

        sequence = qmc.Sobol(len(self._names), seed=np.random.default_rng(self._seed))
        if self._number:
            sequence.fast_forward(self._number)
        return dict(zip(self._names, sequence.random(1)[0].tolist(), strict=True))

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return no dimensions: each is drawn on its own."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return no values: each is drawn on its own."""
        return {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return the value of a dimension at the trial's place of the sequence."""
        return value_at(param_distribution, self._place[param_name])


def value_at(distribution: BaseDistribution, share: float) -> Any:
    """Return the value below which a `share` (from 0 up to, but not 1) of a distribution lies."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(share * len(distribution.choices))]
    if isinstance(distribution, FloatDistribution):
        return _between(distribution.low, distribution.high, share, log=distribution.log)
    if not isinstance(distribution, IntDistribution):
        raise TypeError(f"a dimension is distributed as {distribution}")
    low = distribution.low
    if distribution.log:
        # Each whole number has the range that is rounded to it.
        found = round(_between(low - 0.5, distribution.high + 0.5, share, log=True))
        return min(max(found, low), distribution.high)
    count = (distribution.high - low) // distribution.step + 1
    return low + int(share * count) * distribution.step


def _between(low: float, high: float, share: float, *, log: bool) -> float:
    if log:
        return math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    return low + share * (high - low)
