"""Compare the samplers by the hypervolume that they reach, on simulated problems known in whole.

The space of each problem is finite and small enough that all of its points are simulated once.
The best that a search could do is known then, and a search costs no more than looking up values.
A round is a seed: every sampler searches every problem with it, from the same baseline. Some
problems have a dear variant, on which a ladder of both is compared with a search of that alone.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from campaign.analysis.front.costs import TrialCosts
from campaign.analysis.front.hypervolume import VolumeBox, attained
from campaign.bench.known_problem import KnownProblem, curve, known, searched
from campaign.bench.results import BenchmarkResults
from campaign.bench.search_ladder import climbed
from campaign.bench.search_problems import DEAR, PROBLEMS, SHARED, SearchProblem
from campaign.bench.search_table import SEARCHED, ProblemFigures, SearchRun, as_json, as_text
from campaign.config.compose import compose
from campaign.core import optional
from campaign.core.errors import ConfigError
from campaign.core.trials import TrialRecord

DEFAULT_TRIALS = 150
_log = logging.getLogger(__name__)


def run(overrides: Sequence[str], folder: Path, rounds: int) -> BenchmarkResults:
    """Search each problem with each sampler and `rounds` seeds.

    `overrides` hold for all problems; `search.trials` is the length of a search, `sampler=NAME`
    leaves the others out. Raises BenchmarkError for a space that can't be gone through.
    """
    named = tuple(one.removeprefix("sampler=") for one in overrides if one.startswith("sampler="))
    settings = [one for one in overrides if not one.startswith("sampler=")]
    if not any(one.startswith("search.trials=") for one in settings):
        settings.append(f"search.trials={DEFAULT_TRIALS}")
    seeds = range(1, rounds + 1)
    figures = []
    for name, own in PROBLEMS.items():
        problem = _known(name, own, settings)
        figures.append(_figures(problem, named or _installed(), seeds))
        if own.ladder and not named:
            dear = _known(f"{name}, dear", own, [*settings, *DEAR])
            figures.append(_of_ladder(problem, dear, seeds))
        _log.info("%s: done", name)
    table = as_text(figures)
    return BenchmarkResults.of(table, search_txt=table, search_json=json.dumps(as_json(figures)))


def _installed() -> tuple[str, ...]:
    """Return the samplers that can be compared here."""
    try:
        optional.require("gp", "sampler=gp")
    except ConfigError:
        return SEARCHED
    return (*SEARCHED, "gp")


def _known(name: str, own: SearchProblem, settings: Sequence[str]) -> KnownProblem:
    instances = f"workload.instances={own.instances}"
    return known(name, compose([*SHARED, *own.settings, *settings, instances]))


def _figures(
    problem: KnownProblem, samplers: Sequence[str], seeds: Sequence[int]
) -> ProblemFigures:
    settings = problem.composed.campaign.sampler
    found = {
        name: [
            searched(
                problem, settings.model_copy(update={"name": name}), one, _length(problem, name)
            )
            for one in seeds
        ]
        for name in samplers
    }
    return _compared(problem, found, seeds)


def _length(problem: KnownProblem, sampler: str) -> int:
    """Return how many trials a search has: random search goes on until nothing is left.

    It costs next to nothing, and what the others save is told by what it needs.
    """
    return len(problem.outcomes) if sampler == "random" else problem.trials


def _of_ladder(cheap: KnownProblem, dear: KnownProblem, seeds: Sequence[int]) -> ProblemFigures:
    """Return the figures of searches of the dear problem alone, and by a ladder of both."""
    sampler = dear.composed.campaign.sampler
    found = {
        f"{sampler.name} alone": [searched(dear, sampler, one) for one in seeds],
        "ladder": [climbed(cheap, dear, sampler, one) for one in seeds],
    }
    return _compared(dear, found, seeds)


def _compared(
    problem: KnownProblem,
    searches: Mapping[str, Sequence[Sequence[TrialRecord]]],
    seeds: Sequence[int],
) -> ProblemFigures:
    best, box = problem.whole()
    runs = [
        SearchRun(name, seed, tuple(curve(problem, records, box)))
        for name, many in searches.items()
        for seed, records in zip(seeds, many, strict=True)
    ]
    return ProblemFigures(
        problem.name,
        points=len(problem.outcomes),
        front=len(np.unique(best, axis=0)),
        objectives=tuple(problem.composed.campaign.objectives),
        whole=box.volume(best),
        trials=problem.trials,
        half={
            name: _by_half(problem, [one[: problem.trials] for one in many], box)
            for name, many in searches.items()
        },
        runs=tuple(runs),
    )


def _by_half(
    problem: KnownProblem, searches: Sequence[Sequence[TrialRecord]], box: VolumeBox
) -> float:
    """Return the hypervolume of what at least half of some searches attained."""
    campaign = problem.composed.campaign
    found = [
        TrialCosts.of(records, campaign.objectives, campaign.search.constraints).costs
        for records in searches
    ]
    return box.volume(attained(found, [0.5])[0.5])
