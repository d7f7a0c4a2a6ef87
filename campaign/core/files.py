"""What folders of big files share: how to tell that a file was touched, and locks that end with
whoever holds them."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def identity(status: os.stat_result) -> dict[str, int]:
    """What changes whenever a file's content does. The change time can't be set back by a program,
    unlike the other."""
    return {
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "ctime_ns": status.st_ctime_ns,
        "inode": status.st_ino,
    }


@contextmanager
def lock(path: Path, operation: int = fcntl.LOCK_EX) -> Iterator[int]:
    """Hold the lock file `path` (made if it is missing), waiting for it unless `operation` has
    `fcntl.LOCK_NB`.

    Yields its descriptor. BlockingIOError if it is taken and waiting isn't wanted; the kernel drops
    the lock when the process dies.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, operation)
        yield descriptor
    finally:
        os.close(descriptor)


def in_use(path: Path) -> bool:
    """Whether a living process holds the lock file `path`, shared or not; without the file, none
    does."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
