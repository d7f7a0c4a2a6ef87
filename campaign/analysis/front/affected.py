"""Whose jobs wait longer at a point of the front than at the baseline: by user, partition and size.

The two trials replayed the same jobs, so each job's waits are compared with one another. Jobs of
one schedule delay each other, so differences of few seconds over few jobs may be chance: over
several instances, which are what is resampled, an interval tells; within a single pair of runs
there is none.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from campaign.analysis.front.resampling import Bootstrap, Floats, Rows
from campaign.analysis.metrics.classes import ClassedJobs
from campaign.core.jobs import Workload

FIELDS = ("user", "partition")
SIZE = "size"
FEWEST_JOBS = 5
"""The mean wait of fewer jobs is that of a single day's luck."""
QUARTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class ClassWait:
    """The mean wait (s) of a class of jobs in two trials: `before` at the baseline, and `after`.

    `field` is what the class is by: FIELDS or SIZE. `jobs` started in both trials. `low_s` and
    `high_s` are the ends of the 90 % interval of what it waits longer, NaN over few instances.
    """

    field: str
    name: str
    jobs: int
    before_s: float
    after_s: float
    low_s: float = math.nan
    high_s: float = math.nan

    @property
    def longer_s(self) -> float:
        """By how much the class waits longer, in seconds per job."""
        return self.after_s - self.before_s

    @property
    def percent(self) -> float:
        """The same in per cent of the wait at the baseline; infinite where that is 0."""
        if self.before_s == 0:
            return 0.0 if self.longer_s == 0 else float("inf") * np.sign(self.longer_s)
        return 100 * self.longer_s / self.before_s


@dataclass(frozen=True)
class PairedJobs:
    """The jobs tables (JOBS_SCHEMA) of two trials on one instance, and its workload, if known."""

    chosen: pa.Table
    baseline: pa.Table
    workload: Workload | None = None


def class_waits(pairs: Sequence[PairedJobs]) -> list[ClassWait]:
    """Return the waits of each class of at least FEWEST_JOBS jobs, the greatest loss in all first.

    There is a pair for each instance; a class has its jobs of all of them. Partitions and the names
    of users come from the workloads; without these there are sizes only. A field with a single
    class is left out: it says nothing of who.
    """
    waits = _Waits.of(pairs)
    found = [waits.of_class(SIZE, name, rows) for name, rows in _sizes(waits.jobs)]
    for field in FIELDS:
        classes = waits.divided(field, pairs)
        if len(classes) > 1:
            found += [
                waits.of_class(field, name, rows)
                for name, rows in classes.items()
                if len(rows) >= FEWEST_JOBS
            ]
    return sorted(found, key=lambda one: (-one.jobs * one.longer_s, one.field, one.name))


@dataclass(frozen=True)
class _Waits:
    """The jobs of all instances, one instance after the other, with their waits in both trials.

    Those of an instance begin at its number in `begins`, whose last number is that of all jobs.
    """

    jobs: pa.Table
    before: Floats
    after: Floats
    begins: Rows

    @classmethod
    def of(cls, pairs: Sequence[PairedJobs]) -> Self:
        both = [_both(pair.chosen, pair.baseline) for pair in pairs]
        counts = [jobs.num_rows for jobs, _, _ in both]
        return cls(
            pa.concat_tables([jobs for jobs, _, _ in both]),
            np.concatenate([before for _, before, _ in both]),
            np.concatenate([after for _, _, after in both]),
            np.cumsum([0, *counts]),
        )

    def divided(self, field: str, pairs: Sequence[PairedJobs]) -> dict[str, Rows]:
        """Return the rows of each class of a field, by name."""
        found: dict[str, list[Rows]] = {}
        for number, pair in enumerate(pairs):
            if pair.workload is not None:
                begin, end = self.begins[number : number + 2]
                jobs = self.jobs.slice(begin, end - begin)
                for name, rows in ClassedJobs(jobs, pair.workload).divided(field).items():
                    found.setdefault(name, []).append(begin + rows)
        return {name: np.concatenate(found[name]) for name in sorted(found)}

    def of_class(self, field: str, name: str, rows: Rows) -> ClassWait:
        """Return the waits of the jobs in these rows."""
        instances = len(self.begins) - 1
        place = np.searchsorted(self.begins, rows, side="right") - 1
        counts = np.bincount(place, minlength=instances).astype(np.float64)
        seconds = self.after[rows] - self.before[rows]
        longer = np.bincount(place, seconds, minlength=instances).astype(np.float64)
        low, high = _interval(longer, counts)
        before, after = (float(waits[rows].mean()) for waits in (self.before, self.after))
        return ClassWait(field, name, len(rows), before, after, low, high)


def _interval(longer: Floats, counts: Floats) -> tuple[float, float]:
    """Return the ends of the interval of the mean of seconds that were waited longer.

    `longer` are those of all jobs of an instance together, `counts` the numbers of these jobs.
    """
    how = Bootstrap()
    draws = how.draws(len(counts))
    with np.errstate(invalid="ignore"):
        resampled = longer[draws].sum(axis=1) / counts[draws].sum(axis=1)
    low, high = how.interval(resampled[np.newaxis], len(counts))
    return float(low[0]), float(high[0])


def _both(chosen: pa.Table, baseline: pa.Table) -> tuple[pa.Table, Floats, Floats]:
    """Return the jobs that started in both trials, with their waits at the baseline and chosen."""
    one = _started(baseline)
    other = _started(chosen)
    place = pc.index_in(one.column("job_id"), value_set=other.column("job_id").combine_chunks())
    common = pc.is_valid(place)
    jobs = one.filter(common)
    beside = other.take(place.drop_null())
    return jobs, _waits(jobs), _waits(beside)


def _started(jobs: pa.Table) -> pa.Table:
    known = pc.and_(pc.is_valid(jobs.column("submit_ns")), pc.is_valid(jobs.column("start_ns")))
    return jobs.filter(known)


def _waits(jobs: pa.Table) -> Floats:
    waited = pc.subtract(jobs.column("start_ns"), jobs.column("submit_ns"))
    # Clocks may disagree by more than a job waited.
    return np.asarray(np.maximum(waited.to_numpy() / 1e9, 0.0))


def _sizes(jobs: pa.Table) -> Iterator[tuple[str, Rows]]:
    """Yield the classes of width and run time, by the quartiles of each, and their rows."""
    if not jobs.num_rows:
        return
    width_of, widths = _quarters(jobs.column("width").to_numpy().astype(np.float64))
    time_of, times = _quarters(jobs.column("runtime_s").to_numpy())
    for width, slots in enumerate(widths):
        for time, seconds in enumerate(times):
            rows = np.flatnonzero((width_of == width) & (time_of == time))
            if len(rows) >= FEWEST_JOBS:
                yield f"{slots} slots, {seconds} s", rows


def _quarters(values: Floats) -> tuple[Rows, list[str]]:
    """Return the quarter that each value is in, and the ends of each quarter in words.

    Equal values are in one quarter, so that there may be fewer than four.
    """
    # Of values that are there, so that no end lies between two of them.
    edges = np.unique(np.quantile(values, QUARTILES, method="inverted_cdf"))
    _, quarter = np.unique(np.searchsorted(edges, values), return_inverse=True)
    names = []
    for number in range(int(quarter.max()) + 1):
        own = values[quarter == number]
        low, high = (f"{end:.4g}" for end in (own.min(), own.max()))
        names.append(low if low == high else f"{low} to {high}")
    return np.asarray(quarter, dtype=np.int64), names
