"""A host in this process, as a cluster uses it: for measuring and for tests, where Ray would only
stand in between."""

import asyncio
from collections.abc import Mapping, Sequence

from actors.hosts.host import Host
from actors.hosts.slot import Commitment, HostFacts, NodeBoot, NodeShape, NodeState, Slot
from actors.snapshots.registry import GoldenOffer
from actors.snapshots.snapshot import Golden, Recipe


class Near:
    """Passes every call on to `host` in a thread; `slots` are those that were given, the latest
    last.

    It is an `actors.clusters.live.HostHandle`; `actors.hosts.host.Host` says what each member
    promises.
    """

    def __init__(self, host: Host, campaign: str = "near") -> None:
        self.host = host
        self.slots: list[Slot] = []
        self._campaign = campaign

    async def facts(self) -> HostFacts:
        return self.host.facts

    async def acquire(
        self, cluster: str, nodes: int, shape: NodeShape, expires: int, ahead: bool = False
    ) -> Slot:
        taken = await asyncio.to_thread(
            self.host.acquire,
            cluster,
            nodes,
            shape,
            campaign=self._campaign,
            expires=expires,
            ahead=ahead,
        )
        self.slots.append(taken)
        return taken

    async def claim(self, slot: Slot, expires: int) -> None:
        await asyncio.to_thread(self.host.claim, slot, expires)

    async def start(
        self, slot: Slot, boots: Sequence[NodeBoot], recipe: Recipe | None = None
    ) -> None:
        await asyncio.to_thread(self.host.start, slot, boots, recipe)

    async def golden(
        self, ingredients: Mapping[str, str], shape: NodeShape, *, make: bool
    ) -> GoldenOffer:
        return await asyncio.to_thread(
            self.host.golden, ingredients, shape, self._campaign if make else None
        )

    async def disclaim(self, recipe: Recipe) -> None:
        await asyncio.to_thread(self.host.disclaim, recipe)

    async def save(self, slot: Slot, names: Sequence[str], identity: Mapping[str, bytes]) -> Golden:
        return await asyncio.to_thread(self.host.save, slot, names, identity)

    async def restore(self, slot: Slot, boots: Sequence[NodeBoot], golden: Golden) -> None:
        await asyncio.to_thread(self.host.restore, slot, boots, golden)

    async def resume(self, slot: Slot, names: Sequence[str]) -> None:
        await asyncio.to_thread(self.host.resume, slot, names)

    async def drop(self, slot: Slot, names: Sequence[str]) -> None:
        await asyncio.to_thread(self.host.drop, slot, names)

    async def look(self, slot: Slot, names: Sequence[str]) -> list[NodeState]:
        return await asyncio.to_thread(self.host.look, slot, names)

    async def commitment(self) -> Commitment:
        return await asyncio.to_thread(self.host.commitment)

    async def release(self, slot: Slot) -> None:
        await asyncio.to_thread(self.host.release, slot)
