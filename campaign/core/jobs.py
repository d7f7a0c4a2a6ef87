"""Jobs before and after: the workload to replay, and the jobs table that a trial yields.

Both are Arrow tables, so that a million jobs cost columns, not objects. Times of the jobs table are
whole nanoseconds on one clock (the driver host's), counted from the workload's start, and null
where a thing never happened. campaign/core/columns.py says what each column means.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from campaign.core.replayed import not_replayed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BOUNDED_SLOWDOWN_TAU_S = 10.0
"""The run time (s) below which the bounded slowdown counts a job as this long."""

WORKLOAD_SCHEMA = pa.schema(
    [
        ("job_id", pa.int64()),
        ("arrival_s", pa.float64()),
        ("width", pa.int32()),
        ("runtime_s", pa.float64()),
        ("requested_s", pa.float64()),
        ("user", pa.int32()),
    ]
)

NAME = pa.dictionary(pa.int32(), pa.string())
TRAITS_SCHEMA = pa.schema(
    [
        ("nodes", pa.int32()),
        ("memory_per_slot_mib", pa.float64()),
        ("memory_per_node_mib", pa.float64()),
        ("gpus", pa.int32()),
        ("gpu_type", NAME),
        ("features", NAME),
        ("exclusive", pa.bool_()),
        ("user_name", NAME),
        ("group", NAME),
        ("account", NAME),
        ("partition", NAME),
        ("qos", NAME),
        ("reservation", NAME),
        ("array", pa.int64()),
        ("array_limit", pa.int32()),
        ("after", pa.list_(pa.int64())),
        ("after_kind", NAME),
        ("think_s", pa.float64()),
        ("recorded_wait_s", pa.float64()),
        ("recorded_state", NAME),
    ]
)
"""What a source may know of a job beside WORKLOAD_SCHEMA; null where it doesn't know.

What begins with `recorded_` became of the job where it ran; no scheduler is told.
"""

PREEMPTED = "PREEMPTED"
"""The `native_state` of a job that the policy ended for another one, and did not queue again."""

JOBS_SCHEMA = pa.schema(
    [
        *WORKLOAD_SCHEMA,
        ("nodes_requested", pa.int32()),
        ("nodes", pa.list_(pa.string())),
        ("intended_ns", pa.int64()),
        ("submit_ns", pa.int64()),
        ("accepted_ns", pa.int64()),
        ("start_ns", pa.int64()),
        ("all_started_ns", pa.int64()),
        ("end_ns", pa.int64()),
        ("exit_code", pa.int32()),
        ("native_id", pa.string()),
        ("native_state", pa.string()),
        ("native_start_s", pa.float64()),
        ("native_end_s", pa.float64()),
    ]
)


HEADER = "header "
"""Begins the names of notes that hold what a trace's header says of its machine."""


@dataclass(frozen=True)
class JobTraits:
    """What a job asks for beside slots and time, as far as schedulers are told; else None.

    The fields are those of TRAITS_SCHEMA, those of memory in MiB.
    """

    nodes: int | None = None
    memory_per_slot_mib: float | None = None
    memory_per_node_mib: float | None = None
    gpus: int | None = None
    gpu_type: str | None = None
    features: str | None = None
    exclusive: bool | None = None
    user_name: str | None = None
    account: str | None = None
    partition: str | None = None
    qos: str | None = None
    reservation: str | None = None
    array: int | None = None
    array_limit: int | None = None
    after: tuple[int, ...] | None = None
    after_kind: str | None = None
    think_s: float | None = None


NO_TRAITS = JobTraits()


class Job(NamedTuple):
    """One job of a workload; times in seconds, width in slots."""

    job_id: int
    arrival_s: float
    width: int
    runtime_s: float
    requested_s: float
    user: int
    traits: JobTraits = NO_TRAITS


