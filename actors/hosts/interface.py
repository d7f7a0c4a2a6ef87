"""A host as a cluster uses it, wherever the host is: nodes of a slot, and snapshots of them.

The two are apart because a cluster that spans hosts has nodes but no snapshots: nodes on several
machines can't be saved at one instant.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from actors.hosts.device_leases import Wanted
from actors.hosts.slot import HostFacts, HostUsage, NodeBoot, NodeShape, NodeState, Slot
from actors.snapshots.registry import SnapshotOffer
from actors.snapshots.snapshot import Golden, SnapshotKey
from campaign.core.host_load import LoadSample
from campaign.guest.exchange import GuestProgress


class HostNodes(Protocol):
    """Nodes on a host. A cluster's nodes live in a slot, from `acquire` to `release`.

    `actors.hosts.host.Host` says what each method promises. All may raise InfrastructureErrors.
    """

    async def facts(self) -> HostFacts:
        """Return what the host is."""
        ...

    async def acquire(
        self,
        cluster: str,
        nodes: int,
        shape: NodeShape,
        expires: int,
        *,
        preemptible: bool = False,
        devices: Sequence[Wanted] = (),
    ) -> Slot:
        """Give the cluster a slot; CapacityError if there is no room.

        `devices` are those that each node wants, if any does.
        """
        ...

    async def pin(self, slot: Slot, expires: int) -> None:
        """Make a preemptible slot a lasting one; CapacityError if it was taken back."""
        ...

    async def start(self, slot: Slot, boots: Sequence[NodeBoot]) -> None:
        """Boot the nodes of a slot."""
        ...

    async def drop(self, slot: Slot, names: Sequence[str]) -> None:
        """End some nodes of a slot."""
        ...

    async def states(self, slot: Slot, names: Sequence[str]) -> list[NodeState]:
        """Return the state of nodes of a slot, in the order of `names`."""
        ...

    async def progress(self, slot: Slot, name: str) -> GuestProgress | None:
        """Return what a guest in virtual time says of its task; None if it has said nothing yet."""
        ...

    async def result(self, slot: Slot, name: str) -> bytes:
        """Return what a guest in virtual time has left in its exchange, once it is done."""
        ...

    async def cpu_s(self, slot: Slot, name: str) -> float:
        """Return the CPU time that a running node's emulator has used so far, seconds."""
        ...

    async def usage(self) -> HostUsage:
        """Return what is promised to nodes just now."""
        ...

    async def load(self, window_s: float) -> Mapping[str, Sequence[LoadSample]]:
        """Return how busy each host was in the last `window_s` seconds, by its name."""
        ...

    async def release(self, slot: Slot) -> None:
        """End all nodes of a slot and give it back; harmless when repeated."""
        ...


class HostSnapshots(Protocol):
    """Golden clusters on a host: snapshots of booted and joined clusters, and nodes made of them.

    `actors.hosts.host.Host` says what each method promises. All may raise InfrastructureErrors.
    """

    async def lookup(
        self, key_inputs: Mapping[str, str], shape: NodeShape, *, make: bool
    ) -> SnapshotOffer:
        """Return the golden cluster of these inputs if there is one.

        With `make`, the offer may say that it is the caller's to make: the caller has the lock then
        and must call `unlock` when it has made it or given up.
        """
        ...

    async def unlock(self, key: SnapshotKey) -> None:
        """Give the right to make a golden cluster back; harmless when repeated."""
        ...

    async def start_recorded(self, slot: Slot, boots: Sequence[NodeBoot], key: SnapshotKey) -> None:
        """Boot the nodes of a slot such that they can be saved."""
        ...

    async def save(self, slot: Slot, names: Sequence[str], identity: Mapping[str, bytes]) -> Golden:
        """Save nodes that were started for it as a golden cluster."""
        ...

    async def restore(self, slot: Slot, boots: Sequence[NodeBoot], golden: Golden) -> None:
        """Start the nodes of a slot from a golden cluster; they are paused until `resume`."""
        ...

    async def resume(self, slot: Slot, names: Sequence[str]) -> None:
        """Let restored nodes run."""
        ...
