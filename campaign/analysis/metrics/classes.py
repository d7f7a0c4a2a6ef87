"""Classes of jobs: by partition, quality of service, account, user, size, and by what they asked.

What a jobs table lacks is joined from the workload that was replayed, by the jobs' numbers. All of
it is over whole columns.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from campaign.core.jobs import Workload
from campaign.core.metric_names import EACH, JobClass, interval

NAMED_FIELDS = {
    "partition": "partition",
    "qos": "qos",
    "account": "account",
    "group": "group",
    "user": "user_name",
    "reservation": "reservation",
    "gpu_type": "gpu_type",
}
"""The fields whose classes are names, and the trait that each is; a user may be a number too."""
COUNTED_FIELDS = {"width": "slots", "nodes": "nodes", "gpus": "GPUs"}
"""The fields that count something, and what; their classes of their own are powers of two."""
MEASURED_FIELDS = {"runtime_s": "s", "requested_s": "s"}
"""The fields that are no whole numbers, and their units; only ranges and bounds are classes."""
FIELDS = (*NAMED_FIELDS, *COUNTED_FIELDS, *MEASURED_FIELDS)
DIVIDED = (*NAMED_FIELDS, *COUNTED_FIELDS)
"""The fields that have classes of their own, which `worst` and `*` go over."""
MOST_NAMED = 12  # classes that a message names

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class ClassedJobs:
    """Jobs, and the workload that they are of; `columns` come from there, row by row of `jobs`.

    `jobs` needs no column but `job_id`.
    """

    jobs: pa.Table
    workload: Workload

    @cached_property
    def _rows(self) -> pa.Array:
        numbers = self.workload.table.column("job_id").combine_chunks()
        return pc.index_in(self.jobs.column("job_id").combine_chunks(), value_set=numbers)

    def column(self, field: str) -> pa.Array:
        """Return the jobs' values of a field, null where unknown; text where it has names."""
        trait = NAMED_FIELDS.get(field, field)
        for table in (self.workload.traits, self.workload.table):
            if trait in table.column_names:
                found = table.column(trait).take(self._rows).combine_chunks()
                return found.cast(pa.string()) if field in NAMED_FIELDS else found
        if field == "user":
            numbers = self.workload.table.column("user").take(self._rows).combine_chunks()
            known = pc.if_else(pc.greater(numbers, 0), numbers, None)  # 0 is nobody that is known
            return known.cast(pa.string())
        return pa.nulls(self.jobs.num_rows)

    def those(self, wanted: JobClass) -> NDArray[np.bool_]:
        """Return which jobs are of a class; no job whose field is unknown is.

        Raises ValueError for a class of numbers that is none.
        """
        column = self.column(wanted.field)
        if wanted.field in NAMED_FIELDS:
            found = pc.equal(column, wanted.text) if column.null_count < len(column) else None
        else:
            low, with_low, high, with_high = interval(wanted.text)
            found = pc.and_(
                (pc.greater_equal if with_low else pc.greater)(column.cast(pa.float64()), low),
                (pc.less_equal if with_high else pc.less)(column.cast(pa.float64()), high),
            )
        if found is None:
            return np.zeros(self.jobs.num_rows, np.bool_)
        return np.asarray(pc.fill_null(found, False).to_numpy(zero_copy_only=False), np.bool_)

    def divided(self, field: str) -> Mapping[str, Rows]:
        """Return the rows of each class of a field that is DIVIDED, by the class in its order.

        Names are in alphabetical order, sizes from small to large.
        """
        column = self.column(field)
        if column.null_count == len(column):
            return {}
        if field in NAMED_FIELDS:
            names = sorted(column.unique().drop_null().to_pylist())
            places = pc.index_in(column, value_set=pa.array(names, pa.string()))
        else:
            places = _powers(column)
            names = [power_class(power) for power in range(int(pc.max(places).as_py()) + 1)]
        return dict(_rows_by(places, names))

    def why_none(self, wanted: JobClass) -> str:
        """Say that no job is of a class, and which classes there are."""
        column = self.column(wanted.field)
        if column.null_count == len(column):
            return f"nothing is known of the {wanted.field} of its jobs"
        if wanted.field in NAMED_FIELDS:
            there = sorted(column.unique().drop_null().to_pylist())
            more = f" and {len(there) - MOST_NAMED} more" if len(there) > MOST_NAMED else ""
            known = f"{', '.join(there[:MOST_NAMED])}{more}"
        else:
            ends = pc.min_max(column).as_py()
            known = f"{ends['min']:g} to {ends['max']:g}"
        return f"no job has {wanted}; allowed: {known}"


def power_class(power: int) -> str:
    """Return the class of the numbers above 2^(power - 2) up to 2^(power - 1); `0` for 0.

    Each is written as a class is: 1, 2, 3-4, 5-8.
    """
    if power <= 2:
        return str(power)
    return f"{2 ** (power - 2) + 1}-{2 ** (power - 1)}"


def _powers(column: pa.Array) -> pa.Array:
    numbers = np.maximum(pc.fill_null(column, 0).to_numpy(zero_copy_only=False), 0)
    powers = np.ceil(np.log2(np.maximum(numbers, 1))).astype(np.int64) + (numbers > 0)
    return pa.array(powers, mask=pc.is_null(column).to_numpy(zero_copy_only=False))


def _rows_by(places: pa.Array, names: list[str]) -> Iterator[tuple[str, Rows]]:
    place = pc.fill_null(places, -1).to_numpy(zero_copy_only=False)
    order = np.argsort(place, kind="stable")
    bounds = np.searchsorted(place[order], np.arange(len(names) + 1))
    for number, name in enumerate(names):
        if bounds[number] < bounds[number + 1]:
            yield name, order[bounds[number] : bounds[number + 1]]


def field_problem(field: str, text: str) -> str:
    """Return why `text` can be no class of `field`, empty where it can.

    `text` is EACH where the field's own classes are wanted.
    """
    if field not in FIELDS:
        return f"jobs have no class by {field!r}; allowed: {', '.join(FIELDS)}"
    if text == EACH:
        if field not in DIVIDED:
            return f"{field} has no classes of its own; allowed: {', '.join(DIVIDED)}"
    elif field not in NAMED_FIELDS:
        try:
            interval(text)
        except ValueError as error:
            return f"{field}={text}: {error}"
    return ""
