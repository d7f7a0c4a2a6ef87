"""A host's actor as a cluster uses it."""

from collections.abc import Mapping, Sequence

from actors.hosts.device_leases import Wanted
from actors.hosts.host_actor import HostActor
from actors.hosts.remote_call import RemoteActor
from actors.hosts.slot import (
    HostFacts,
    HostUsage,
    NodeBoot,
    NodeShape,
    NodeState,
    SharedNetwork,
    Slot,
)
from actors.snapshots.registry import SnapshotOffer
from actors.snapshots.snapshot import Golden, SnapshotKey
from campaign.core.host_load import LoadSample
from campaign.guest.exchange import GuestProgress


class RemoteHost:
    """A host behind Ray: `HostNodes` and `HostSnapshots`.

    The errors that the actor raised come out as they are. Slots and locks are taken in the name of
    `holder`.
    """

    def __init__(self, actor: RemoteActor[HostActor], holder: str) -> None:
        self._actor = actor
        self._holder = holder

    async def facts(self) -> HostFacts:
        """See `HostNodes.facts`."""
        return await self._actor.call(HostActor.facts)

    async def acquire(
        self,
        cluster: str,
        nodes: int,
        shape: NodeShape,
        expires: int,
        *,
        preemptible: bool = False,
        devices: Sequence[Wanted] = (),
        shared: SharedNetwork | None = None,
    ) -> Slot:
        """See `HostNodes.acquire`; `shared` is for a cluster that has nodes on other hosts, too."""
        return await self._actor.call(
            HostActor.acquire,
            cluster,
            nodes,
            shape,
            expires,
            preemptible=preemptible,
            holder=self._holder,
            shared=shared,
            devices=devices,
        )

    async def pin(self, slot: Slot, expires: int) -> None:
        """See `HostNodes.pin`."""
        await self._actor.call(HostActor.pin, slot, expires)

    async def start(self, slot: Slot, boots: Sequence[NodeBoot]) -> None:
        """See `HostNodes.start`."""
        await self._actor.call(HostActor.start, slot, boots)

    async def drop(self, slot: Slot, names: Sequence[str]) -> None:
        """See `HostNodes.drop`."""
        await self._actor.call(HostActor.drop, slot, names)

    async def states(self, slot: Slot, names: Sequence[str]) -> list[NodeState]:
        """See `HostNodes.states`."""
        return await self._actor.call(HostActor.states, slot, names)

    async def progress(self, slot: Slot, name: str) -> GuestProgress | None:
        """See `HostNodes.progress`."""
        return await self._actor.call(HostActor.progress, slot, name)

    async def result(self, slot: Slot, name: str) -> bytes:
        """See `HostNodes.result`."""
        return await self._actor.call(HostActor.result, slot, name)

    async def cpu_s(self, slot: Slot, name: str) -> float:
        """See `HostNodes.cpu_s`."""
        return await self._actor.call(HostActor.cpu_s, slot, name)

    async def usage(self) -> HostUsage:
        """See `HostNodes.usage`."""
        return await self._actor.call(HostActor.usage)

    async def load(self, window_s: float) -> Mapping[str, Sequence[LoadSample]]:
        """See `HostNodes.load`."""
        return await self._actor.call(HostActor.load, window_s)

    async def release(self, slot: Slot) -> None:
        """See `HostNodes.release`."""
        await self._actor.call(HostActor.release, slot)

    async def lookup(
        self, key_inputs: Mapping[str, str], shape: NodeShape, *, make: bool
    ) -> SnapshotOffer:
        """See `HostSnapshots.lookup`."""
        owner = self._holder if make else None
        return await self._actor.call(HostActor.lookup, key_inputs, shape, owner)

    async def unlock(self, key: SnapshotKey) -> None:
        """See `HostSnapshots.unlock`."""
        await self._actor.call(HostActor.unlock, key, self._holder)

    async def start_recorded(self, slot: Slot, boots: Sequence[NodeBoot], key: SnapshotKey) -> None:
        """See `HostSnapshots.start_recorded`."""
        await self._actor.call(HostActor.start_recorded, slot, boots, key)

    async def save(self, slot: Slot, names: Sequence[str], identity: Mapping[str, bytes]) -> Golden:
        """See `HostSnapshots.save`."""
        return await self._actor.call(HostActor.save, slot, names, identity)

    async def restore(self, slot: Slot, boots: Sequence[NodeBoot], golden: Golden) -> None:
        """See `HostSnapshots.restore`."""
        await self._actor.call(HostActor.restore, slot, boots, golden)

    async def resume(self, slot: Slot, names: Sequence[str]) -> None:
        """See `HostSnapshots.resume`."""
        await self._actor.call(HostActor.resume, slot, names)
