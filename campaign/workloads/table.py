"""Reads jobs from a table: CSV, TSV or Parquet, its columns named by a map.

Our own tables need no map: what `hpc-campaign import` has written, the workload that a campaign
keeps, and the jobs table of its trials.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from campaign.core.errors import WorkloadError
from campaign.core.jobs import HEADER, TRAITS_SCHEMA, Workload
from campaign.workloads import clock_times
from campaign.workloads.budgets import BUDGET, Budget, open_plain, too_large
from campaign.workloads.clock_times import CLOCK_OF_UTC, TIMES_TOLD, moments, resolved, zone_of
from campaign.workloads.columns import LARGEST_NUMBER, columns_of, strange, table_of
from campaign.workloads.delimited import TextColumns, read_delimited
from campaign.workloads.kept import is_kept, workload_in
from campaign.workloads.table_columns import (
    DURATION,
    FLAG,
    MEMORY,
    NAMES,
    NUMBER,
    SECONDS,
    Mapped,
    columns_meant,
)
from campaign.workloads.traces import counted, opened, workload_of
from campaign.workloads.traits import traits_of
from campaign.workloads.values import UNKNOWN, duration_s, memory, number, places, time_s

MAGIC = b"PAR1"
LATEST_S = 1e11  # the year 5138: a number beyond it counts something smaller than seconds
MOST_ROWS = 10_000_000
EXCERPT = 60
NEVER = "jobs that never started left out"
WORDS = "job numbers"
FLAGS = {"true": 1.0, "yes": 1.0, "1": 1.0, "false": 0.0, "no": 0.0, "0": 0.0, "": math.nan}
Floats = NDArray[np.float64]


def read_table(
    file: Path,
    columns: Mapping[str, str] | None = None,
    *,
    strict: bool = False,
    time_zone: str | None = None,
    budget: Budget = BUDGET,
) -> Workload:
    """Return the jobs of a table that ran, in the order of their arrival, the first at 0.

    `columns` says which column is which (see `columns_meant`); text may be packed by gzip. Times
    are ISO 8601 or numbers, by the clock of `time_zone` (or UTC) where they name no zone. Raises
    WorkloadError, naming column and row, for a value that can't be read; for what is beyond the
    budget; and in strict mode when anything had to be repaired. Raises ConfigError for a map or a
    time zone that can't be meant.
    """
    zone = zone_of(time_zone)
    if _is_parquet(file):
        table = _parquet(file, budget)
        if is_kept(table.schema) and columns is None:
            return _kept(table, file)
        meant = columns_meant(columns, table.column_names, file)
        found = {mapped.column: table.column(mapped.column) for mapped in meant.values()}
        read = _Table(file, found, zone)
    else:
        with opened(file, budget) as stream:
            text = _text(stream, columns, file, budget)
        meant = columns_meant(columns, text.names, file)
        read = _Table(file, dict(text.columns), zone, repairs=text.repairs)
    return _workload(read, meant, strict=strict, time_zone=time_zone)


def _text(
    stream: Any, columns: Mapping[str, str] | None, file: Path, budget: Budget
) -> TextColumns:
    return read_delimited(
        stream,
        file=file,
        wanted=lambda names: {
            mapped.column for mapped in columns_meant(columns, names, file).values()
        },
        quoted=True,
        budget=budget,
    )


def _is_parquet(file: Path) -> bool:
    try:
        with open_plain(file) as stream:
            return stream.read(len(MAGIC)) == MAGIC
    except OSError:
        return False  # whoever opens it next says why


def _parquet(file: Path, budget: Budget) -> pa.Table:
    try:
        parquet = pq.ParquetFile(file)
        groups = parquet.metadata.num_row_groups
        size = sum(parquet.metadata.row_group(each).total_byte_size for each in range(groups))
        if size > budget.size or parquet.metadata.num_rows > MOST_ROWS:
            raise too_large(file, f"{budget.size / 1e6:g} MB or {MOST_ROWS:,} rows")
        return parquet.read(use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(file, str(error)) from None


def _damaged(file: Path, why: str) -> WorkloadError:
    return WorkloadError(
        f"{file}: a Parquet file that can't be read",
        why.partition("\n")[0][:200],
        "Write it anew, or give the table as CSV.",
    )


def _kept(table: pa.Table, file: Path) -> Workload:
    """Return a workload that was kept; WorkloadError where its jobs break a rule."""
    try:
        workload = workload_in(table)
        sound = table_of(columns_of(workload.table), where=str(file))
    except (pa.ArrowException, LookupError, TypeError, ValueError) as error:
        raise _damaged(file, f"not as it was written: {error}") from None
    if sound != workload.table or workload.table.column("job_id").null_count:
        raise _damaged(file, "not as it was written")
    return workload


class _Moment(NamedTuple):
    """Times as numbers, and which are by a clock whose zone isn't said."""

    wall: Floats
    naive: NDArray[np.bool_]


