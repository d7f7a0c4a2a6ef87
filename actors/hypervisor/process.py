"""Processes that can't be mistaken for one another: a pid is reused, a pid with a start time isn't.

What psutil gives is taken from there. Two things are ours. psutil's start time is a date, which
moves when the clock of the machine is set, so a lease would lose its owner by that; `start_ticks`
counts from the boot. And psutil signals a pid after it has looked at it, so the process may be
another one by then; `end` holds the process by a handle of the kernel's (a pidfd).
"""

import os
import select
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

_FIELDS_BEFORE_START_TIME = 19  # of /proc/PID/stat, counted after the command name


def boot_id() -> str:
    """Return the kernel's random name for this boot of this machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def start_ticks(pid: int) -> int | None:
    """Return when the process started, in clock ticks since the boot.

    None if there is no such process, or only its zombie.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command name stands in parentheses and may itself hold spaces and parentheses.
    fields = stat[stat.rindex(")") + 1 :].split()
    # Z is a zombie, X a process that is just vanishing.
    return None if fields[0] in "ZX" else int(fields[_FIELDS_BEFORE_START_TIME])


def arguments(pid: int) -> tuple[str, ...]:
    """Return the process's command line.

    It is empty if there is no such process, if we may not see it, or for a kernel thread.
    """
    try:
        return tuple(psutil.Process(pid).cmdline())
    except psutil.Error:
        return ()


def end(
    pid: int,
    is_it: Callable[[int], bool],
    signals: Sequence[signal.Signals],
    *,
    timeout_s: float,
) -> bool:
    """Send a process one signal after the other until it is gone; return True if it is.

    After each signal the process has `timeout_s` to end. `is_it` is asked once more when the
    process is held and can't come to mean another one; if it says no, nothing is sent.
    """
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return not is_it(pid) or any(_signal_and_wait(handle, one, timeout_s) for one in signals)
    finally:
        os.close(handle)


def _signal_and_wait(handle: int, number: signal.Signals, timeout_s: float) -> bool:
    try:
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return True
    # A pidfd becomes readable when its process has ended.
    return bool(select.select([handle], [], [], timeout_s)[0])
