"""Metrics of a trial: each one a row (name, unit, definition, source) and a function over the jobs table.

A finished job has begun to be submitted, has started and has ended, whatever its exit code. Metrics of jobs are over
finished jobs; how many are not is a metric too. A metric without a meaning for a trial (no finished job, no time
passed) is absent, never NaN. Times are seconds.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

    from campaign.model import Direction

Array = NDArray[np.float64]
BOUNDED_SLOWDOWN_TAU_S = 10.0
WARM_UP = 0.1  # part of the arrival span that steady-state utilisation leaves out
FEITELSON_2001 = "Feitelson 2001, Metrics for Parallel Job Scheduling and Their Convergence"
SCHWIEGELSHOHN_2000 = "Schwiegelshohn, Yahyapour 2000, Fairness in Parallel Job Scheduling"
FRACHTENBERG_2005 = "Frachtenberg, Feitelson 2005, Pitfalls in Parallel Job Scheduling Evaluation"
THIS_PROJECT = "this project"
NOT_HELD = frozenset({"golden", "fallback", "placed"})
"""Phases that aren't the trial's cost: what is made once for all trials, what a mishap took, and waiting."""


@dataclass(frozen=True)
class ClusterFacts:
    """How big the cluster was: compute nodes, the job slots of all of them together, and nodes that run no jobs."""

    nodes: int
    slots: int
    head_nodes: int = 1


@dataclass(frozen=True)
class Measured:
    """The finished jobs of one trial as columns (seconds since the workload's start), and what surrounds them."""

    width: Array
    submit: Array
    start: Array
    end: Array
    lags: Array  # submission behind its intended time, of all submitted jobs
    completed: int
    unfinished: int
    cluster: ClusterFacts
    phases: Mapping[str, float]
    tau_s: float

    @property
    def wait(self) -> Array:
        return self.start - self.submit

    @property
    def run(self) -> Array:
        return self.end - self.start

    @property
    def response(self) -> Array:
        return self.end - self.submit

    @property
    def area(self) -> Array:
        return self.width * self.run

    @property
    def makespan(self) -> float:
        return float(self.end.max() - self.submit.min())


Function = Callable[[Measured], float | None]


@dataclass(frozen=True)
class Metric:
    """What a metric means. `of_jobs`: it has no meaning when no job has finished."""

    name: str
    unit: str
    definition: str
    source: str
    natural_direction: "Direction"
    of_jobs: bool
    function: Function


METRICS: dict[str, Metric] = {}


def compute(
    jobs: "pa.Table",
    cluster: ClusterFacts,
    phases: Mapping[str, float],
    *,
    tau_s: float = BOUNDED_SLOWDOWN_TAU_S,
) -> dict[str, float]:
    """All metrics that have a meaning for a jobs table (JOBS_SCHEMA), by name.

    `phases` are a trial's phase clocks (seconds by name in PHASES). `tau_s` bounds the slowdown of short jobs: scale
    it as the workload's times are scaled.
    """
    measured = _measure(jobs, cluster, phases, tau_s)
    rows = [row for row in METRICS.values() if measured.width.size or not row.of_jobs]
    values = {row.name: row.function(measured) for row in rows}
    return {name: float(value) for name, value in values.items() if value is not None and np.isfinite(value)}


def _measure(jobs: "pa.Table", cluster: ClusterFacts, phases: Mapping[str, float], tau_s: float) -> Measured:
    def column(name: str) -> Array:
        return np.asarray(jobs.column(name).to_numpy(), dtype=np.float64)  # null becomes NaN

    intended, submit, start, end = (column(f"{name}_ns") / 1e9 for name in ("intended", "submit", "start", "end"))
    finished = ~(np.isnan(submit) | np.isnan(start) | np.isnan(end))
    lags = submit - intended
    return Measured(
        width=column("width")[finished],
        submit=submit[finished],
        start=start[finished],
        end=end[finished],
        lags=lags[~np.isnan(lags)],
        completed=int((column("exit_code")[finished] == 0).sum()),
        unfinished=int((~finished).sum()),
        cluster=cluster,
        phases=phases,
        tau_s=tau_s,
    )


def _metric(
    unit: str, definition: str, *, best: "Direction" = "minimize", source: str = FEITELSON_2001, of_jobs: bool = True
) -> Callable[[Function], Function]:
    """Register the decorated function under its own name."""

    def register(function: Function) -> Function:
        name = function.__name__
        METRICS[name] = Metric(name, unit, definition, source, best, of_jobs, function)
        return function

    return register


@_metric("s", "last end - first submission")
def makespan_s(of: Measured) -> float:
    return of.makespan


@_metric("s", "mean of start - submission")
def wait_mean_s(of: Measured) -> float:
    return float(of.wait.mean())


@_metric("s", "median of start - submission")
def wait_median_s(of: Measured) -> float:
    return float(np.median(of.wait))


@_metric("s", "95th percentile of start - submission, interpolated linearly")
def wait_p95_s(of: Measured) -> float:
    return float(np.percentile(of.wait, 95))


@_metric("s", "longest start - submission")
def wait_max_s(of: Measured) -> float:
    return float(of.wait.max())


@_metric("s", "mean of end - submission")
def response_mean_s(of: Measured) -> float:
    return float(of.response.mean())


@_metric("", "mean of max(1, (wait + run) / max(run, tau))")
def bounded_slowdown_mean(of: Measured) -> float:
    return float(np.maximum(1.0, of.response / np.maximum(of.run, of.tau_s)).mean())


@_metric("s", "sum(area x response) / sum(area), area = slots x run", source=SCHWIEGELSHOHN_2000)
def awrt_s(of: Measured) -> float | None:
    area = float(of.area.sum())
    return float((of.area * of.response).sum()) / area if area > 0 else None


@_metric("fraction", "sum(slots x run) / (cluster's slots x makespan)", best="maximize")
def utilisation(of: Measured) -> float | None:
    capacity = of.cluster.slots * of.makespan
    return float(of.area.sum()) / capacity if capacity > 0 else None


@_metric(
    "fraction",
    "slots in use / cluster's slots while jobs arrive: from a tenth of the way between the first and the last "
    "submission (warm-up cut) to the last (drain cut)",
    best="maximize",
    source=FRACHTENBERG_2005,
)
def utilisation_steady(of: Measured) -> float | None:
    first, last = float(of.submit.min()), float(of.submit.max())
    begin = first + WARM_UP * (last - first)
    used = of.width * np.clip(np.minimum(of.end, last) - np.maximum(of.start, begin), 0.0, None)
    capacity = of.cluster.slots * (last - begin)
    return float(used.sum()) / capacity if capacity > 0 else None


@_metric("fraction", "1 - utilisation")
def idle_fraction(of: Measured) -> float | None:
    used = utilisation(of)
    return None if used is None else 1.0 - used


@_metric("jobs/h", "finished jobs / makespan", best="maximize")
def throughput_jobs_per_h(of: Measured) -> float | None:
    return of.width.size / of.makespan * 3600 if of.makespan > 0 else None


@_metric("node h", "compute nodes x makespan", source=THIS_PROJECT)
def node_hours(of: Measured) -> float:
    return of.cluster.nodes * of.makespan / 3600


@_metric(
    "node h",
    "(compute nodes + head nodes) x the phases of the trial from restoring or booting its nodes to teardown, without "
    "making a golden cluster, without what was lost on one that couldn't be used, and without waiting for a place",
    source=THIS_PROJECT,
    of_jobs=False,
)
def node_hours_provisioned(of: Measured) -> float | None:
    held = sum(seconds for phase, seconds in of.phases.items() if phase not in NOT_HELD)
    return (of.cluster.nodes + of.cluster.head_nodes) * held / 3600 if held > 0 else None


@_metric("s", "longest submission - intended submission", source=THIS_PROJECT, of_jobs=False)
def submit_lag_max_s(of: Measured) -> float | None:
    return float(of.lags.max()) if of.lags.size else None


@_metric("jobs", "finished jobs with exit code 0", best="maximize", source=THIS_PROJECT, of_jobs=False)
def jobs_completed(of: Measured) -> float:
    return of.completed


@_metric("jobs", "jobs that never finished", source=THIS_PROJECT, of_jobs=False)
def jobs_unfinished(of: Measured) -> float:
    return of.unfinished
