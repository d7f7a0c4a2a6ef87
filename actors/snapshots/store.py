"""The store of golden clusters: a folder of files, which several processes may use at once.

Golden clusters are verified on use and never seen half-made. Each has a folder, named by its key's
digest. Nothing is flushed to the disk by force: what a power cut loses is noticed, since files
count as verified only within one boot of the machine.
"""

import contextlib
import errno
import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from actors.snapshots import sealing, snapshot
from actors.snapshots.snapshot import (
    Golden,
    GoldenDamaged,
    GoldenGone,
    GoldenStoreFull,
    SnapshotKey,
)
from campaign.core import files

_MAKING = ".making-"
# The store's is held while it changes. A golden cluster's is held shared by those who use it, and
# its time of modification is that of the last use.
_LOCK = ".lock"
_KEY = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Draft:
    """A golden cluster that is being made."""

    key: SnapshotKey
    folder: Path
    lock: int = field(repr=False)
    """The descriptor of the lock that keeps others from sweeping it."""

    def ram(self, node: str) -> Path:
        """Return the file that QEMU maps as the memory of `node`."""
        return snapshot.ram_file(self.folder, node)

    def state(self, node: str) -> Path:
        """Return the file for the device state of `node`."""
        return snapshot.state_file(self.folder, node)


@dataclass(frozen=True)
class GoldenEntry:
    """A golden cluster as a listing shows it; its files haven't been looked into."""

    digest: str
    folder: Path
    golden: Golden | None
    """None if its manifest can't be read."""
    disk_use: int
    """In bytes."""
    used: float
    """When it was last put or found, in Unix seconds."""
    held: bool
    """True if a process holds it now."""


