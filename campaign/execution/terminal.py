"""Shows the log to whoever started a command: live, as plain lines, as JSON lines, or bare."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TextIO

from campaign.core import log
from campaign.core.printable import printable

Style = Literal["auto", "plain", "json", "bare"]
PHASE = "phase"
"""The event of a record that says what a trial does now: the next one takes its place."""


@contextmanager
def show(
    style: Style = "auto", *, verbose: bool = False, stream: TextIO | None = None
) -> Iterator[None]:
    """Show our records on `stream` (default: standard error) while inside.

    They are those of INFO and above, with `verbose` those of DEBUG too. The `style` is one of:
    `plain`, a line for each record after the seconds since the beginning; `bare`, its message
    alone; `json`, an object on a line for each; `auto`, live on a terminal and plain elsewhere.
    """
    handler = _handler(style, stream or sys.stderr)
    log.install(handler, level=logging.DEBUG if verbose else logging.INFO)
    try:
        yield
    finally:
        log.remove(handler)
        handler.close()


def _handler(style: Style, stream: TextIO) -> logging.Handler:
    if style == "auto" and stream.isatty():
        return _LiveHandler(stream)
    handler = _LineHandler(stream)
    if style == "json":
        handler.setFormatter(log.JsonFormatter())
    else:
        handler.setFormatter(_TextFormatter() if style == "bare" else _TimedFormatter())
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


class _LiveHandler(logging.Handler):
    """A terminal on which phases replace one another in a status line; the rest scrolls above."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        from rich.console import Console
        from rich.status import Status as Spinner

        self._console = Console(file=stream, highlight=False)
        self._spinner = Spinner("starting", console=self._console)
        self._began = time.monotonic()
        self.setFormatter(_TextFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        """Show the record, its text as it is: brackets in it are no markup."""
        from rich.markup import escape

        text = escape(self.format(record))
        if getattr(record, "event", "") == PHASE:
            self._spinner.update(text)
            self._spinner.start()
            return
        self._spinner.stop()
        self._console.print(f"[dim]{time.monotonic() - self._began:7.1f} s[/] {text}")

    def close(self) -> None:
        """Give the terminal its cursor back, also after a run that ended in mid-phase."""
        self._spinner.stop()
        super().close()
