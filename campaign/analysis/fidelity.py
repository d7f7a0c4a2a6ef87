"""Fidelity: the replay of a log beside what happened where the log was written.

All of it is pure, tables in, values out, over whole columns. What happened is what the log recorded
of waits (`recorded_wait_s`); a job's recorded start and end follow from it, its arrival and its run
time, and never mix with those of the replay.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from campaign.analysis.metrics.classes import ClassedJobs, Rows
from campaign.analysis.metrics.timeline import Timeline
from campaign.core.errors import WorkloadError
from campaign.core.jobs import Workload

Array = NDArray[np.float64]
Verdict = Literal["agrees", "agrees roughly", "differs"]
CLOSE = 0.1
"""The part of a recorded wait by which the replayed one may differ where the two agree."""
ROUGH = 0.3
FLOOR_S = 60.0
"""The seconds by which any two waits may differ, times workload.time_scale."""
CLOSE_USE = 0.05
"""The part of the cluster by which its use may differ on average where the two agree."""
ROUGH_USE = 0.15
MIN_JOBS = 10
"""Classes of fewer jobs have no interval."""
RESAMPLES = 1000
MOST_BLOCKS = 100
STEPS = 60  # of the use over time
WEEK_S = 7 * 86_400.0
DAY_S = 86_400.0
CLASSES = {"partition": "partition", "qos": "QOS", "user": "user", "width": "slots"}
"""The fields by which waits are compared, and what a table calls them; weeks come beside them."""


@dataclass(frozen=True)
class WaitSpread:
    """Waits of some jobs, in seconds."""

    mean: float
    median: float
    p95: float


@dataclass(frozen=True)
class ClassFidelity:
    """Waits of a class of jobs as recorded and as replayed.

    `difference_s` is the replayed mean less the recorded one; `interval_s` holds it with 95 %
    confidence, None where the class has fewer than MIN_JOBS jobs.
    """

    label: str
    jobs: int
    recorded: WaitSpread
    replayed: WaitSpread
    difference_s: float
    interval_s: tuple[float, float] | None


@dataclass(frozen=True)
class UseOverTime:
    """The part of the cluster's slots in use, in steps of `step_s` from the first arrival on.

    `difference` is the mean of what the two differ by in a step, over the steps in which jobs
    arrive.
    """

    step_s: float
    recorded: tuple[float, ...]
    replayed: tuple[float, ...]
    difference: float


@dataclass(frozen=True)
class FidelityFindings:
    """What a replay of a log says of the log: the verdict, and what it rests on.

    `by` has the classes of each field that the log knows, `missing` a sentence for each thing that
    log or replay lack.
    """

    verdict: Verdict
    because: str
    whole: ClassFidelity
    by: Mapping[str, tuple[ClassFidelity, ...]]
    use: UseOverTime
    missing: tuple[str, ...]


def fidelity(
    jobs: pa.Table, workload: Workload, *, slots: int, time_scale: float = 1.0
) -> FidelityFindings:
    """Compare the jobs table of a trial (JOBS_SCHEMA) with what its workload recorded.

    `slots` are those of the replay's cluster; `time_scale` is the factor by which the log's times
    were multiplied. Raises WorkloadError where nothing can be compared.
    """
    both = _Both(jobs, workload, slots, time_scale)
    rows = np.flatnonzero(both.known)
    if not rows.size:
        raise WorkloadError(
            f"the workload {workload.name} has no recorded waits of jobs that the trial started: "
            "there is nothing to compare the replay with",
            resolution="Replay a log that has both submission and start of its jobs (sacct: "
            "Submit,Start; table: start; SWF: field 3).",
        )
    use = both.use()
    whole = both.row("all jobs", rows)
    verdict = _verdict(whole, use, FLOOR_S * time_scale)
    by = {field: tuple(both.classes(field)) for field in (*CLASSES, "week")}
    return FidelityFindings(
        verdict,
        _because(verdict, whole, use, FLOOR_S * time_scale),
        whole,
        {field: found for field, found in by.items() if found},
        use,
        (*both.missing(), *workload.sentences),
    )


class _Both:
    """The columns of a replay and of its log, a row for each job of the replay."""

    def __init__(self, jobs: pa.Table, workload: Workload, slots: int, scale: float) -> None:
        self._classed = ClassedJobs(jobs.select(["job_id"]), workload)
        self._slots = slots
        self._scale = scale
        self.recorded = _numbers(self._classed.column("recorded_wait_s"))
        self._arrival = _numbers(self._classed.column("arrival_s"))
        self._runtime = _numbers(self._classed.column("runtime_s"))
        self._width = _numbers(jobs.column("width"))
        submit, self._start, self._end = (
            _numbers(jobs.column(f"{name}_ns")) / 1e9 for name in ("submit", "start", "end")
        )
        self.replayed = self._start - submit
        self.known = ~np.isnan(self.recorded + self.replayed)

    def row(self, label: str, rows: Rows) -> ClassFidelity:
        """Return the waits of the jobs in `rows`."""
        recorded = self.recorded[rows]
        replayed = self.replayed[rows]
        ordered = np.argsort(self._arrival[rows], kind="stable")
        difference = (replayed - recorded)[ordered]
        return ClassFidelity(
            label,
            int(rows.size),
            _spread(recorded),
            _spread(replayed),
            float(difference.mean()),
            bootstrap_interval(difference) if rows.size >= MIN_JOBS else None,
        )

    def classes(self, field: str) -> Iterator[ClassFidelity]:
        """Yield the waits of each class of a field, or of each week from the first arrival on."""
        groups = self._weeks() if field == "week" else self._classed.divided(field)
        for label, rows in groups.items():
            known = rows[self.known[rows]]
            if known.size:
                yield self.row(label, known)

    def _weeks(self) -> dict[str, Rows]:
        week = np.floor(self._arrival / (WEEK_S * self._scale)).astype(np.int64)
        order = np.argsort(week, kind="stable")
        numbers, first = np.unique(week[order], return_index=True)
        groups = np.split(order, first[1:])
        return {f"{number + 1}": rows for number, rows in zip(numbers, groups, strict=True)}

    def use(self) -> UseOverTime:
        """Return the use over time of both, of all jobs whose times are known."""
        last = float(np.nanmax(self._arrival))
        until = max(np.nanmax(self._begun + self._runtime), np.nanmax(self._end), 1e-9)
        edges = np.linspace(0.0, float(until), STEPS + 1)
        step = float(edges[1])
        recorded = _use(self._log, edges) / (step * self._slots)
        replayed = _use(self._replay, edges) / (step * self._slots)
        arriving = max(1, int(np.ceil(last / step)))
        apart = np.abs(recorded - replayed)[:arriving]
        return UseOverTime(
            step, tuple(recorded.tolist()), tuple(replayed.tolist()), float(apart.mean())
        )

    @property
    def _begun(self) -> Array:
        """When jobs started by the log."""
        return self._arrival + self.recorded

    @property
    def _log(self) -> Timeline:
        known = ~np.isnan(self._begun)
        begun = self._begun[known]
        return Timeline.of(self._width[known], begun, begun, begun + self._runtime[known])

    @property
    def _replay(self) -> Timeline:
        known = ~np.isnan(self._start + self._end)
        start = self._start[known]
        return Timeline.of(self._width[known], start, start, self._end[known])

    def missing(self) -> Iterator[str]:
        """Yield what can't be compared, and what shows that the log isn't all that there was."""
        without = int(np.isnan(self.recorded).sum())
        if without:
            yield f"jobs whose recorded wait isn't known, left out: {without}"
        never = int((np.isnan(self.replayed) & ~np.isnan(self.recorded)).sum())
        if never:
            yield f"jobs that never started in the replay, left out: {never}"
        unknown = [words for field, words in CLASSES.items() if not self._classed.divided(field)]
        if unknown:
            yield f"not known of any job: {', '.join(unknown)}"
        log = self._log
        peak = int(log.used.max(initial=0))
        if peak > self._slots:
            yield (
                f"the log's jobs held up to {peak} slots at once, and the replay's cluster has "
                f"{self._slots}: waits for want of slots are the replay's own"
            )
            return
        yield from self._held_back(log)

    def _held_back(self, log: Timeline) -> Iterator[str]:
        held_at = np.searchsorted(log.at, self._arrival, side="right") - 1
        held = np.where(held_at >= 0, log.used[held_at], 0.0)
        waited = self.recorded > FLOOR_S * self._scale
        idle = waited & (self._slots - held >= self._width)
        if count := int(idle.sum()):
            first_day = int((idle & (self._arrival < DAY_S * self._scale)).sum())
            yield (
                "jobs that waited though the log's own jobs left as many slots as they asked for: "
                f"{count}, {first_day} of them on the first day. Jobs that ran or waited already "
                "when the log begins, or others that it lacks, limits, reservations, and "
                "nodes that were down are not in the replay"
            )


def bootstrap_interval(differences: Array) -> tuple[float, float]:
    """Return the interval that holds the mean of `differences` with 95 % confidence.

    They are in the order of arrivals: jobs that come together wait together, so blocks of
    neighbours are drawn, not jobs (the block bootstrap of Carlstein 1986, "The Use of Subseries
    Values for Estimating the Variance of a General Statistic from a Stationary Sequence").
    """
    blocks = min(MOST_BLOCKS, differences.size)
    bounds = np.linspace(0, differences.size, blocks + 1).astype(np.int64)
    sums = np.add.reduceat(differences, bounds[:-1])
    sizes = np.diff(bounds)
    drawn = np.random.default_rng(1).integers(0, blocks, (RESAMPLES, blocks))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def _verdict(whole: ClassFidelity, use: UseOverTime, floor_s: float) -> Verdict:
    allowed: tuple[tuple[Verdict, float, float], ...] = (
        ("agrees", CLOSE, CLOSE_USE),
        ("agrees roughly", ROUGH, ROUGH_USE),
    )
    for verdict, share, of_use in allowed:
        pairs = (
            (whole.recorded.mean, whole.replayed.mean),
            (whole.recorded.p95, whole.replayed.p95),
        )
        alike = all(abs(now - before) <= max(share * before, floor_s) for before, now in pairs)
        if alike and use.difference <= of_use:
            return verdict
    return "differs"


def _because(verdict: Verdict, whole: ClassFidelity, use: UseOverTime, floor_s: float) -> str:
    now = whole.replayed
    before = whole.recorded
    parts = (
        f"mean {now.mean:.0f} s, recorded {before.mean:.0f} s",
        f"p95 {now.p95:.0f} s, recorded {before.p95:.0f} s",
    )
    close = f"{CLOSE:.0%} or {floor_s:g} s and {CLOSE_USE:g}"
    rough = f"{ROUGH:.0%} or {floor_s:g} s and {ROUGH_USE:g}"
    return (
        f"the replay {verdict} {'from' if verdict == 'differs' else 'with'} the log: wait "
        f"{'; '.join(parts)}; use differs by {use.difference:.3f} of the cluster on average while "
        f"jobs arrive (agrees: within {close}; roughly: within {rough})"
    )


def _spread(waits: Array) -> WaitSpread:
    median, p95 = np.percentile(waits, [50, 95])
    return WaitSpread(float(waits.mean()), float(median), float(p95))


def _use(timeline: Timeline, edges: Array) -> Array:
    """Return the slot seconds in use between each edge and the next."""
    if not timeline.at.size:
        return np.zeros(edges.size - 1)
    spent = np.append(0.0, np.cumsum(timeline.used[:-1] * np.diff(timeline.at)))
    return np.diff(np.interp(edges, timeline.at, spent))


def _numbers(column: pa.Array | pa.ChunkedArray) -> Array:
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
