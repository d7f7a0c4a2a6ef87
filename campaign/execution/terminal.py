"""Shows the log to whoever started a command: live, as plain lines, as JSON lines, or bare."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TextIO

from campaign.core import log
from campaign.core.ecs import EcsFormatter
from campaign.core.printable import printable

Style = Literal["auto", "plain", "json", "ecs", "bare"]


@contextmanager
def show(
    style: Style = "auto", *, verbose: bool = False, stream: TextIO | None = None
) -> Iterator[None]:
    """Show our records on `stream` (default: standard error) while inside.

    They are those of INFO and above, with `verbose` those of DEBUG too. The `style` is one of:
    `plain`, a line for each record after the seconds since the beginning; `bare`, its message
    alone; `json` and `ecs`, an object on a line for each; `auto`, live on a terminal and plain
    elsewhere. Text leaves out the records that are `silent`: they are for programs.
    """
    handler = _handler(style, stream or sys.stderr, verbose=verbose)
    log.install(handler, level=logging.DEBUG if verbose else logging.INFO)
    try:
        yield
    finally:
        log.remove(handler)
        handler.close()


def _handler(style: Style, stream: TextIO, *, verbose: bool) -> logging.Handler:
    if style == "auto" and stream.isatty():
        from campaign.execution.live import LiveHandler

        live = LiveHandler(stream)
        live.setFormatter(_TextFormatter())
        return _for_people(live, verbose=verbose)
    handler = _LineHandler(stream)
    if style in ("json", "ecs"):
        handler.setFormatter(log.JsonFormatter() if style == "json" else EcsFormatter())
        return handler
    handler.setFormatter(_TextFormatter() if style == "bare" else _TimedFormatter())
    return _for_people(handler, verbose=verbose)


def _for_people(handler: logging.Handler, *, verbose: bool) -> logging.Handler:
    """Have a handler leave out the events that are for programs."""
    if not verbose:
        handler.addFilter(lambda record: not getattr(record, "silent", False))
    return handler


class _LineHandler(logging.StreamHandler[TextIO]):
    """Writes each record to the stream at once."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Raise a reader's hanging up to the command, which ends by it; forgive anything else."""
        error = sys.exception()
        if isinstance(error, BrokenPipeError):
            raise error


class _TextFormatter(logging.Formatter):
    """The message; for details, with what they are about and what failed.

    What a record says may come from guests, traces and schedulers: it is made printable here.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's text, of several lines if its message has several."""
        return printable(self._text(record))

    def _text(self, record: logging.LogRecord) -> str:
        if record.levelno >= logging.INFO:
            return record.getMessage()
        about = [f"{name}={getattr(record, name)}" for name in log.FIELDS if hasattr(record, name)]
        return f"{record.name}: {super().format(record)}" + (
            f" ({', '.join(about)})" if about else ""
        )


class _TimedFormatter(_TextFormatter):
    """The text after the seconds since this formatter was made."""

    def __init__(self) -> None:
        super().__init__()
        self._began = time.monotonic()

    def format(self, record: logging.LogRecord) -> str:
        """Return the text after its time in brackets."""
        return f"[{time.monotonic() - self._began:7.1f} s] {super().format(record)}"
