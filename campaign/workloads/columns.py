"""A workload's columns: what the jobs of every source must satisfy, and the table made of them.

Sources and transformations work on columns, one numpy array per name of WORKLOAD_SCHEMA, so that a
million jobs cost a few array operations.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from campaign.core.errors import WorkloadError
from campaign.core.jobs import WORKLOAD_SCHEMA

Columns = dict[str, NDArray[Any]]
SHORTEST_S = 1e-9  # the jobs table counts in whole nanoseconds
LONGEST_S = 2.0**32  # 136 years: an arrival and a run time together fit in 64 bits of nanoseconds
WIDEST = 2**31 - 1
LARGEST_NUMBER = 2**53  # beyond it a trace's numbers can't be told apart


def columns_of(table: pa.Table) -> Columns:
    """Return the columns of a table with WORKLOAD_SCHEMA, in its order of jobs."""
    return {name: table.column(name).to_numpy() for name in WORKLOAD_SCHEMA.names}


def taken(jobs: Mapping[str, NDArray[Any]], rows: Any) -> Columns:
    """Return the jobs that `rows` picks: a mask, a slice, or positions in the order wanted."""
    return {name: column[rows] for name, column in jobs.items()}


def from_zero(jobs: Columns) -> Columns:
    """Return the same jobs, in the same order, with the first arrival at 0."""
    return jobs | {"arrival_s": jobs["arrival_s"] - jobs["arrival_s"][0]}


def table_of(jobs: Columns, *, where: str) -> pa.Table:
    """Return the table with WORKLOAD_SCHEMA that holds these jobs.

    Raises WorkloadError, beginning with `where` (a file, a setting) and naming the first job that
    breaks a rule.
    """
    for rule, broken in _rules(jobs):
        if broken.any():
            first = int(broken.argmax())
            found = ", ".join(f"{name} {jobs[name][first]:g}" for name in WORKLOAD_SCHEMA.names)
            raise WorkloadError(f"{where}: job {first + 1} of {broken.size}: {rule}", found)
    arrays = [jobs[field.name].astype(_dtype(field.type), copy=False) for field in WORKLOAD_SCHEMA]
    return pa.table([pa.array(array) for array in arrays], schema=WORKLOAD_SCHEMA)


def _dtype(kind: pa.DataType) -> np.dtype[Any]:
    # Arrow's own `to_pandas_dtype` wants pandas, which a simulation goes without.
    dtype: np.dtype[Any] = pa.array([], kind).to_numpy(zero_copy_only=False).dtype
    return dtype


def _rules(jobs: Columns) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield each rule in words, and the jobs that break it; later rules rely on earlier ones."""
    for name, column in jobs.items():
        yield f"{name} is no finite number", ~np.isfinite(column)
    number, arrival, width, user = (jobs[name] for name in ("job_id", "arrival_s", "width", "user"))
    yield "it arrives before the job ahead of it", np.diff(arrival, prepend=arrival[:1]) < 0
    yield "the first job doesn't arrive at 0", (arrival != 0) & (np.arange(arrival.size) == 0)
    for name in ("arrival_s", "runtime_s", "requested_s"):
        yield f"{name} is beyond {LONGEST_S:.0f} s (136 years)", jobs[name] > LONGEST_S
    yield f"runtime_s is below {SHORTEST_S:g} s", jobs["runtime_s"] < SHORTEST_S
    yield "requested_s is below runtime_s", jobs["requested_s"] < jobs["runtime_s"]
    for name, column, low, high in (
        ("width", width, 1, WIDEST),
        ("job_id", number, 0, LARGEST_NUMBER),
        ("user", user, 0, WIDEST),
    ):
        yield f"{name} is no whole number from {low} to {high}", strange(column, low, high)
    yield "job_id is another job's", repeated(number)


def strange(column: NDArray[Any], low: int, high: int) -> NDArray[np.bool_]:
    """Return which values aren't whole numbers from `low` to `high`."""
    return np.asarray((column < low) | (column > high) | (column != np.floor(column)))


def repeated(column: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which values stood earlier in the column already."""
    again = np.ones(column.size, dtype=bool)
    again[np.unique(column, return_index=True)[1]] = False
    return again
