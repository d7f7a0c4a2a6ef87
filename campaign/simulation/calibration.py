"""Fits the simulation's delays to trials of the real scheduler, and compares the two."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from campaign.analysis.metrics import ClusterFacts, compute
from campaign.core.jobs import Workload
from campaign.simulation.engine import NO_DELAYS, NS, Delays, Nodes, simulate
from campaign.simulation.table import jobs_table
from schedulers.policy import Policy

COMPARED = ("awrt_s", "utilisation", "makespan_s")
CYCLE_OFFSETS = tuple(number / 12 for number in range(12))
"""Parts of the longest time that a scheduler's clock may let pass, evenly."""
STARTS_S = (
    (0.3, 0.3),
    (0.3, 1.5),
    (1.5, 0.3),
    (1.5, 1.5),
)  # where the search for launch and release begins
FITTED_OFFSETS = CYCLE_OFFSETS[::3]
"""Enough of them to fit delays by."""
PLANS_S = (0.0, 0.0005, 0.001, 0.002, 0.004)
"""What a backfill run may take for each job that it looks at."""
CLOCKS_S = tuple(5.0 * number for number in range(12))
"""What the clock may show as a workload begins, but for whole minutes."""
LARGEST_S = (
    3.0  # of each: what is longer is no delay of a machine but something that isn't simulated
)
PRECISION = {"xatol": 0.001, "fatol": 1e-4}
"""Delays are had to the millisecond."""
IMPOSSIBLE_LOSS = 1e3  # the loss of what can't be
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CalibrationCase:
    """A measured trial: its workload, cluster and policy, and its jobs table (JOBS_SCHEMA).

    `lead_s` is how long the scheduler had had its settings when the workload began, and `clock_s`
    what its clock showed then, if known.
    """

    label: str
    workload: Workload
    nodes: Nodes
    policy: Policy
    jobs: pa.Table
    tau_s: float
    lead_s: float | None = None
    clock_s: float | None = None


def metrics_of(case: CalibrationCase, jobs: pa.Table) -> dict[str, float]:
    """Return the metrics of a jobs table of the case's workload on its cluster."""
    facts = ClusterFacts(nodes=case.nodes.count, slots=case.nodes.count * case.nodes.slots)
    return dict(compute(jobs, facts, {}, tau_s=case.tau_s).values)


def simulated(
    case: CalibrationCase, delays: Delays, offsets: Sequence[float] = CYCLE_OFFSETS
) -> list[pa.Table]:
    """Return the jobs tables that the simulation gives for the case.

    There is one for each moment of `offsets` at which the clock of its scheduler, if it follows
    one, may first tick: nobody sets that, and no measurement repeats it. A lead and a clock that
    the case knows take the place of those of `delays`.
    """
    loop = case.policy.loop
    if case.lead_s is not None:
        delays = replace(delays, lead_s=case.lead_s)
    if case.clock_s is not None:
        delays = replace(delays, clock_s=case.clock_s)
    firsts = [phase * max(loop.delay_s, loop.tick_s) for phase in offsets] if loop else [0.0]
    each = (replace(delays, cycle_offset_s=first) for first in firsts)
    return [
        jobs_table(case.workload, simulate(case.workload.table, case.nodes, case.policy, one))
        for one in each
    ]


def differences(case: CalibrationCase, delays: Delays) -> dict[str, tuple[float, float]]:
    """Return, for each metric that both have, the measured value and the mean simulated one."""
    measured = metrics_of(case, case.jobs)
    ours = [metrics_of(case, jobs) for jobs in simulated(case, delays)]
    return {
        name: (measured[name], fmean(one[name] for one in ours))
        for name in measured
        if name in ours[0]
    }