@dataclass
class _Table:
    """The columns that are read, text or of any type of Parquet, and what was done to read them."""

    file: Path
    columns: dict[str, Any]
    zone: ZoneInfo | None
    repairs: dict[str, int] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(next(iter(self.columns.values())))

    def numbers(self, mapped: Mapped | None) -> Floats:
        """Return a column of numbers in our units, NaN where unknown; of NaN without a column."""
        if mapped is None:
            return np.full(self.rows, math.nan)
        column = _whole(self.columns[mapped.column])
        if pa.types.is_dictionary(column.type):
            return self._parsed(mapped, column, PARSERS[mapped.kind](mapped.factor))
        if pa.types.is_duration(column.type):
            return _floats(column.cast(pa.duration("ns")).cast(pa.int64())) * 1e-9
        return self._plain(mapped, column) * mapped.factor

    def times(self, mapped: Mapped | None) -> clock_times.Moments:
        """Return a column of times in Unix time."""
        if mapped is None:
            unknown = np.full(self.rows, math.nan)
            return clock_times.Moments(unknown, unknown)
        moment = self._moment(mapped, _whole(self.columns[mapped.column]))
        late = moment.wall > LATEST_S
        if late.any():
            row = int(late.argmax())
            raise self._wrong(
                mapped.column,
                row,
                f"{moment.wall[row]:.0f} s is after the year 5000",
                f"Say the unit: workload.columns={{..: '{mapped.column} in ms'}}, or us, or ns.",
            )
        found, skipped = moments(moment.wall, moment.naive, self.zone)
        self.repairs[clock_times.SKIPPED] = self.repairs.get(clock_times.SKIPPED, 0) + skipped
        if moment.naive.any() and self.zone is None:
            self.notes[TIMES_TOLD] = CLOCK_OF_UTC
        return found

    def names(self, mapped: Mapped) -> pa.DictionaryArray:
        """Return a column of names, null where it has none."""
        column = _whole(self.columns[mapped.column])
        try:
            text = column.cast(pa.string())
        except pa.ArrowException:
            raise self._wrong(mapped.column, 0, "no name can be made of its values") from None
        trimmed = pc.utf8_trim_whitespace(text)
        unknown = pc.is_in(pc.utf8_lower(trimmed), pa.array(sorted(UNKNOWN)))
        return pc.if_else(unknown, None, trimmed).dictionary_encode()

    def _moment(self, mapped: Mapped, column: pa.Array) -> _Moment:
        if pa.types.is_date(column.type):
            column = column.cast(pa.timestamp("s"), safe=False)
        if pa.types.is_timestamp(column.type):
            seconds = _floats(column.cast(pa.int64())) * SECONDS[column.type.unit]
            return _Moment(seconds, np.full(self.rows, column.type.tz is None) & ~np.isnan(seconds))
        if not pa.types.is_dictionary(column.type):
            return _Moment(self._plain(mapped, column) * mapped.factor, np.zeros(self.rows, bool))
        wall = self._parsed(mapped, column, lambda text: time_s(text, mapped.factor)[0])
        naive = self._parsed(mapped, column, lambda text: float(time_s(text)[1]))
        return _Moment(wall, naive == 1.0)

    def _plain(self, mapped: Mapped, column: pa.Array) -> Floats:
        """Return the numbers of a column that isn't text."""
        try:
            values = _floats(column.cast(pa.float64()))
        except pa.ArrowException:
            raise self._wrong(
                mapped.column, 0, f"its values are {column.type}, not a {mapped.kind}"
            ) from None
        infinite = np.isinf(values)
        if infinite.any():
            raise self._wrong(mapped.column, int(infinite.argmax()), "not finite")
        return values

    def _parsed(self, mapped: Mapped, column: Any, parse: Callable[[str], float]) -> Floats:
        known = np.full(len(column.dictionary) + 1, math.nan)
        at = places(column)
        for place, text in enumerate(column.dictionary.to_pylist()):
            try:
                known[place] = parse(text)
            except (ValueError, OverflowError):
                rows = np.flatnonzero(at == place)
                if rows.size:
                    what = f"{text[:EXCERPT]!r} is no {mapped.kind}"
                    raise self._wrong(mapped.column, int(rows[0]), what) from None
        return known[at]

    def _wrong(self, column: str, row: int, what: str, fix: str = "") -> WorkloadError:
        return WorkloadError(
            f"{self.file}, row {row + 1}, column {column}: {what}",
            resolution=fix
            or "Correct the value, leave it empty if it isn't known, or map another column.",
        )


