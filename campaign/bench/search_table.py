"""The table and the JSON of the comparison of samplers."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from campaign.analysis.front.instances import changes, estimate
from campaign.analysis.front.resampling import Floats

SEARCHED = ("random", "tpe", "nsga2", "qmc", "ehvi")
"""The samplers that are compared; the first one is what the others must beat."""
GOALS = (0.9, 0.95, 0.99)
"""Shares of the best possible hypervolume, of which it is said after how many trials they came."""


SUMMED = 0.95
"""The goal by which problems are summed up."""


@dataclass(frozen=True)
class SearchRun:
    """One search: its sampler and seed, and the hypervolume after each of its trials."""

    sampler: str
    seed: int
    volumes: tuple[float, ...]

    def trials_to(self, volume: float) -> float:
        """Return how many trials it took to reach a hypervolume; infinite where it didn't."""
        # Summed in another order, the same volume may come out a little less.
        reached = np.asarray(self.volumes) >= volume * (1 - 1e-9)
        return float(np.argmax(reached)) + 1 if reached.any() else math.inf


@dataclass(frozen=True)
class ProblemFigures:
    """A problem: the points of its space, those on its front, its hypervolume, and the searches.

    What was reached counts after so many `trials`; some samplers go on, until they reach goals.
    `half` is the hypervolume, by sampler, of what at least half of its searches attained by then.
    """

    name: str
    points: int
    front: int
    objectives: tuple[str, ...]
    whole: float
    trials: int
    half: Mapping[str, float]
    runs: tuple[SearchRun, ...]

    @property
    def samplers(self) -> tuple[str, ...]:
        """The samplers in their order."""
        return tuple(dict.fromkeys(run.sampler for run in self.runs))

    def of(self, sampler: str) -> list[SearchRun]:
        """Return the searches of one sampler, by seed."""
        return [run for run in self.runs if run.sampler == sampler]

    @property
    def shares(self) -> Floats:
        """The share of the whole hypervolume after `trials` trials: sampler by seed."""
        return np.array(
            [
                [run.volumes[: self.trials][-1] / self.whole for run in self.of(name)]
                for name in self.samplers
            ]
        )


def as_text(figures: Sequence[ProblemFigures]) -> str:
    """Return the tables that people read: one for each problem, and one of them all."""
    tables = ["\n".join(_lines(one)) for one in figures]
    tables += ["\n".join(_summary(found)) for found in _alike(figures)]
    return "\n\n".join(tables)


def as_json(figures: Sequence[ProblemFigures]) -> list[dict[str, Any]]:
    """Return all searches, with each one's hypervolume after each trial."""
    return [asdict(one) for one in figures]


def _alike(figures: Sequence[ProblemFigures]) -> Iterator[list[ProblemFigures]]:
    """Yield the problems that were searched by the same samplers together."""
    for samplers in dict.fromkeys(one.samplers for one in figures):
        yield [one for one in figures if one.samplers == samplers]


def _summary(figures: Sequence[ProblemFigures]) -> Iterator[str]:
    """Yield the median trials to SUMMED of all problems, and their share of the first sampler's."""
    first, *others = figures[0].samplers
    wide = max(len(one.name) for one in figures)
    yield f"median trials to {SUMMED:.0%}, and their share of those by {first}"
    heads = "".join(f"  {name:>16}" for name in others)
    yield f"{'problem':<{wide}}  {first:>9}{heads}"
    for one in figures:
        base, *rest = (_middle(one, name) for name in (first, *others))
        cells = "".join(f"  {_shared(taken, base, one.trials):>16}" for taken in rest)
        yield f"{one.name:<{wide}}  {_trials(base):>9}{cells}"


def _middle(one: ProblemFigures, sampler: str) -> float:
    taken = sorted(run.trials_to(SUMMED * one.whole) for run in one.of(sampler))
    return taken[len(taken) // 2]


def _shared(taken: float, base: float, trials: int) -> str:
    if math.isinf(taken):
        return "never"
    # One that never got there took more than all trials that it had.
    below = "below " if math.isinf(base) else ""
    return f"{taken:.0f} ({below}{taken / (trials if math.isinf(base) else base):.0%})"


def _lines(one: ProblemFigures) -> Iterator[str]:
    yield (
        f"{one.name}: {', '.join(one.objectives)}; {one.points} points, {one.front} on the front; "
        f"{len(one.of(one.samplers[0]))} seeds of {one.trials} trials"
    )
    goals = "".join(f"  {f'trials to {goal:.0%}':>20}" for goal in GOALS)
    first = f"against {one.samplers[0]}"
    yield f"{'sampler':<10}  {'reached, 90 % interval':>24}  {first:>26}  {'by half':>7}{goals}"
    found = estimate(one.shares, "maximize")
    against = changes(one.shares, one.shares[0], "maximize")
    for row, name in enumerate(one.samplers):
        reached = f"{found.value[row]:.1%}{_between(found.low[row], found.high[row], '.1%')}"
        change = ""
        if row:
            interval = _between(against.low[row], against.high[row], "+.1%")
            change = f"{against.difference[row]:+.1%}{interval}"
        taken = "".join(f"  {_median(one, name, goal):>20}" for goal in GOALS)
        half = f"{one.half[name] / one.whole:.1%}"
        yield f"{name:<10}  {reached:>24}  {change:>26}  {half:>7}{taken}"


def _between(low: float, high: float, form: str) -> str:
    return "" if math.isnan(low) else f" ({low:{form}} to {high:{form}})"


def _median(one: ProblemFigures, sampler: str, goal: float) -> str:
    """Return the median and the ends of the trials to a goal; a dash where a search missed it."""
    taken = sorted(run.trials_to(goal * one.whole) for run in one.of(sampler))
    middle, low, high = (taken[at] for at in (len(taken) // 2, 0, -1))
    return f"{_trials(middle)} ({_trials(low)} to {_trials(high)})"


def _trials(count: float) -> str:
    return "never" if math.isinf(count) else f"{count:.0f}"
