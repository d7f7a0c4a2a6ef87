"""Jobs before and after: the workload to replay, and the jobs table that a trial yields.

Both are Arrow tables, so that a million jobs cost columns, not objects. Times of the jobs table are
whole nanoseconds on one clock (the driver host's), counted from the workload's start, and null
where a thing never happened.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BOUNDED_SLOWDOWN_TAU_S = 10.0
"""The run time (s) below which the bounded slowdown counts a job as this long."""

WORKLOAD_SCHEMA = pa.schema(
    [
        ("job_id", pa.int64()),
        ("arrival_s", pa.float64()),
        ("width", pa.int32()),  # slots
        ("runtime_s", pa.float64()),
        ("requested_s", pa.float64()),  # the time limit its user asked for
        ("user", pa.int32()),
    ]
)

JOBS_SCHEMA = pa.schema(
    [
        *WORKLOAD_SCHEMA,
        ("nodes_requested", pa.int32()),
        ("nodes", pa.list_(pa.string())),  # where the wrapper really ran
        ("intended_ns", pa.int64()),  # when the agent should submit
        ("submit_ns", pa.int64()),  # when the submission began
        ("accepted_ns", pa.int64()),  # when the scheduler had answered
        ("start_ns", pa.int64()),  # first node's payload began
        ("all_started_ns", pa.int64()),  # last node's payload began
        ("end_ns", pa.int64()),  # last node's payload ended
        ("exit_code", pa.int32()),
        ("native_id", pa.string()),
        ("native_state", pa.string()),
        (
            "native_start_s",
            pa.float64(),
        ),  # scheduler's own accounting, its own resolution, same origin
        ("native_end_s", pa.float64()),
    ]
)


HEADER = "header "
"""Begins the names of notes that hold what a trace's header says of its machine."""


class Job(NamedTuple):
    """One job of a workload; times in seconds, width in slots."""

    job_id: int
    arrival_s: float
    width: int
    runtime_s: float
    requested_s: float
    user: int


@dataclass(frozen=True)
class Workload:
    """A list of jobs with arrival times, sorted by arrival, the first at 0.

    `table` has WORKLOAD_SCHEMA; `notes` say what was done to get it (repairs, scaling), by name.
    `machine_slots` are those of the machine that a trace or model describes, None where it isn't
    known. `payload` is what the jobs do on VMs. `guessed_requests` are the numbers of the jobs
    whose requested time the source doesn't know: their `requested_s` is their run time.
    """

    name: str
    table: pa.Table
    notes: dict[str, str] = field(default_factory=dict)
    machine_slots: int | None = None
    payload: str = "sleep"
    guessed_requests: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def jobs(self) -> Iterator[Job]:
        """Yield the jobs in order of arrival."""
        columns = [self.table.column(name).to_pylist() for name in WORKLOAD_SCHEMA.names]
        return (Job(*values) for values in zip(*columns, strict=True))

    @property
    def sentences(self) -> list[str]:
        """Say what was done to get these jobs: each repair, choice, cut and guess, counted."""
        return [
            f"{name}: {text}" for name, text in self.notes.items() if not name.startswith(HEADER)
        ]

    @cached_property
    def is_guessed(self) -> "NDArray[np.bool_]":
        """Tell for each job whether its requested time was guessed."""
        import numpy as np

        numbers = self.table.column("job_id").to_numpy()
        guessed = np.fromiter(self.guessed_requests, np.int64, len(self.guessed_requests))
        return np.isin(numbers, guessed)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the jobs' values (not of the name): equal jobs have equal hashes."""
        digest = hashlib.sha256()
        for name in WORKLOAD_SCHEMA.names:
            digest.update(
                self.table.column(name).combine_chunks().to_numpy(zero_copy_only=False).tobytes()
            )
        return digest.hexdigest()


def tau_of(time_scale: float) -> float:
    """Return tau (s) of the bounded slowdown for a workload whose times were scaled.

    `time_scale` is the factor by which the workload's times were multiplied.
    """
    return BOUNDED_SLOWDOWN_TAU_S * time_scale
