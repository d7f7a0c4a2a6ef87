"""How a command ends: errors and signals become a message and an exit status."""

import contextlib
import functools
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from types import FrameType, TracebackType
from typing import NoReturn

from campaign.core import optional
from campaign.core.errors import CampaignError
from campaign.core.exits import USER_ERROR
from campaign.core.printable import printable

Main = Callable[[Sequence[str] | None], int]

_ENDING = "ending what runs; the same command again goes on with what is left"
_log = logging.getLogger(__name__)


def guarded(main: Main) -> Callable[..., int]:
    """Turn errors and signals that end a command into its message and exit status."""

    @functools.wraps(main)
    def run(arguments: Sequence[str] | None = None) -> int:
        _open_standard_streams()
        sys.excepthook = _show_bug
        told_to_end: list[int] = []
        with _told_once(told_to_end):
            try:
                return main(arguments)
            except (CampaignError, ModuleNotFoundError) as error:
                explanation = (
                    error if isinstance(error, CampaignError) else optional.explained(error)
                )
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
            except BrokenPipeError:
                return 128 + signal.SIGPIPE
            except Exception:
                # A library that was struck in mid-work may turn the signal into an error of its
                # own, as OmegaConf does.
                if not told_to_end:
                    raise
                _log.debug("an error after a signal", exc_info=True)
                return 128 + told_to_end[-1]

    return run


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
            signal.signal(signal.SIGINT, signal.default_int_handler)
            print(f"\ninterrupted: {_ENDING}; a second Ctrl-C ends at once", file=sys.stderr)
            raise KeyboardInterrupt
        print(f"terminated: {_ENDING}", file=sys.stderr)
        raise SystemExit(128 + number)

    before = signal.getsignal(signal.SIGINT)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


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
