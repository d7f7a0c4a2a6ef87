"""Which process is which: a pid alone is reused, so a process is a pid and the moment it started, within one boot."""

from pathlib import Path

_FIELDS_BEFORE_START_TIME = 19  # of /proc/PID/stat, counted after the command name


def boot_id() -> str:
    """The kernel's random name for this boot of this machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None if there is no such process, or only its zombie."""
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
