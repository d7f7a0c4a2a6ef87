"""Which process is which: a pid alone is reused, so a process is a pid and the moment it started,
within one boot."""

import os
import select
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

_FIELDS_BEFORE_START_TIME = 19  # of /proc/PID/stat, counted after the command name


def boot_id() -> str:
    """The kernel's random name for this boot of this machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None if there is no such process, or
    only its zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command name stands in parentheses and may itself hold spaces and parentheses.
    fields = stat[stat.rindex(")") + 1 :].split()
    return None if fields[0] in "ZX" else int(fields[_FIELDS_BEFORE_START_TIME])


def arguments(pid: int) -> tuple[str, ...]:
    """The process's command line; empty if there is no such process or it is a kernel thread."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return ()
    return tuple(part.decode(errors="replace") for part in raw.split(b"\0")[:-1])


def pids() -> list[int]:
    """All processes of this machine that we see."""
    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]


def end(
    pid: int, is_it: Callable[[int], bool], signals: Sequence[signal.Signals], *, seconds: float
) -> bool:
    """Send a process one signal after the other until it is gone, waiting for `seconds` after each;
    whether it is.

    It is held by a handle that can't come to mean another process; with `is_it` it is looked at
    once more by then.
    """
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return not is_it(pid) or any(_signal_and_wait(handle, one, seconds) for one in signals)
    finally:
        os.close(handle)


def _signal_and_wait(handle: int, number: signal.Signals, seconds: float) -> bool:
    try:
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return True
    return bool(select.select([handle], [], [], seconds)[0])
