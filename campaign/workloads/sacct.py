"""Reads what Slurm's `sacct` says of past jobs: `sacct -P` with any columns, and `sacct --json`.

Steps, jobs that never started and those that still ran are left out and counted; what the columns
don't say is unknown. A job's time and width come from what it got, its memory and GPUs too, its
dependency from the command that submitted it. Format: Slurm's manual, "sacct".
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from campaign.core.errors import WorkloadError
from campaign.core.jobs import HEADER, Workload
from campaign.core.sacct_command import COLUMNS, COMMAND
from campaign.workloads import clock_times
from campaign.workloads.budgets import BUDGET, Budget
from campaign.workloads.clock_times import CLOCK_OF_UTC, TIMES_TOLD, moments, resolved, zone_of
from campaign.workloads.columns import WIDEST, Columns
from campaign.workloads.delimited import TextColumns, read_delimited
from campaign.workloads.sacct_json import json_columns, looks_like_json
from campaign.workloads.sacct_records import AccountLines, jobs_of, tasks_in
from campaign.workloads.submit_lines import Submissions, submissions
from campaign.workloads.traces import counted, opened, workload_of
from campaign.workloads.values import (
    Memory,
    TrackedResources,
    count,
    duration_s,
    memory,
    minutes_s,
    number,
    parsed,
    places,
    resources,
    time_s,
)

OTHER_COLUMNS = "Elapsed,Timelimit,NCPUS,ReqCPUS,NNodes,ReqTRES"
"""Columns that say the same as others do, or part of it."""
USED = frozenset(f"{COLUMNS},{OTHER_COLUMNS}".lower().split(","))
NAMES = {
    "user_name": "user",
    "group": "group",
    "account": "account",
    "partition": "partition",
    "qos": "qos",
    "reservation": "reservation",
    "features": "constraints",
}
"""Traits that are names, and the columns that hold them."""
STEPS = "steps left out"
NO_NUMBER = "lines without a job's number left out"
UNREADABLE = "values of {} that can't be read taken for unknown"
JOB_ID = (
    r"^(?P<number>\d{1,15})(?:_(?:(?P<task>\d{1,15})|\[(?P<tasks>[^\]]*)\]?))?"
    r"(?:\+(?P<part>\d{1,9}))?$"
)
Floats = NDArray[np.float64]


def read_sacct(
    file: Path, *, strict: bool = False, time_zone: str | None = None, budget: Budget = BUDGET
) -> Workload:
    """Return the jobs of a log (plain or gzip) that ran and ended, in the order of submission.

    The first is submitted at 0. Times without a zone are by the clock of `time_zone`, of UTC where
    that is None. Raises WorkloadError, naming file and column, for what can't be read or is beyond
    the budget, and in strict mode when anything had to be repaired; ConfigError for a time zone
    that isn't known.
    """
    zone = zone_of(time_zone)
    with opened(file, budget) as stream:
        head = stream.read(1)
        lead = _Pushed(head, stream)
        if looks_like_json(head):
            text = json_columns(lead.read(), file=file, budget=budget)
        else:
            text = read_delimited(
                lead,  # type: ignore[arg-type]
                file=file,
                wanted=lambda names: _wanted(names, file),
                quoted=False,
                budget=budget,
            )
    return _workload(_Log(file, text, zone), strict=strict, time_zone=time_zone)


class _Pushed:
    """A stream of which some bytes were looked at already."""

    def __init__(self, head: bytes, stream: Any) -> None:
        self._head = head
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        head = self._head
        self._head = b""
        rest: bytes = self._stream.read(size if size < 0 else max(size - len(head), 0))
        return head + rest


def _wanted(names: Iterable[str], file: Path) -> list[str]:
    """Return the columns that are read; WorkloadError where there are not enough of them."""
    given = {name.lower(): name for name in reversed(list(names)) if name}
    for needed in (
        ("jobid",),
        ("submit",),
        ("elapsedraw", "elapsed", "end"),
        ("alloccpus", "ncpus", "alloctres", "reqcpus"),
    ):
        if not any(name in given for name in needed):
            shown = ", ".join(list(given.values())[:30])[:300] or "none"
            raise WorkloadError(
                f"{file}: no column {' or '.join(needed)} in the first line",
                f"columns: {shown}",
                f"Write the log with its header: {COMMAND}",
            )
    return [name for key, name in given.items() if key in USED]


@dataclass
class _Log:
    """The columns of a log by their names in small letters, and what was done to read them."""

    file: Path
    text: TextColumns
    zone: ZoneInfo | None
    repairs: dict[str, int] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    columns: dict[str, pa.DictionaryArray] = field(init=False)

    def __post_init__(self) -> None:
        self.columns = {name.lower(): column for name, column in self.text.columns.items()}
        self.repairs |= self.text.repairs

    @property
    def rows(self) -> int:
        """The number of lines that are left."""
        return len(self.columns["jobid"])

    def keep(self, mask: pa.Array) -> None:
        """Leave out the lines for which `mask` is not true."""
        self.columns = {name: column.filter(mask) for name, column in self.columns.items()}

    def numbers(self, parse: Any, *names: str) -> Floats:
        """Return the numbers of the first of these columns that knows one; NaN where none does."""
        found = np.full(self.rows, math.nan)
        for name in names:
            if name in self.columns:
                values, unreadable = parsed(self.columns[name], parse)
                self._count(name, int((unreadable & np.isnan(found)).sum()))
                found = np.where(np.isnan(found), values, found)
        return found

    def first_of(self, *kinds: tuple[str, Any]) -> Floats:
        """Do as `numbers` does, where each column has a function of its own."""
        found = np.full(self.rows, math.nan)
        for name, parse in kinds:
            found = np.where(np.isnan(found), self.numbers(parse, name), found)
        return found

    def moments(self, name: str) -> clock_times.Moments:
        """Return a column of times."""
        if name not in self.columns:
            unknown = np.full(self.rows, math.nan)
            return clock_times.Moments(unknown, unknown)
        column = self.columns[name]
        wall, unreadable = parsed(column, lambda text: time_s(text)[0] or math.nan)  # 0: not yet
        naive = parsed(column, lambda text: float(time_s(text)[1])).values == 1.0
        self._count(name, int(unreadable.sum()))
        found, skipped = moments(wall, naive, self.zone)
        self.repairs[clock_times.SKIPPED] = self.repairs.get(clock_times.SKIPPED, 0) + skipped
        if naive.any() and self.zone is None:
            self.notes[TIMES_TOLD] = CLOCK_OF_UTC
        return found

    def resources(self, name: str) -> tuple[Floats, list[str | None]]:
        """Return (slots, memory in MiB, nodes, GPUs) of each line, and the type of its GPUs."""
        if name not in self.columns:
            return np.full((self.rows, 4), math.nan), [None] * self.rows
        column = self.columns[name]
        known: list[TrackedResources] = []
        bad = []
        for text in column.dictionary.to_pylist():
            try:
                known.append(resources(text))
            except (ValueError, OverflowError):
                bad.append(len(known))
                known.append(TrackedResources())
        known.append(TrackedResources())
        at = places(column)
        self._count(name, int(np.isin(at, bad).sum()))
        types = [each.gpu_type for each in known]
        return np.array([each[:4] for each in known], float)[at], [types[place] for place in at]

    def memory(self) -> tuple[Floats, NDArray[np.str_]]:
        """Return the memory (MiB) that each line asks for, and what that is per."""
        column = self.columns.get("reqmem")
        if column is None:
            return np.full(self.rows, math.nan), np.full(self.rows, "")
        known = []
        bad = []
        for text in column.dictionary.to_pylist():
            try:
                known.append(memory(text))
            except (ValueError, OverflowError):
                bad.append(len(known))
                known.append(Memory(math.nan, ""))
        known.append(Memory(math.nan, ""))
        at = places(column)
        self._count("reqmem", int(np.isin(at, bad).sum()))
        return np.array([each.mib for each in known])[at], np.array([each.per for each in known])[
            at
        ]

    def _count(self, column: str, values: int) -> None:
        if values:
            name = next(name for name in self.text.columns if name.lower() == column)
            sentence = UNREADABLE.format(name)
            self.repairs[sentence] = self.repairs.get(sentence, 0) + values


def _workload(log: _Log, *, strict: bool, time_zone: str | None) -> Workload:
    ids = log.columns["jobid"]
    step = pc.match_substring(ids.cast(pa.string()), ".").fill_null(False)
    steps = pc.sum(step).as_py() or 0
    if steps:
        log.keep(pc.invert(step))
        log.notes[STEPS] = "1 line" if steps == 1 else f"{steps} lines"
    left_out: dict[str, int] = {}
    found = jobs_of(_records(log), left_out, log.repairs)
    zone = {} if time_zone is None else {f"{HEADER}TimeZoneString": time_zone}
    first = float(np.nanmin(found.columns["arrival_s"], initial=np.inf))
    return workload_of(
        {name: np.where(np.isnan(column), -1.0, column) for name, column in found.columns.items()},
        log.repairs,
        file=log.file,
        strict=strict,
        began=0 if clock_times.is_a_date(first) else None,
        notes=zone | log.notes | found.notes | counted(left_out),
        traits=found.traits,
    )


def _records(log: _Log) -> AccountLines:
    """Return the lines that have a job's number."""
    parts = _parts(log)
    known = pc.is_valid(pc.struct_field(parts, "number"))
    log.repairs[NO_NUMBER] = log.rows - (pc.sum(known).as_py() or 0)
    if log.repairs[NO_NUMBER]:
        log.keep(known)
        parts = parts.filter(known)
    states, state = _states(log)
    columns, types = _columns(log)
    columns |= {name: _whole(pc.struct_field(parts, name)) for name in ("number", "task", "part")}
    pending = pc.struct_field(parts, "tasks").to_pylist()
    columns["waiting"] = np.array([tasks_in(text) if text else 1.0 for text in pending], float)
    lines = log.columns.get("submitline")
    said = Submissions() if lines is None else submissions(lines)
    columns["limit"] = _limits(columns["number"], pending, said.array_limits)
    log.notes |= counted(said.counts)
    names = {trait: log.columns[name] for trait, name in NAMES.items() if name in log.columns}
    return AccountLines(
        columns,
        places(log.columns["jobid"]),
        states,
        state,
        "end" in log.columns,
        names | {"gpu_type": pa.array(types, pa.string()).dictionary_encode()},
        said,
    )


