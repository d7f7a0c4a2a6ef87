"""Files: how to tell that one was touched, locks that end with their holder, and atomic writes."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO

from campaign.core.errors import ConfigError

XDG_FOLDERS = {
    "XDG_CACHE_HOME": "~/.cache",
    "XDG_DATA_HOME": "~/.local/share",
    "XDG_STATE_HOME": "~/.local/state",
}
"""A user's base folders by the XDG specification: what each is where the variable isn't set."""
LOCK_POLL_S = 0.01
"""How often a lock that is taken is tried again."""


def user_path(text: str) -> Path:
    """Return the path that `text` names; ConfigError if it begins with a user that there isn't.

    A `~` in front is expanded, and so is `$` with a name of XDG_FOLDERS. As the XDG specification
    wants it, a variable that holds no absolute path counts as not set.
    """
    first, _, rest = text.partition("/")
    if first.removeprefix("$") in XDG_FOLDERS and first.startswith("$"):
        base = os.environ.get(first[1:], "")
        text = f"{base if base.startswith('/') else XDG_FOLDERS[first[1:]]}/{rest}"
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{text}: {error}", resolution="Write the path in full.") from error


def identity(status: os.stat_result) -> dict[str, int]:
    """Return what changes whenever a file's content does.

    The change time can't be set back by a program, unlike the time of modification.
    """
    return {
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "ctime_ns": status.st_ctime_ns,
        "inode": status.st_ino,
    }


def exclusive_lock(path: Path) -> AbstractContextManager[object]:
    """Wait for the lock file `path` (made if it is missing), and hold it while inside.

    The kernel drops the lock when the process dies, however it dies. Threads of one process
    exclude each other as well.
    """
    # Imported here: it takes a tenth of a second, which `--help` needn't pay.
    from filelock import FileLock

    # Without its fallback, which would leave a lock behind that outlives its holder.
    lock_file = FileLock(path, mode=0o600, fallback_to_soft=False)
    return lock_file.acquire(poll_interval=LOCK_POLL_S)


@contextmanager
def lock(path: Path, operation: int = fcntl.LOCK_EX) -> Iterator[int]:
    """Hold the lock file `path` (made if it is missing), and yield its descriptor.

    Waits for it unless `operation` has `fcntl.LOCK_NB`: BlockingIOError then if it is taken. The
    kernel drops the lock when the process dies. Where an exclusive lock is all that is wanted, use
    `exclusive_lock`: this one is for shared locks, of which filelock knows nothing, and for locks
    that turn from exclusive to shared.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, operation)
        yield descriptor
    finally:
        os.close(descriptor)


def in_use(path: Path) -> bool:
    """Return True if a living process holds the lock file `path`, shared or exclusive."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


@contextmanager
def writing_atomically(
    path: Path, *, mode: int = 0o666, durable: bool = True
) -> Iterator[BinaryIO]:
    """Open a draft beside `path` for writing, which takes the place of `path` when the block ends.

    Readers see the old file or the whole new one. `mode` is that of the new file, less the umask.
    A `durable` file is on the disk afterwards, also after a power cut; without that, a power cut
    may lose it. If the block raises, or the disk fails (OSError), `path` stays as it was and no
    draft is left.
    """
    draft = path.parent / f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(descriptor)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    if durable:
        # The rename is an entry of the folder, which has a cache of its own.
        _flush_folder(path.parent)


def write_atomically(
    path: Path, content: bytes | str, *, mode: int = 0o666, durable: bool = True
) -> None:
    """Write `content` (text as UTF-8) to `path`; see `writing_atomically` for what it promises."""
    with writing_atomically(path, mode=mode, durable=durable) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def has_room(folder: Path, reserved_bytes: int) -> bool:
    """Return whether the file system of `folder` has more free bytes than those reserved."""
    there = os.statvfs(folder)
    return there.f_bavail * there.f_frsize > reserved_bytes


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
