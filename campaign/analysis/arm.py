"""One arm of a comparison: a trial, its cluster, and its jobs as columns by job id."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from campaign.core.trials import Point, TrialRecord

TIE_S = 0.05
"""Starts that are no further apart come in no order: clocks are known to some hundredths of a
second, and jobs that one decision starts are launched one after the other. Where a trial knows its
clocks less well, twice their error counts."""
RESPONSE_PARTS = {
    "submission": "from its submission to the scheduler's answer",
    "policy": "from there to the scheduler's own start of it, or to its start where the "
    "scheduler keeps none",
    "dispatch": "from there until it runs on its first node",
    "run": "until it has ended on its last node",
}
"""What a job's response time consists of. A scheduler's own start is moved to between the job's
acceptance and its real start where it lies outside: accounts may have whole seconds (Slurm's are
rounded down), and clocks an error. So of a dispatch, as much as the accounts' resolution may be the
policy's. Where there is no own start, as in a simulation, the dispatch is 0. A job that clocks show
to start before its submission has a submission of less than 0."""
MOST_WAITING = 8
"""How many of the jobs that wait are named."""
Seconds = NDArray[np.float64]
Flags = NDArray[np.bool_]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Arm:
    """A trial as it is compared: its name to people, its record, its jobs and its cluster.

    `jobs` has at least JOBS_SCHEMA. `fixed` are the settings beside the trial's point;
    `resolution_s` is that of its scheduler's accounts.
    """

    name: str
    record: TrialRecord
    jobs: pa.Table
    nodes: int
    slots_per_node: int
    fixed: Point = field(default_factory=dict)
    resolution_s: float = 0.0

    @property
    def slots(self) -> int:
        """The job slots of all compute nodes together."""
        return self.nodes * self.slots_per_node

    @property
    def tie_s(self) -> float:
        """The time (s) within which two starts of this arm count as one."""
        errors = [check.value for check in self.record.checks if check.name == "clock error"]
        return max([TIE_S, *(2 * error for error in errors)])


@dataclass(frozen=True)
class WaitingJob:
    """A job that waits for `width` slots, and the seconds for which it has waited."""

    job: int
    width: int
    waited_s: float


@dataclass(frozen=True)
class JobStart:
    """A job's start in one arm, and the state of the cluster and the queue at that moment.

    Times are seconds from the workload's begin. `waited_s` is how long the job itself had waited,
    `elsewhere_s` its start in the other arm (None if it never started there). `waiting` are the
    jobs that still waited, at most MOST_WAITING of them, the longest first; `free_slots` are the
    slots that no job used, the job's own among them. `nodes` is empty if none are known.
    """

    job: int
    width: int
    nodes: tuple[str, ...]
    at_s: float
    waited_s: float
    elsewhere_s: float | None
    waiting_jobs: int
    waiting_slots: int
    waiting: tuple[WaitingJob, ...]
    free_slots: int


class ArmSchedule:
    """The columns of one arm's jobs, by job id.

    Times are seconds from the workload's begin, NaN where unknown.
    """

    def __init__(self, arm: Arm) -> None:
        # By id, so that a row is the same job in both arms.
        jobs = arm.jobs.sort_by("job_id").combine_chunks()
        self.slots = arm.slots
        self.tie_s = arm.tie_s
        self.job = jobs.column("job_id").to_numpy()
        self.width = jobs.column("width").to_numpy()
        self.nodes = jobs.column("nodes").combine_chunks()
        self.submit, self.accepted, self.start, self.end = (
            _seconds(jobs, f"{name}_ns", 1e9) for name in ("submit", "accepted", "start", "end")
        )
        self.native = _seconds(jobs, "native_start_s", 1.0)
        # Infinity puts the jobs that never started behind all others.
        self.started = np.where(np.isnan(self.start), np.inf, self.start)

    @property
    def ended(self) -> Flags:
        """True for each job whose whole life is known."""
        return ~np.isnan(self.submit + self.start + self.end)

    @property
    def order(self) -> Rows:
        """The rows by start, then by id; jobs that never started come last."""
        return np.argsort(self.started, kind="stable")

    def accounted(self, among: Flags) -> int:
        """Return how many jobs `among` all have a start in the scheduler's own accounts."""
        return int((~np.isnan(self.native) & among).sum())

    def started_but_not_in(self, other: "ArmSchedule") -> tuple[int, ...]:
        """Return the jobs that started in this arm alone, in the order of their starts."""
        rows = self.order
        return tuple(
            self.job[rows[np.isfinite(self.started[rows]) & np.isinf(other.started[rows])]].tolist()
        )

    def split(self) -> dict[str, Seconds]:
        """Return the parts of each job's response time (s) by RESPONSE_PARTS; they add up to it."""
        accepted = np.clip(
            np.where(np.isnan(self.accepted), self.submit, self.accepted), self.submit, self.start
        )
        decided = np.clip(
            np.where(np.isnan(self.native), self.start, self.native), accepted, self.start
        )
        ends = (self.submit, accepted, decided, self.start, self.end)
        return {name: ends[index + 1] - ends[index] for index, name in enumerate(RESPONSE_PARTS)}

    def look(self, row: int, other: "ArmSchedule") -> JobStart:
        """Return the start of the job in `row`, and the state of cluster and queue then."""
        at = self.start[row]
        others = np.arange(len(self.job)) != row
        running = others & (self.start <= at) & (np.isnan(self.end) | (self.end > at))
        # Not `start > at`, which is false for the NaN of jobs that never start.
        waiting = np.flatnonzero((self.submit <= at) & ~(self.start <= at))
        longest = waiting[np.argsort(self.submit[waiting], kind="stable")][:MOST_WAITING]
        elsewhere = float(other.started[row])
        return JobStart(
            job=int(self.job[row]),
            width=int(self.width[row]),
            nodes=self.nodes_of(row),
            at_s=float(at),
            waited_s=float(at - self.submit[row]),
            elsewhere_s=elsewhere if np.isfinite(elsewhere) else None,
            waiting_jobs=len(waiting),
            waiting_slots=int(self.width[waiting].sum()),
            waiting=tuple(
                WaitingJob(int(self.job[w]), int(self.width[w]), float(at - self.submit[w]))
                for w in longest
            ),
            free_slots=int(self.slots - self.width[running].sum()),
        )

    def nodes_of(self, row: int) -> tuple[str, ...]:
        """Return the names of the nodes on which a job ran, as far as they are known."""
        return tuple(sorted(self.nodes[row].as_py() or ()))


def _seconds(jobs: pa.Table, name: str, per_second: float) -> Seconds:
    column = pc.cast(jobs.column(name), pa.float64())
    return np.asarray(pc.fill_null(column, np.nan).to_numpy(), dtype=np.float64) / per_second
