"""Sparse files: reading their data, a hash that holes don't change, and making holes of zeros."""

import ctypes
import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

BLOCK = 64 * 1024
"""So many zeros become a hole. 4 KiB saved 5 % more of a node's memory, in 13 times the pieces."""
_ZEROS = bytes(BLOCK)
_BUFFER = 4 * 2**20  # bytes
# linux/falloc.h
_KEEP_SIZE = 1
_PUNCH_HOLE = 2

# Python's os.posix_fallocate can't punch holes, so libc's fallocate is called directly.
_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def extents(descriptor: int) -> Iterator[tuple[int, int]]:
    """Yield where the file has data, as (start, end) in bytes, ascending.

    A file system without holes gives one extent.
    """
    end = 0
    size = os.fstat(descriptor).st_size
    while end < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # a hole up to the end
                return
            raise
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, end


def blocks(descriptor: int) -> Iterator[tuple[int, bytes]]:
    """Yield every block of the grid that may hold data, with its offset.

    All are BLOCK bytes long, but the file's last one may be shorter.
    """
    reached = 0
    for start, end in extents(descriptor):
        # Two extents may lie in one block of the grid, which must come only once.
        for offset in range(max(start - start % BLOCK, reached), end, BLOCK):
            yield offset, os.pread(descriptor, BLOCK, offset)
            reached = offset + BLOCK


def digest(descriptor: int) -> str:
    """Return a hash (SHA-256, hexadecimal) of the file's size and its blocks with their offsets.

    Blocks of zeros are left out. Equal content gives an equal hash wherever the file system keeps
    holes, and holes cost no reading.
    """
    total = hashlib.sha256(b"sparse %d %d\n" % (BLOCK, os.fstat(descriptor).st_size))
    for offset, block in blocks(descriptor):
        if not _is_zero(block):
            total.update(offset.to_bytes(8, "big"))
            total.update(block)
    return total.hexdigest()


def copy(descriptor: int, target: Path) -> None:
    """Copy the file to the new file `target`, for its owner alone, with holes for zeros."""
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as copied:
        for offset, block in blocks(descriptor):
            if not _is_zero(block):
                os.pwrite(copied.fileno(), block, offset)
        # A hole at the end is never written, so the size must be set.
        os.ftruncate(copied.fileno(), os.fstat(descriptor).st_size)


def punch(descriptor: int) -> int:
    """Turn the file's blocks of zeros into holes, and return the bytes freed.

    Size and content stay. On a file system that knows no holes, nothing is done; OSError for all
    else that goes wrong.
    """
    freed = 0
    for start, end in _zero_runs(descriptor):
        if _libc.fallocate(descriptor, _PUNCH_HOLE | _KEEP_SIZE, start, end - start):
            code = ctypes.get_errno()
            if code == errno.EOPNOTSUPP:
                return freed
            raise OSError(code, os.strerror(code))
        freed += end - start
    return freed


def read(descriptor: int) -> int:
    """Read the file's data once, in order, and return the number of bytes read."""
    # One buffer for all: the bytes themselves aren't wanted, only that they were read.
    buffer = memoryview(bytearray(_BUFFER))
    total = 0
    for start, end in extents(descriptor):
        offset = start
        while offset < end:
            got = os.preadv(descriptor, [buffer[: end - offset]], offset)
            # The file has become shorter meanwhile.
            if not got:
                return total
            offset = offset + got
            total = total + got
    return total


def _zero_runs(descriptor: int) -> Iterator[tuple[int, int]]:
    """Yield neighbouring blocks of zeros that aren't holes yet, as (start, end)."""
    start = end = 0
    for offset, block in blocks(descriptor):
        if not _is_zero(block):
            continue
        if offset != end:
            if end > start:
                yield start, end
            start = offset
        end = offset + len(block)
    if end > start:
        yield start, end


def _is_zero(block: bytes) -> bool:
    return block == (_ZEROS if len(block) == BLOCK else bytes(len(block)))
