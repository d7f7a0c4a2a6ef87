"""Shows how far downloads are: a bar on a terminal, elsewhere a line now and then."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from campaign.core.log import STILL_EVERY_S

NARROW = 80
"""A terminal of fewer columns has no bar, just the figures."""
_log = logging.getLogger(__name__)


class BarWatch:
    """One bar, for the file that is being downloaded; it goes when the file is there."""

    def __init__(self, console: Console) -> None:
        bar = [BarColumn(bar_width=None)] if console.width >= NARROW else []
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            *bar,
            DownloadColumn(binary_units=True),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            expand=bool(bar),
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task: TaskID | None = None

    def begin(self, name: str) -> None:
        """Show a bar of a file of which nothing is there yet."""
        self._task = self._progress.add_task(name, total=None)
        self._progress.start()

    def at(self, done: int, total: int | None) -> None:
        """Show how far it is."""
        if self._task is not None:
            self._progress.update(self._task, completed=done, total=total)

    def end(self) -> None:
        """Clear the bar."""
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._progress.stop()
            self._task = None


class LineWatch:
    """A line every STILL_EVERY_S seconds."""

    def __init__(self) -> None:
        self._name = ""
        self._told = 0.0

    def begin(self, name: str) -> None:
        """Begin to count the time, so that a short download has no such line."""
        self._name = name
        self._told = time.monotonic()

    def at(self, done: int, total: int | None) -> None:
        """Log how far it is, if that is due."""
        if time.monotonic() - self._told < STILL_EVERY_S:
            return
        self._told = time.monotonic()
        of = f" of {total / 2**20:.1f}" if total else ""
        _log.info("%s: %.1f%s MiB", self._name, done / 2**20, of)

    def end(self) -> None:
        """Say nothing: what the file came to is logged by whoever downloads it."""


@contextmanager
def watching() -> Iterator[BarWatch | LineWatch]:
    """Yield what shows downloads on standard error as whoever reads it can see it."""
    console = Console(stderr=True, highlight=False)
    watch: BarWatch | LineWatch = BarWatch(console) if console.is_terminal else LineWatch()
    try:
        yield watch
    finally:
        watch.end()
