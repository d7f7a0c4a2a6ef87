"""Reads text with a job a line and a first line that names the columns, whatever divides them.

Nothing is parsed here: each column that is wanted comes back as text, stored once per value, null
where it is empty. Lines with another number of columns than the first line are left out and
counted.
"""

import codecs
import csv as plain_csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
from pyarrow import csv

from campaign.core.errors import WorkloadError
from campaign.workloads.budgets import Budget, too_large

BOM = b"\xef\xbb\xbf"
BLOCK = 1 << 23
DELIMITERS = "|\t;,"
MOST_COLUMNS = 10_000
WRONG_WIDTH = "lines with more or fewer columns than the first line left out"
NOT_UTF8 = "lines that are not UTF-8 read with marks in place of what isn't"
MARK = "\N{REPLACEMENT CHARACTER}"
SHOWN = 120
"""Characters of a first line that a message shows."""


@dataclass
class TextColumns:
    """Columns of text by name; `repairs` counts what had to be done to read them."""

    names: list[str]
    columns: dict[str, pa.DictionaryArray]
    repairs: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return max((len(column) for column in self.columns.values()), default=0)


def read_delimited(
    stream: BinaryIO,
    *,
    file: Path,
    wanted: Callable[[list[str]], Iterable[str]],
    quoted: bool,
    budget: Budget,
) -> TextColumns:
    """Return the columns that `wanted` picks among the names of the first line.

    Where a name stands twice, its first column is taken. Values may be `quoted` by ", and hold
    delimiters and ends of lines then. Raises WorkloadError, and whatever `wanted` raises.
    """
    head = _first_block(stream, file, budget)
    line, rest = _first_line(head)
    names = _names(line, quoted=quoted)
    if len(names) > MOST_COLUMNS:
        raise too_large(file, f"{MOST_COLUMNS:,} columns")
    delimiter = _delimiter(line)
    chosen = {name: str(names.index(name)) for name in wanted(names)}
    found = TextColumns(names, {})
    if not rest.strip() and len(rest) < budget.line:
        raise WorkloadError(f"{file}: no jobs in it", resolution="Give a log with jobs.")
    text = _Stream(rest, stream, file)
    table, found.repairs[WRONG_WIDTH] = _table(
        text,
        len(names),
        list(chosen.values()),
        delimiter=delimiter,
        quoted=quoted,
        file=file,
    )
    found.repairs[NOT_UTF8] = text.odd
    found.columns = {name: _text(table.column(place)) for name, place in chosen.items()}
    return found


class _Stream:
    """The bytes after the first line, as Arrow reads them: UTF-8 throughout, without NUL bytes."""

    closed = False

    def __init__(self, rest: bytes, stream: BinaryIO, file: Path) -> None:
        self.odd = 0  # lines that were not UTF-8
        self._stream = stream
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._waiting = self._sound(rest)

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, none at the end."""
        while not self._waiting:
            block = self._stream.read(size)
            self._waiting = self._sound(block)
            if not block:
                break
        given = self._waiting if size < 0 else self._waiting[:size]
        self._waiting = self._waiting[len(given) :]
        return given

    def close(self) -> None:
        """Leave the stream open: who opened it closes it."""

    def _sound(self, block: bytes) -> bytes:
        """Return the block, with the beginning of a character that the one before ended with."""
        _refuse_nul(block, self._file)
        pending = self._decoder.getstate()[0]
        if block.isascii() and block and not pending:
            return block
        text = self._decoder.decode(block, final=not block)
        sound = text.encode()
        if sound.count(MARK.encode()) > (pending + block).count(MARK.encode()):
            self.odd += sum(MARK in line for line in text.split("\n"))
        return sound


def _refuse_nul(block: bytes, file: Path) -> None:
    if b"\0" in block:
        raise WorkloadError(
            f"{file} is not a text file",
            resolution="Save it as UTF-8, or unpack it first, if it is an archive.",
        )


def _first_block(stream: BinaryIO, file: Path, budget: Budget) -> bytes:
    head = stream.read(BLOCK).removeprefix(BOM).lstrip(b"\r\n")
    _refuse_nul(head, file)
    if not head.strip():
        raise WorkloadError(
            f"{file}: no jobs in it: the file is empty", resolution="Give a log with jobs."
        )
    if len(_first_line(head)[0]) > budget.line:
        raise WorkloadError(
            f"{file}, line 1: longer than {budget.line:,} bytes",
            resolution="Give a log with a job a line.",
        )
    return head


def _first_line(head: bytes) -> tuple[bytes, bytes]:
    line, _, _ = head.partition(b"\n")
    line, _, _ = line.partition(b"\r")
    return line, head[len(line) :].lstrip(b"\r\n")


def delimiter_of(line: str) -> str:
    """Return what divides the names in a first line: the delimiter that it has most of."""
    return max(DELIMITERS, key=line.count)


def _delimiter(line: bytes) -> str:
    return delimiter_of(line.decode("utf-8", errors="replace"))


def _names(line: bytes, *, quoted: bool) -> list[str]:
    text = line.decode("utf-8", errors="replace")
    delimiter = delimiter_of(text)
    if not quoted:
        return [name.strip() for name in text.split(delimiter)]
    try:
        row = next(plain_csv.reader([text], delimiter=delimiter), [])
    except plain_csv.Error:
        row = text.split(delimiter)
    return [name.strip() for name in row]


def _table(
    stream: Any, width: int, places: list[str], *, delimiter: str, quoted: bool, file: Path
) -> tuple[pa.Table, int]:
    """Return the columns at `places` and how many lines had another width."""
    wrong = 0

    def skip(_row: Any) -> str:
        nonlocal wrong
        wrong += 1
        return "skip"

    try:
        table = csv.read_csv(
            stream,
            csv.ReadOptions(
                use_threads=False,
                block_size=BLOCK,
                column_names=[str(place) for place in range(width)],
            ),
            csv.ParseOptions(
                delimiter=delimiter,
                quote_char='"' if quoted else False,
                newlines_in_values=quoted,
                invalid_row_handler=skip,
            ),
            csv.ConvertOptions(
                include_columns=places,
                column_types=dict.fromkeys(places, pa.dictionary(pa.int32(), pa.string())),
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid as error:
        raise WorkloadError(
            f"{file}: its lines can't be told apart",
            str(error)[:SHOWN],
            "Give a log with a job a line; look for a quote that is never closed.",
        ) from None
    if not table.num_rows:
        said = f" ({wrong} lines have another number of columns than the first)" if wrong else ""
        raise WorkloadError(f"{file}: no jobs in it{said}", resolution="Give a log with jobs.")
    return table, wrong


def _text(column: pa.ChunkedArray) -> pa.DictionaryArray:
    whole = column.unify_dictionaries().combine_chunks()
    return pa.array([], column.type) if isinstance(whole, pa.ChunkedArray) else whole
