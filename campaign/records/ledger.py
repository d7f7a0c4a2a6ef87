"""The ledger: an append-only file of JSON lines, from which everything else is derived.

Each event is one line, written and flushed to the disk before anything builds on it, with a number
and a checksum (`campaign.records.events`). A torn last line (the machine died while it was written)
is cut off at the next opening: its event never happened.

    campaign   what is run, and the key of its first group of trials; the first line
    resumed    a driver took the campaign up again; its settings and its command line
    group      the trials from here on are a group of their own, with this key (see `groups`)
    instance   a workload instance beside the first one, on which trials are evaluated
    asked      a point was chosen, with the sampler's notes
    started    an attempt to evaluate it on an instance began
    finished   that attempt was judged; its jobs table is on the disk already
    ruled_out  the trial has lost, so it is evaluated on no further instances
    hook       a hook was called, and what came of it
    fairness   what differs between the schedulers that were compared; the last one counts
"""

import contextlib
import fcntl
import gc
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, Self

from campaign.core.errors import LedgerError
from campaign.core.files import cut_torn_line, flush, make_folder, open_regular, storage_error
from campaign.core.trials import Replicate
from campaign.records.events import Chain, parsed
from campaign.records.history import Asked, History


class Ledger:
    """The ledger file of one campaign, held by one process at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.history = History()
        self._chain = Chain()
        self._size = 0

    def __enter__(self) -> Self:
        """Open, lock and read the ledger.

        Raises LedgerError when another process holds it, or when a line can't be read.
        """
        _check_kind(self.path)
        try:
            make_folder(self.path.parent)
            # Unbuffered: a buffer would write a refused line once more when it is closed.
            self._file = self.path.open("ab", buffering=0)
            flush(self.path.parent)
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
            self._chain = Chain()
            self.history = _history(self.path, self._chain)
            cut_torn_line(self.path)
            self._size = self.path.stat().st_size
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def append(self, event: str, **values: Any) -> None:
        """Record an event, which is on the disk on return.

        Raises StorageError when the disk is full, and leaves no half line; LedgerError when the
        file was removed, replaced or changed since the last line.
        """
        entry = {"event": event, "time": round(time.time(), 3), **values}
        line = self._chain.sealed(json.dumps(entry, separators=(",", ":")))
        self.check_in_place()
        try:
            _write_whole(self._file, line)
            os.fsync(self._file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):  # then the half line is cut off at the next opening
                os.ftruncate(self._file.fileno(), self._size)
            raise storage_error(self.path, error) from None
        self._size += len(line)
        self.history.add(self._chain.read(line))

    def check_in_place(self) -> None:
        """Raise LedgerError where the file was removed, replaced or changed since the last line."""
        # Where a file is renamed over ours, lines would go on to one that nobody can open.
        ours = os.fstat(self._file.fileno())
        try:
            found = self.path.stat()
        except OSError as error:
            raise _disturbed(self.path, f"was removed ({error.strerror})") from None
        if (found.st_dev, found.st_ino) != (ours.st_dev, ours.st_ino):
            raise _disturbed(self.path, "was replaced by another file")
        if found.st_size != self._size:
            raise _disturbed(
                self.path, f"was changed: it has {found.st_size} bytes, not {self._size}"
            )


def _disturbed(path: Path, what: str) -> LedgerError:
    return LedgerError(
        f"{path} {what} while this campaign ran",
        resolution="End whatever else writes there, put the file back, and start the same command "
        "again: `hpc-campaign verify NAME` says whether it is whole.",
    )


def _check_kind(path: Path) -> None:
    """Raise LedgerError for a pipe, a device or a folder: to open one may take for ever."""
    # A link that leads nowhere is something, though it doesn't exist.
    if os.path.lexists(path) and not path.is_file():
        raise LedgerError(f"{path} is not a file", resolution="Move it away, or use another name=.")


def _write_whole(file: RawIOBase, line: bytes) -> None:
    left = memoryview(line)
    while left:  # a disk that is nearly full takes only a part
        left = left[file.write(left) or 0 :]


def read(path: Path, chain: Chain | None = None) -> Iterator[dict[str, Any]]:
    """Yield the events of a ledger file; their lines go through `chain`, if one is given.

    Raises LedgerError, which names the line, for one that isn't a valid event, or isn't the one
    that was written there.
    """
    chain = chain or Chain()
    with _opened(path) as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                _check_torn(path, number, line)
                return  # a torn line: its event never happened
            try:
                event = chain.read(line)
                event["event"]
            except (ValueError, KeyError) as error:
                raise _no_event(path, number, line, error) from None
            yield event


def _opened(path: Path) -> BinaryIO:
    try:
        return open_regular(path)
    except OSError as error:
        raise LedgerError(
            f"{path} can't be read: {error.strerror}",
            resolution="Make it readable for this user, or use another folder of results.",
        ) from None


def _check_torn(path: Path, number: int, line: bytes) -> None:
    try:
        parsed(line[:-1])
    except ValueError:
        return
    # A whole event and one byte more: that byte was the line's end.
    raise _no_event(path, number, line, ValueError("its end was changed"))


def _no_event(path: Path, number: int, line: object, error: Exception) -> LedgerError:
    why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
    return LedgerError(
        f"{path}, line {number} is not a valid ledger event: {why}",
        str(line)[:80],
        "Restore the file, or use another name= to begin anew.",
    )


def _history(path: Path, chain: Chain | None = None) -> History:
    history = History()
    with building_up():
        for number, event in enumerate(read(path, chain), 1):
            try:
                _check_order(history, event)
                history.add(event)
            except (ValueError, TypeError, KeyError) as error:
                raise _no_event(path, number, event, error) from None
    return history


def _check_order(history: History, event: dict[str, Any]) -> None:
    """Raise ValueError for an event that can't come next: lines before it are lost or doubled."""
    kind = event["event"]
    trial = event.get("trial")
    if history.head is None and kind != "campaign":
        raise ValueError("the campaign's head is missing before it")
    if kind == "asked" and trial != len(history.asked):
        raise ValueError(f"trial {trial} is asked for where trial {len(history.asked)} is next")
    if kind in ("started", "finished", "ruled_out") and (
        not isinstance(trial, int) or trial not in history.asked
    ):
        raise ValueError(f"trial {trial} was never asked for")
    if kind == "finished" and isinstance(record := event.get("record"), dict):
        _check_attempt(record, history.asked[event["trial"]], history.attempts)


def _check_attempt(record: dict[str, Any], asked: Asked, attempts: dict[Replicate, int]) -> None:
    """Raise ValueError for a record that isn't of the attempt that was started last."""
    replicate = Replicate(asked.number, record.get("instance", 0))
    if record.get("point") != asked.point:
        raise ValueError(f"trial {asked.number} has the record of another point")
    if record.get("attempt") != attempts.get(replicate):
        raise ValueError(f"trial {asked.number} has the record of an attempt that never started")


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
    _check_kind(path)
    history = _history(path) if path.exists() else History()
    if history.head is None:
        raise LedgerError(
            f"there is no campaign at {path.parent}",
            resolution="`hpc-campaign list` says which there are.",
        )
    return history
