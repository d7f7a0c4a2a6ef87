"""The log: standard logging whose records say which campaign, trial, phase and host they are of.

Each module logs to `logging.getLogger(__name__)`. What a user should read is INFO or above; how a
step went is DEBUG. `context` says once what the work is about; all that is logged inside says so
too, also in tasks and in `asyncio.to_thread`. `span` logs a step with its
duration. Handlers are installed by a process' own start: a terminal in the driver
(`campaign.execution.terminal`), a file of JSON lines in an actor (`to_file`).

Nothing secret is ever logged: secrets are values whose types don't print them, and whoever holds
one as text hands it to `keep_secret`, which masks it in every record.
"""

import contextlib
import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar, copy_context
from pathlib import Path
from typing import Any, TextIO

from campaign.core import files
from campaign.core.printable import json_text

PACKAGES = ("campaign", "actors", "schedulers", "search")
"""The loggers that are ours; what other libraries log stays theirs."""
FIELDS = ("campaign", "trial", "phase", "host", "cluster")
"""What a record is about, where it is known."""
PHASE = "phase"
"""The event of a record that says what goes on now: on a terminal, the next one replaces it."""
STILL_EVERY_S = 10.0
"""How often the log says of a long step that it still goes on."""
MASK = "***"
RESERVED_BYTES = 2**20
"""Free bytes of a file system that no log takes: they are left to the ledger and the results."""
SHORTEST_SECRET = 8
"""What has fewer characters can't be masked: ordinary words would be spoilt."""
SEGMENT_BYTES = 8 << 20
"""A file of a process that may run for days goes on in another one when it is that large."""
KEPT_SEGMENTS = 4
"""So many of the last files of one process are kept, so that a disk can't be filled by logs."""

Value = str | int
Source = Value | Callable[[], Value]

_context: ContextVar[Mapping[str, Source] | None] = ContextVar("log_context", default=None)
_defaults: dict[str, Value] = {}
_installed: set[logging.Handler] = set()
_secrets: set[str] = set()
_lock = threading.Lock()


@contextlib.contextmanager
def context(**fields: Source) -> Iterator[None]:
    """Say what everything that is logged inside is about, by the names in FIELDS.

    A value that changes meanwhile, such as the phase of a trial, is given as a function, which is
    called for each record. Tasks that were begun before the change log the new value then, too.
    """
    _check(fields)
    token = _context.set({**(_context.get() or {}), **fields})
    try:
        yield
    finally:
        _context.reset(token)


def set_defaults(**fields: Value) -> None:
    """Say what all that this process logs is about, unless a `context` says otherwise."""
    _check(fields)
    _defaults.update(fields)


def current() -> dict[str, Value]:
    """Return what a record made here would be about."""
    about: dict[str, Source] = {**_defaults, **(_context.get() or {})}
    return {name: value() if callable(value) else value for name, value in about.items()}


@contextlib.contextmanager
def span(logger: logging.Logger, what: str, *, level: int = logging.DEBUG) -> Iterator[None]:
    """Log that a step begins, and that it is done or has failed, with its duration in seconds."""
    logger.log(level, "%s ...", what, extra={"event": "begin", "span": what})
    begun = time.monotonic()
    try:
        yield
    except BaseException as error:
        took = time.monotonic() - begun
        data = {"event": "failed", "span": what, "duration_s": round(took, 6)}
        kind = type(error).__name__
        logger.log(level, "%s: failed after %.3f s (%s)", what, took, kind, extra=data)
        raise
    took = time.monotonic() - begun
    data = {"event": "end", "span": what, "duration_s": round(took, 6)}
    logger.log(level, "%s: done after %.3f s", what, took, extra=data)


@contextlib.contextmanager
def step(logger: logging.Logger, what: str) -> Iterator[None]:
    """Log a step that may be long as a phase, so that a user sees it go on.

    It is told again every STILL_EVERY_S seconds, with how long it has taken.
    """
    over = threading.Event()
    begun = time.monotonic()

    def tell() -> None:
        while not over.wait(STILL_EVERY_S):
            took = time.monotonic() - begun
            logger.info("%s: %.0f s", what, took, extra={"event": PHASE})

    # The context of the campaign goes with it.
    teller = threading.Thread(target=copy_context().run, args=(tell,), name=what, daemon=True)
    logger.info("%s", what, extra={"event": PHASE})
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()


def keep_secret(text: str) -> None:
    """Mask `text` in every record from now on.

    Raises ValueError if it has fewer than SHORTEST_SECRET characters.
    """
    if len(text) < SHORTEST_SECRET:
        raise ValueError(f"a secret of less than {SHORTEST_SECRET} characters can't be masked")
    with _lock:
        _secrets.add(text)


