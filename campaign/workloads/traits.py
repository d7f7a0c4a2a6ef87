"""What jobs have beside time and width: taken, scaled and completed along with the jobs.

Columns of `campaign.core.jobs.TRAITS_SCHEMA`; each is there only where its source knows something.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from campaign.core.jobs import TRAITS_SCHEMA

NONE = pa.table({})
TIMES = ("think_s", "recorded_wait_s")
OUTSIDE = "dependencies on jobs that are not in the workload ignored"


def traits_of(columns: Mapping[str, Any]) -> pa.Table:
    """Return the table of the columns that hold anything, in the order of TRAITS_SCHEMA.

    `columns` are Arrow arrays or lists by name, null where unknown. Raises KeyError for a name that
    is no trait.
    """
    if strange := columns.keys() - set(TRAITS_SCHEMA.names):
        raise KeyError(*sorted(strange))
    found = {}
    for field in TRAITS_SCHEMA:
        if field.name in columns:
            column = _typed(columns[field.name], field.type)
            if column.null_count < len(column):
                found[field.name] = column
    return pa.table(found)


def picked(traits: pa.Table, rows: NDArray[Any]) -> pa.Table:
    """Return the traits of the jobs at these rows, in their order; columns of nulls go."""
    return traits_of(dict(zip(traits.column_names, traits.take(pa.array(rows)), strict=True)))


def scaled(traits: pa.Table, factor: float) -> pa.Table:
    """Return the traits with their times multiplied by `factor`."""
    for name in TIMES:
        if name in traits.column_names:
            place = traits.column_names.index(name)
            traits = traits.set_column(place, name, pc.multiply(traits.column(name), factor))
    return traits


def tied(traits: pa.Table, numbers: Mapping[int, int]) -> tuple[pa.Table, int]:
    """Return the traits with dependencies by the jobs' numbers, and how many were dropped.

    `numbers` gives the job_id of each job that is there, by what the source calls it.
    """
    if "after" not in traits.column_names:
        return traits, 0
    lost = 0
    tied_to: list[list[int] | None] = []
    for after in traits.column("after").to_pylist():
        known = [numbers[each] for each in after or () if each in numbers]
        lost += len(after or ()) - len(known)
        tied_to.append(known or None)
    columns = dict(zip(traits.column_names, traits.columns, strict=True))
    # A kind without a job that it is about says nothing.
    for name in ("after_kind", "think_s"):
        if name in columns:
            loose = pa.array(np.array([after is None for after in tied_to]))
            columns[name] = pc.if_else(loose, None, columns[name])
    return traits_of(columns | {"after": tied_to}), lost


def _typed(column: Any, kind: pa.DataType) -> pa.ChunkedArray:
    if not isinstance(column, pa.Array | pa.ChunkedArray):
        column = pa.array(column, kind.value_type if pa.types.is_dictionary(kind) else kind)
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(kind):
        return pa.chunked_array([_anew(whole)])
    return pa.chunked_array([whole.cast(kind)])


def _anew(names: Any) -> pa.DictionaryArray:
    """Return the names with a dictionary in order of appearance, without a name that no job has."""
    if pa.types.is_dictionary(names.type):
        known = names.dictionary.cast(pa.string())
        if known.null_count == 0 and len(known.unique()) == len(known):
            # By the names' places, which are told apart sooner than names.
            places = names.indices.dictionary_encode()
            return pa.DictionaryArray.from_arrays(
                places.indices.cast(pa.int32()), known.take(places.dictionary)
            )
    return names.cast(pa.string()).dictionary_encode()
