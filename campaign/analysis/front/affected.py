"""Whose jobs wait longer at a point of the front than at the baseline: by user, partition and size.

The two trials replayed the same jobs, so each job's waits are compared with one another. Jobs of
one schedule delay each other, so differences of few seconds over few jobs may be chance; there is
no interval within a single pair of runs.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from campaign.analysis.front.resampling import Floats, Rows
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

    `field` is what the class is by: FIELDS or SIZE. `jobs` started in both trials.
    """

    field: str
    name: str
    jobs: int
    before_s: float
    after_s: float

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


def class_waits(
    chosen: pa.Table, baseline: pa.Table, workload: Workload | None = None
) -> list[ClassWait]:
    """Return the waits of each class of at least FEWEST_JOBS jobs, the greatest loss in all first.

    The tables have JOBS_SCHEMA. Partitions and the names of users come from the `workload`; without
    one there are sizes only. A field with a single class is left out: it says nothing of who.
    """
    jobs, before, after = _both(chosen, baseline)
    found = [_class_wait(SIZE, name, rows, before, after) for name, rows in _sizes(jobs)]
    if workload is not None:
        classed = ClassedJobs(jobs, workload)
        for field in FIELDS:
            classes = classed.divided(field)
            if len(classes) > 1:
                found += [
                    _class_wait(field, name, rows, before, after)
                    for name, rows in classes.items()
                    if len(rows) >= FEWEST_JOBS
                ]
    return sorted(found, key=lambda one: (-one.jobs * one.longer_s, one.field, one.name))


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


def _class_wait(field: str, name: str, rows: Rows, before: Floats, after: Floats) -> ClassWait:
    return ClassWait(field, name, len(rows), float(before[rows].mean()), float(after[rows].mean()))
