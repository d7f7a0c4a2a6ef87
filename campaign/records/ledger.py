"""The ledger: an append-only file of JSON lines, from which everything else is derived.

Each event is one line, written and flushed to the disk before anything builds on it. A torn last
line (the machine died while it was written) is cut off at the next opening: its event never
happened.

    campaign   what is run; the first line
    resumed    a driver took the campaign up again
    asked      a point was chosen, with the sampler's notes
    started    an attempt to evaluate it began
    finished   that attempt was judged; its jobs table is on the disk already
    fairness   what differs between the schedulers that were compared; the last one counts
"""

import fcntl
import gc
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import RawIOBase
from pathlib import Path
from typing import Any, Self

from campaign.core.errors import LedgerError, StorageError
from campaign.core.trials import Point, TrialRecord

FORGIVABLE = "infrastructure_failed"
RETRYABLE = frozenset({"invalid", FORGIVABLE})
"""The outcomes that are tried again where no error says whether that helps."""


@dataclass(frozen=True)
class Asked:
    """A point that was chosen."""

    number: int
    point: Point
    attrs: dict[str, Any]


@dataclass
class History:
    """The state of a campaign after its events; the same events give the same history."""

    head: dict[str, Any] | None = None
    asked: dict[int, Asked] = field(default_factory=dict)
    records: dict[int, list[TrialRecord]] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)  # started, whether finished or cut off
    forgiven: dict[int, int] = field(default_factory=dict)  # records from before the last resume
    fairness: list[dict[str, Any]] = field(default_factory=list)  # rows of the manifest

    def add(self, event: dict[str, Any]) -> None:
        """Take in the next event; raise ValueError for one of an unknown kind."""
        kind = event["event"]
        if kind == "campaign":
            self.head = event
        elif kind == "resumed":
            self.forgiven = {number: len(records) for number, records in self.records.items()}
        elif kind == "asked":
            self.asked[event["trial"]] = Asked(event["trial"], event["point"], event["attrs"])
        elif kind == "started":
            self.attempts[event["trial"]] = event["attempt"]
        elif kind == "finished":
            record = TrialRecord.model_validate(event["record"])
            self.records.setdefault(record.number, []).append(record)
        elif kind == "fairness":
            self.fairness = event["rows"]
        else:
            raise ValueError(f"unknown event {kind!r}")

    def settled(self, number: int, retries: int) -> bool:
        """Return whether the trial needs no further attempt.

        A resume forgives failures of the infrastructure: whoever starts the campaign again has
        probably fixed their cause.
        """
        records = self.records.get(number, [])
        if not records:
            return False
        allowed = retries if _may_retry(records[-1]) else 0
        if records[-1].outcome == FORGIVABLE:
            return len(records) - self.forgiven.get(number, 0) > allowed
        return len(records) > allowed

    def lasting(self, retries: int) -> int:
        """Return the number of trials that stay settled whatever a resume forgives."""
        return sum(
            self.settled(n, retries) and r[-1].outcome != FORGIVABLE
            for n, r in self.records.items()
        )

    @property
    def identity(self) -> str:
        """The id that tells this campaign from others of its name, whose results were deleted."""
        return str(self.head["id"]) if self.head else ""

    @property
    def images(self) -> dict[str, str]:
        """The hashes of the images that the campaign began with, by scheduler."""
        return dict(self.head["images"]) if self.head else {}

    def final(self) -> list[TrialRecord]:
        """Return the last record of each trial that has one, in order of trials."""
        return [self.records[number][-1] for number in sorted(self.records)]


def _may_retry(record: TrialRecord) -> bool:
    return record.outcome in RETRYABLE if record.retryable is None else record.retryable


class Ledger:
    """The ledger file of one campaign, held by one process at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.history = History()

    def __enter__(self) -> Self:
        """Open, lock and read the ledger.

        Raises LedgerError when another process holds it, or when a line can't be read.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered: a buffer would write a refused line once more when it is closed.
            self._file = self.path.open("ab", buffering=0)
        except OSError as error:
            raise LedgerError(
                f"{self.path} can't be opened: {error.strerror}",
                resolution="Use another folder (output.results).",
            ) from None
        try:
            # The ledger is its own lock file, so that nobody can remove the one without the other.
            # (A library's lock would open and empty a file of its own.)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise LedgerError(
                f"another process runs this campaign: it holds {self.path}",
                resolution="Wait until it ends, or use another name=.",
            ) from None
        try:
            _cut_torn_tail(self.path)
            self.history = _history(self.path)
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def append(self, event: str, **values: Any) -> None:
        """Record an event, which is on the disk on return.

        Raises StorageError when the disk is full, and leaves no half line.
        """
        entry = {"event": event, "time": round(time.time(), 3), **values}
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        size = self.path.stat().st_size
        try:
            _write_whole(self._file, line)
            os.fsync(self._file.fileno())
        except OSError as error:
            os.truncate(self.path, size)
            raise StorageError(
                f"{self.path} can't be written: {error.strerror}",
                resolution="Free some disk and start the same command again: it goes on with "
                "what is left.",
            ) from None
        self.history.add(_parsed(line))


def _write_whole(file: RawIOBase, line: bytes) -> None:
    left = memoryview(line)
    while left:  # a disk that is nearly full takes only a part
        left = left[file.write(left) or 0 :]


def _shared(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    # Equal strings become one object: a hundred thousand records have the same keys and much the
    # same provenance.
    return {
        sys.intern(key): sys.intern(value) if isinstance(value, str) else value
        for key, value in pairs
    }


_DECODER = json.JSONDecoder(object_pairs_hook=_shared)


def _parsed(line: bytes) -> Any:
    """Return the event of a line; raise ValueError if it is not JSON."""
    return _DECODER.decode(line.decode())


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of a ledger file.

    Raises LedgerError, which names the line, for one that isn't a valid event.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return  # a torn line: its event never happened
            try:
                event = _parsed(line)
                event["event"]
            except (ValueError, TypeError, KeyError):
                raise _no_event(path, number, line) from None
            yield event


def _no_event(path: Path, number: int, line: object) -> LedgerError:
    return LedgerError(
        f"{path}, line {number} is not a valid ledger event: {str(line)[:80]}",
        resolution="Restore the file, or use another name= to begin anew.",
    )


def _history(path: Path) -> History:
    history = History()
    with building_up():
        for number, event in enumerate(read(path), 1):
            try:
                history.add(event)
            except (ValueError, TypeError, KeyError):
                raise _no_event(path, number, event) from None
    return history


@contextmanager
def building_up() -> Iterator[None]:
    """Keep Python from collecting garbage while inside.

    Where much is built up that stays, looking for garbage takes a third of the time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def history_of(path: Path) -> History:
    """Return the history of a ledger file, without locking it.

    Raises LedgerError when no campaign was begun there, or when a line can't be read.
    """
    history = _history(path) if path.is_file() else History()
    if history.head is None:
        raise LedgerError(
            f"there is no campaign at {path.parent}",
            resolution="`hpc-campaign list` says which there are.",
        )
    return history


def _cut_torn_tail(path: Path) -> None:
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
