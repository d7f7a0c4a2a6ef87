"""Folders that travel between hosts in pieces: what they hold, cutting them, and putting them
together again. No Ray.

A folder that has not arrived in full stands apart from where it is looked for, and is gone on with
where it was broken off. Pieces are verified as they arrive, the whole by whoever takes it in.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

from campaign.core.errors import CampaignError, InfrastructureError

PIECE = 8 * 2**20  # bytes
MOST_DAMAGED = 3  # pieces in a row that arrive otherwise than they were sent

Kind = Literal["image", "golden"]


class TransferFailed(InfrastructureError):
    """A folder could not be brought from any host that has it."""


@dataclass(frozen=True)
class Parcel:
    """A folder's plain files by name, with their sizes in bytes."""

    files: Mapping[str, int]


@dataclass(frozen=True)
class Piece:
    """A stretch of a file: `size` bytes with this hash (sha256, hexadecimal). Without data, they
    are zeros."""

    size: int
    digest: str
    data: bytes = field(repr=False)


class Source(Protocol):
    """Whoever has folders to give; a CampaignError says that it can't."""

    name: str

    def parcel(self, kind: Kind, key: str) -> Parcel | None:
        """What the folder of this key holds; None if it isn't there."""
        ...

    def piece(self, kind: Kind, key: str, file: str, offset: int) -> Piece:
        """At most PIECE bytes of a file of a folder that is there."""
        ...


def parcel_of(folder: Path, names: Iterable[str]) -> Parcel:
    """What is to be sent of `folder`; OSError where a file isn't there."""
    return Parcel({name: (folder / name).stat().st_size for name in names})


def cut(folder: Path, file: str, offset: int) -> Piece:
    """The piece at `offset`; OSError where there is none to read."""
    with (folder / file).open("rb") as opened:
        data = os.pread(opened.fileno(), PIECE, offset)
    return Piece(
        len(data), hashlib.sha256(data).hexdigest(), b"" if data.count(0) == len(data) else data
    )


def receive(
    kind: Kind,
    key: str,
    folder: Path,
    sources: Sequence[Source],
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Bring the folder of `key` from the first source that has it into `folder`, going on with what
    is there already.

    Where a source fails, the next one goes on. TransferFailed says what each of them said.
    """
    said = []
    for source in sources:
        try:
            parcel = source.parcel(kind, key)
            if parcel is None:
                said.append(f"{source.name}: it isn't there")
                continue
            for file in parcel.files:
                ask = partial(source.piece, kind, key)
                _receive_file(parcel, file, folder, ask, tell)
            return
        except (CampaignError, OSError) as error:
            said.append(f"{source.name}: {error}")
    raise TransferFailed(f"the {kind} {key[:16]} can't be brought here", "\n".join(said))


def _receive_file(
    parcel: Parcel,
    file: str,
    folder: Path,
    ask: Callable[[str, int], Piece],
    tell: Callable[[str], None],
) -> None:
    """Go on with one file where it ends. Its length is how far it has come, so it grows by whole
    pieces only."""
    if Path(file).name != file or file.startswith("."):
        raise TransferFailed(f"{file!r} can't be the name of a file in a parcel")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    size = parcel.files[file]
    damaged = 0
    descriptor = os.open(
        folder / file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
    )
    try:
        there = os.fstat(descriptor).st_size
        if there > size:
            os.ftruncate(descriptor, there := 0)
        while there < size:
            piece = ask(file, there)
            data = piece.data or bytes(piece.size)
            if (
                not data
                or there + len(data) > size
                or hashlib.sha256(data).hexdigest() != piece.digest
            ):
                damaged += 1
                if damaged == MOST_DAMAGED:
                    raise TransferFailed(f"pieces of {file} arrive damaged, time after time")
                continue
            damaged = 0
            if piece.data:
                os.pwrite(descriptor, data, there)
            there += len(data)
            os.ftruncate(descriptor, there)
            tell(f"{file} {100 * there // size} %")
    finally:
        os.close(descriptor)
