"""The guest's side of the exchange: the task, the guest's progress, the result."""

import io
import json
import mmap
import os
import tarfile
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from campaign.guest.agent.commands import TaskFailed

PAGE = 4096
CONTENT = 2 * PAGE


class Exchange:
    """The guest's side of the exchange (see `campaign.guest.exchange`).

    It is read and written around the page cache, which would show what was there before the guest
    was saved.
    """

    def __init__(self, path: str) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_DIRECT)
        except OSError:  # a file system without O_DIRECT, under test
            self._descriptor = os.open(path, os.O_RDWR)
        self._page = mmap.mmap(-1, PAGE)

    def head(self) -> dict[str, int]:
        """Return the host's page: number and length of the task; empty if nothing is there."""
        text = self._read(0, PAGE).rstrip(b"\0")
        return dict(json.loads(text)) if text else {}

    def members(self, length: int) -> dict[str, bytes]:
        """Return the files of the task, which has `length` bytes."""
        with tarfile.open(fileobj=io.BytesIO(self._read(CONTENT, length)[:length])) as archive:
            found = ((entry.name, archive.extractfile(entry)) for entry in archive)
            return {name: file.read() for name, file in found if file is not None}

    def tell(self, progress: Mapping[str, Any]) -> None:
        """Write the guest's page."""
        text = json.dumps(progress).encode()
        self._page[:] = (page_checksum(text) + b" " + text).ljust(PAGE, b"\0")
        os.pwritev(self._descriptor, [self._page], PAGE)

    def leave(self, content: bytes) -> None:
        """Write the result; raise TaskFailed where the exchange is too small for it."""
        room = os.lseek(self._descriptor, 0, os.SEEK_END) - CONTENT
        size = _whole_pages(len(content))
        if size > room:
            brief = f"a result of {len(content)} bytes doesn't fit the exchange, which has {room}"
            raise TaskFailed("agent_failed", brief)
        with mmap.mmap(-1, size) as buffer:
            buffer[: len(content)] = content
            done = 0
            while done < size:
                with memoryview(buffer)[done:] as rest:
                    done += os.pwritev(self._descriptor, [rest], CONTENT + done)

    def _read(self, offset: int, length: int) -> bytes:
        size = _whole_pages(length)
        with mmap.mmap(-1, size) as buffer:
            done = 0
            while done < size:
                with memoryview(buffer)[done:] as rest:
                    got = os.preadv(self._descriptor, [rest], offset + done)
                if not got:
                    break
                done += got
            return buffer[:]


def page_checksum(text: bytes) -> bytes:
    """Return what stands before a page's JSON, with a space between."""
    return b"%08x" % zlib.crc32(text)


def _whole_pages(length: int) -> int:
    return max(1, -(-length // PAGE)) * PAGE


class Teller:
    """Tells the host how far the task `number` is, and keeps how long each phase took."""

    def __init__(self, exchange: Exchange, number: int) -> None:
        self._exchange = exchange
        self.number = number
        self.phases_s: dict[str, float] = {}
        self.began = 0.0
        self.workload_s = 0.0
        self._now: dict[str, Any] = {"phase": "", "waits_for": "", "jobs_done": 0, "jobs_total": 0}

    @contextmanager
    def phase(self, name: str, waits_for: str = "") -> Iterator[None]:
        """Be in a phase while the block runs, however it ends."""
        begun = time.monotonic()
        self.tell(phase=name, waits_for=waits_for)
        try:
            yield
        finally:
            self.phases_s[name] = time.monotonic() - begun

    def tell(self, state: str = "running", length: int = 0, **changed: Any) -> None:
        """Write the page, with what has changed."""
        self._now.update(changed)
        words = {"phase": self._now["phase"][:100], "waits_for": self._now["waits_for"][:300]}
        self._exchange.tell(
            {
                "number": self.number,
                "state": state,
                **self._now,
                **words,
                "virtual_s": time.monotonic(),
                "workload_s": self.workload_s,
                "length": length,
            }
        )