def _parts(log: _Log) -> pa.StructArray:
    """Return number, task, list of waiting tasks and component of each JobID; text, "" for none."""
    ids = log.columns["jobid"]
    parts = pc.extract_regex(pc.utf8_trim_whitespace(ids.dictionary), JOB_ID)
    return parts.take(ids.indices)


def _whole(text: pa.Array) -> Floats:
    values = pc.if_else(pc.equal(text, ""), None, text).cast(pa.float64())
    return np.asarray(values.to_numpy(zero_copy_only=False), np.float64)


def _states(log: _Log) -> tuple[list[str], NDArray[np.int64]]:
    """Return the states in small letters, without who cancelled; and each line's place in them."""
    column = log.columns.get("state")
    if column is None:
        return [""], np.zeros(log.rows, dtype=np.int64)
    texts = [text.split() for text in column.dictionary.to_pylist()]
    words = [words[0].lower().rstrip("+")[:40] if words else "" for words in texts]
    states = list(dict.fromkeys([*words, ""]))
    known = np.array([states.index(word) for word in [*words, ""]], np.int64)
    return states, known[places(column)]


def _columns(log: _Log) -> tuple[Columns, list[str | None]]:
    """Return the columns that are numbers, and the type of each job's GPUs."""
    elapsed = log.first_of(("elapsedraw", number), ("elapsed", duration_s))
    numbers = log.numbers(number, "jobidraw") if "jobidraw" in log.columns else None
    columns = {"elapsed": elapsed, "raw": np.full(log.rows, math.nan)}
    if numbers is not None:
        columns["raw"] = numbers
    order = _whole(pc.struct_field(_parts(log), "number"))
    submit, start, end = (log.moments(name) for name in ("submit", "start", "end"))
    times = resolved(submit, start, end, elapsed, order)
    log.repairs[clock_times.UNCLEAR] = times.unclear
    columns |= {"submit": times.submit, "start": times.start, "end": times.end}
    columns["requested_s"] = log.first_of(("timelimitraw", minutes_s), ("timelimit", duration_s))
    held, types = log.resources("alloctres")
    asked, types_asked = log.resources("reqtres")
    columns["width"] = _first_known(
        _positive(log.numbers(count, "alloccpus", "ncpus")),
        held[:, 0],
        log.numbers(count, "reqcpus"),
        asked[:, 0],
    )
    columns["gpus"] = _first_known(held[:, 3], asked[:, 3])
    nodes = _positive(log.numbers(count, "allocnodes", "nnodes"))
    nodes = _first_known(nodes, _positive(held[:, 2]))
    needed = log.numbers(count, "reqnodes")
    # One node is what a job has that says nothing of nodes.
    columns["nodes"] = np.where(needed > 1, needed, math.nan)
    columns |= _memory(log, held[:, 1], asked[:, 1], columns["width"], nodes)
    return columns, [own or other for own, other in zip(types, types_asked, strict=True)]


