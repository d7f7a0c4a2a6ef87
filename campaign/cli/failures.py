"""How a command ends: errors and signals become a message and an exit status."""

import contextlib
import functools
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from types import FrameType, TracebackType
from typing import NoReturn, TextIO

from campaign.core import optional
from campaign.core.errors import CampaignError, UsageError
from campaign.core.exits import USER_ERROR
from campaign.core.printable import printable

Main = Callable[[Sequence[str] | None], int]

_ENDING = "ending what runs; the same command again goes on with what is left"
LAST_GRACE_S = 2.0
"""So long a command may take to end after a second Ctrl-C."""
SHOW_CURSOR = b"\x1b[?25h"
_log = logging.getLogger(__name__)


def guarded(main: Main) -> Callable[..., int]:
    """Turn errors and signals that end a command into its message and exit status."""

    @functools.wraps(main)
    def run(arguments: Sequence[str] | None = None) -> int:
        _open_standard_streams()
        sys.excepthook = _show_bug
        return _flushed(_status_of(main, arguments))

    return run


def _status_of(main: Main, arguments: Sequence[str] | None) -> int:
    told_to_end: list[int] = []
    with _told_once(told_to_end):
        try:
            return main(arguments)
        except (CampaignError, ModuleNotFoundError) as error:
            explanation = error if isinstance(error, CampaignError) else optional.explained(error)
            if explanation is None:
                raise
            print(message(explanation), file=sys.stderr)
            return USER_ERROR
        except SystemExit:
            if not told_to_end:
                raise
            return 128 + told_to_end[-1]  # Ray puts a status of its own in the place of ours
        except KeyboardInterrupt:
            if not told_to_end:  # a library's own handler was there
                print(f"interrupted: {_ENDING}", file=sys.stderr)
            return 128 + signal.SIGINT
        except Exception as error:
            status = _expected(error, told_to_end)
            if status is None:
                raise
            return status


def _expected(error: Exception, told_to_end: Sequence[int]) -> int | None:
    """Return the exit status after an error that is no bug of ours; None if it is one."""
    if isinstance(error, BrokenPipeError):
        return 128 + signal.SIGPIPE
    # A library that was struck in mid-work may turn the signal into an error of its own, as
    # OmegaConf does.
    if told_to_end:
        _log.debug("an error after a signal", exc_info=True)
        return 128 + told_to_end[-1]
    if explanation := _of_surroundings(error):
        print(message(explanation), file=sys.stderr)
        return USER_ERROR
    return None


def _of_surroundings(error: Exception) -> CampaignError | None:
    """Return in our words an error whose cause is where and how the command was given.

    None where it has another cause.
    """
    if isinstance(error, FileNotFoundError) and not _stands_somewhere():
        return UsageError(
            "the working directory was removed",
            resolution="Change to another folder, and give the command again.",
        )
    if isinstance(error, OSError) and _flush_error(sys.stdout):
        return _unwritable(error)
    return None


def _stands_somewhere() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True


def _flushed(status: int) -> int:
    """Flush the standard streams, and return the exit status: `status`, or that of a failure.

    What a stream doesn't take is dropped: the interpreter would try it again, and show a traceback.
    """
    error = _flush_error(sys.stdout)
    if isinstance(error, BrokenPipeError):
        status = status or 128 + signal.SIGPIPE
    elif error and status == 0:
        print(message(_unwritable(error)), file=sys.stderr)
        status = USER_ERROR
    for stream in (sys.stdout, sys.stderr):
        if _flush_error(stream):
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())
    return status


def _flush_error(stream: TextIO) -> OSError | None:
    try:
        stream.flush()
    except OSError as error:
        return error
    return None


def _unwritable(error: OSError) -> UsageError:
    return UsageError(
        f"standard output can't be written: {error.strerror}",
        resolution="Give it another place. Files of results are on the disk: `hpc-campaign list`.",
    )


@contextlib.contextmanager
def _told_once(told_to_end: list[int]) -> Iterator[None]:
    """Answer each signal that ends a command at once, and note it, while inside.

    A signal that is ignored stays so: whoever started us by nohup, or in the background of a
    script, wants it to be.
    """

    def end(number: int, _frame: FrameType | None) -> NoReturn:
        told_to_end.append(number)
        if number == signal.SIGINT:
            # The next one interrupts what we do to end in good order.
            signal.signal(signal.SIGINT, end_at_once)
            print(f"\ninterrupted: {_ENDING}; a second Ctrl-C ends at once", file=sys.stderr)
            raise KeyboardInterrupt
        print(f"terminated: {_ENDING}", file=sys.stderr)
        raise SystemExit(128 + number)

    def end_at_once(number: int, frame: FrameType | None) -> NoReturn:
        print("\ninterrupted again: ending at once; the next start cleans up", file=sys.stderr)
        # Whatever a library still waits for: a killed driver harms nothing.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        last.start()
        signal.default_int_handler(number, frame)

    last = threading.Timer(LAST_GRACE_S, _end_now)
    last.daemon = True
    before = signal.getsignal(signal.SIGINT)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)
    try:
        yield
    finally:
        last.cancel()
        signal.signal(signal.SIGINT, before)


def _end_now() -> NoReturn:
    if sys.stderr.isatty():
        os.write(2, SHOW_CURSOR)
    os._exit(128 + signal.SIGINT)


def _open_standard_streams() -> None:
    """Give the standard streams that are closed (`>&-`) a place where what is written is dropped.

    Without that, the next file that is opened would get a closed stream's number, and what others
    print would go into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, so this one
    # They live as long as the process.
    sys.stdin = sys.stdin or open(0, closefd=False, encoding="utf-8")  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", closefd=False, encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False, encoding="utf-8")  # noqa: SIM115
    # A locale such as C takes few characters; what it doesn't take stands there as its escape.
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def _show_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    # An error that isn't one of ours may quote foreign text as well.
    print(printable("".join(traceback.format_exception(kind, error, trace))), file=sys.stderr)


def message(error: CampaignError) -> str:
    """Return an error as text in three parts: what, evidence, how to fix it."""
    parts = [f"error: {error.brief}"]
    if error.details:
        parts.append("\n".join(f"  | {line}" for line in error.details.splitlines()))
    if error.resolution:
        parts.append(error.resolution)
    return printable("\n".join(parts))
