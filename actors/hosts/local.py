"""A host in this process, without Ray.

Used by the benchmark of clusters, whose times would otherwise hold Ray's own, and by system tests,
which drive one cluster in a process of their own and look into its host while it works. Campaigns
use `RemoteHost`; that both behave alike is what `HostNodes` and `HostSnapshots` are for.
"""

import asyncio
from collections.abc import Mapping, Sequence

from actors.hosts.device_leases import Wanted
from actors.hosts.host import Host
from actors.hosts.slot import HostFacts, HostUsage, NodeBoot, NodeShape, NodeState, Slot
from actors.snapshots.registry import SnapshotOffer
from actors.snapshots.snapshot import Golden, SnapshotKey
from campaign.core.host_load import LoadSample
from campaign.guest.exchange import GuestProgress


class LocalHost:
    """Passes every call on to `host` in a thread: `HostNodes` and `HostSnapshots`.

    `slots` are those that were given, the latest last. Slots and locks are taken in the name of the
    `campaign`.
    """

    def __init__(self, host: Host, campaign: str = "local") -> None:
        self.host = host
        self.slots: list[Slot] = []
        self._campaign = campaign

    async def facts(self) -> HostFacts:
        """See `HostNodes.facts`."""
        return self.host.facts

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
        """See `HostNodes.acquire`."""
        taken = await asyncio.to_thread(
            self.host.acquire,
            cluster,
            nodes,
            shape,
            campaign=self._campaign,
            expires=expires,
            preemptible=preemptible,
            holder=self._campaign,
            devices=devices,
        )
        self.slots.append(taken)
        return taken

    async def pin(self, slot: Slot, expires: int) -> None:
        """See `HostNodes.pin`."""
        await asyncio.to_thread(self.host.pin, slot, expires)

    async def start(self, slot: Slot, boots: Sequence[NodeBoot]) -> None:
        """See `HostNodes.start`."""
        await asyncio.to_thread(self.host.start, slot, boots)

    async def drop(self, slot: Slot, names: Sequence[str]) -> None:
        """See `HostNodes.drop`."""
        await asyncio.to_thread(self.host.drop, slot, names)

    async def states(self, slot: Slot, names: Sequence[str]) -> list[NodeState]:
        """See `HostNodes.states`."""
        return await asyncio.to_thread(self.host.states, slot, names)

    async def progress(self, slot: Slot, name: str) -> GuestProgress | None:
        """See `HostNodes.progress`."""
        return await asyncio.to_thread(self.host.progress, slot, name)

    async def result(self, slot: Slot, name: str) -> bytes:
        """See `HostNodes.result`."""
        return await asyncio.to_thread(self.host.result, slot, name)

    async def cpu_s(self, slot: Slot, name: str) -> float:
        """See `HostNodes.cpu_s`."""
        return await asyncio.to_thread(self.host.cpu_s, slot, name)

    async def usage(self) -> HostUsage:
        """See `HostNodes.usage`."""
        return await asyncio.to_thread(self.host.usage)

    async def load(self, window_s: float) -> Mapping[str, Sequence[LoadSample]]:
        """Return nothing: no actor samples this host, so its load stays unknown."""
        return {}

    async def release(self, slot: Slot) -> None:
        """See `HostNodes.release`."""
        await asyncio.to_thread(self.host.release, slot)

    async def lookup(
        self, key_inputs: Mapping[str, str], shape: NodeShape, *, make: bool
    ) -> SnapshotOffer:
        """See `HostSnapshots.lookup`."""
        owner = self._campaign if make else None
        return await asyncio.to_thread(self.host.lookup, key_inputs, shape, owner)

    async def unlock(self, key: SnapshotKey) -> None:
        """See `HostSnapshots.unlock`."""
        self.host.snapshot_lock.release(key.digest, self._campaign)

    async def start_recorded(self, slot: Slot, boots: Sequence[NodeBoot], key: SnapshotKey) -> None:
        """See `HostSnapshots.start_recorded`."""
        await asyncio.to_thread(self.host.start_recorded, slot, boots, key)

    async def save(self, slot: Slot, names: Sequence[str], identity: Mapping[str, bytes]) -> Golden:
        """See `HostSnapshots.save`."""
        return await asyncio.to_thread(self.host.save, slot, names, identity)

    async def restore(self, slot: Slot, boots: Sequence[NodeBoot], golden: Golden) -> None:
        """See `HostSnapshots.restore`."""
        await asyncio.to_thread(self.host.restore, slot, boots, golden)

    async def resume(self, slot: Slot, names: Sequence[str]) -> None:
        """See `HostSnapshots.resume`."""
        await asyncio.to_thread(self.host.resume, slot, names)
