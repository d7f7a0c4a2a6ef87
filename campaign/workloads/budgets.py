"""What a trace may cost to read: stated limits on files, lines, unpacked sizes and JSON values.

A file of a megabyte can unpack to gigabytes, and a line without an end can fill any memory. Each
limit is far above what real traces have, and each error names the limit that was met.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from campaign.core.errors import WorkloadError

MB = 1_000_000
KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
)


@dataclass(frozen=True)
class Budget:
    """The limits on one trace: sizes in bytes, after unpacking where it is packed.

    `ratio` is how many times its packed size an archive may unpack to, once it has given
    `ratio_from` bytes: short archives of equal lines are packed very well. `header_lines` are those
    that begin with `;` in SWF. `json_size` and `json_values` (commas and opening brackets) are for
    formats that must be in memory as a whole.
    """

    size: int = 1000 * MB
    line: int = MB
    ratio: int = 200
    ratio_from: int = 50 * MB
    header_lines: int = 100_000
    json_size: int = 128 * MB
    json_values: int = 5_000_000


BUDGET = Budget()


def open_plain(file: Path) -> BinaryIO:
    """Open a regular file to read its bytes.

    Raises WorkloadError, which names what the file is, for anything else: a FIFO or a device may
    never end. Raises OSError where the file can't be opened.
    """
    # Without O_NONBLOCK, opening a FIFO waits for whoever writes to it.
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        what = next((words for is_kind, words in KINDS if is_kind(mode)), "no regular file")
        raise WorkloadError(
            f"{file} is {what}, not a trace",
            resolution="Set workload.path to a regular file; write what a pipe gives to one first.",
        )
    return os.fdopen(descriptor, "rb")


class Unpacked:
    """The bytes of a trace as they are unpacked, counted against its budget.

    `packed` is the file below the archive, None for a file that is not packed.
    """

    def __init__(
        self, stream: BinaryIO, file: Path, budget: Budget, *, packed: BinaryIO | None = None
    ) -> None:
        self._stream = stream
        self._file = file
        self._budget = budget
        self._packed = packed
        self._given = 0

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, all that are left for -1.

        Raises WorkloadError when the trace has more bytes than it may have.
        """
        if size >= 0:
            return self._counted(self._stream.read(size))
        parts = []
        while part := self._counted(self._stream.read(MB)):
            parts.append(part)
        return b"".join(parts)

    def _counted(self, part: bytes) -> bytes:
        self._given += len(part)
        budget = self._budget
        if self._given > budget.size:
            raise too_large(self._file, f"{budget.size / MB:g} MB")
        if self._packed is not None and self._given > budget.ratio_from:
            packed = self._packed.tell()
            if self._given > budget.ratio * packed:
                raise WorkloadError(
                    f"{self._file}: it unpacks to more than {budget.ratio} times its size",
                    resolution="Unpack it yourself (zcat) if it is a trace after all.",
                )
        return part


def unpacked(
    stream: BinaryIO, file: Path, budget: Budget, *, packed: BinaryIO | None = None
) -> BinaryIO:
    """Return `stream` with its bytes counted against the budget; see `Unpacked`."""
    return cast(BinaryIO, Unpacked(stream, file, budget, packed=packed))


def too_large(file: Path, limit: str) -> WorkloadError:
    """Return the error for a trace that has more than `limit`, in words with a unit."""
    return WorkloadError(
        f"{file}: more than {limit}", resolution="Cut the trace into parts (head, split)."
    )


def check_lines(block: bytes, file: Path, lines_before: int, budget: Budget) -> None:
    """Raise WorkloadError, naming its number, for a line of `block` that is too long.

    `lines_before` lines of the file stand before the block.
    """
    begin = 0
    while len(block) - begin > budget.line:
        end = block.rfind(b"\n", begin, begin + budget.line + 1)
        if end < 0:
            number = lines_before + block.count(b"\n", 0, begin) + 1
            raise WorkloadError(
                f"{file}, line {number}: longer than {budget.line:,} bytes",
                resolution="Give a trace with a job a line.",
            )
        begin = end + 1


def check_json(content: bytes, file: Path, budget: Budget) -> None:
    """Raise WorkloadError where JSON is too large to be loaded: by its size, or by its values."""
    if len(content) > budget.json_size:
        raise too_large(file, f"{budget.json_size / MB:g} MB of JSON")
    if sum(map(content.count, (b",", b"[", b"{"))) > budget.json_values:
        raise too_large(file, f"{budget.json_values:,} values of JSON")
