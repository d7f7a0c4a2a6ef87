"""Several hosts as one, for a cluster that spans them.

Its nodes are dealt over the hosts in turn, the head on the first. Such a cluster is always booted:
nodes on several hosts can't be saved at one instant, so there are no `HostSnapshots` of several
hosts.
"""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from actors.hosts.device_leases import Wanted
from actors.hosts.placement import shares
from actors.hosts.remote_host import RemoteHost
from actors.hosts.slot import (
    LOOPBACK,
    HostFacts,
    HostUsage,
    NodeBoot,
    NodeShape,
    NodeState,
    SharedNetwork,
    Slot,
)
from actors.hypervisor.capacity import Resources
from actors.hypervisor.overlay import Bridge, Overlay
from campaign.core.host_load import LoadSample
from campaign.guest.exchange import GuestProgress

T = TypeVar("T")


@dataclass(frozen=True)
class HostPart:
    """One of the hosts of a cluster."""

    host: RemoteHost
    name: str
    address: str
    """The address at which the other machines reach it."""
    local: bool
    """True if it is the driver's machine."""
    bridge: str | None
    """The bridge that joins it to the others, if the site has one."""


class MultiHost:
    """The hosts of one cluster as `HostNodes`. Node i of the cluster is on host i modulo n."""

    def __init__(self, parts: Sequence[HostPart]) -> None:
        self._parts = parts
        self._place: dict[str, int] = {}  # by node: the index of its host among the parts

    async def facts(self) -> HostFacts:
        """Return the facts of the slowest host (the first of several) under the names of all.

        The names are joined by "+".
        """
        facts = await _together(part.host.facts() for part in self._parts)
        slowest = max(facts, key=lambda one: one.slowness)
        return replace(slowest, name="+".join(part.name for part in self._parts))

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
        """Acquire a slot on each host, one after the other; where one has no room, none is kept."""
        taken: list[Slot] = []
        try:
            counts = shares(nodes, len(self._parts))
            # Not all at once: on one machine, the other hosts need the network of the first slot.
            for place, (part, count) in enumerate(zip(self._parts, counts, strict=True)):
                slot = await part.host.acquire(
                    cluster,
                    count,
                    shape,
                    expires,
                    preemptible=preemptible,
                    devices=devices[place :: len(self._parts)],
                    shared=self._shared_network(place, cluster, taken),
                )
                taken.append(slot)
        # Also when this is cancelled, since nobody else knows of these slots.
        except BaseException:
            if taken:
                await self.release(_joint(taken))
            raise
        return _joint(taken)

    async def pin(self, slot: Slot, expires: int) -> None:
        """Make the slots on all hosts lasting ones."""
        pairs = zip(self._parts, slot.parts, strict=True)
        await _together(part.host.pin(own, expires) for part, own in pairs)

    async def start(self, slot: Slot, boots: Sequence[NodeBoot]) -> None:
        """Start the nodes on all hosts at once."""
        count = len(self._parts)
        self._place = {boot.name: index % count for index, boot in enumerate(boots)}
        dealt = [boots[place::count] for place in range(count)]
        each = zip(self._parts, slot.parts, dealt, strict=True)
        await _together(part.host.start(own, some) for part, own, some in each)

    async def drop(self, slot: Slot, names: Sequence[str]) -> None:
        """End some nodes, on whichever host they are."""
        await self._of_each(slot, names, lambda part, own, some: part.host.drop(own, some))

    async def states(self, slot: Slot, names: Sequence[str]) -> list[NodeState]:
        """Return the state of nodes in the order of `names`, on whichever host they are."""
        of_each = await self._of_each(
            slot, names, lambda part, own, some: part.host.states(own, some)
        )
        found = {state.name: state for states in of_each for state in states}
        return [found[name] for name in names]

    async def progress(self, slot: Slot, name: str) -> GuestProgress | None:
        """Return what a guest says of its task, on whichever host it is."""
        place = self._place[name]
        return await self._parts[place].host.progress(slot.parts[place], name)

    async def result(self, slot: Slot, name: str) -> bytes:
        """Return what a guest has left in its exchange, on whichever host it is."""
        place = self._place[name]
        return await self._parts[place].host.result(slot.parts[place], name)

    async def cpu_s(self, slot: Slot, name: str) -> float:
        """Return the CPU time of a node's emulator, on whichever host it is."""
        place = self._place[name]
        return await self._parts[place].host.cpu_s(slot.parts[place], name)

    async def usage(self) -> HostUsage:
        """Return the largest usage of any of the hosts, figure by figure."""
        most = HostUsage(0, 0)
        for usage in await _together(part.host.usage() for part in self._parts):
            most |= usage
        return most

    async def load(self, window_s: float) -> Mapping[str, Sequence[LoadSample]]:
        """Return how busy each of the hosts was."""
        found: dict[str, Sequence[LoadSample]] = {}
        for load in await _together(part.host.load(window_s) for part in self._parts):
            found |= load
        return found

    async def release(self, slot: Slot) -> None:
        """Release the slots on all hosts, also if one of them fails; then raise its error."""
        pairs = zip(self._parts, slot.parts, strict=False)  # fewer where not all could be had
        # No TaskGroup: the failure of one host must not keep the others from being released.
        results = await asyncio.gather(
            *(part.host.release(own) for part, own in pairs), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def _shared_network(self, place: int, cluster: str, taken: Sequence[Slot]) -> SharedNetwork:
        """Return what the host at `place` must know of the network between the hosts."""
        part = self._parts[place]
        if all(one.local for one in self._parts):
            # On one machine, all nodes join the multicast group of the first host.
            return SharedNetwork(taken[0].network if taken else None, LOOPBACK)
        if part.bridge is not None:
            return SharedNetwork(Bridge(part.bridge), part.address)
        # A VXLAN's number has 24 bits; each host works it out alone, from the cluster's name.
        number = int.from_bytes(hashlib.sha256(cluster.encode()).digest()[:3])
        peers = tuple(one.address for one in self._parts if one is not part)
        return SharedNetwork(Overlay(number, part.address, peers), part.address)

    async def _of_each(
        self,
        slot: Slot,
        names: Sequence[str],
        call: Callable[[HostPart, Slot, list[str]], Coroutine[Any, Any, T]],
    ) -> list[T]:
        """Call each host that has some of the named nodes."""
        named = [
            [name for name in names if self._place[name] == place]
            for place in range(len(self._parts))
        ]
        each = zip(self._parts, slot.parts, named, strict=True)
        return await _together(call(part, own, some) for part, own, some in each if some)


async def _together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Return all results in order; at the first error, give the others up and raise it."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def _joint(slots: Sequence[Slot]) -> Slot:
    """Return the slot of the whole cluster."""
    return replace(
        slots[0],
        ports=tuple(port for slot in slots for port in slot.ports),
        resources=sum((slot.resources for slot in slots), Resources()),
        parts=tuple(slots),
    )