class GoldenStore:
    """Golden clusters below one folder (made, for its owner only, when first written to)."""

    def __init__(self, path: Path, limit_mib: int) -> None:
        self.path = path
        self.limit = limit_mib * 2**20  # bytes

    @contextmanager
    def making(self, key: SnapshotKey, *, room_mib: int = 0) -> Iterator[Draft]:
        """Yield a draft on the store's disk, which is gone afterwards unless it was `put`.

        Raises GoldenStoreFull if less than `room_mib` is free, or if the disk fills up meanwhile.
        """
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._disk_errors())
            with self._locked():
                self._sweep()
                self._require_room(room_mib * 2**20)
                folder = Path(tempfile.mkdtemp(prefix=_MAKING, dir=self.path))
                # After a `put` the folder has another name, so this removes nothing.
                stack.callback(shutil.rmtree, folder, ignore_errors=True)
                # Within the store's lock, since a sweep removes every draft that nobody has locked.
                lock = stack.enter_context(files.lock(folder / _LOCK))
            yield Draft(key, folder, lock)

    def put(self, draft: Draft, nodes: Sequence[str], identity: Mapping[str, bytes]) -> Golden:
        """Keep `draft` as a golden cluster, and return that.

        No process may write to its files any more, or have them mapped writably. A sound golden
        cluster of the same key stays instead, a damaged one is replaced. Then the least recently
        used others that nobody holds are evicted until the store fits its limit. Raises
        GoldenStoreFull if the disk is full, GoldenError if a node's file is missing or still open
        for writing.
        """
        with self._disk_errors():
            # Outside the store's lock: this reads all of the memory, and others needn't wait for
            # that.
            sealing.seal(draft.folder, draft.key, nodes, identity)
            with self._locked():
                # Another process may have put one of the same key since this one was begun.
                golden = self._sound(draft.key) or self._move_in(draft)
                self._evict(keep=golden.digest)
        return golden

    def adopt(self, folder: Path, key: SnapshotKey) -> Golden:
        """Verify the golden cluster in `folder`, which came from another host, and take it in.

        `folder` is on this store's disk. A sound golden cluster of the same key stays instead.
        Raises GoldenDamaged if what came isn't what its manifest says.
        """
        with self._disk_errors(), self._locked():
            sealing.verify(folder, key)
            sealing.tidy(folder)
            golden = self._sound(key)
            if golden is None:
                folder.rename(self.path / key.digest)
                _stamp(self.path / key.digest)
                golden = sealing.load(self.path / key.digest)
            self._evict(keep=golden.digest)
        return golden

    def find(self, key: SnapshotKey) -> Golden | None:
        """Return the golden cluster of `key`, verified; None if there is none.

        Raises GoldenDamaged, which says what is wrong with it. Files that were verified during this
        boot and haven't been touched since (inode, size, times) aren't read again, so this is cheap
        enough for every trial.
        """
        folder = self.path / key.digest
        # lexists: a broken link is damage, which must not pass for absence.
        if not os.path.lexists(folder):
            return None
        try:
            golden = sealing.verify(folder, key)
        except (GoldenDamaged, FileNotFoundError):
            # It may have been evicted or discarded while it was verified.
            if not os.path.lexists(folder):
                return None
            raise
        _stamp(folder)
        return golden

    @contextmanager
    def hold(self, golden: Golden) -> Iterator[None]:
        """Keep `golden` from eviction by any process while inside.

        Nodes are restored and run from it only then. Raises GoldenGone if it isn't there any more,
        which is as if it hadn't been found.
        """
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(files.lock(golden.folder / _LOCK, fcntl.LOCK_SH))
                there = sealing.read_manifest(golden.folder).seal
            except (OSError, GoldenDamaged) as error:
                raise _gone(golden, str(error)) from error
            # Compared once the lock is held: the golden cluster may have been replaced after it was
            # found.
            if there != golden.seal:
                raise _gone(golden, "another one of the same key took its place")
            yield

    def discard(self, digest: str) -> None:
        """Remove what stands under `digest` at once, even if it is held; harmless if nothing does.

        Discarding is for damage, and what is damaged must not be restored once more. Nodes that run
        from it keep their mapped files, whose disk space comes back when the last of them ends.
        """
        with self._locked():
            self._remove(self.path / digest)

    def remove(self, digest: str) -> bool:
        """Remove what stands under `digest` unless somebody holds it; return True if it is gone."""
        with self._locked():
            return self._remove_unless_held(self.path / digest)

    def sweep(self) -> int:
        """Remove what killed makers and removers left, and return the number of such folders."""
        if not self.path.is_dir():
            return 0
        with self._locked():
            return self._sweep()

    def entries(self) -> list[GoldenEntry]:
        """Return all that the store keeps, most recently used first; nothing is verified."""
        found = []
        for folder in self.path.glob("[0-9a-f]*"):
            with contextlib.suppress(OSError):  # removed meanwhile
                if _KEY.fullmatch(folder.name):
                    found.append(_entry(folder))
        return sorted(found, key=lambda entry: entry.used, reverse=True)

    def _sound(self, key: SnapshotKey) -> Golden | None:
        """Find as `find` does, but remove a damaged one. To be called with the store locked."""
        try:
            return self.find(key)
        except GoldenDamaged:
            self._remove(self.path / key.digest)
            return None

    def _move_in(self, draft: Draft) -> Golden:
        # From now on it is a golden cluster, held until its making ends.
        fcntl.flock(draft.lock, fcntl.LOCK_SH)
        folder = self.path / draft.key.digest
        draft.folder.rename(folder)
        _stamp(folder)
        return sealing.load(folder)

    def _evict(self, keep: str) -> None:
        entries = self.entries()
        use = sum(entry.disk_use for entry in entries)
        for entry in reversed(entries):
            if use <= self.limit:
                return
            if entry.digest != keep and self._remove_unless_held(entry.folder):
                use -= entry.disk_use

    def _remove_unless_held(self, folder: Path) -> bool:
        try:
            with files.lock(folder / _LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB):
                self._remove(folder)
        except BlockingIOError:
            return False
        return True

    def _remove(self, folder: Path) -> None:
        # It is renamed away first, so that a reader sees all of a golden cluster or nothing.
        with contextlib.suppress(FileNotFoundError):
            # Under the name of a draft, so that a sweep takes what a killed remover leaves.
            hidden = Path(tempfile.mkdtemp(prefix=_MAKING, dir=self.path))
            try:
                folder.rename(hidden / "removed")
            finally:
                shutil.rmtree(hidden)

    def _sweep(self) -> int:
        left = [
            folder for folder in self.path.glob(f"{_MAKING}*") if not files.in_use(folder / _LOCK)
        ]
        for folder in left:
            shutil.rmtree(folder, ignore_errors=True)
        return len(left)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The files hold private keys, and an existing folder may be open to others.
        self.path.chmod(0o700)
        with files.exclusive_lock(self.path / _LOCK):
            yield

    def _require_room(self, needed: int) -> None:
        free = shutil.disk_usage(self.path).free
        if free < needed:
            raise self._full(f"the golden cluster may need {needed >> 20} MiB")

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise self._full(str(error)) from error
            raise

    def _full(self, details: str) -> GoldenStoreFull:
        free = shutil.disk_usage(self.path).free >> 20
        return GoldenStoreFull(
            f"the disk of the golden cluster store {self.path} is full: {free} MiB free",
            details,
            "Free some space, or lower hosts.*.golden_mib; until then clusters boot cold, and none "
            "is there in virtual time.",
        )


def _entry(folder: Path) -> GoldenEntry:
    try:
        golden = sealing.load(folder)
    except GoldenDamaged:
        golden = None
    lock = folder / _LOCK
    used = (lock if lock.exists() else folder).stat().st_mtime
    return GoldenEntry(
        folder.name, folder, golden, sealing.disk_use(folder), used, files.in_use(lock)
    )


def _stamp(folder: Path) -> None:
    """Note that it was used just now. A failure does no harm: this only steers eviction."""
    with (
        contextlib.suppress(OSError),
        files.lock(folder / _LOCK, fcntl.LOCK_SH | fcntl.LOCK_NB) as descriptor,
    ):
        # Finer than the kernel's own stamp.
        now = time.time_ns()
        os.utime(descriptor, ns=(now, now))


def _gone(golden: Golden, details: str) -> GoldenGone:
    return GoldenGone(
        f"golden cluster {golden.folder} is gone",
        details,
        "Nothing needs to be done: the cluster boots cold.",
    )
