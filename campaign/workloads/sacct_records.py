"""Which jobs the lines of Slurm's accounts are: tasks, parts of one job, runs that were repeated.

A line is a run. A job that was requeued has a line for each; Slurm runs it from its beginning, so
that the last one is the job. A heterogeneous job has a line for each component, which start
together: they are one job.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from campaign.workloads.columns import LARGEST_NUMBER, Columns
from campaign.workloads.submit_lines import Submissions, numbers_of
from campaign.workloads.traits import traits_of

WAITING = ("pending", "configuring", "requeue_hold", "special_exit", "revoked", "requeue_fed")
WITHDRAWN = (*WAITING, "cancelled", "deadline", "boot_fail")
"""States of a run of no time that never began."""
RUNNING = ("running", "suspended", "stopped", "signaling", "stage_out", "resizing")
REPEATED = ("requeued", "node_fail", "preempted", "boot_fail", "launch_failed", "requeue_hold")
RESIZED = "resizing"
NEVER = "jobs that never started left out"
UNENDED = "jobs that had not ended when the log was written left out"
RUNS = "runs that were repeated left out, for each job has its last one"
PARTS = "components of heterogeneous jobs put together"
TWICE = "lines that repeat another left out"
REUSED = "jobs that have the number of an earlier one numbered anew"
FRESH = "job numbers"
TASKS = re.compile(r"(\d{1,9})(?:-(\d{1,9})(?::(\d{1,9}))?)?")
UNLIKE = ("memory_per_slot_mib", "memory_per_node_mib")


@dataclass
class AccountLines:
    """Lines of accounts; all columns have a value per line, NaN where it is unknown.

    `columns` has `number` and `task` of the JobID, `part` in a heterogeneous job, `raw`, the
    JobIDRaw, `limit` of an array's tasks at once, `waiting`, how many tasks a line stands for,
    `submit`, `start`, `end`, `elapsed`, and the columns of a workload and of its traits that are
    numbers. `key` is equal for lines with the same JobID. `states` are lower case. `names` are
    traits that are text.
    """

    columns: Columns
    key: NDArray[np.int64]
    states: list[str]
    state: NDArray[np.int64]
    has_end: bool
    names: Mapping[str, pa.DictionaryArray]
    submissions: Submissions


@dataclass
class Jobs:
    """The columns of WORKLOAD_SCHEMA, NaN where unknown, and the traits."""

    columns: Columns
    traits: pa.Table
    notes: dict[str, str]


def jobs_of(records: AccountLines, counts: dict[str, int], repairs: dict[str, int]) -> Jobs:
    """Return the jobs among the lines, in the order of submission.

    `counts` gets what is left out by definition, `repairs` what is wrong, each by its sentence.
    """
    never = _never_started(records)
    unended = ~never & _unended(records)
    columns = records.columns
    columns["runtime_s"] = _run_times(columns)
    columns["arrival_s"] = columns["submit"].copy()
    dropped = np.zeros(never.size, dtype=bool)
    reused = _join_runs(records, never | unended, dropped, counts, repairs)
    counts[NEVER] = int(columns["waiting"][never & ~dropped].sum())
    counts[UNENDED] = int((unended & ~dropped).sum())
    dropped |= never | unended
    _join_parts(columns, dropped, counts)
    rows = np.flatnonzero(~dropped)
    rows = rows[np.argsort(columns["arrival_s"][rows], kind="stable")]
    numbers, notes = _numbers(columns, rows, reused)
    repairs[REUSED] = int(reused[rows].sum())
    found = {name: columns[name][rows] for name in ("arrival_s", "width", "runtime_s")}
    user = records.names["user_name"].take(pa.array(rows)) if "user_name" in records.names else None
    return Jobs(
        found
        | {
            "job_id": numbers,
            "requested_s": columns["requested_s"][rows],
            "user": np.full(rows.size, np.nan) if user is None else _numbered(user),
        },
        _traits(records, rows, numbers),
        notes,
    )


def tasks_in(text: str) -> int:
    """Return how many tasks a list such as `3-7%2` or `1,5-9:2` has, at least 1."""
    total = 0
    for part in text.partition("%")[0].split(","):
        match = TASKS.fullmatch(part.strip())
        if match:
            step = max(int(match[3] or 1), 1)
            total += max((int(match[2] or match[1]) - int(match[1])) // step + 1, 0)
    return max(total, 1)


def _in(records: AccountLines, states: tuple[str, ...]) -> NDArray[np.bool_]:
    codes = [place for place, state in enumerate(records.states) if state in states]
    return np.isin(records.state, codes)


def _never_started(records: AccountLines) -> NDArray[np.bool_]:
    columns = records.columns
    start = columns["start"]
    none = columns["elapsed"] == 0
    ran = columns["elapsed"] > 0
    unknown = np.isnan(start) & ~ran
    # Some versions give the time of withdrawal as the start.
    withdrawn = (none | (columns["end"] - start == 0)) & ~ran & _in(records, WITHDRAWN)
    return np.asarray(unknown | withdrawn | (_in(records, WAITING) & ~ran))


def _unended(records: AccountLines) -> NDArray[np.bool_]:
    running = _in(records, RUNNING)
    if not records.has_end:
        return running
    open_ended = np.isnan(records.columns["end"]) & ~_in(records, (RESIZED,))
    return np.asarray(open_ended | (running & ~_in(records, (RESIZED,))))


def _run_times(columns: Columns) -> NDArray[np.float64]:
    elapsed = columns["elapsed"]
    return np.where(np.isnan(elapsed), columns["end"] - columns["start"], elapsed)


def _join_runs(
    records: AccountLines,
    left_out: NDArray[np.bool_],
    dropped: NDArray[np.bool_],
    counts: dict[str, int],
    repairs: dict[str, int],
) -> NDArray[np.bool_]:
    """Keep one line of all that are one job's; return which jobs have the number of another.

    `left_out` are lines that are no finished run; the others become `dropped`.
    """
    reused = np.zeros(dropped.size, dtype=bool)
    counts[RUNS] = 0
    repairs[TWICE] = 0
    for rows in _groups(records.key, records.columns["submit"]):
        runs = _without_twins(records, rows, left_out)
        repairs[TWICE] += len(rows) - len(runs)
        dropped[list(set(rows) - set(runs))] = True
        for place, job in enumerate(_jobs_in(records, runs)):
            kept = _joined(records, job, left_out)
            counts[RUNS] += len(job) - 1
            dropped[[row for row in job if row != kept]] = True
            reused[kept] = place > 0
    return reused


def _groups(key: NDArray[np.int64], order: NDArray[np.float64]) -> Iterator[list[int]]:
    """Yield the rows, in this order, of each key that several rows have."""
    rows = np.lexsort((order, key))
    ends = np.flatnonzero(np.diff(key[rows], append=-1))
    first = 0
    for end in ends.tolist():
        if end > first:
            yield rows[first : end + 1].tolist()
        first = end + 1


def _without_twins(
    records: AccountLines, rows: list[int], left_out: NDArray[np.bool_]
) -> list[int]:
    """Return the rows without those that tell of the same run; the one that ended is kept."""
    submit = records.columns["submit"]
    found: list[int] = []
    for row in rows:
        same = bool(found) and submit[found[-1]] == submit[row]
        if not same or RESIZED in (_state(records, found[-1]), _state(records, row)):
            found.append(row)
        elif not left_out[row] or left_out[found[-1]]:
            found[-1] = row
    return found


def _jobs_in(records: AccountLines, runs: list[int]) -> Iterator[list[int]]:
    """Yield the runs of each job among those with its number.

    A job goes on after a run that was repeated, unless another user's follows: numbers begin anew
    some day.
    """
    job: list[int] = []
    user = records.names.get("user_name")
    for row in runs:
        goes_on = bool(job) and _state(records, job[-1]) in (*REPEATED, RESIZED)
        if job and (not goes_on or (user is not None and user[row] != user[job[-1]])):
            yield job
            job = []
        job.append(row)
    if job:
        yield job


def _joined(records: AccountLines, job: list[int], left_out: NDArray[np.bool_]) -> int:
    """Return the row that stands for all runs of a job, as changed by the others."""
    ran = [row for row in job if not left_out[row]]
    last = job[-1]
    # One that was withdrawn before it ran again has its last run.
    if left_out[last] and ran and _state(records, last) not in (*WAITING, *RUNNING):
        last = ran[-1]
    columns = records.columns
    parts = [row for row in ran if row == last or _state(records, row) == RESIZED]
    if len(parts) > 1:
        columns["runtime_s"][last] = sum(columns["runtime_s"][row] for row in parts)
        columns["width"][last] = max(columns["width"][row] for row in parts)
    columns["arrival_s"][last] = np.fmin.reduce(columns["submit"][job])
    return last


def _state(records: AccountLines, row: int) -> str:
    place = int(records.state[row])
    return records.states[place]


def _join_parts(columns: Columns, dropped: NDArray[np.bool_], counts: dict[str, int]) -> None:
    """Make one line of the components of each heterogeneous job."""
    counts[PARTS] = 0
    rows = np.flatnonzero(~dropped & ~np.isnan(columns["part"]))
    for group in _groups(columns["number"][rows].astype(np.int64), columns["part"][rows]):
        parts = rows[group]
        leader, *others = parts.tolist()
        for name in ("width", "gpus", "nodes"):
            columns[name][leader] = np.nansum(columns[name][parts]) or np.nan
        columns["runtime_s"][leader] = np.fmax.reduce(columns["runtime_s"][parts])
        for name in UNLIKE:
            if np.unique(columns[name][parts]).size > 1:
                columns[name][leader] = np.nan
        counts[PARTS] += len(parts)
        dropped[others] = True


def _numbers(
    columns: Columns, rows: NDArray[np.intp], reused: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], dict[str, str]]:
    """Return a number for each job, its own where it has one, and a note where some have none."""
    raw = columns["raw"][rows]
    plain = np.isnan(columns["task"][rows])
    number = np.where(np.isnan(raw) & plain, columns["number"][rows], raw)
    number[reused[rows] | (number > LARGEST_NUMBER - 2 * rows.size)] = np.nan
    _, first = np.unique(number, return_index=True)
    twin = np.ones(rows.size, dtype=bool)
    twin[first] = False
    number[twin] = np.nan
    without = np.flatnonzero(np.isnan(number))
    if not without.size:
        return number, {}
    begin = int(max(np.nanmax(number, initial=0), np.nanmax(columns["number"], initial=0))) + 1
    if begin + rows.size > LARGEST_NUMBER:
        return np.arange(1.0, rows.size + 1), {FRESH: "1, 2, .. in order of submission"}
    number[without] = np.arange(begin, begin + without.size)
    return number, {FRESH: f"from {begin} on for {without.size} that have none of their own"}


def _numbered(user: pa.DictionaryArray) -> NDArray[np.float64]:
    """Return a number for each user, from 1 in order of appearance; NaN for none."""
    anew = user.cast(pa.string()).dictionary_encode()
    indices = anew.indices.to_numpy(zero_copy_only=False).astype(float)
    return np.asarray(indices + 1)


def _traits(
    records: AccountLines, rows: NDArray[np.intp], numbers: NDArray[np.float64]
) -> pa.Table:
    columns = records.columns
    found: dict[str, Any] = {}
    for name in ("nodes", "gpus", *UNLIKE):
        found[name] = _nullable(columns[name][rows])
    found |= {name: text.take(pa.array(rows)) for name, text in records.names.items()}
    array = np.where(np.isnan(columns["task"]), np.nan, columns["number"])
    found["array"] = _nullable(array[rows])
    found["array_limit"] = _nullable(columns["limit"][rows])
    # A requeued job has waited since it was first submitted.
    found["recorded_wait_s"] = _nullable((columns["start"] - columns["arrival_s"])[rows], least=0)
    states = pa.DictionaryArray.from_arrays(
        pa.array(records.state[rows], pa.int32()), pa.array(records.states, pa.string())
    )
    found["recorded_state"] = states
    exclusive = records.submissions.exclusive
    if exclusive:
        found["exclusive"] = [True if row in exclusive else None for row in rows.tolist()]
    if records.submissions.dependencies:
        found |= _dependencies(records, rows, numbers)
    return traits_of(found)


def _nullable(values: NDArray[np.float64], *, least: float = -np.inf) -> pa.Array:
    known = np.isfinite(values) & (values >= least) & (values < LARGEST_NUMBER)
    return pa.array(values, mask=~known)


def _dependencies(
    records: AccountLines, rows: NDArray[np.intp], numbers: NDArray[np.float64]
) -> dict[str, Any]:
    """Return what jobs depend on, by the numbers that the jobs have here."""
    by_name: dict[str, list[int]] = {}
    named = zip(
        records.columns["number"][rows].tolist(),
        records.columns["task"][rows].tolist(),
        numbers.astype(np.int64).tolist(),
        strict=True,
    )
    for number, task, job in named:
        by_name.setdefault(f"{number:.0f}", []).append(job)
        if not np.isnan(task):
            by_name[f"{number:.0f}_{task:.0f}"] = [job]
    after: list[list[int] | None] = []
    kinds: list[str | None] = []
    for row in rows.tolist():
        dependency = records.submissions.dependencies.get(row)
        task = records.columns["task"][row]
        after.append(
            dependency and numbers_of(dependency, None if np.isnan(task) else int(task), by_name)
        )
        kinds.append(dependency and dependency.kind)
    return {"after": after, "after_kind": kinds}
