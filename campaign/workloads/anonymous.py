"""Takes from a workload what names anybody, and leaves what scheduling needs.

Names become numbers of their kind, in order of appearance: equal names stay equal. Jobs, arrays
and users are numbered anew; dates and zones go.
"""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from campaign.core.jobs import HEADER, NAME, Workload
from campaign.workloads.columns import columns_of, table_of
from campaign.workloads.traces import STARTED
from campaign.workloads.traits import traits_of

WORKLOAD = "anonymous"
STATES = frozenset(
    {"completed", "failed", "timeout", "cancelled", "out_of_memory", "node_fail", "preempted"}
    | {"boot_fail", "deadline", "requeued", "suspended", "launch_failed", "revoked"}
)
KINDS = frozenset({"after", "afterany", "afterok", "afternotok", "aftercorr"})
VOCABULARIES = {"recorded_state": STATES, "after_kind": KINDS}
"""Columns of words that name nobody; another word in them becomes null."""
SHOWN_AS = {"user_name": "user"}
COUNT = re.compile(r"\d+ (jobs?|lines?)(; the run time is taken for it)?")
"""A note that only counts something."""
SIZE = re.compile(r"\d+ slots, as the widest job has, because the trace names no size")
NOTE = "anonymised"


def anonymous(workload: Workload, *, dates: bool = False) -> Workload:
    """Return the same jobs without anything that names anybody.

    The date of the first arrival stays if `dates` are wanted. Notes stay where they only count.
    """
    columns = columns_of(workload.table)
    numbers = dict(zip(columns["job_id"].tolist(), range(1, len(workload) + 1), strict=True))
    columns["job_id"] = np.arange(1, len(workload) + 1)
    columns["user"] = _renumbered(columns["user"], unknown=0)
    traits = {
        name: _anonymous(name, workload.traits.column(name), numbers)
        for name in workload.traits.column_names
    }
    notes = {name: text for name, text in workload.notes.items() if _only_counts(name, text)}
    if dates and STARTED in workload.notes:
        notes[STARTED] = workload.notes[STARTED]
    lost = len(workload.notes) - len(notes)
    notes[NOTE] = f"names and numbers of jobs and users replaced, {lost} notes left out"
    return replace(
        workload,
        name=WORKLOAD,
        table=table_of(columns, where=WORKLOAD),
        notes=notes,
        guessed_requests=frozenset(numbers[number] for number in workload.guessed_requests),
        traits=traits_of(traits),
    )


def _only_counts(name: str, text: str) -> bool:
    return not name.startswith(HEADER) and bool(COUNT.fullmatch(text) or SIZE.fullmatch(text))


def _anonymous(name: str, column: pa.ChunkedArray, numbers: dict[int, int]) -> Any:
    if name in VOCABULARIES:
        text = column.cast(pa.string())
        known = pc.is_in(text, pa.array(sorted(VOCABULARIES[name])))
        return pc.if_else(known, text, None)
    if column.type == NAME:
        whole = column.combine_chunks().cast(pa.string()).dictionary_encode()
        kind = SHOWN_AS.get(name, name)
        names = [f"{kind}{place}" for place in range(1, len(whole.dictionary) + 1)]
        return pa.array(names, pa.string()).take(whole.indices)
    if name == "array":
        known = column.is_valid().to_numpy()
        arrays = _renumbered(column.fill_null(0).to_numpy(), unknown=0)
        return pa.array(arrays, mask=~known)
    if name == "after":
        return [
            None if jobs is None else [numbers[job] for job in jobs] for jobs in column.to_pylist()
        ]
    return column


def _renumbered(values: NDArray[Any], *, unknown: int) -> NDArray[Any]:
    """Return 1, 2, .. for the values in order of appearance; `unknown` stays."""
    known = np.flatnonzero(values != unknown)
    _, first, place = np.unique(values[known], return_index=True, return_inverse=True)
    rank = np.empty(first.size, dtype=np.int64)
    rank[np.argsort(first)] = np.arange(1, first.size + 1)
    found = np.full(values.size, unknown, dtype=np.int64)
    found[known] = rank[place]
    return found
