"""How wrong the simulation is, with intervals: on trials to which its delays were fitted, and on
others.

An interval is a bootstrap over blocks of consecutive jobs, which all points of a workload have in
common (Künsch, The Annals of Statistics 17(3), 1989): jobs that wait together wait alike.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from campaign.analysis.front.resampling import Bootstrap
from campaign.simulation.calibration import CalibrationCase, Floats, seconds, simulated
from campaign.simulation.engine import Delays
from schedulers.policy import Policy

BLOCKS = 6
"""Of all workloads together, at least; so many workloads are a block each. Shorter blocks are alike
one another: twenty of a workload had the truth in two of three intervals."""
MARGIN_S = 5.0
"""What launching a job may take beside the scheduler's intervals, before a start counts as another
decision."""
MEAN = "wait_mean_s"
P95 = "wait_p95_s"
MAKESPAN = "makespan_s"
STARTS = "starts"
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Error:
    """A relative error (simulated/measured - 1), or the share of jobs that start as measured.

    It is NaN where nothing was measured but simulated. `low` and `high` are the ends of its
    interval; NaN where there is too little for one.
    """

    name: str
    value: float
    low: float
    high: float

    @property
    def sentence(self) -> str:
        """Say it, with its interval."""
        if math.isnan(self.value):
            return "none was measured"
        sign = "" if self.name == STARTS else "+"
        said = f"{self.value:{sign}.1%}"
        if math.isnan(self.low):
            return f"{said} (too few for an interval)"
        return f"{said} ({self.low:{sign}.1%} to {self.high:{sign}.1%})"


def period_s(policy: Policy) -> float:
    """Return by how much a start may differ without another decision: an interval of the scheduler,
    and a margin."""
    intervals = [policy.dispatch_delay_s, policy.backfill.interval_s if policy.backfill else 0.0]
    return max(intervals) + MARGIN_S


def errors(
    cases: Sequence[CalibrationCase], delays: Delays, bootstrap: Bootstrap | None = None
) -> tuple[Error, ...]:
    """Return how wrong the simulation of all cases together is.

    Waits and starts are pooled over the jobs of all cases, and simulated ones over all moments at
    which the scheduler's clock may begin; jobs that never started don't count. The makespan's
    interval is over the cases.
    """
    bootstrap = bootstrap or Bootstrap()
    trials = [_compared(case, delays) for case in cases]
    blocks = _blocks(cases)
    count = 1 + max(int(each.max()) for each in blocks)
    weights = _weights(bootstrap, count)

    measured = _pooled([one.measured for one in trials], blocks)
    ours = _pooled([one.ours for one in trials], blocks)
    alike = _pooled([one.alike for one in trials], blocks)
    ends = np.array([one.ends for one in trials])
    of_ends = _weights(bootstrap, len(cases)) @ ends
    return (
        _error(MEAN, _relative(measured.means(weights), ours.means(weights)), bootstrap, count),
        _error(P95, _relative(measured.tails(weights), ours.tails(weights)), bootstrap, count),
        _error(MAKESPAN, _relative(of_ends[:, 0], of_ends[:, 1]), bootstrap, len(cases)),
        _error(STARTS, alike.means(weights), bootstrap, count),
    )


@dataclass(frozen=True)
class _Compared:
    """A trial's jobs: their measured waits, the simulated ones (a row for each moment at which the
    clock may begin), and how often each job starts alike; NaN where it never started. `ends` are
    the measured makespan and the mean simulated one."""

    measured: Floats
    ours: Floats
    alike: Floats
    ends: tuple[float, float]


def _compared(case: CalibrationCase, delays: Delays) -> _Compared:
    tables = simulated(case, delays)
    start = seconds(case.jobs, "start_ns")
    starts = np.array([seconds(jobs, "start_ns") for jobs in tables])
    never = np.isnan(start) | np.isnan(starts).any(axis=0)
    submitted = np.array([seconds(jobs, "submit_ns") for jobs in tables])
    alike = np.mean(np.abs(starts - start) <= period_s(case.policy), axis=0)
    ends = [float(np.nanmax(seconds(jobs, "end_ns"))) for jobs in (case.jobs, *tables)]
    return _Compared(
        measured=np.where(never, np.nan, start - seconds(case.jobs, "submit_ns")),
        ours=np.where(never, np.nan, starts - submitted),
        alike=np.where(never, np.nan, alike),
        ends=(ends[0], float(np.mean(ends[1:]))),
    )


def _blocks(cases: Sequence[CalibrationCase]) -> list[Ints]:
    """Return in which block each job of each case is; blocks are numbered through."""
    workloads = list(dict.fromkeys(case.workload.hash for case in cases))
    each = -(-BLOCKS // len(workloads))
    return [
        workloads.index(case.workload.hash) * each
        + np.arange(case.jobs.num_rows) * each // case.jobs.num_rows
        for case in cases
    ]


def _weights(bootstrap: Bootstrap, count: int) -> Floats:
    """Return how often each of `count` blocks is in a resample: once in the first row, then as
    drawn."""
    drawn = [np.bincount(row, minlength=count) for row in bootstrap.draws(count)]
    return np.array([np.ones(count), *drawn])


@dataclass(frozen=True)
class _Pooled:
    """The values of all trials in rising order; the `block` of each, and for how much it counts."""

    values: Floats
    block: Ints
    part: Floats

    def means(self, weights: Floats) -> Floats:
        """Return the mean of each resample, which weighs blocks."""
        size = weights.shape[1]
        sums = np.bincount(self.block, self.values * self.part, minlength=size)
        counts = np.bincount(self.block, self.part, minlength=size)
        return np.asarray(weights @ sums / (weights @ counts))

    def tails(self, weights: Floats) -> Floats:
        """Return the 95th percentile of each resample."""
        found = np.empty(len(weights))
        for row, weight in enumerate(weights):
            below = np.cumsum(weight[self.block] * self.part)
            found[row] = self.values[np.searchsorted(below, 0.95 * below[-1])]
        return found


def _pooled(values: Sequence[Floats], blocks: Sequence[Ints]) -> _Pooled:
    block = np.concatenate(
        [np.broadcast_to(of, one.shape).ravel() for one, of in zip(values, blocks, strict=True)]
    )
    # Each moment counts for its part of a trial.
    part = np.concatenate([np.full(one.size, one.shape[-1] / one.size) for one in values])
    flat = np.concatenate([one.ravel() for one in values])
    order = np.argsort(flat)[: np.isfinite(flat).sum()]
    return _Pooled(flat[order], block[order], part[order])


def _relative(measured: Floats, ours: Floats) -> Floats:
    """Return how far the simulated values are off; NaN where none was measured, but for equals."""
    some = np.where(measured > 0, measured, 1.0)
    none = np.where(ours == measured, 0.0, np.nan)
    return np.where(measured > 0, ours / some - 1, none)


def _error(name: str, found: Floats, bootstrap: Bootstrap, count: int) -> Error:
    low, high = bootstrap.interval(found[np.newaxis, 1:], count)
    return Error(name, float(found[0]), float(low[0]), float(high[0]))
