"""Reads and writes traces in the Standard Workload Format 2.2, the way real files are written.

Eighteen numbers a line with white space between, -1 for what is unknown, `;` before header lines.
What real files get wrong is repaired and counted in the workload's notes, or refused when the
campaign is strict. A line without a number where one is needed is an error either way; users,
groups, applications, queues and partitions may have names. Format: Feitelson, "The Standard
Workload Format", Parallel Workloads Archive.
"""

import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv

from campaign.core.errors import WorkloadError
from campaign.core.files import write_atomically
from campaign.core.jobs import HEADER, Workload
from campaign.workloads import swf_records, swf_traits
from campaign.workloads.budgets import BUDGET, Budget, check_lines, too_large
from campaign.workloads.columns import WIDEST, Columns
from campaign.workloads.swf_records import NUMBER, USER, Words, jobs_among
from campaign.workloads.traces import NO_VALUE, counted, opened, workload_of

FIELDS = 18
# Columns that are read, by their place in a line.
JOB = 0
SUBMIT = 1
RUN = 3
ALLOCATED = 4
REQUESTED_WIDTH = 7
REQUESTED_TIME = 8
OTHERS = {
    swf_traits.WAIT_FIELD: swf_traits.WAIT,
    swf_traits.MEMORY_FIELD: swf_traits.MEMORY,
    swf_traits.STATUS_FIELD: swf_records.STATUS,
    **swf_traits.NAMED,
    swf_traits.PRECEDING_FIELD: swf_records.PRECEDING,
    swf_traits.THINK_FIELD: swf_traits.THINK,
}
"""The names of columns that become traits, by their place."""
READ = (JOB, SUBMIT, RUN, ALLOCATED, REQUESTED_WIDTH, REQUESTED_TIME, USER, *OTHERS)
BLOCK = 1 << 23  # bytes of a trace that are looked at together
EXCERPT = 120  # characters of a broken line that a message shows
KEPT = (
    "Computer",
    "Installation",
    "Information",
    "Acknowledge",
    "Conversion",
    "TimeZoneString",
    "Note",
)
"""Header lines that become notes; those on times and sizes are only true of the whole file."""
# repairs
EXTRA = "extra fields ignored"
PARTIAL = "partial last lines dropped"
NAMES = "lines with names where the format has numbers"
LONGEST_VALUE = 1000  # characters of a header line that are kept
CUT = re.compile(rb"[-+.\deE]+")  # what the beginning of a number looks like
COMMENT = re.compile(rb"^[ \t\v\f]*;.*\n", re.MULTILINE)
LABELLED = re.compile(r";+\s*(\w+)\s*:\s*(.*)")
BEYOND = re.compile(rb"^((?:[^ \n]+ ){17}[^ \n]+) [^\n]*$", re.MULTILINE)
BOM = b"\xef\xbb\xbf"
SPACES = bytes.maketrans(b"\t\v\f", b"   ")
Rows = NDArray[np.float64]


def read_swf(file: Path, *, strict: bool = False, budget: Budget = BUDGET) -> Workload:
    """Return the usable jobs of a trace (plain or gzip) in the order of arrival.

    The first arrives at 0; times are seconds, widths slots. `machine_slots` is the header's
    MaxProcs, else its MaxNodes, else the widest job. Widths are what was requested, else what was
    allocated; a job that requested no time (-1 or 0) has its run time; user 0 is unknown. Partial
    executions and jobs that were withdrawn while they waited are no jobs. The notes hold what the
    header says of the machine, and a count per kind of repair and of lines left out. Raises
    WorkloadError, naming file, line and text, for what can't be read or is beyond the budget; for a
    trace without a usable job; and in strict mode for one that needs repairs.
    """
    with opened(file, budget) as stream:
        return parse_swf(stream, file=file, strict=strict, budget=budget)


