"""Several hosts as one, for a cluster whose nodes are dealt over them in turn, the head on the
first.

It is an `actors.clusters.live.HostHandle`. Such a cluster is booted: nodes on several hosts can't
be saved at one instant.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn, TypeVar

from actors.hosts.host_actor import RemoteHost
from actors.hosts.placement import shares
from actors.hosts.slot import (
    LOOPBACK,
    Commitment,
    HostFacts,
    NodeBoot,
    NodeShape,
    NodeState,
    Slot,
    Span,
)
from actors.hypervisor.capacity import Resources
from actors.hypervisor.overlay import Bridge, Overlay
from actors.snapshots.registry import GoldenOffer
from actors.snapshots.snapshot import Golden, GoldenError, Recipe

T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """A host of a spanning cluster: its address for the other machines, whether it is the driver's
    machine, and its bridge to the others if the site has one."""

    host: RemoteHost
    name: str
    address: str
    local: bool
    bridge: str | None


class SpannedHosts:
    """The hosts of one cluster, after the other; see `actors.hosts.host.Host` for what each member
    promises."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._place: dict[str, int] = {}  # node: its host's place among the parts

    async def facts(self) -> HostFacts:
        facts = await self._parts[0].host.facts()
        return replace(facts, name="+".join(part.name for part in self._parts))

    async def acquire(
        self, cluster: str, nodes: int, shape: NodeShape, expires: int, ahead: bool = False
    ) -> Slot:
        taken: list[Slot] = []
        try:
            for place, (part, count) in enumerate(
                zip(self._parts, shares(nodes, len(self._parts)), strict=True)
            ):
                span = self._span(place, cluster, taken)
                taken.append(
                    await part.host.acquire(cluster, count, shape, expires, ahead, span=span)
                )
        except BaseException:
            if taken:
                await self.release(_joint(taken))
            raise
        return _joint(taken)

    async def start(
        self, slot: Slot, boots: Sequence[NodeBoot], recipe: Recipe | None = None
    ) -> None:
        self._place = {boot.name: index % len(self._parts) for index, boot in enumerate(boots)}
        dealt = [boots[place :: len(self._parts)] for place in range(len(self._parts))]
        each = zip(self._parts, slot.parts, dealt, strict=True)
        await asyncio.gather(*(part.host.start(mine, some) for part, mine, some in each))

    async def look(self, slot: Slot, names: Sequence[str]) -> list[NodeState]:
        looks = await self._of_each(
            slot, names, lambda part, mine, some: part.host.look(mine, some)
        )
        found = {state.name: state for states in looks for state in states}
        return [found[name] for name in names]

    async def drop(self, slot: Slot, names: Sequence[str]) -> None:
        await self._of_each(slot, names, lambda part, mine, some: part.host.drop(mine, some))

    async def resume(self, slot: Slot, names: Sequence[str]) -> None:
        await self._of_each(slot, names, lambda part, mine, some: part.host.resume(mine, some))

    async def commitment(self) -> Commitment:
        of_each = await asyncio.gather(*(part.host.commitment() for part in self._parts))
        most = Commitment(0, 0)
        for one in of_each:
            most |= one
        return most

    async def release(self, slot: Slot) -> None:
        pairs = zip(self._parts, slot.parts, strict=False)  # fewer where not all could be had
        await asyncio.gather(*(part.host.release(mine) for part, mine in pairs))

    async def claim(self, slot: Slot, expires: int) -> None:
        await asyncio.gather(
            *(
                part.host.claim(mine, expires)
                for part, mine in zip(self._parts, slot.parts, strict=True)
            )
        )

    async def golden(
        self, ingredients: Mapping[str, str], shape: NodeShape, *, make: bool
    ) -> GoldenOffer:
        _refuse()

    async def disclaim(self, recipe: Recipe) -> None:
        _refuse()

    async def save(self, slot: Slot, names: Sequence[str], identity: Mapping[str, bytes]) -> Golden:
        _refuse()

    async def restore(self, slot: Slot, boots: Sequence[NodeBoot], golden: Golden) -> None:
        _refuse()

    def _span(self, place: int, cluster: str, taken: Sequence[Slot]) -> Span:
        """What the host at `place` must know. On one machine, all nodes join the multicast group of
        the first host."""
        part = self._parts[place]
        if all(one.local for one in self._parts):
            return Span(taken[0].network if taken else None, LOOPBACK)
        if part.bridge is not None:
            return Span(Bridge(part.bridge), part.address)
        number = int.from_bytes(hashlib.sha256(cluster.encode()).digest()[:3])
        peers = tuple(one.address for one in self._parts if one is not part)
        return Span(Overlay(number, part.address, peers), part.address)

    async def _of_each(
        self,
        slot: Slot,
        names: Sequence[str],
        call: Callable[[Part, Slot, list[str]], Awaitable[T]],
    ) -> list[T]:
        """Call each host that has some of the named nodes."""
        mine = [
            [name for name in names if self._place[name] == place]
            for place in range(len(self._parts))
        ]
        each = zip(self._parts, slot.parts, mine, strict=True)
        return await asyncio.gather(*(call(part, one, some) for part, one, some in each if some))


def _joint(slots: Sequence[Slot]) -> Slot:
    """The slot of the whole cluster."""
    resources = sum((slot.resources for slot in slots), Resources())
    return replace(
        slots[0],
        ports=sum((slot.ports for slot in slots), ()),
        resources=resources,
        parts=tuple(slots),
    )


def _refuse() -> NoReturn:
    raise GoldenError("a cluster that spans hosts is booted, never restored")
