"""What a line of the Standard Workload Format says of a job beside time and width.

Memory, group, queue, partition, the job before it and the think time; and what became of it: its
wait and status. Queues are what this project calls quality of service. Groups, queues and
partitions are numbers; names of them stand in the header, as `; Queue: 3 is short`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from campaign.core.jobs import Workload
from campaign.workloads.columns import LARGEST_NUMBER, WIDEST, Columns
from campaign.workloads.swf_records import (
    GROUP,
    PARTITION,
    PRECEDING,
    QUEUE,
    STATUS,
    USER,
    Words,
)
from campaign.workloads.traits import traits_of

WAIT = "wait"
MEMORY = "memory"
THINK = "think"
WAIT_FIELD = 2
MEMORY_FIELD = 9
STATUS_FIELD = 10
PRECEDING_FIELD = 16
THINK_FIELD = 17
KIB = 1 / 1024  # in MiB
NAMED = {GROUP: "group", QUEUE: "qos", PARTITION: "partition"}
"""The traits that are names, by the place of their numbers in a line."""
LABELS = {"User": USER, "Group": GROUP, "Queue": QUEUE, "Partition": PARTITION}
"""Header lines that tell the name of a number."""
NAMING = re.compile(r"(\d{1,15}) is (\S.*)")
STATES = {0: "failed", 1: "completed", 3: "completed", 4: "failed", 5: "cancelled"}
WRITTEN = {"completed": 1, "cancelled": 5}
"""The status of what became of a job; all else has failed."""
FAILED = 0
AFTER_KIND = "afterany"
"""A preceding job must have ended, in whatever way."""


def traits_among(lines: Columns, words: Words) -> pa.Table:
    """Return the traits of the jobs; takes their columns out of `lines`."""
    found: dict[str, Any] = {}
    memory = lines.pop(MEMORY)
    wait = lines.pop(WAIT)
    think = lines.pop(THINK)
    if (memory > 0).any():
        found["memory_per_slot_mib"] = pa.array(memory * KIB, mask=~(memory > 0))
    if (wait >= 0).any():
        found["recorded_wait_s"] = pa.array(wait, mask=~(wait >= 0))
    for place, trait in NAMED.items():
        found[trait] = _texts(lines.pop(trait), lambda number, at=place: words.name(at, number))
    found["user_name"] = _texts(lines["user"], lambda number: words.names.get((USER, number)))
    found["recorded_state"] = _texts(lines.pop(STATUS), STATES.get)
    preceding = lines.pop(PRECEDING)
    follows = (preceding > 0) & (preceding <= LARGEST_NUMBER)
    if follows.any():
        found["after"] = [[int(job)] if job else None for job in np.where(follows, preceding, 0)]
        found["after_kind"] = pa.array(np.where(follows, AFTER_KIND, ""), mask=~follows)
        found["think_s"] = pa.array(think, mask=~(follows & (think >= 0)))
    return traits_of({name: column for name, column in found.items() if column is not None})


def _texts(numbers: NDArray[np.float64], named: Any) -> pa.DictionaryArray | None:
    """Return a text for each number, null where `named` has none; None where it has none at all."""
    encoded = pa.array(numbers).dictionary_encode()
    texts = [named(number) for number in encoded.dictionary.to_pylist()]
    if not any(text is not None for text in texts):
        return None
    known = pa.array([place if text is not None else None for place, text in enumerate(texts)])
    text = pa.array(["" if text is None else text for text in texts], pa.string())
    return pa.DictionaryArray.from_arrays(known.take(encoded.indices).cast(pa.int32()), text)


def read_naming(label: str, value: str, words: Words) -> None:
    """Take the name of a number from a header line, if it tells one."""
    match = NAMING.fullmatch(value)
    if match and label in LABELS:
        words.names.setdefault((LABELS[label], float(match[1])), match[2])


def fields_of(workload: Workload) -> dict[int, pa.Array]:
    """Return the fields of a line that a workload's traits give, by their place."""
    traits = workload.traits
    found: dict[int, pa.Array] = {}
    for place, name, factor in (
        (MEMORY_FIELD, "memory_per_slot_mib", 1 / KIB),
        (WAIT_FIELD, "recorded_wait_s", 1.0),
        (THINK_FIELD, "think_s", 1.0),
    ):
        if name in traits.column_names:
            found[place] = pc.multiply(traits.column(name), factor).combine_chunks()
    for place, name in NAMED.items():
        if name in traits.column_names:
            found[place] = _numbers(traits.column(name), _numbering(traits.column(name)))
    if "recorded_state" in traits.column_names:
        states = traits.column("recorded_state").unique().drop_null().to_pylist()
        status = {state: WRITTEN.get(state, FAILED) for state in states}
        found[STATUS_FIELD] = _numbers(traits.column("recorded_state"), status)
    if "after" in traits.column_names:
        after = traits.column("after").combine_chunks()
        alone = pc.equal(pc.list_value_length(after), 1).fill_null(False)
        first = [jobs[0] if jobs else None for jobs in after.to_pylist()]
        found[PRECEDING_FIELD] = pc.if_else(alone, pa.array(first, pa.int64()), None)
        if THINK_FIELD in found:
            found[THINK_FIELD] = pc.if_else(alone, found[THINK_FIELD], None)
    return found


def naming_lines(workload: Workload) -> Iterator[str]:
    """Yield a header line for each number that stands for a name."""
    for label, place in LABELS.items():
        names: Mapping[str, int] = {}
        if place == USER:
            names = _user_names(workload)
        elif NAMED[place] in workload.traits.column_names:
            names = _numbering(workload.traits.column(NAMED[place]))
        for name, number in names.items():
            if name != str(number):
                yield f"; {label}: {number} is {name}"


def _user_names(workload: Workload) -> dict[str, int]:
    if "user_name" not in workload.traits.column_names:
        return {}
    pairs = pa.table(
        {
            "name": workload.traits.column("user_name").cast(pa.string()),
            "user": workload.table.column("user"),
        }
    )
    known = pairs.group_by(["name", "user"]).aggregate([]).drop_null().to_pydict()
    return {name: user for name, user in zip(known["name"], known["user"], strict=True) if user > 0}


def _numbering(column: pa.ChunkedArray) -> dict[str, int]:
    """Return a number for each name: its own if it is one, else one that is free."""
    names = column.unique().drop_null().cast(pa.string()).to_pylist()
    own = {name: int(name) for name in names if name.isascii() and _is_number(name)}
    free = max(own.values(), default=0) + 1
    others = [name for name in names if name not in own]
    return own | {name: free + place for place, name in enumerate(others)}


def _is_number(name: str) -> bool:
    return name.isdecimal() and len(name) <= 9 and str(int(name)) == name and int(name) <= WIDEST


def _numbers(column: pa.ChunkedArray, numbers: Mapping[str, int]) -> pa.Array:
    whole = column.combine_chunks()
    by_place = pa.array([numbers.get(name) for name in whole.dictionary.to_pylist()], pa.int64())
    return by_place.take(whole.indices)
