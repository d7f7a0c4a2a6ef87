"""Fits the simulation's delays to trials that were measured on virtual machines, and says how far the two are apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from campaign.jobs import Workload
from campaign.metrics import ClusterFacts, compute
from campaign.simulation.engine import NS, Delays, Nodes, simulate
from campaign.simulation.table import jobs_table
from schedulers.policy import Policy

COMPARED = ("awrt_s", "utilisation", "makespan_s")
STARTS_S = ((0.5, 0.5), (2.0, 0.5), (0.5, 2.0), (2.0, 2.0))  # where the search for release and period begins
LARGEST_S = 3.0  # of both: what is longer is no delay of a machine but something that isn't simulated
BEYOND = 1e3  # the loss of what can't be
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """A measured trial: its workload, its cluster, how its scheduler decides, and its jobs table (JOBS_SCHEMA)."""

    label: str
    workload: Workload
    nodes: Nodes
    policy: Policy
    jobs: pa.Table
    tau_s: float


def metrics_of(case: Case, jobs: pa.Table) -> dict[str, float]:
    """The metrics of a jobs table of the case's workload on its cluster."""
    facts = ClusterFacts(nodes=case.nodes.count, slots=case.nodes.count * case.nodes.slots)
    return dict(compute(jobs, facts, {}, tau_s=case.tau_s).values)


def simulated(case: Case, delays: Delays) -> pa.Table:
    """The jobs table that the simulation gives for the case."""
    return jobs_table(case.workload, simulate(case.workload.table, case.nodes, case.policy, delays))


def differences(case: Case, delays: Delays) -> dict[str, tuple[float, float]]:
    """Measured and simulated value of each metric that both have."""
    measured, ours = metrics_of(case, case.jobs), metrics_of(case, simulated(case, delays))
    return {name: (measured[name], ours[name]) for name in measured if name in ours}


def fit(cases: Sequence[Case]) -> Delays:
    """The delays with which the simulation comes nearest to the measured `cases`.

    Submitting takes what it took (the median); jobs overrun as they did, and launching takes what lies between the
    scheduler's account of a job's start and its payload's (means). The others, which nobody writes down, minimize
    the mean over the cases of how far the compared metrics are apart, relatively, and of the mean distance of a job's
    start from the measured one, relative to the makespan: by the method of Nelder and Mead (1965).
    """
    from scipy.optimize import minimize

    seen = _submit_s(cases), _launch_s(cases), _overrun_s(cases)

    def delays(hidden: Floats) -> Delays:
        return Delays(*seen, *(round(float(one), 3) for one in hidden))

    def loss(hidden: Floats) -> float:
        beyond = float(np.maximum(-hidden, hidden - LARGEST_S).max())
        if beyond > 0:
            return BEYOND + beyond
        return float(np.mean([_distance(case, delays(hidden)) for case in cases]))

    tried = [
        minimize(loss, np.array(start), method="Nelder-Mead", options={"initial_simplex": _simplex(start)})
        for start in STARTS_S
    ]
    return delays(min(tried, key=lambda one: float(one.fun)).x)


def _simplex(start: tuple[float, ...]) -> Floats:
    return np.vstack([start, *(np.array(start) + step for step in np.eye(len(start)))])


def _distance(case: Case, delays: Delays) -> float:
    found = differences(case, delays)
    apart = [abs(ours / measured - 1) for measured, ours in (found[name] for name in COMPARED)]
    ours = simulated(case, delays)
    starts = np.abs(ours.column("start_ns").to_numpy() / NS - _seconds(case, "start_ns"))
    return float(np.mean(apart) + np.nanmean(starts) / found["makespan_s"][0])


def _submit_s(cases: Sequence[Case]) -> float:
    took = [_seconds(case, "accepted_ns") - _seconds(case, "submit_ns") for case in cases]
    return round(float(np.median(np.concatenate(took))), 3)


def _launch_s(cases: Sequence[Case]) -> float:
    """The scheduler's account counts in whole seconds, cut: half a second too early, in the mean."""
    gaps = np.concatenate([_seconds(case, "start_ns") - _native_s(case) for case in cases])
    return round(max(0.0, float(np.nanmean(gaps)) - 0.5), 3)


def _overrun_s(cases: Sequence[Case]) -> float:
    took = [_seconds(case, "end_ns") - _seconds(case, "start_ns") for case in cases]
    extra = [ran - case.jobs.column("runtime_s").to_numpy() for ran, case in zip(took, cases, strict=True)]
    return round(max(0.0, float(np.nanmean(np.concatenate(extra)))), 3)


def _seconds(case: Case, column: str) -> Floats:
    return np.asarray(case.jobs.column(column).to_numpy(), np.float64) / NS


def _native_s(case: Case) -> Floats:
    return np.asarray(case.jobs.column("native_start_s").to_numpy(), np.float64)
