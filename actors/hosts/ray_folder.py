"""The folder that holds the files of a Ray session: below a parent that nobody else may enter.

Ray makes its session's folders writable by everybody, so that another user could put a socket of
theirs in the place of one of Ray's. Behind a parent of mode 0700 those modes mean nothing.
"""

import os
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from actors.hypervisor.process import start_ticks
from campaign.core.errors import InfrastructureError

# Sockets are below it, and their paths may have 107 characters only. Ray 2.60 adds up to 66
# ("/session_<date>_<time>_<pid>/sockets/plasma_store", a pid of 7 digits), we add up to 35.
_TEMPORARY = Path("/tmp")  # noqa: S108
_OWNER = "owner"
_SESSION = "r"
_UNOWNED_S = 600
"""How old a folder is when its maker must have died before it wrote its name there."""


def make() -> Path:
    """Make a parent for this process, and return the path in it that Ray is to make its own.

    Raises InfrastructureError if it can't be made, or isn't ours alone.
    """
    try:
        # This makes a new folder of mode 0700, or fails: nobody can have made it before us.
        parent = Path(tempfile.mkdtemp(prefix=_prefix(), dir=_TEMPORARY))
        if not _ours_alone(parent):
            raise InfrastructureError(f"the folder for Ray, {parent}, isn't ours alone")
        (parent / _OWNER).write_text(_name_of(os.getpid()))
    except OSError as error:
        raise InfrastructureError(f"no folder for Ray can be made: {error}") from None
    return parent / _SESSION


def remove_own() -> None:
    """Remove the folders that this process has made."""
    own = _name_of(os.getpid())
    for parent in _parents():
        if _owner(parent) == own:
            shutil.rmtree(parent, ignore_errors=True)


def sweep() -> list[Path]:
    """Remove the files of sessions whose driver is dead, and return their folders.

    Ray ends with its driver, but leaves sockets and logs.
    """
    stale = [parent for parent in _parents() if not _alive(parent)]
    for parent in stale:
        shutil.rmtree(parent, ignore_errors=True)
    return stale


def _prefix() -> str:
    return f"campaign-{os.geteuid()}-"


def _parents() -> list[Path]:
    return sorted(one for one in _TEMPORARY.glob(f"{_prefix()}*") if _ours_alone(one))


def _ours_alone(folder: Path) -> bool:
    """Return True for a folder, not a link, that is ours and that only we can enter."""
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return False
    return (
        stat.S_ISDIR(status.st_mode)
        and status.st_uid == os.geteuid()
        and stat.S_IMODE(status.st_mode) == stat.S_IRWXU
    )


def _name_of(pid: int) -> str:
    # A pid is used again sooner or later; with the moment of its start it is one process.
    return f"{pid} {start_ticks(pid)}"


def _owner(parent: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return (parent / _OWNER).read_text()
    return ""


def _alive(parent: Path) -> bool:
    owner = _owner(parent)
    pid = owner.partition(" ")[0]
    if pid.isdecimal():
        return owner == _name_of(int(pid))
    try:
        return time.time() - parent.lstat().st_mtime < _UNOWNED_S
    except FileNotFoundError:
        return True
