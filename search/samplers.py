"""Samplers by name."""

import warnings

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler

from campaign.model import SamplerSettings


def make_sampler(settings: SamplerSettings, seed: int) -> BaseSampler:
    """The sampler that `settings` name, its random stream begun with `seed`."""
    if settings.name == "random":
        return RandomSampler(seed=seed)
    if settings.name == "nsga2":
        return NSGAIISampler(population_size=settings.population, seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        # constant_liar keeps the points of one batch apart.
        return TPESampler(seed=seed, n_startup_trials=settings.startup_trials, multivariate=True, constant_liar=True)
