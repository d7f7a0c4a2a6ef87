"""Folders that travel between hosts in chunks: their manifest, reading chunks, and receiving them.

No Ray here. A folder that has not arrived in full stands apart from where it is looked for, and its
transfer is resumed where it was broken off. Chunks are verified as they arrive, the whole folder by
whoever takes it in.
"""

import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

from campaign.core.errors import CampaignError, InfrastructureError

CHUNK_BYTES = 8 * 2**20
MAX_ATTEMPTS = 3
"""How often a chunk is asked for that arrives damaged."""

Kind = Literal["image", "golden"]

_log = logging.getLogger(__name__)


class TransferFailed(InfrastructureError):
    """A folder could not be brought from any host that has it."""


@dataclass(frozen=True)
class TransferManifest:
    """The plain files of a folder by name, with their sizes in bytes."""

    files: Mapping[str, int]


@dataclass(frozen=True)
class Chunk:
    """A part of a file: `size` bytes with this hash (SHA-256, hexadecimal).

    Without data, they are all zeros.
    """

    size: int
    digest: str
    data: bytes = field(repr=False)


class Server(Protocol):
    """Whoever has folders to give; a CampaignError says that it can't."""

    def manifest(self, kind: Kind, key: str) -> TransferManifest | None:
        """Return the manifest of the folder of this key; None if it isn't there."""
        ...

    def chunk(self, kind: Kind, key: str, file: str, offset: int) -> Chunk:
        """Return at most CHUNK_BYTES of a file, from `offset`, of a folder that is there."""
        ...


class Source(Server, Protocol):
    """A server that has a name."""

    name: str


def manifest_of(folder: Path, names: Iterable[str]) -> TransferManifest:
    """Return the manifest of some files of `folder`; OSError where one isn't there."""
    return TransferManifest({name: (folder / name).stat().st_size for name in names})


def read_chunk(folder: Path, file: str, offset: int) -> Chunk:
    """Return the chunk at `offset`; OSError where it can't be read."""
    with (folder / file).open("rb") as opened:
        data = os.pread(opened.fileno(), CHUNK_BYTES, offset)
    zeros = data.count(0) == len(data)
    return Chunk(len(data), hashlib.sha256(data).hexdigest(), b"" if zeros else data)


def receive(
    kind: Kind,
    key: str,
    folder: Path,
    sources: Sequence[Source],
    *,
    accept: Callable[[TransferManifest], None],
) -> None:
    """Bring the folder of `key` from the first source that has it into `folder`.

    Goes on with what is there already; where a source fails, the next one takes over. `accept` is
    given what a source offers, and raises TransferFailed if that can't be what is wanted. Raises
    TransferFailed, which tells the failure of each source.
    """
    failures = []
    for source in sources:
        try:
            manifest = source.manifest(kind, key)
            if manifest is None:
                failures.append(f"{source.name}: it isn't there")
                continue
            accept(manifest)
            for file in manifest.files:
                _receive_file(manifest, file, folder, partial(source.chunk, kind, key))
            _log.debug("%s %s has come from %s", kind, key[:16], source.name)
            return
        except (CampaignError, OSError) as error:
            failures.append(f"{source.name}: {error}")
    raise TransferFailed(f"the {kind} {key[:16]} can't be brought here", "\n".join(failures))


def _receive_file(
    manifest: TransferManifest,
    file: str,
    folder: Path,
    ask: Callable[[str, int], Chunk],
) -> None:
    # The length of the file says how far its transfer has come, so it grows by whole chunks only.
    if not file or Path(file).name != file or file.startswith("."):
        raise TransferFailed(f"{file!r} can't be the name of a file in a transfer")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    size = manifest.files[file]
    descriptor = os.open(
        folder / file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
    )
    try:
        received = os.fstat(descriptor).st_size
        if received > size:
            received = 0
            os.ftruncate(descriptor, received)
        while received < size:
            chunk = _sound_chunk(file, received, size, ask)
            if chunk.data:
                os.pwrite(descriptor, chunk.data, received)
            received += chunk.size
            os.ftruncate(descriptor, received)
            _log.debug("%s: %d of %d bytes", file, received, size)
    finally:
        os.close(descriptor)


def _sound_chunk(file: str, offset: int, size: int, ask: Callable[[str, int], Chunk]) -> Chunk:
    for _ in range(MAX_ATTEMPTS):
        chunk = ask(file, offset)
        # Its size is checked before zeros of that size are made.
        fits = 0 < chunk.size <= min(CHUNK_BYTES, size - offset)
        if fits and len(chunk.data) in (0, chunk.size):
            data = chunk.data or bytes(chunk.size)
            if hashlib.sha256(data).hexdigest() == chunk.digest:
                return chunk
    raise TransferFailed(f"{file}: checksum mismatch after {MAX_ATTEMPTS} attempts")