def _memory(log: _Log, held: Floats, asked: Floats, width: Floats, nodes: Floats) -> Columns:
    """Return the memory per slot, and per node, of each job.

    ReqMem says which it is, with a c or an n behind it. Newer versions of Slurm write none: then it
    is the memory that the job got, by node.
    """
    amount, per = log.memory()
    whole = _first_known(held, asked, amount)
    by_node = np.where(np.isnan(nodes), math.nan, whole / nodes)
    by_slot = np.where(np.isnan(nodes), whole / np.where(width > 0, width, math.nan), math.nan)
    return {
        "memory_per_slot_mib": np.where(per == "c", amount, np.where(per == "n", np.nan, by_slot)),
        "memory_per_node_mib": np.where(per == "n", amount, np.where(per == "c", np.nan, by_node)),
    }


def _first_known(*columns: Floats) -> Floats:
    found = columns[0]
    for column in columns[1:]:
        found = np.where(np.isnan(found), column, found)
    return found


def _positive(column: Floats) -> Floats:
    return np.where(column > 0, column, math.nan)


def _limits(number: Floats, pending: list[str], told: dict[int, int]) -> Floats:
    """Return how many tasks of each job's array may run at once, as far as any line of it says."""
    limits = {number[row]: float(limit) for row, limit in told.items()}
    for row, text in enumerate(pending):
        _, percent, limit = text.partition("%") if text else ("", "", "")
        if percent and limit.isdecimal() and 0 < int(limit[:10]) < WIDEST:
            limits[number[row]] = float(limit[:10])
    if not limits:
        return np.full(number.size, math.nan)
    return np.array([limits.get(each, math.nan) for each in number.tolist()])
