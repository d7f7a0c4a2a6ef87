"""The exchange: the file by which the host gives a guest in virtual time a task, and gets a result.

QEMU maps it as memory of the guest, so both sides see one content. Page 0 is the host's and says
which task the file holds; page 1 is the guest's and says how far it is; from CONTENT on stands the
task, and in its place, once the guest's state is "done", the result. The host only reads while the
guest runs, so nothing that is measured waits for it.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from pydantic import FiniteFloat, NonNegativeInt, TypeAdapter, ValidationError

from campaign.core.errors import InfrastructureError
from campaign.guest.agent.channel import CONTENT, PAGE, page_checksum

ALIGNMENT = 2 << 20
"""QEMU maps memory devices whose sizes are multiples of this."""
SIZE = 256 << 20
"""Of a new exchange; it takes room on the disk for RESERVED bytes, and beyond for what is written
only."""
RESERVED = 64 << 20
"""A guest that writes where its host's disk has no room is killed, so that much is taken before it
runs: more than a task and a result usually have."""


class ExchangeError(InfrastructureError):
    """An exchange is gone, too small for its task, or holds nothing that can be read."""


@dataclass(frozen=True)
class GuestProgress:
    """How far a guest is, in its own words and on its own clock.

    `virtual_s` counts seconds of the guest's clock since it booted, `workload_s` since the workload
    began (0 before). `phase` is what it does, `waits_for` what it waits for there. `length` is that
    of the result, bytes, once the state is "done".
    """

    number: int
    state: Literal["running", "done"]
    phase: str
    virtual_s: FiniteFloat
    workload_s: FiniteFloat = 0.0
    jobs_done: NonNegativeInt = 0
    jobs_total: NonNegativeInt = 0
    waits_for: str = ""
    length: NonNegativeInt = 0


_PROGRESS = TypeAdapter(GuestProgress)


def create(path: Path, content: bytes, number: int, *, size: int = SIZE) -> None:
    """Make the exchange `path`, which holds task `number` of `content`; it must not exist yet.

    Raises ExchangeError where the content doesn't fit, FileExistsError, and OSError where the disk
    is full.
    """
    if size % ALIGNMENT or CONTENT + len(content) > size:
        raise ExchangeError(
            f"a task of {len(content)} bytes doesn't fit an exchange of {size} bytes, "
            f"which must be a multiple of {ALIGNMENT}",
            resolution="Replay fewer jobs, or make the exchange larger.",
        )
    head = json.dumps({"number": number, "length": len(content)}).encode()
    with path.open("xb") as file:
        file.truncate(size)
        os.posix_fallocate(file.fileno(), 0, min(size, RESERVED))
        file.write(head.ljust(PAGE, b"\0"))
        file.seek(CONTENT)
        file.write(content)


def read_progress(source: Path | bytes) -> GuestProgress | None:
    """Return what the guest says of itself; None where it has said nothing yet.

    `source` is the exchange, or the bytes of its first two pages. None too while the guest is just
    writing: ask again. Raises ExchangeError where the file is gone, or says what no guest says.
    """
    if isinstance(source, Path):
        with _opened(source) as file:
            source = file.read(CONTENT)
    return _parsed(source[PAGE:CONTENT])


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise ExchangeError(
            "the guest's exchange is gone: another program has removed it",
            str(path),
            "Leave the files below hosts.NAME.state_dir alone while a campaign runs.",
        ) from None


def _parsed(page: bytes) -> GuestProgress | None:
    # The sum tells a page that is half old and half new.
    checksum, _, text = page.rstrip(b"\0").partition(b" ")
    if not text or checksum != page_checksum(text):
        return None
    try:
        return _PROGRESS.validate_json(text)
    except ValidationError as error:
        raise ExchangeError("the guest's progress can't be read", str(error)) from None


def read_result(path: Path) -> bytes:
    """Return the result that a guest has left; ExchangeError unless it is done."""
    progress = read_progress(path)
    if progress is None or progress.state != "done":
        said = "nothing yet" if progress is None else f"it is in phase {progress.phase!r}"
        raise ExchangeError("the guest has left no result", f"{path}: {said}")
    with _opened(path) as file:
        return _read(file, CONTENT, progress.length)


def _read(file: BinaryIO, offset: int, length: int) -> bytes:
    if length > os.fstat(file.fileno()).st_size - offset:
        raise ExchangeError("the guest's result is longer than its exchange", f"{length} bytes")
    file.seek(offset)
    return file.read(length)