def parse_swf(
    stream: BinaryIO, *, file: Path, strict: bool = False, budget: Budget = BUDGET
) -> Workload:
    """Do as `read_swf` does, from a stream of bytes; `file` is its name in messages."""
    found = _Blocks(file, budget)
    for block in _blocks(stream, budget):
        found.add(block)
    left_out: dict[str, int] = {}
    jobs = jobs_among(found.jobs(), left_out)
    traits = swf_traits.traits_among(jobs, found.words)
    header = found.header
    machine = next(
        (slots for label in ("MaxProcs", "MaxNodes") if (slots := _slots(header.get(label, "")))),
        None,
    )
    notes = {f"{HEADER}{label}": header[label] for label in KEPT if label in header}
    notes |= found.words.notes() | counted(left_out)
    began = re.match(r"[1-9][0-9]{0,11}\b", header.get("UnixStartTime", ""))
    return workload_of(
        jobs,
        found.repairs,
        file=file,
        strict=strict,
        machine=machine,
        began=int(began[0]) if began else None,
        notes=notes,
        traits=traits,
    )


@dataclass
class _Blocks:
    """The blocks of a trace that were read so far."""

    file: Path
    budget: Budget
    lines: int = 0
    header_lines: int = 0
    rows: list[Rows] = field(default_factory=list)
    header: dict[str, str] = field(default_factory=dict)
    words: Words = field(default_factory=Words)
    repairs: dict[str, int] = field(default_factory=lambda: {EXTRA: 0, PARTIAL: 0})

    def add(self, block: bytes) -> None:
        """Take in the next block, which ends with the end of a line unless it is the last."""
        if b"\0" in block:
            raise WorkloadError(
                f"{self.file} is not a text file",
                resolution="Unpack it first, if it is an archive.",
            )
        text = block
        check_lines(text, self.file, self.lines, self.budget)
        if not text.endswith(b"\n"):
            text = self._whole(text) + b"\n"
        if b";" in text:
            self._read_header(text)
        numbers, more = _numbers(COMMENT.sub(b"", text) if b";" in text else text)
        if numbers is None:
            numbers, more = _exactly(text, self.lines, self.file, self.words)
        self.lines += text.count(b"\n")
        self.repairs[EXTRA] += more
        self.rows.append(np.ascontiguousarray(numbers[:, READ]))

    def jobs(self) -> Columns:
        """Return the numbers of all jobs, under the names of a workload's columns."""
        rows = np.concatenate(self.rows) if self.rows else np.empty((0, len(READ)))
        if not len(rows):
            raise WorkloadError(
                f"{self.file}: no jobs in it",
                resolution="Give a trace in the Standard Workload Format.",
            )
        self.repairs[NAMES] = self.words.lines
        of = {place: rows[:, column] for column, place in enumerate(READ)}
        return {
            "job_id": of[JOB],
            "arrival_s": of[SUBMIT],
            "width": np.where(of[REQUESTED_WIDTH] > 0, of[REQUESTED_WIDTH], of[ALLOCATED]),
            "runtime_s": of[RUN],
            "requested_s": of[REQUESTED_TIME],
            "user": self.words.numbered(of[USER]),
        } | {name: of[place] for place, name in OTHERS.items()}

    def _whole(self, text: bytes) -> bytes:
        """Return the last block without its last line if that was only begun to be written.

        Such a line has no end and too few numbers.
        """
        before, end, last = text.rpartition(b"\n")
        fields = last.split()
        numbers = all(map(NUMBER.fullmatch, fields[:-1])) and all(map(CUT.fullmatch, fields[-1:]))
        broken_off = numbers and 0 < len(fields) < FIELDS
        if not broken_off or not (
            any(map(len, self.rows)) or COMMENT.sub(b"", before + end).strip()
        ):
            return text
        self.repairs[PARTIAL] = 1
        return before

    def _read_header(self, text: bytes) -> None:
        for comment in COMMENT.finditer(text):
            self.header_lines += 1
            if self.header_lines > self.budget.header_lines:
                raise too_large(self.file, f"{self.budget.header_lines:,} lines that begin with ;")
            line = comment[0].decode("utf-8", errors="replace").strip()
            match = LABELLED.fullmatch(line)
            if match and match[2]:
                label = match[1]
                value = _printable(match[2])
                swf_traits.read_naming(label, value, self.words)
                before = (
                    f"{self.header[label]} | " if label == "Note" and label in self.header else ""
                )
                if before or label not in self.header:
                    self.header[label] = f"{before}{value}"[:LONGEST_VALUE]


