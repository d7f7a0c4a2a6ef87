"""Optuna's samplers by the names that a campaign's settings give them."""

import warnings
from dataclasses import dataclass

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from campaign.core import optional
from campaign.schema.search import SamplerSettings
from search.quasi_random import QuasiRandomSampler


class _OrderedNsga2(NSGAIISampler):
    """NSGA-II whose children depend on nothing but the trials and the seed.

    Optuna's own returns the parents in order of merit when it has just chosen them, and in order of
    their numbers from then on. A study that is restored from the ledger has to choose them again,
    and would pair them otherwise.
    """

    def get_parent_population(self, study: Study, generation: int) -> list[FrozenTrial]:
        """Return the parents of a generation, in the order of their numbers."""
        return sorted(
            super().get_parent_population(study, generation), key=lambda trial: trial.number
        )


def check_sampler(settings: SamplerSettings) -> None:
    """Raise ConfigError where what the sampler needs is not installed."""
    if settings.name == "gp":
        optional.require("gp", "sampler=gp")


@dataclass(frozen=True)
class Place:
    """A trial's place in a sequence of points: its `number`, the sequence's `seed` and dimensions.

    `names` are the dimensions of the whole space.
    """

    number: int
    seed: int
    names: tuple[str, ...]


def make_sampler(
    settings: SamplerSettings, seed: int, place: Place, *, conditional: bool = False
) -> BaseSampler:
    """Return the sampler that `settings` name, whose random numbers begin with `seed`.

    Quasi-random points are those of a sequence, at the trial's `place`. Of `ehvi`, it is what
    chooses where its model doesn't (`search.model_based`): quasi-random points first, then TPE.
    In a `conditional` space, TPE models each group of parameters that exist together on its own; GP
    models what exists at every point, and draws the rest at random.
    """
    if settings.name == "random":
        return RandomSampler(seed=seed)
    unmodelled = settings.name == "ehvi" and place.number < settings.startup_trials
    if settings.name == "qmc" or unmodelled:
        return QuasiRandomSampler(place.names, place.seed, place.number)
    if settings.name == "nsga2":
        return _OrderedNsga2(population_size=settings.population, seed=seed)
    # Optuna counts some of these options as experimental, and would say so once a trial.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        if settings.name == "gp":
            return GPSampler(
                seed=seed,
                n_startup_trials=settings.startup_trials,
                independent_sampler=RandomSampler(seed=seed),
                warn_independent_sampling=False,
            )
        # constant_liar keeps the points of one batch apart: a trial that still runs counts as bad.
        return TPESampler(
            seed=seed,
            n_startup_trials=settings.startup_trials,
            multivariate=True,
            group=conditional,
            constant_liar=True,
        )