@dataclass(frozen=True)
class Workload:
    """A list of jobs with arrival times, sorted by arrival.

    The first arrives at 0, unless an instance has all jobs come later (`workload.phase_s`).
    `table` has WORKLOAD_SCHEMA; `notes` say what was done to get it (repairs, scaling), by name.
    `machine_slots` are those of the machine that a trace or model describes, None where it isn't
    known. `payload` is what the jobs do on VMs. `guessed_requests` are the numbers of the jobs
    whose requested time the source doesn't know: their `requested_s` is their run time. `traits`
    has the columns of TRAITS_SCHEMA of which the source knows anything, a row per job of `table`;
    `obeyed` names those of them that schedulers are told.
    """

    name: str
    table: pa.Table
    notes: dict[str, str] = field(default_factory=dict)
    machine_slots: int | None = None
    payload: str = "sleep"
    guessed_requests: frozenset[int] = frozenset()
    traits: pa.Table = field(default_factory=lambda: pa.table({}))
    obeyed: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def jobs(self) -> Iterator[Job]:
        """Yield the jobs in order of arrival, with those of their traits that are obeyed."""
        columns = [self.table.column(name).to_pylist() for name in WORKLOAD_SCHEMA.names]
        names = [name for name in self.traits.column_names if name in self.obeyed]
        if not names:
            return (Job(*values) for values in zip(*columns, strict=True))
        return (
            Job(*values)._replace(traits=traits)
            for *values, traits in zip(*columns, self._traits_of_jobs(names), strict=True)
        )

    def _traits_of_jobs(self, names: list[str]) -> Iterator[JobTraits]:
        columns = [self.traits.column(name).to_pylist() for name in names]
        for values in zip(*columns, strict=True):
            told = dict(zip(names, values, strict=True))
            if told.get("after") is not None:
                told["after"] = tuple(told["after"])
            yield JobTraits(**told)

    @property
    def sentences(self) -> list[str]:
        """Say what was done to get these jobs, and what of them isn't replayed, counted.

        What was done are repairs, choices, cuts and guesses.
        """
        done = (
            f"{name}: {text}" for name, text in self.notes.items() if not name.startswith(HEADER)
        )
        return [*done, *not_replayed(self.traits, self.obeyed)]

    @cached_property
    def is_guessed(self) -> "NDArray[np.bool_]":
        """Tell for each job whether its requested time was guessed."""
        import numpy as np

        numbers = self.table.column("job_id").to_numpy()
        guessed = np.fromiter(self.guessed_requests, np.int64, len(self.guessed_requests))
        return np.isin(numbers, guessed)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the jobs' values, and of what of them is obeyed: not of the name."""
        digest = hashlib.sha256()
        for name in WORKLOAD_SCHEMA.names:
            digest.update(_bytes_of(self.table.column(name)))
        for name in self.traits.column_names:
            column = self.traits.column(name)
            digest.update(name.encode())
            digest.update(_bytes_of(column.is_valid()))
            digest.update(_known_bytes(column))
        if self.obeyed:
            digest.update(repr(sorted(self.obeyed)).encode())
        return digest.hexdigest()


def _known_bytes(column: pa.ChunkedArray) -> bytes:
    """Return bytes that tell the column's values but its nulls."""
    known = column.drop_null()
    if pa.types.is_dictionary(known.type):
        return "\0".join(known.cast(pa.string()).to_pylist()).encode()
    if pa.types.is_list(known.type):
        return repr(known.to_pylist()).encode()
    return _bytes_of(known)


def _bytes_of(column: pa.ChunkedArray) -> bytes:
    content: bytes = column.combine_chunks().to_numpy(zero_copy_only=False).tobytes()
    return content


def tau_of(time_scale: float) -> float:
    """Return tau (s) of the bounded slowdown for a workload whose times were scaled.

    `time_scale` is the factor by which the workload's times were multiplied.
    """
    return BOUNDED_SLOWDOWN_TAU_S * time_scale
