"""Metrics of a trial: from its jobs table to values, and reasons where there is no value.

A finished job has begun to be submitted, has started and has ended, whatever its exit code. Metrics
of jobs are over finished jobs; how many are not is a metric too. A metric that has no meaning for a
trial is absent with a reason, never a number that looks like one. Times are seconds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from campaign.analysis.metrics.definition import MetricDefinition, NoMeaning, evaluated
from campaign.analysis.metrics.definitions import METRICS
from campaign.analysis.metrics.measured import ClusterFacts, measure
from campaign.analysis.metrics.of_classes import class_values
from campaign.core.jobs import BOUNDED_SLOWDOWN_TAU_S, Workload
from campaign.core.metric_names import MetricName, hook_of
from campaign.core.phases import Phase

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "METRICS",
    "ClusterFacts",
    "Computed",
    "MetricDefinition",
    "compute",
    "definition_of",
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
    named: Iterable[str] = (),
    workload: Workload | None = None,
) -> Computed:
    """Compute all metrics of a jobs table (JOBS_SCHEMA), and those of classes that are `named`.

    `phases` are a trial's phase clocks (seconds). `tau_s` bounds the slowdown of short jobs: scale
    it as the workload's times are scaled (`tau_of`). `workload` is what was replayed: it knows the
    classes of jobs, and whose account they are charged to. Takes time O(n log n) and memory O(n)
    for n jobs, for each field by which jobs are classed.
    """
    measured = measure(jobs, cluster, phases, tau_s, workload)
    found = {row.name: evaluated(row, measured) for row in METRICS.values()}
    of_classes = [name for name in dict.fromkeys(named) if name not in METRICS]
    found |= class_values(of_classes, measured, workload)
    return Computed(
        {name: value for name, value in found.items() if not isinstance(value, NoMeaning)},
        {name: value.why for name, value in found.items() if isinstance(value, NoMeaning)},
    )


def without_value(
    names: Iterable[str],
    jobs: "pa.Table",
    cluster: ClusterFacts,
    phases: Mapping[Phase, float],
    workload: Workload | None = None,
) -> dict[str, str]:
    """Return which of the metrics `names` have no value for a jobs table, with the reason."""
    wanted = list(names)
    absent = compute(jobs, cluster, phases, named=wanted, workload=workload).absent
    return {name: absent[name] for name in wanted if name in absent}


def definition_of(name: str) -> MetricDefinition:
    """Return the definition of a metric, of a class of jobs too: its unit is the metric's own.

    Raises ValueError, which says why, for a name that no metric has.
    """
    if name in METRICS:
        return METRICS[name]
    if hook := hook_of(name):
        return MetricDefinition(
            name=name,
            unit="",
            definition=f"what the hook {hook} has found",
            source="the hook",
            natural_direction="minimize",
            of_jobs=False,
            of_tau=False,
            function=lambda _: NoMeaning("the hook has found none"),
        )
    parts = MetricName.of(name)
    if parts.base not in METRICS:
        raise ValueError(f"there is no metric {parts.base!r}")
    base = METRICS[parts.base]
    of = f", over the jobs of {', '.join(map(str, parts.classes))}" if parts.classes else ""
    worst = f"; the worst of the values by {parts.worst}" if parts.worst else ""
    return replace(base, name=name, definition=f"{base.definition}{of}{worst}")
