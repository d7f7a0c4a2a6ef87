"""Files: how to tell that one was touched, locks that end with their holder, durable writes."""

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from campaign.core.errors import ConfigError, StorageError

XDG_FOLDERS = {
    "XDG_CACHE_HOME": "~/.cache",
    "XDG_DATA_HOME": "~/.local/share",
    "XDG_STATE_HOME": "~/.local/state",
}
"""A user's base folders by the XDG specification: what each is where the variable isn't set."""
LOCK_POLL_S = 0.01
"""How often a lock that is taken is tried again."""
GO_ON = "start the same command again: it goes on with what is left."
"""How a campaign is continued once its disk takes results again."""
DRAFT_KEPT_S = 24 * 3600.0
"""A draft that is older has no writer any more: whatever is written takes seconds.

It counts where the file system knows no locks, by which writers are known otherwise.
"""
_DRAFT = re.compile(r"\..+\.\d+-[0-9a-f]{8}")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def user_path(text: str) -> Path:
    """Return the path that `text` names; ConfigError if no path can be meant.

    That is so where it begins with a user that there isn't, or holds a NUL character. A `~` in
    front is expanded, and so is `$` with a name of XDG_FOLDERS. As the XDG specification wants it,
    a variable that holds no absolute path counts as not set. Every path of an option, and of a
    setting, goes through this function.
    """
    if "\0" in text:
        raise ConfigError(
            f"{text!r} is no path: it holds a NUL character", resolution="Write another path."
        )
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
    """Return True if a living process holds the lock file `path`, shared or exclusive.

    Of a file that this user may not read, nobody can tell: it counts as free.
    """
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (FileNotFoundError, PermissionError):
        return False
    return False


def sweep_drafts(folder: Path) -> list[Path]:
    """Remove drafts that killed writers left in `folder` and in its subfolders; return them.

    Only plain files go that no writer holds. What can't be removed stays, without a word.
    """
    removed = []
    for place in (folder, *(path for path in folder.glob("*") if path.is_dir())):
        for path in place.glob(".*"):
            if _DRAFT.fullmatch(path.name):
                with contextlib.suppress(OSError):
                    removed += [path] if _remove_abandoned(path) else []
    return removed


def _remove_abandoned(draft: Path) -> bool:
    """Remove a draft, unless its writer is alive; return whether it is gone."""
    # Open for writing, since NFS locks nothing else; a pipe would wait for its other end.
    descriptor = os.open(draft, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # no locks here
            if time.time() - status.st_mtime < DRAFT_KEPT_S:
                return False
        draft.unlink()
        return True
    finally:
        os.close(descriptor)


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
    draft, descriptor = _held_draft(path, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(descriptor)
            # Before it is closed: then nobody holds it, and it may be swept.
            draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    if durable:
        # The rename is an entry of the folder, which has a cache of its own.
        flush(path.parent)


def _held_draft(path: Path, mode: int) -> tuple[Path, int]:
    """Make a draft for `path`; return it with its descriptor, which holds a lock on it.

    The lock ends with the writer: by that, `sweep_drafts` knows a draft that was abandoned.
    """
    while True:
        # As _DRAFT has it.
        draft = path.parent / f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with contextlib.suppress(OSError):  # no locks here
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return draft, descriptor
        os.close(descriptor)  # swept before it was locked


def write_atomically(
    path: Path, content: bytes | str, *, mode: int = 0o666, durable: bool = True
) -> None:
    """Write `content` (text as UTF-8) to `path`; see `writing_atomically` for what it promises."""
    with writing_atomically(path, mode=mode, durable=durable) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def write_durably(path: Path, content: bytes | str) -> None:
    """Write a file of results, store or tracking: whole, and on the disk when this returns.

    Folders that are missing are made. Raises StorageError, which names `path` and what to do.
    """
    with storage_errors(path):
        make_folder(path.parent)
        write_atomically(path, content)


def make_folder(folder: Path) -> None:
    """Make `folder` and those above it that are missing, on the disk when this returns."""
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for one in made:
        flush(one.parent)


def make_durable(folder: Path) -> None:
    """Flush to the disk all that is below `folder`, and the entry of `folder` in its parent.

    Others may have written the files: their caches are the kernel's, so whoever flushes them is
    all the same. Links are left alone. Raises OSError when the disk fails.
    """
    for inner, _, names in os.walk(folder):
        for name in names:
            path = Path(inner, name)
            if path.is_file() and not path.is_symlink():
                flush(path)
        flush(Path(inner))
    flush(folder.parent)


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading; OSError for anything else.

    To open or to read a pipe or a device may take for ever.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def read_regular(path: Path) -> bytes:
    """Return the content of a regular file; OSError for anything else."""
    with open_regular(path) as file:
        return file.read()


def has_room(folder: Path, reserved_bytes: int) -> bool:
    """Return whether the file system of `folder` has more free bytes than those reserved."""
    there = os.statvfs(folder)
    return there.f_bavail * there.f_frsize > reserved_bytes


def flush(path: Path) -> None:
    """Flush a file's content, or a folder's entries, to the disk; OSError when it fails."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an OSError inside into a StorageError that names `path` and what to do."""
    try:
        yield
    except OSError as error:
        raise storage_error(path, error) from error


def storage_error(path: Path, error: OSError) -> StorageError:
    """Return the error of a disk that doesn't take `path`."""
    if error.errno in _FULL:
        fix = f"Free some disk and {GO_ON}"
    elif error.errno in _FORBIDDEN:
        fix = f"Make {path.parent} writable for this user and {GO_ON}"
    elif error.errno in (errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST):
        fix = f"Move away what stands at {path} and {GO_ON}"
    else:
        fix = f"Look after the disk and {GO_ON}"
    return StorageError(f"{path} can't be written: {error.strerror or error}", resolution=fix)


def cut_torn_line(path: Path) -> None:
    """Remove what follows the last whole line of a file: its writer died while it wrote that."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
