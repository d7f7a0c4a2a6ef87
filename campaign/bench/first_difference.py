"""Finds the first decision in which a simulated schedule differs from a measured one."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Waiting:
    """A job in the queue: its number, width in slots, requested time, and since when it waits."""

    job: int
    width: int
    requested_s: float
    since_s: float


@dataclass(frozen=True)
class FirstDifference:
    """The first job whose start differs, and what was known when it first might have started.

    `alike` jobs had started before it, as simulated. `queue` are the jobs that waited then, by
    their submission, the job itself among them; `busy` slots were in use in the measured schedule.
    """

    job: int
    measured_s: float
    simulated_s: float
    alike: int
    busy: int
    queue: tuple[Waiting, ...]

    @property
    def sentence(self) -> str:
        """Say it in a line."""
        waiting = ", ".join(
            f"{one.job} ({one.width} slots, {one.requested_s / 60:.0f} min, since "
            f"{one.since_s:.0f} s)"
            for one in self.queue
        )
        return (
            f"after {self.alike} starts alike: job {self.job} at {self.measured_s:.0f} s, simulated"
            f" at {self.simulated_s:.0f} s; {self.busy} slots were busy; waiting: {waiting}"
        )


def first_difference(
    measured: pa.Table, simulated: pa.Table, tolerance_s: float
) -> FirstDifference | None:
    """Return the first job, by its earlier start, whose starts are more than `tolerance_s` apart.

    Both tables have JOBS_SCHEMA and the same jobs in the same order. None where there is no such
    job. A job that never started has no start to compare.
    """
    real = _seconds(measured, "start_ns")
    other = _seconds(simulated, "start_ns")
    earlier = np.fmin(real, other)
    apart = np.abs(real - other) > tolerance_s
    if not apart.any():
        return None
    job = int(np.argmin(np.where(apart, earlier, np.inf)))
    moment = float(earlier[job])
    submitted = _seconds(measured, "submit_ns")
    running = (real < moment - tolerance_s) & (_seconds(measured, "end_ns") > moment)
    waits = (submitted <= moment) & ~(real < moment - tolerance_s)
    width = measured.column("width").to_numpy()
    return FirstDifference(
        job=measured.column("job_id")[job].as_py(),
        measured_s=float(real[job]),
        simulated_s=float(other[job]),
        alike=int((earlier < moment).sum()),
        busy=int(width[running].sum()),
        queue=tuple(_waiting(measured, int(place)) for place in np.flatnonzero(waits)),
    )


def _waiting(jobs: pa.Table, place: int) -> Waiting:
    return Waiting(
        job=jobs.column("job_id")[place].as_py(),
        width=jobs.column("width")[place].as_py(),
        requested_s=jobs.column("requested_s")[place].as_py(),
        since_s=jobs.column("submit_ns")[place].as_py() / 1e9,
    )


def _seconds(jobs: pa.Table, column: str) -> Floats:
    # A null becomes NaN, which is neither before nor after anything.
    return np.asarray(jobs.column(column).to_numpy(), np.float64) / 1e9
