"""The golden clusters of one host while its process lives: looked up, recorded, saved and held."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from actors.hypervisor.node_spec import MemoryFile
from actors.snapshots import sparse
from actors.snapshots.lock import SnapshotLock
from actors.snapshots.snapshot import Golden, GoldenDamaged, GoldenError, SnapshotKey
from actors.snapshots.store import GoldenStore

Fetch = Callable[[SnapshotKey], Golden | None]
"""Brings a golden cluster from another host into the store; None if no host gives it."""


@dataclass(frozen=True)
class SnapshotOffer:
    """What a lookup has found under a key: the golden cluster, or None.

    If there is none and `yours` is true, the one who asked has the lock and is to make it; if
    `yours` is false, somebody else makes it, or nobody was to be asked.
    """

    key: SnapshotKey
    golden: Golden | None
    yours: bool = False


@dataclass(frozen=True)
class _Recording:
    """Memory of nodes that are to become a golden cluster.

    It is in files without a name, which are gone when the last process that has them open ends.
    """

    key: SnapshotKey
    memory: Mapping[str, int]
    memory_mib: int


class SnapshotRegistry:
    """The golden clusters in `store`, for the trials of one campaign.

    All methods may be called from several threads.
    """

    def __init__(self, store: GoldenStore, lock: SnapshotLock) -> None:
        self.lock = lock
        self._store = store
        self._mutex = threading.Lock()
        self._held = contextlib.ExitStack()
        self._known: dict[str, Golden] = {}  # those that are held, by digest
        self._recordings: dict[str, _Recording] = {}  # by cluster

    def lookup(
        self, key: SnapshotKey, owner: str | None, fetch: Fetch = lambda _: None
    ) -> SnapshotOffer:
        """Return the golden cluster of `key`, verified, and keep it from eviction until `close`.

        If it isn't in the store, it is fetched or left to `owner` to make, who has the lock then
        and releases it afterwards. Without an owner, nothing is fetched or made. What is damaged
        is discarded, and GoldenDamaged says what was wrong with it.
        """
        golden = self._find(key)
        if golden is not None or owner is None or not self.lock.acquire(key.digest, owner):
            return SnapshotOffer(key, golden)
        yours = False
        try:
            if self.lock.confirm(key.digest, owner):
                # Another owner may have finished since the store was looked into.
                golden = self._find(key) or self._fetched(key, fetch)
                yours = golden is None
        finally:
            if not yours:
                self.lock.release(key.digest, owner)
        return SnapshotOffer(key, golden, yours)

    def record(
        self, cluster: str, key: SnapshotKey, nodes: Iterable[str], memory_mib: int
    ) -> dict[str, MemoryFile]:
        """Return memory for the nodes of a cluster that is to become a golden one.

        It is not on the store's disk: a slow one would hold up the guests with every page that they
        touch.
        """
        memory = {node: os.memfd_create(f"{cluster}-{node}", os.MFD_CLOEXEC) for node in nodes}
        for descriptor in memory.values():
            # A new memfd is empty, and QEMU maps all of its memory at once.
            os.ftruncate(descriptor, memory_mib * 2**20)
        with self._mutex:
            self._recordings[cluster] = _Recording(key, memory, memory_mib)
        # A memfd has no name, so QEMU opens it through our descriptor.
        return {
            node: MemoryFile(Path(f"/proc/{os.getpid()}/fd/{fd}"), "record")
            for node, fd in memory.items()
        }

    def save(
        self,
        cluster: str,
        nodes: Sequence[str],
        identity: Mapping[str, bytes],
        save_devices: Callable[[str, Path], None],
    ) -> Golden:
        """Put the recorded nodes, which stand still, into the store.

        `save_devices` writes the devices of a node to a new file. Raises GoldenError if the cluster
        isn't recorded or can't be kept.
        """
        with contextlib.ExitStack() as stack:
            recording = self._opened(cluster, stack)
            room_mib = len(nodes) * recording.memory_mib
            draft = stack.enter_context(self._store.making(recording.key, room_mib=room_mib))
            for node in nodes:
                save_devices(node, draft.state(node))
                sparse.copy(recording.memory[node], draft.ram(node))
            return self._store.put(draft, nodes, identity)

    def forget(self, cluster: str) -> None:
        """Give back the memory of a cluster that was recorded; harmless if none was."""
        with self._mutex:
            recording = self._recordings.pop(cluster, None)
        if recording:
            for descriptor in recording.memory.values():
                os.close(descriptor)

    def close(self) -> None:
        """Give back all memory, and let go of what is held."""
        with self._mutex:
            clusters = list(self._recordings)
        for cluster in clusters:
            self.forget(cluster)
        with self._mutex:
            self._held.close()
            self._known.clear()

    def _find(self, key: SnapshotKey) -> Golden | None:
        """Look into the store, and hold what is found there."""
        try:
            golden = self._store.find(key)
        except GoldenDamaged:
            # Discarded before the error goes on, so that the next lookup finds nothing and a new
            # one is made.
            self._store.discard(key.digest)
            raise
        with self._mutex:
            # Another golden cluster of the same key may have taken the place of the one that we
            # hold.
            if golden and self._known.get(key.digest) != golden:
                self._held.enter_context(self._store.hold(golden))
                self._known[key.digest] = golden
        return golden

    def _fetched(self, key: SnapshotKey, fetch: Fetch) -> Golden | None:
        return self._find(key) if fetch(key) is not None else None

    def _opened(self, cluster: str, stack: contextlib.ExitStack) -> _Recording:
        """Return a recording whose descriptors are the caller's own until `stack` ends.

        The cluster may be released meanwhile, which closes the recording's; the numbers of closed
        descriptors are soon those of other files, whose content must not get into the store.
        """
        with self._mutex:
            recording = self._recordings.get(cluster)
            if recording is None:
                raise GoldenError(f"cluster {cluster} was released before it was saved")
            memory = {node: os.dup(descriptor) for node, descriptor in recording.memory.items()}
        for descriptor in memory.values():
            stack.callback(os.close, descriptor)
        return replace(recording, memory=memory)
