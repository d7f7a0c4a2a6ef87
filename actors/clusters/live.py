"""A cluster whose nodes run: booted, or restored from a golden cluster; reached by SSH, watched,
and released.

Nothing here knows a scheduler. What can go wrong is an InfrastructureError that says which node,
with its console.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

from actors.bootstrap.ansible import Access
from actors.bootstrap.ssh import Remote
from actors.clusters.failures import NodeLost, cause_of
from actors.clusters.identity import Keys, credentials, dump_keys, macs
from actors.hosts.slot import Commitment, HostFacts, NodeBoot, NodeShape, NodeState, Slot
from actors.snapshots.registry import GoldenOffer
from actors.snapshots.snapshot import Golden, Recipe
from campaign.core.errors import CampaignError, InfrastructureError
from campaign.images.bundles.manifest import Bundle
from schedulers.base import Node, Topology

WATCH_S = 2.0
MEND_S = 30.0

Tell = Callable[[str], None]
T = TypeVar("T")


class HostHandle(Protocol):
    """The host as a cluster uses it, near or far; see `actors.hosts.host.Host` for what each member
    promises."""

    async def facts(self) -> HostFacts: ...
    async def acquire(
        self, cluster: str, nodes: int, shape: NodeShape, expires: int, ahead: bool = False
    ) -> Slot: ...
    async def claim(self, slot: Slot, expires: int) -> None: ...
    async def start(
        self, slot: Slot, boots: Sequence[NodeBoot], recipe: Recipe | None = None
    ) -> None: ...
    async def golden(
        self, ingredients: Mapping[str, str], shape: NodeShape, *, make: bool
    ) -> GoldenOffer: ...
    async def disclaim(self, recipe: Recipe) -> None: ...
    async def save(
        self, slot: Slot, names: Sequence[str], identity: Mapping[str, bytes]
    ) -> Golden: ...
    async def restore(self, slot: Slot, boots: Sequence[NodeBoot], golden: Golden) -> None: ...
    async def resume(self, slot: Slot, names: Sequence[str]) -> None: ...
    async def drop(self, slot: Slot, names: Sequence[str]) -> None: ...
    async def look(self, slot: Slot, names: Sequence[str]) -> list[NodeState]: ...
    async def commitment(self) -> Commitment: ...
    async def release(self, slot: Slot) -> None: ...


class Standing:
    """The nodes of `topology` in a slot of `host`, all from one image, and the connections to those
    that have been reached."""

    def __init__(
        self, host: HostHandle, slot: Slot, topology: Topology, image: Bundle, keys: Keys
    ) -> None:
        self.slot = slot
        self.topology = topology
        self.keys = keys
        self._image = image
        self.remotes: dict[str, Remote] = {}
        self._host = host

    async def boot(self, recipe: Recipe | None = None) -> None:
        """Start all nodes; with a recipe, such that they can be saved as its golden cluster."""
        await self._host.start(self.slot, self._boots(credentialed=True), recipe)

    async def restore(self, golden: Golden) -> None:
        """Start all nodes from a golden cluster's memory. They are paused until they are woken."""
        await self._host.restore(self.slot, self._boots(credentialed=False), golden)

    async def wake(self, nodes: Sequence[Node], deadline: float, tell: Tell) -> None:
        """Let restored nodes run, reach them, and mend what the time that they slept through has
        spoilt."""
        await self._host.resume(self.slot, [node.name for node in nodes])
        await self.reach(nodes, deadline, tell, mend=True)

    async def keep(self, topology: Topology) -> None:
        """End the nodes that a smaller cluster does without."""
        surplus = [node.name for node in self.topology.nodes if node not in topology.nodes]
        self.topology = topology
        if surplus:
            await self._host.drop(self.slot, surplus)

    async def save(self) -> Golden:
        """Keep a cluster that was booted for it as a golden one; its nodes stand still
        afterwards."""
        self.hang_up()
        return await self._host.save(
            self.slot, [node.name for node in self.topology.nodes], dump_keys(self.keys)
        )

    async def reach(
        self, nodes: Sequence[Node], deadline: float, tell: Tell, *, mend: bool = False
    ) -> None:
        """Connect to nodes by SSH; one that is lost meanwhile or never answers is an error with its
        console's tail."""
        doors = dict(
            zip((node.name for node in self.topology.nodes), self.slot.doors, strict=False)
        )

        async def connect(node: Node) -> None:
            host_key = self.keys.hosts[node.name].public
            remote = await Remote.connect(
                node.name, doors[node.name], self.keys.client, host_key, deadline
            )
            if mend:
                await _mend_clock(remote)
            self.remotes[node.name] = remote
            tell(f"{len(self.remotes)}/{len(self.topology.nodes)} nodes reachable")

        async def all_of_them() -> None:
            async with asyncio.TaskGroup() as group:
                for node in nodes:
                    group.create_task(connect(node))

        try:
            await self.watched(all_of_them(), nodes)
        except NodeLost:
            raise
        except (CampaignError, OSError) as error:
            raise await self._explained(error) from None

    async def watched(self, work: Awaitable[T], nodes: Sequence[Node] | None = None) -> T:
        """Await `work`, and give it up with NodeLost as soon as the VM of one of `nodes` (of any,
        if None) ends or its kernel fails."""
        names = [node.name for node in (self.topology.nodes if nodes is None else nodes)]

        async def to_its_end() -> T:
            done = await work
            watcher.cancel()
            return done

        try:
            async with asyncio.TaskGroup() as group:
                watcher = group.create_task(self._watch(names))
                working = group.create_task(to_its_end())
        except ExceptionGroup as group_of_errors:
            cause = cause_of(group_of_errors)
            if not isinstance(cause, NodeLost):
                await self._look(names)  # a lost node explains a broken connection
            raise cause from None
        return working.result()

    def access(self) -> dict[str, Access]:
        """How others than `remotes` may log in to the nodes."""
        return {
            node.name: Access(door, self.keys.client, self.keys.hosts[node.name].public)
            for node, door in zip(self.topology.nodes, self.slot.doors, strict=False)
        }

    async def states(self) -> list[NodeState]:
        """How the nodes are."""
        return await self._host.look(self.slot, [node.name for node in self.topology.nodes])

    def hang_up(self) -> None:
        """Close all connections."""
        for remote in self.remotes.values():
            remote.close()
        self.remotes.clear()

    async def release(self) -> None:
        """End the nodes and give the slot back; harmless when repeated."""
        self.hang_up()
        await self._host.release(self.slot)

    def _boots(self, *, credentialed: bool) -> list[NodeBoot]:
        """Restored nodes need no credentials: they have read theirs."""
        return [
            NodeBoot(
                node.name,
                self._image,
                macs(index),
                credentials(self.topology, node, self.keys, macs(index)) if credentialed else {},
            )
            for index, node in enumerate(self.topology.nodes)
        ]

    async def _watch(self, names: Sequence[str]) -> None:
        while True:
            await self._look(names)
            await asyncio.sleep(WATCH_S)

    async def _look(self, names: Sequence[str]) -> None:
        """Raise NodeLost unless all these nodes are well."""
        for state in await self._host.look(self.slot, names):
            if not state.well:
                raise NodeLost(state.name, state.fault or f"its VM is {state.state}", state.console)

    async def _explained(self, cause: CampaignError | OSError) -> InfrastructureError:
        """Add to an error what the consoles of the nodes that it concerns say."""
        tails = [
            f"{state.name} is {state.state}; its console ends with:\n{state.console}"
            for state in await self.states()
            if state.name in str(cause)
        ]
        mend = "Raise cluster.boot_deadline_s if the node was merely slow."
        return InfrastructureError(str(cause), "\n".join(tails), mend)


@asynccontextmanager
async def released_on_failure(standing: Standing) -> AsyncIterator[Standing]:
    """Release a cluster that can't be brought to where the block wants it."""
    try:
        yield standing
    except BaseException:
        await standing.release()
        raise


async def _mend_clock(remote: Remote) -> None:
    """A restored node's clock stands at the moment of its saving; daemons refuse messages from
    another time."""
    await remote.succeed(("date", "--utc", "--set", f"@{time.time():.6f}"), timeout_s=MEND_S)
