"""What a metric is: its definition in words, and the function of a trial that computes it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from campaign.analysis.metrics.measured import MetricInputs
from campaign.schema.model import Direction

FEITELSON_2001 = "Feitelson 2001, Metrics for Parallel Job Scheduling and Their Convergence"


@dataclass(frozen=True)
class NoMeaning:
    """The reason why a metric has no value for a trial."""

    why: str


Function = Callable[[MetricInputs], float | NoMeaning]


@dataclass(frozen=True)
class MetricDefinition:
    """A metric and what it means.

    `of_jobs`: it has no meaning when no job has finished; `of_tau`: it depends on tau; `of_class`:
    it can be taken over a class of jobs, since it asks nothing of the others.
    """

    name: str
    unit: str
    definition: str
    source: str
    natural_direction: Direction
    of_jobs: bool
    of_tau: bool
    function: Function
    of_class: bool = False

    def defined(self, tau: str) -> str:
        """Return the definition, with the tau that was used if it depends on one."""
        return f"{self.definition}; tau = {tau}" if self.of_tau else self.definition


METRICS: dict[str, MetricDefinition] = {}


def metric(
    unit: str,
    definition: str,
    *,
    best: Direction = "minimize",
    source: str = FEITELSON_2001,
    of_jobs: bool = True,
    of_tau: bool = False,
    of_class: bool = False,
) -> Callable[[Function], Function]:
    """Register the decorated function under its own name, without the leading underscore."""

    def register(function: Function) -> Function:
        name = function.__name__.removeprefix("_")
        METRICS[name] = MetricDefinition(
            name, unit, definition, source, best, of_jobs, of_tau, function, of_class
        )
        return function

    return register


def evaluated(row: MetricDefinition, of: MetricInputs) -> float | NoMeaning:
    """Return the value of a metric, or why it has none."""
    if row.of_jobs and not of.width.size:
        return NoMeaning("no job finished")
    value = row.function(of)
    if isinstance(value, NoMeaning):
        return value
    return (
        float(value)
        if np.isfinite(value)
        else NoMeaning("the jobs table lacks what it is computed from")
    )
