"""Small files that unpack, nest or go on without end: each is refused within time and memory."""

import gzip
import random
from collections.abc import Callable, Iterator
from pathlib import Path

from campaign.core.errors import WorkloadError
from campaign.workloads.batsim import read_batsim
from campaign.workloads.swf import read_swf

MB = 1_000_000
LINE = b"1 0 5 10 2 -1 -1 2 60 -1 1 3 1 -1 1 1 -1 -1\n"
PACKED = 1500
"""How often a packed megabyte is repeated: archives may have many parts."""
UNITS = {
    "numbers without an end": b"1 " * (MB // 2),
    "one digit": b"9" * MB,
    "spaces": b" " * MB,
    "zeros": b"\0" * MB,
    "comments": b"; x\n" * (MB // 4),
    "empty lines": b"\n" * MB,
    "carriage returns": b"\r" * MB,
    "equal jobs": LINE * (MB // len(LINE)),
    "lists": b"[]," * (MB // 3),
    "keys": b'"a":1,' * (MB // 6),
}
WHOLE = {
    "deep lists": b"[" * 5 * MB,
    "deep objects": b'{"a":' * MB,
    "many lists": b'{"jobs":[' + b"[]," * (3 * MB // 2) + b'[]],"profiles":{}}',
    "many objects": b'{"jobs":[],"profiles":{},"x":[' + b"{}," * MB + b"{}]}",
    "many keys": b"{" + b",".join(b'"%d":1' % number for number in range(2 * MB)) + b"}",
}
READERS: tuple[Callable[[Path], object], ...] = (read_swf, read_batsim)


def _shapes(folder: Path) -> Iterator[Path]:
    """Yield the files; the first 20 are units plain and packed."""
    file = folder / "bomb"
    for unit in UNITS.values():
        file.write_bytes(unit * 20)
        yield file
        file.write_bytes(gzip.compress(unit, 9) * PACKED)
        yield file
    for whole in WHOLE.values():
        file.write_bytes(whole)
        yield file


def prepared(folder: Path) -> Callable[[random.Random, int], bool]:
    """Return the case of this family: the bomb of that number, read in both formats."""
    shapes = _shapes(folder)
    found = {0: next(shapes)}
    place = 0

    def case(_draw: random.Random, number: int) -> bool:
        nonlocal place
        while place < number:
            found[0] = next(shapes)
            place += 1
        return any(_read(reader, found[0]) for reader in READERS)

    return case


def _read(reader: Callable[[Path], object], file: Path) -> bool:
    try:
        reader(file)
    except WorkloadError as error:
        assert str(error) and len(str(error)) < 1000
        return False
    return True
