"""Metrics of a trial: from its jobs table to values, and reasons where there is no value.

A finished job has begun to be submitted, has started and has ended, whatever its exit code. Metrics
of jobs are over finished jobs; how many are not is a metric too. A metric that has no meaning for a
trial is absent with a reason, never a number that looks like one. Times are seconds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from campaign.analysis.metrics.definitions import METRICS, MetricDefinition, NoMeaning
from campaign.analysis.metrics.measured import ClusterFacts, MetricInputs, measure
from campaign.core.jobs import BOUNDED_SLOWDOWN_TAU_S
from campaign.core.phases import Phase

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "METRICS",
    "ClusterFacts",
    "Computed",
    "MetricDefinition",
    "compute",
    "without_value",
]


@dataclass(frozen=True)
class Computed:
    """Each metric by name: in `values`, or in `absent` with the reason for its absence."""

    values: Mapping[str, float]
    absent: Mapping[str, str]


def compute(
    jobs: "pa.Table",
    cluster: ClusterFacts,
    phases: Mapping[Phase, float],
    *,
    tau_s: float = BOUNDED_SLOWDOWN_TAU_S,
) -> Computed:
    """Compute all metrics of a jobs table (JOBS_SCHEMA).

    `phases` are a trial's phase clocks (seconds). `tau_s` bounds the slowdown of short jobs: scale
    it as the workload's times are scaled (`tau_of`). Takes time O(n log n) and memory O(n) for n
    jobs.
    """
    measured = measure(jobs, cluster, phases, tau_s)
    found = {row.name: _evaluate(row, measured) for row in METRICS.values()}
    return Computed(
        {name: value for name, value in found.items() if not isinstance(value, NoMeaning)},
        {name: value.why for name, value in found.items() if isinstance(value, NoMeaning)},
    )


def without_value(
    names: Iterable[str], jobs: "pa.Table", cluster: ClusterFacts, phases: Mapping[Phase, float]
) -> dict[str, str]:
    """Return which of the metrics `names` have no value for a jobs table, with the reason."""
    measured = measure(jobs, cluster, phases, BOUNDED_SLOWDOWN_TAU_S)
    found = {name: _evaluate(METRICS[name], measured) for name in names}
    return {name: value.why for name, value in found.items() if isinstance(value, NoMeaning)}


def _evaluate(row: MetricDefinition, measured: MetricInputs) -> float | NoMeaning:
    if row.of_jobs and not measured.width.size:
        return NoMeaning("no job finished")
    value = row.function(measured)
    if isinstance(value, NoMeaning):
        return value
    return (
        float(value)
        if np.isfinite(value)
        else NoMeaning("the jobs table lacks what it is computed from")
    )