class ContextFilter(logging.Filter):
    """Adds to a record what it is about, and masks secrets; every handler of ours has one."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Complete the record; it is always let through."""
        for name, value in current().items():
            if not hasattr(record, name):
                setattr(record, name, value)
        message = record.getMessage()
        masked = mask(message)
        if masked != message:
            record.msg = masked
            record.args = ()
        return True


def mask(text: str) -> str:
    """Return `text` with every kept secret replaced by MASK."""
    with _lock:
        for secret in _secrets:
            if secret in text:
                text = text.replace(secret, MASK)
    return text


class JsonFormatter(logging.Formatter):
    """One JSON object a record: time (Unix seconds), level, logger, message, FIELDS, and its data.

    Keys that are always there: `time`, `level`, `logger`, `message`. Where they apply: those of
    FIELDS, `event`, `span`, `duration_s`, `exception`, and what `extra={"data": {...}}` brought.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line without a newline."""
        line: dict[str, Any] = {
            "time": round(record.created, 6),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in (*FIELDS, "event", "span", "duration_s"):
            if hasattr(record, name):
                line[name] = getattr(record, name)
        line |= getattr(record, "data", {})
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = mask("".join(traceback.format_exception(*record.exc_info)))
        # Once more, since what came as data hasn't gone through ContextFilter.
        return mask(json_text(line, default=str))


def install(handler: logging.Handler, *, level: int = logging.DEBUG) -> None:
    """Give `handler` the records of our loggers from `level` up, completed and masked."""
    handler.addFilter(ContextFilter())
    handler.setLevel(level)
    _installed.add(handler)
    for name in PACKAGES:
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(min(level, logger.level or level))
        logger.propagate = False


def remove(handler: logging.Handler) -> None:
    """Take `handler` away again; harmless when it isn't there."""
    _installed.discard(handler)
    for name in PACKAGES:
        logger = logging.getLogger(name)
        logger.removeHandler(handler)
        if not _installed:
            # As before the first was installed: a program around us may have handlers of its own.
            logger.propagate = True
            logger.setLevel(logging.NOTSET)


@contextlib.contextmanager
def to_file(
    path: Path, *, level: int = logging.DEBUG, segment_bytes: int | None = None
) -> Iterator[None]:
    """Append our records to `path` as JSON lines while inside; each is in the file when it is made.

    Only the user may read it (mode 0600). Where a disk has no more than RESERVED_BYTES free,
    records are lost, never the work. With `segment_bytes`, a file of that size goes on in
    `<stem>.2.jsonl` and so forth, and only the last KEPT_SEGMENTS of them are kept.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600, exist_ok=True)
    handler = _SegmentHandler(path, segment_bytes) if segment_bytes else _FileHandler(path)
    handler.setFormatter(JsonFormatter())
    install(handler, level=level)
    try:
        yield
    finally:
        remove(handler)
        handler.close()


class _FileHandler(logging.FileHandler):
    """A file whose errors end nothing and are printed nowhere."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8")

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, unless the disk's last bytes are better used for results."""
        with contextlib.suppress(OSError):  # the folder may have vanished
            if files.has_room(Path(self.baseFilename).parent, RESERVED_BYTES):
                super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Drop the record."""


class _SegmentHandler(_FileHandler):
    """A file that goes on in another one when it has `limit` bytes.

    The standard library's rotating handler renames files; here a file keeps its name, so that
    whoever copies it elsewhere may go on by its size.
    """

    def __init__(self, path: Path, limit: int) -> None:
        super().__init__(path)
        self._first = path
        self._number = 1
        self._limit = limit

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, and begin the next file if this one is full."""
        super().emit(record)
        try:
            if self.stream is not None and self.stream.tell() >= self._limit:
                self._go_on(self.stream)
        except OSError:
            self.handleError(record)

    def _go_on(self, full: TextIO) -> None:
        following = self._segment(self._number + 1)
        following.touch(mode=0o600, exist_ok=True)
        text = "the log goes on in %s"
        super().emit(
            logging.LogRecord(__name__, logging.INFO, __file__, 0, text, (following.name,), None)
        )
        full.close()
        self.stream = None  # the next record opens the file
        self.baseFilename = str(following.absolute())
        self._number += 1
        if self._number > KEPT_SEGMENTS:
            self._segment(self._number - KEPT_SEGMENTS).unlink(missing_ok=True)

    def _segment(self, number: int) -> Path:
        if number == 1:
            return self._first
        return self._first.with_name(f"{self._first.stem}.{number}{self._first.suffix}")


def _check(fields: Mapping[str, object]) -> None:
    unknown = fields.keys() - set(FIELDS)
    if unknown:
        raise ValueError(f"a record is about {', '.join(FIELDS)}, not {', '.join(sorted(unknown))}")
