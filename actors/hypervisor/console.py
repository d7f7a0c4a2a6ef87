"""A guest's serial console: its last lines, and whether its kernel has failed."""

import re
from pathlib import Path

_TAIL_BYTES = 64 * 1024
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|[\x00-\x08\x0b-\x1f\x7f]")
# Kernels with CONFIG_PRINTK_CALLER also print the thread or CPU, as [T1] or [C0].
_STAMP = r"(?:\[\s*\d+\.\d+\](?:\[\s*[TC]\d+\])?\s*)"
# A line must have a time stamp, so that a program that prints such words isn't taken for the
# kernel.
_FAULT = re.compile(
    rf"^{_STAMP}(?P<what>Kernel panic - not syncing.*|BUG: .*|Oops: .*|kernel BUG at .*|general "
    r"protection fault.*"
    rf"|Unable to mount root fs.*|watchdog: BUG: .*|Internal error: .*)$",
    re.MULTILINE,
)


def console_tail(path: Path, lines: int = 20) -> str:
    """Return the last lines of a console log without terminal control codes.

    The text is empty if the node wrote nothing yet.
    """
    try:
        with path.open("rb") as log:
            size = log.seek(0, 2)
            log.seek(max(0, size - _TAIL_BYTES))
            text = clean(log.read().decode(errors="replace"))
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:]) if lines > 0 else ""


def clean(text: str) -> str:
    """Return the text without carriage returns, colours and cursor movements."""
    return _CONTROL.sub("", text.replace("\r\n", "\n"))


def kernel_fault(text: str) -> str | None:
    """Return the first line that tells of a failed kernel (panic, oops, bug, lockup), if any.

    Such a fault is the platform's, not the scheduler's: the trial is invalid.
    """
    match = _FAULT.search(clean(text))
    return match["what"].strip() if match else None