def _flag(text: str) -> float:
    if text.strip().lower() not in FLAGS:
        raise ValueError(text)
    return FLAGS[text.strip().lower()]


def _scaled(parse: Callable[[str], float]) -> Callable[[float], Callable[[str], float]]:
    return lambda factor: lambda text: parse(text) * factor


PARSERS: dict[str, Callable[[float], Callable[[str], float]]] = {
    NUMBER: _scaled(number),
    DURATION: _scaled(duration_s),
    MEMORY: _scaled(lambda text: memory(text).mib),
    FLAG: _scaled(_flag),
}
"""What parses a text of each kind, given the size of its unit."""


def _whole(column: Any) -> Any:
    """Return the column in one piece, its text stored once per value."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.array([], column.type)
    if pa.types.is_dictionary(whole.type):
        whole = whole.cast(whole.type.value_type)
    is_text = pa.types.is_string(whole.type) or pa.types.is_large_string(whole.type)
    return whole.cast(pa.string()).dictionary_encode() if is_text else whole


def _floats(column: pa.Array) -> Floats:
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))


def _workload(
    table: _Table, meant: dict[str, Mapped], *, strict: bool, time_zone: str | None
) -> Workload:
    runtime = table.numbers(meant.get("runtime"))
    number = table.numbers(meant.get("job_id")) if _numbered(table, meant) else None
    submit, start, end = (table.times(meant.get(name)) for name in ("arrival", "start", "end"))
    order = np.arange(table.rows, dtype=float) if number is None else number
    times = resolved(submit, start, end, runtime, order)
    table.repairs[clock_times.UNCLEAR] = times.unclear
    runtime = np.where(np.isnan(runtime), times.end - times.start, runtime)
    never = _never_started(table, meant, times.start, runtime)
    rows = np.flatnonzero(~never)
    rows = rows[np.argsort(times.submit[rows], kind="stable")]
    if number is None:
        table.notes[WORDS] = "1, 2, .. in order of arrival: the table has no whole numbers"
    columns = {
        "job_id": np.arange(1.0, rows.size + 1) if number is None else number[rows],
        "arrival_s": times.submit[rows],
        "width": table.numbers(meant.get("width"))[rows],
        "runtime_s": runtime[rows],
        "requested_s": table.numbers(meant.get("requested"))[rows],
    }
    users, user_names = _users(table, meant.get("user"), rows)
    traits = _traits(table, meant, rows) | user_names
    if "start" in meant and "recorded_wait_s" not in traits:
        wait = (times.start - times.submit)[rows]
        traits["recorded_wait_s"] = pa.array(wait, mask=~(wait >= 0))
    first = float(times.submit.min(initial=np.inf, where=~np.isnan(times.submit)))
    zone = {} if time_zone is None else {f"{HEADER}TimeZoneString": time_zone}
    return workload_of(
        {name: np.where(np.isnan(column), -1.0, column) for name, column in columns.items()}
        | {"user": users},
        table.repairs,
        file=table.file,
        strict=strict,
        began=0 if clock_times.is_a_date(first) else None,
        notes=zone | table.notes | counted({NEVER: int(never.sum())}),
        traits=traits_of(traits),
    )


def _never_started(
    table: _Table, meant: dict[str, Mapped], start: Floats, runtime: Floats
) -> NDArray[np.bool_]:
    """Return which jobs have no start, or were cancelled before they had run."""
    none = ~(runtime > 0)
    found = none & np.isnan(start) if "start" in meant else np.zeros(table.rows, dtype=bool)
    if "state" in meant:
        states = pc.utf8_lower(table.names(meant["state"]).cast(pa.string()))
        cancelled = pc.starts_with(states, "cancel").fill_null(False)
        found |= none & cancelled.to_numpy(zero_copy_only=False)
    return found


def _numbered(table: _Table, meant: dict[str, Mapped]) -> bool:
    """Return whether all jobs have whole numbers of their own."""
    if "job_id" not in meant:
        return False
    try:
        numbers = table.numbers(meant["job_id"])
    except WorkloadError:
        return False
    return not strange(np.nan_to_num(numbers, nan=-1.0), 0, LARGEST_NUMBER).any()


def _users(
    table: _Table, mapped: Mapped | None, rows: NDArray[np.intp]
) -> tuple[Floats, dict[str, Any]]:
    """Return the users' numbers, those of the table or in order of appearance with their names."""
    if mapped is None:
        return np.full(rows.size, -1.0), {}
    column = _whole(table.columns[mapped.column])
    if not pa.types.is_dictionary(column.type) or _are_numbers(column.dictionary):
        return np.nan_to_num(table.numbers(replace(mapped, kind=NUMBER))[rows], nan=-1.0), {}
    names = table.names(mapped).take(pa.array(rows))
    anew = names.cast(pa.string()).dictionary_encode()
    number = anew.indices.fill_null(-2).to_numpy(zero_copy_only=False) + 1.0
    return np.asarray(number), {"user_name": names}


def _are_numbers(values: pa.Array) -> bool:
    is_number = pc.match_substring_regex(values, "^[0-9]{1,9}$")
    return bool(pc.all(is_number).as_py())


def _traits(table: _Table, meant: dict[str, Mapped], rows: NDArray[np.intp]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    taken = pa.array(rows)
    for trait in TRAITS_SCHEMA:
        mapped = meant.get(trait.name)
        if mapped is None:
            continue
        if mapped.kind == NAMES:
            found[trait.name] = table.names(mapped).take(taken)
            continue
        values = table.numbers(mapped)[rows]
        whole = pa.types.is_integer(trait.type)
        most = 2.0**31 if trait.type == pa.int32() else LARGEST_NUMBER
        known = ~np.isnan(values) & (values >= 0) & (values < most)
        if whole:
            known &= values == np.floor(values)
        numbers = pa.array(values, mask=~known)
        found[trait.name] = numbers.cast(pa.bool_()) if mapped.kind == FLAG else numbers
    if "state" in meant:
        found["recorded_state"] = pc.utf8_lower(
            table.names(meant["state"]).take(taken).cast(pa.string())
        )
    return found