def fit(cases: Sequence[CalibrationCase], known: Delays = NO_DELAYS) -> Delays:
    """Return the delays with which the simulation comes nearest to the measured `cases`.

    Cases of one label repeat a point. Submitting takes what it took (the median), and jobs overrun
    as they did (the mean). Launching and releasing, of which the scheduler's account in whole
    seconds says too little, minimize the mean over the points of how far the compared metrics are
    apart, relatively, and of the mean distance of a job's mean start from its measured one,
    relative to the makespan: by the method of Nelder and Mead (1965). Then so does what planning
    takes, where runs take any time at all (`known.kernel_s`), and what the clock showed, where
    neither the cases nor `known` say it. All else is as `known`.
    """
    from scipy.optimize import minimize

    points = [_Point(cases, label) for label in dict.fromkeys(case.label for case in cases)]
    seen = replace(known, submit_s=_submit_s(cases), overrun_s=_overrun_s(cases))

    def delays(hidden: Floats) -> Delays:
        launch_s, release_s = (round(float(one), 3) for one in hidden)
        return replace(seen, launch_s=launch_s, release_s=release_s)

    def apart(tried: Delays) -> float:
        return float(np.mean([point.distance(tried) for point in points]))

    def loss(hidden: Floats) -> float:
        # Nelder-Mead knows no bounds: what lies outside costs more than all inside, and the more
        # the farther out it is.
        beyond = float(np.maximum(-hidden, hidden - LARGEST_S).max())
        return IMPOSSIBLE_LOSS + beyond if beyond > 0 else apart(delays(hidden))

    tried = [
        minimize(
            loss,
            np.array(start),
            method="Nelder-Mead",
            options={"initial_simplex": _simplex(start), **PRECISION},
        )
        for start in STARTS_S
    ]
    found = delays(min(tried, key=lambda one: float(one.fun)).x)
    for name, values in _unknown(cases, known):
        # The first of those that are equally good: none, where it makes no difference.
        found = min((replace(found, **{name: value}) for value in values), key=apart)
    return found


def _unknown(
    cases: Sequence[CalibrationCase], known: Delays
) -> Iterator[tuple[str, Sequence[float]]]:
    """Yield the other delays that are to be fitted, each with the values that are tried."""
    if not any(case.policy.backfill for case in cases):
        return
    if known.kernel_s and not known.plan_s:
        yield "plan_s", PLANS_S
    if not known.clock_s and all(case.clock_s is None for case in cases):
        yield "clock_s", CLOCKS_S


def _simplex(start: tuple[float, ...]) -> Floats:
    # Steps of a second; SciPy's own, 5 % of each value, would hardly leave the start.
    return np.vstack([start, *(np.array(start) + step for step in np.eye(len(start)))])


class _Point:
    """The mean of the cases with one label."""

    def __init__(self, cases: Sequence[CalibrationCase], label: str) -> None:
        repeated = [case for case in cases if case.label == label]
        self._case = repeated[0]
        measured = [metrics_of(case, case.jobs) for case in repeated]
        self._metrics = {name: fmean(one[name] for one in measured) for name in COMPARED}
        # A job that didn't start in one repetition is NaN there.
        self._starts = np.nanmean([seconds(case.jobs, "start_ns") for case in repeated], axis=0)

    def distance(self, delays: Delays) -> float:
        """Return how far the simulation with these delays is apart from the measured point."""
        tables = simulated(self._case, delays, FITTED_OFFSETS)
        ours = [metrics_of(self._case, jobs) for jobs in tables]
        apart = [
            abs(fmean(one[name] for one in ours) / measured - 1)
            for name, measured in self._metrics.items()
        ]
        starts = np.mean([seconds(jobs, "start_ns") for jobs in tables], axis=0)
        return float(
            np.mean(apart) + np.nanmean(np.abs(starts - self._starts)) / self._metrics["makespan_s"]
        )


def _submit_s(cases: Sequence[CalibrationCase]) -> float:
    took = [seconds(case.jobs, "accepted_ns") - seconds(case.jobs, "submit_ns") for case in cases]
    return round(float(np.median(np.concatenate(took))), 3)


def _overrun_s(cases: Sequence[CalibrationCase]) -> float:
    ran = [seconds(case.jobs, "end_ns") - seconds(case.jobs, "start_ns") for case in cases]
    extra = [
        took - case.jobs.column("runtime_s").to_numpy()
        for took, case in zip(ran, cases, strict=True)
    ]
    # Clock errors may make jobs seem shorter than they can be.
    return round(max(0.0, float(np.nanmean(np.concatenate(extra)))), 3)


def seconds(jobs: pa.Table, column: str) -> Floats:
    """Return a column of times in seconds; NaN where a job has none."""
    return np.asarray(jobs.column(column).to_numpy(), np.float64) / NS