def _blocks(stream: BinaryIO, budget: Budget) -> Iterator[bytes]:
    """Yield the stream in blocks of whole lines; the last line may lack its end.

    Lines end with a line feed, whatever they ended with in the file. A line that is far too long is
    not gathered, but yielded in parts: the first is refused.
    """
    rest: list[bytes] = []
    size = 0
    for block in _plain_ends(stream):
        whole, end, last = block.rpartition(b"\n")
        if end:
            yield b"".join([*rest, whole, end])
            rest = []
            size = 0
        rest.append(last)
        size += len(last)
        if size > budget.line:
            yield b"".join(rest)
            rest = []
    if any(rest):
        yield b"".join(rest)


def _plain_ends(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the stream in blocks without the mark before the first, and with plain ends of lines.

    Both ends of a CR LF are in one block.
    """
    block = stream.read(BLOCK).removeprefix(BOM)
    while block:
        following = stream.read(BLOCK)
        if block.endswith(b"\r") and following.startswith(b"\n"):
            block += b"\n"
            following = following[1:] or stream.read(BLOCK)
        yield block.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in block else block
        block = following


def _numbers(text: bytes) -> tuple[Rows | None, int]:
    """Return the numbers of all lines, FIELDS a row, and how many lines had more.

    None if any line isn't as it should be.
    """
    text = text.translate(SPACES)
    while b"  " in text:
        text = text.replace(b"  ", b" ")
    text = text.replace(b"\n ", b"\n").replace(b" \n", b"\n").strip()
    if not text:
        return np.empty((0, FIELDS)), 0
    more = 0
    if text.count(b" ") > (FIELDS - 1) * (text.count(b"\n") + 1):
        text, more = BEYOND.subn(rb"\1", text)
    names = [str(place) for place in range(FIELDS)]
    try:
        table = csv.read_csv(
            pa.BufferReader(text),
            csv.ReadOptions(use_threads=False, column_names=names),
            csv.ParseOptions(delimiter=" ", quote_char=False),
            csv.ConvertOptions(column_types=dict.fromkeys(names, pa.float64()), null_values=[]),
        )
    except pa.ArrowInvalid:
        return None, 0
    rows = np.column_stack([table.column(name).to_numpy() for name in names])
    return (rows, more) if np.isfinite(rows).all() else (None, 0)


def _exactly(text: bytes, lines_before: int, file: Path, words: Words) -> tuple[Rows, int]:
    """Do as `_numbers` does, slowly and line by line; names may stand where nobody needs a number.

    Raises WorkloadError for a line that has something else than numbers in other places.
    """
    rows = []
    more = 0
    for number, line in enumerate(text.split(b"\n"), start=lines_before + 1):
        fields = line.split()
        if not fields or fields[0].startswith(b";"):
            continue
        row = [float(each) for each in fields[:FIELDS] if NUMBER.fullmatch(each)]
        if len(row) < len(fields[:FIELDS]) and len(fields) >= FIELDS:
            row = words.numbers(fields[:FIELDS])
        if len(row) < FIELDS or not np.isfinite(row).all():
            raise _broken(file, number, line.decode("utf-8", errors="replace"))
        rows.append(row)
        more += len(fields) > FIELDS
    return np.array(rows).reshape(-1, FIELDS), more


def _broken(file: Path, number: int, line: str) -> WorkloadError:
    text = line.strip()
    shown = text if len(text) <= EXCERPT else text[:EXCERPT] + "..."
    return WorkloadError(
        f"{file}, line {number}: not {FIELDS} numbers: {shown!r}",
        resolution="Correct or remove the line (the Standard Workload Format is 18 numbers a line, "
        "-1 for unknown).",
    )


def _slots(value: str) -> int | None:
    """Return the number that a header line begins with, if a machine can have so many slots."""
    match = re.match(r"[0-9]{1,10}\b", value)
    return int(match[0]) if match and 1 <= int(match[0]) <= WIDEST else None


def write_swf(workload: Workload, file: Path) -> None:
    """Write a workload as a trace, in place of what was there; reading it gives equal jobs.

    It is packed if the name ends in .gz. Times are seconds with as many decimals as they need; user
    0 and all that a workload doesn't know is -1, requested times that were guessed included. The
    notes become the header. The file appears whole or not at all. Raises WorkloadError if it can't
    be written.
    """
    content = "\n".join([*_header(workload), *_lines(workload), ""]).encode()
    try:
        write_atomically(file, gzip.compress(content, mtime=0) if file.suffix == ".gz" else content)
    except OSError as error:
        raise WorkloadError(
            f"{file}: {error.strerror}",
            resolution="Name a file that can be written, in a folder that exists.",
        ) from error


def _header(workload: Workload) -> Iterator[str]:
    jobs = len(workload)
    slots = workload.machine_slots or pc.max(workload.table.column("width")).as_py()
    yield from (
        "; Version: 2.2",
        f"; MaxJobs: {jobs}",
        f"; MaxRecords: {jobs}",
        f"; MaxProcs: {slots}",
        *map(_printable, swf_traits.naming_lines(workload)),
    )
    for name, text in ({"workload": workload.name} | workload.notes).items():
        label = f"{name.removeprefix(HEADER)}: " if name.startswith(HEADER) else f"Note: {name}: "
        yield _printable(f"; {label}{text}")


def _printable(text: str) -> str:
    """Return one line of the text, without what terminals obey and files can't hold."""
    return "".join(each if each.isprintable() else " " for each in text)


def _lines(workload: Workload) -> list[str]:
    """Return a line per job."""
    table = workload.table
    fields: list[pa.Array | str] = [str(NO_VALUE)] * FIELDS
    width = table.column("width").combine_chunks().cast(pa.string())
    user = table.column("user").combine_chunks()
    for place, column in (
        (JOB, table.column("job_id").combine_chunks().cast(pa.string())),
        (SUBMIT, _decimals(table.column("arrival_s"))),
        (RUN, _decimals(table.column("runtime_s"))),
        (ALLOCATED, width),
        (REQUESTED_WIDTH, width),
        (REQUESTED_TIME, _requested(workload)),
        (USER, pc.if_else(pc.equal(user, 0), NO_VALUE, user).cast(pa.string())),
    ):
        fields[place] = column
    for place, column in swf_traits.fields_of(workload).items():
        fields[place] = pc.fill_null(_decimals(pa.chunked_array([column])), str(NO_VALUE))
    lines: list[str] = pc.binary_join_element_wise(*fields, " ").to_pylist()
    return lines


def _requested(workload: Workload) -> pa.Array:
    """Return the requested times as text, those unknown that the source didn't know."""
    text = _decimals(workload.table.column("requested_s"))
    return pc.if_else(pa.array(workload.is_guessed), str(NO_VALUE), text)


def _decimals(times: pa.ChunkedArray) -> pa.Array:
    """Return times as exact text without exponents, which not every reader of traces knows."""
    text = times.combine_chunks().cast(pa.string())
    with_exponent = np.flatnonzero(pc.match_substring(text, "e").to_numpy(zero_copy_only=False))
    if not with_exponent.size:
        return text
    written = text.to_numpy(zero_copy_only=False)
    for row in with_exponent:
        written[row] = np.format_float_positional(float(written[row]), trim="-")
    return pa.array(written, pa.string())
