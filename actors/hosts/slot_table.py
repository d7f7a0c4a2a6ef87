"""The slots that a host has given: who has them, and what they leave free."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from actors.hosts.slot import Slot
from actors.hypervisor.capacity import Capacity, Resources
from campaign.core.errors import CapacityError


@dataclass(frozen=True)
class SlotEntry:
    """A slot that was given, the name in which it was taken, and whether it may be taken back."""

    slot: Slot
    holder: str
    preemptible: bool


class SlotTable:
    """The slots of one host. All methods may be called from several threads.

    A slot is in the table from `add` on. `begin_release` takes it out while its nodes are ended,
    but its room stays occupied until `finish_release`; `fail_release` puts it back.
    """

    def __init__(self, host: str, total: Resources) -> None:
        self._host = host
        self._capacity = Capacity(total)
        self._entries: dict[str, SlotEntry] = {}  # by cluster
        self._ever: set[str] = set()
        self._mutex = threading.Lock()

    @property
    def reserved(self) -> Resources:
        """What all slots occupy, including those that are being released."""
        with self._mutex:
            return self._capacity.reserved

    @property
    def clusters_ever(self) -> set[str]:
        """The clusters of all slots that were ever given."""
        with self._mutex:
            return set(self._ever)

    def all_slots(self) -> list[Slot]:
        """Return the slots that are given now."""
        with self._mutex:
            return [entry.slot for entry in self._entries.values()]

    def slots_of(self, holder: str) -> list[Slot]:
        """Return the slots that were taken in the name of `holder`."""
        with self._mutex:
            return [entry.slot for entry in self._entries.values() if entry.holder == holder]

    def to_preempt(self, nodes: int, needed: Resources, *, preemptible: bool) -> Sequence[Slot]:
        """Return the slots that must be released before `needed` is free.

        A slot that is preemptible itself makes no other one give way. Raises CapacityError if the
        room isn't enough even without those that may give way.
        """
        with self._mutex:
            giving_way = [entry.slot for entry in self._entries.values() if entry.preemptible]
            self._require_room(nodes, needed, [] if preemptible else giving_way)
            # `fits` returns what is missing, so an answer means that room must be made.
            return giving_way if self._capacity.fits(needed) else []

    def add(
        self,
        nodes: int,
        needed: Resources,
        make: Callable[[set[int]], Slot],
        *,
        holder: str,
        preemptible: bool,
    ) -> Slot:
        """Add the slot that `make` returns, which is given the ports of all other slots.

        `needed` is what it occupies. Raises CapacityError if there is no room, and what `make`
        raises; nothing is added then.
        """
        with self._mutex:
            self._require_room(nodes, needed, ())
            # Called with the lock held, so that no two slots get the same ports.
            slot = make({port for entry in self._entries.values() for port in entry.slot.ports})
            self._entries[slot.cluster] = SlotEntry(slot, holder, preemptible)
            self._ever.add(slot.cluster)
            self._capacity = self._capacity.reserve(needed)
            return slot

    def pin(self, cluster: str) -> None:
        """Make a slot one that isn't taken back any more; CapacityError if it has been already."""
        with self._mutex:
            entry = self._entries.get(cluster)
            if entry is None:
                raise CapacityError(
                    f"the slot {cluster} on host {self._host} was needed for something else"
                )
            self._entries[cluster] = replace(entry, preemptible=False)

    def begin_release(self, cluster: str) -> SlotEntry | None:
        """Take a slot out; None if it isn't in the table, or somebody else releases it already."""
        with self._mutex:
            return self._entries.pop(cluster, None)

    def finish_release(self, entry: SlotEntry) -> None:
        """Give the room of a slot back whose nodes have ended."""
        with self._mutex:
            self._capacity = self._capacity.release(entry.slot.resources)

    def fail_release(self, entry: SlotEntry) -> None:
        """Put a slot back whose nodes couldn't be ended. It isn't counted on to give way again."""
        with self._mutex:
            self._entries[entry.slot.cluster] = replace(entry, preemptible=False)

    def _require_room(self, nodes: int, needed: Resources, giving_way: Iterable[Slot]) -> None:
        capacity = self._capacity
        for slot in giving_way:
            capacity = capacity.release(slot.resources)
        shortfall = capacity.fits(needed)
        if shortfall:
            raise CapacityError(
                f"a cluster of {nodes} VMs doesn't fit on host {self._host}: {shortfall}"
            )
