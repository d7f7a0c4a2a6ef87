"""The golden clusters of one host while its actor lives: who makes which, what is being recorded,
what is held."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from actors.hypervisor.domain import MemoryFile
from actors.snapshots import sparse
from actors.snapshots.snapshot import Golden, GoldenDamaged, Recipe
from actors.snapshots.store import GoldenStore

Stage = Literal["none", "claimed", "making"]
"""Whether a golden cluster is being made on a host; a claim is one until the host knows that no
other makes it."""


@dataclass(frozen=True)
class GoldenOffer:
    """What there is for a recipe: the golden cluster; or none, and then it is `yours` to make
    unless another does."""

    recipe: Recipe
    golden: Golden | None
    yours: bool


@dataclass(frozen=True)
class _Recording:
    """Memory of nodes that are to become a golden cluster: open files without a name, gone with
    those who have them."""

    recipe: Recipe
    memory: Mapping[str, int]
    memory_mib: int

    def close(self) -> None:
        for descriptor in self.memory.values():
            os.close(descriptor)


class Goldens:
    """The golden clusters in `store`, for the trials of one campaign. Safe for several threads."""

    def __init__(self, store: GoldenStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._held = contextlib.ExitStack()
        self._known: dict[str, Golden] = {}  # those that are held
        self._makers: dict[str, str] = {}  # who makes which, by its key
        self._surely: set[str] = set()  # keys of those that no other host makes
        self._recordings: dict[str, _Recording] = {}  # by cluster

    def offer(self, recipe: Recipe, maker: str | None) -> GoldenOffer:
        """What there is for `recipe`, verified, and held until `close`. What is damaged is
        discarded: GoldenDamaged.

        What isn't there is the `maker`'s to make, until it is disclaimed; without one, nobody is
        asked to make it.
        """
        try:
            golden = self._store.find(recipe)
        except GoldenDamaged:
            self._store.discard(recipe.key)
            raise
        with self._lock:
            if golden and self._known.get(recipe.key) != golden:
                self._held.enter_context(self._store.hold(golden))
                self._known[recipe.key] = golden
            yours = maker is not None and golden is None and recipe.key not in self._makers
            if yours and maker is not None:
                self._makers[recipe.key] = maker
        return GoldenOffer(recipe, golden, yours)

    def disclaim(self, recipe: Recipe) -> None:
        """Nobody makes this golden cluster any more."""
        with self._lock:
            self._makers.pop(recipe.key, None)
            self._surely.discard(recipe.key)

    def confirm(self, recipe: Recipe) -> None:
        """No other host makes it, so it is made here."""
        with self._lock:
            self._surely.add(recipe.key)

    def stage(self, key: str) -> Stage:
        """How far it is here, as other hosts ask before they make it themselves."""
        with self._lock:
            return (
                "none"
                if key not in self._makers
                else "making"
                if key in self._surely
                else "claimed"
            )

    def forsake(self, maker: str) -> None:
        """What a dead maker was at isn't being made."""
        with self._lock:
            self._makers = {key: one for key, one in self._makers.items() if one != maker}
            self._surely &= self._makers.keys()

    def record(
        self, cluster: str, recipe: Recipe, nodes: Iterable[str], memory_mib: int
    ) -> dict[str, MemoryFile]:
        """Memory for the nodes of a cluster that is to become a golden one.

        It is not on the store's disk: a slow one would hold up the guests with every page that they
        touch.
        """
        memory = {node: os.memfd_create(f"{cluster}-{node}", os.MFD_CLOEXEC) for node in nodes}
        for descriptor in memory.values():
            os.ftruncate(descriptor, memory_mib * 2**20)
        self._recordings[cluster] = _Recording(recipe, memory, memory_mib)
        return {
            node: MemoryFile(Path(f"/proc/{os.getpid()}/fd/{fd}"), "record")
            for node, fd in memory.items()
        }

    def keep(
        self,
        cluster: str,
        nodes: Sequence[str],
        identity: Mapping[str, bytes],
        save: Callable[[str, Path], None],
    ) -> Golden:
        """Put the recorded nodes, which stand still, into the store. `save` writes a node's devices
        to a new file."""
        recording = self._recordings[cluster]
        with self._store.making(
            recording.recipe, room_mib=len(nodes) * recording.memory_mib
        ) as draft:
            for node in nodes:
                save(node, draft.state(node))
                sparse.copy(recording.memory[node], draft.ram(node))
            return self._store.put(draft, nodes, identity)

    def forget(self, cluster: str) -> None:
        """Give back the memory of a cluster that was recorded; harmless if none was."""
        recording = self._recordings.pop(cluster, None)
        if recording:
            recording.close()

    def close(self) -> None:
        """Let go of what is held."""
        for cluster in list(self._recordings):
            self.forget(cluster)
        self._held.close()
