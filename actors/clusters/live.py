"""A cluster whose VMs run: booted, or restored from a golden cluster; reached by SSH; watched.

Nothing here knows a scheduler. What can go wrong is an InfrastructureError that names the node and
shows the end of its console.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from enum import StrEnum
from types import MappingProxyType
from typing import TypeVar

from actors.bootstrap.ansible import Access
from actors.bootstrap.ssh import DEFAULT_LIMITS, Remote
from actors.clusters.failures import NodeLost, cause_of
from actors.clusters.identity import Keys, credentials, dump_keys, macs
from actors.hosts.interface import HostNodes, HostSnapshots
from actors.hosts.slot import NodeBoot, NodeState, Slot
from actors.hypervisor.attached import NetworkCard
from actors.snapshots.snapshot import Golden, SnapshotKey
from campaign.core import log
from campaign.core.errors import CampaignError, InfrastructureError
from campaign.core.phase_clock import PhaseClock
from campaign.core.time_limits import TimeLimits
from campaign.images.bundles.manifest import Bundle
from schedulers.base import Topology

WATCH_S = 2.0
SETTLE_S = 1.0
"""How long nodes are left alone before they are saved, so that closed connections have ended."""

_log = logging.getLogger(__name__)
T = TypeVar("T")


class ClusterState(StrEnum):
    """The states of a LiveCluster; its docstring draws how they follow one another."""

    PLACED = "placed"
    BOOTED = "booted"
    RESTORED = "restored"
    REACHED = "reached"
    WATCHED = "watched"
    SAVED = "saved"
    FAILED = "failed"
    RELEASED = "released"


class WrongClusterState(RuntimeError):
    """A method of a LiveCluster was called in a state that doesn't allow it: an error of ours.

    `state` is the cluster's, `required` are those in which `method` may be called.
    """

    def __init__(
        self, method: str, state: ClusterState, required: tuple[ClusterState, ...]
    ) -> None:
        super().__init__(method, state, required)
        self.method = method
        self.state = state
        self.required = required

    def __str__(self) -> str:
        allowed = " or ".join(self.required)
        return f"{self.method} needs a cluster that is {allowed}; this one is {self.state}"


class LiveCluster:
    """The VMs of `topology` in a slot of `host`, all from one image, with our SSH connections.

    Each has one node, or, in a dense cluster, several; here they are called nodes all the same.

    Its states, and the methods that lead from one to the next:

        placed ──boot()────> booted ───reach()───┐
           │  boot_recorded()                    ├──> reached <──> watched  (watch_during())
           └──restore()──> restored ──resume()───┘       │
                                                         └──save()──> saved
        any state ──release()──> released

    - placed: the slot is ours, no node runs. Allowed: `boot`, `boot_recorded`, `restore`.
    - booted: the nodes were started and may not answer yet. Allowed: `reach`.
    - restored: the nodes have their saved memory and are paused. Allowed: `shrink_to`, `resume`.
    - reached: all resumed nodes answer by SSH. Allowed: `remotes`, `access`, `watch_during`,
      `save`; of a restored cluster also `shrink_to`, and `resume` for nodes that are still paused.
    - watched: some work runs inside `watch_during`. Allowed: `remotes`, `access`.
    - saved: the nodes stand still.
    - failed: a step broke off half-way.

    `node_states` may be asked for while there are nodes, and `release` may be called in every
    state, also again. Any other call raises WrongClusterState.
    """

    def __init__(
        self,
        host: HostNodes,
        slot: Slot,
        topology: Topology,
        image: Bundle,
        keys: Keys,
        *,
        limits: TimeLimits = DEFAULT_LIMITS,
        cards: Mapping[str, tuple[NetworkCard, ...]] = MappingProxyType({}),
    ) -> None:
        """Manage the nodes in `slot`; `limits` are those of questions to them on `host`.

        `cards` are those of nodes on further networks, by node.
        """
        self.slot = slot
        self.topology = topology
        self.keys = keys
        self.state = ClusterState.PLACED
        self._image = image
        self._remotes: dict[str, Remote] = {}
        self._host = host
        self._limits = limits
        self._cards = cards

    @property
    def remotes(self) -> Mapping[str, Remote]:
        """The connections to the VMs that were reached, by name."""
        self._require("remotes", ClusterState.REACHED, ClusterState.WATCHED)
        return self._remotes

    async def boot(self) -> None:
        """Start all nodes."""
        with self._step("boot", ClusterState.BOOTED, ClusterState.PLACED):
            await self._host.start(self.slot, self._boots(credentialed=True))

    async def boot_recorded(self, snapshots: HostSnapshots, key: SnapshotKey) -> None:
        """Start all nodes such that they can be saved as the golden cluster of `key`."""
        with self._step("boot_recorded", ClusterState.BOOTED, ClusterState.PLACED):
            await snapshots.start_recorded(self.slot, self._boots(credentialed=True), key)

    async def restore(self, snapshots: HostSnapshots, golden: Golden) -> None:
        """Load all nodes from a golden cluster's memory. They are paused until they are resumed."""
        with self._step("restore", ClusterState.RESTORED, ClusterState.PLACED):
            await snapshots.restore(self.slot, self._boots(credentialed=False), golden)

    async def shrink_to(self, topology: Topology) -> None:
        """End the VMs of a restored cluster that the smaller `topology` doesn't have.

        In those that stay, daemons of nodes that it doesn't have run on.
        """
        # A cluster that was resumed in part stays reached.
        after = self.state
        with self._step("shrink_to", after, ClusterState.RESTORED, ClusterState.REACHED):
            surplus = [name for name in self.topology.guests if name not in topology.guests]
            if surplus:
                await self._host.drop(self.slot, surplus)
            self.topology = topology
            for name in surplus:
                if remote := self._remotes.pop(name, None):
                    remote.close()

    async def resume(
        self, snapshots: HostSnapshots, guests: Sequence[str], deadline: float, clock: PhaseClock
    ) -> None:
        """Let those of the restored VMs `guests` that are paused run, reach them, set their clocks.

        `deadline` is in monotonic seconds. Raises what `reach` raises.
        """
        required = (ClusterState.RESTORED, ClusterState.REACHED)
        with self._step("resume", ClusterState.REACHED, *required):
            paused = [name for name in guests if name not in self._remotes]
            if paused:
                await snapshots.resume(self.slot, paused)
                await self._connect(paused, deadline, clock, set_clocks=True)

    async def reach(self, deadline: float, clock: PhaseClock) -> None:
        """Connect to all booted nodes by SSH, until `deadline` (monotonic seconds).

        Raises NodeLost for a node whose VM ends meanwhile, and InfrastructureError for one that
        never answers, with the end of its console.
        """
        with self._step("reach", ClusterState.REACHED, ClusterState.BOOTED):
            await self._connect(self.topology.guests, deadline, clock, set_clocks=False)

    async def watch_during(self, work: Awaitable[T]) -> T:
        """Await `work` and return its result, watching the nodes meanwhile.

        Cancels `work` and raises NodeLost as soon as the VM of a node ends or its kernel fails.
        Where `work` itself fails, a lost node is looked for first, since it explains a broken
        connection. The cluster is reached again afterwards, however it ends.
        """
        try:
            self._require("watch_during", ClusterState.REACHED)
        except WrongClusterState:
            _never_awaited(work)
            raise
        self._move(ClusterState.WATCHED)
        try:
            return await self._watch_during(work, self.topology.guests)
        finally:
            self._move(ClusterState.REACHED)

    async def save(self, snapshots: HostSnapshots) -> Golden:
        """Keep a cluster that was booted for it as a golden one; its nodes stand still then."""
        with self._step("save", ClusterState.SAVED, ClusterState.REACHED):
            # Connections that are open now would be in the saved memory, with nobody at their other
            # end.
            self._disconnect()
            await asyncio.sleep(SETTLE_S)
            return await snapshots.save(self.slot, self.topology.guests, dump_keys(self.keys))

    def access(self) -> dict[str, Access]:
        """Return how others than `remotes` may log in to the VMs, by name."""
        self._require("access", ClusterState.REACHED, ClusterState.WATCHED)
        return {
            name: Access(endpoint, self.keys.client, self.keys.hosts[name].public)
            # Not strict: a cluster that was shrunk has more endpoints than nodes.
            for name, endpoint in zip(self.topology.guests, self.slot.ssh_endpoints, strict=False)
        }

    @property
    def devices(self) -> str:
        """Return the nodes with PCI devices of their own, and the addresses of these."""
        given = self.slot.devices_of(self.topology.guests)
        return " ".join(f"{name}={','.join(addresses)}" for name, addresses in given.items())

    async def node_states(self) -> list[NodeState]:
        """Return how each VM is, in the topology's order."""
        running = set(ClusterState) - {ClusterState.PLACED, ClusterState.RELEASED}
        self._require("node_states", *sorted(running))
        return await self._host.states(self.slot, self.topology.guests)

    async def release(self) -> None:
        """End the nodes and give the slot back; harmless when repeated."""
        self._disconnect()
        # Set before the nodes end, so that no other step begins meanwhile.
        self.state = ClusterState.RELEASED
        cluster = self.slot.cluster
        with log.context(cluster=cluster), log.span(_log, f"releasing {cluster}"):
            await self._host.release(self.slot)

    def _require(self, method: str, *required: ClusterState) -> None:
        if self.state not in required:
            raise WrongClusterState(method, self.state, required)

    def _move(self, state: ClusterState) -> None:
        # A release may come while a step is under way; nothing leads out of it.
        if self.state is not ClusterState.RELEASED:
            self.state = state

    @contextmanager
    def _step(self, method: str, to: ClusterState, *required: ClusterState) -> Iterator[None]:
        """Guard a step to the state `to`, and log it with its duration."""
        self._require(method, *required)
        try:
            cluster = self.slot.cluster
            with log.context(cluster=cluster), log.span(_log, f"{method} of {cluster}"):
                yield
        except BaseException:
            # Nobody knows which nodes the step has reached, so only a release is safe.
            self._move(ClusterState.FAILED)
            raise
        self._move(to)

    async def _connect(
        self, names: Sequence[str], deadline: float, clock: PhaseClock, *, set_clocks: bool
    ) -> None:
        endpoints = dict(zip(self.topology.guests, self.slot.ssh_endpoints, strict=False))

        async def connect(name: str) -> None:
            host_key = self.keys.hosts[name].public
            remote = await Remote.connect(
                name,
                endpoints[name],
                self.keys.client,
                host_key,
                deadline,
                limits=self._limits,
            )
            self._remotes[name] = remote
            if set_clocks:
                await _set_clock(remote, self._limits.set_clock_s)
            clock.detail(f"{len(self._remotes)}/{len(self.topology.guests)} nodes reachable")

        async def connect_all() -> None:
            async with asyncio.TaskGroup() as group:
                for name in names:
                    group.create_task(connect(name))

        try:
            await self._watch_during(connect_all(), names)
        except NodeLost:
            raise
        except (CampaignError, OSError) as error:
            raise await self._explained(error) from None

    async def _watch_during(self, work: Awaitable[T], names: Sequence[str]) -> T:
        async def to_its_end() -> T:
            done = await work
            # A task group waits for all its tasks, and the watcher never ends by itself.
            watcher.cancel()
            return done

        try:
            async with asyncio.TaskGroup() as group:
                watcher = group.create_task(self._watch(names))
                working = group.create_task(to_its_end())
        except ExceptionGroup as group_of_errors:
            cause = cause_of(group_of_errors)
            if not isinstance(cause, NodeLost):
                await self._check_nodes(names)  # a lost node explains a broken connection
            raise cause from None
        return working.result()

    async def _watch(self, names: Sequence[str]) -> None:
        while True:
            await self._check_nodes(names)
            await asyncio.sleep(WATCH_S)

    async def _check_nodes(self, names: Sequence[str]) -> None:
        """Raise NodeLost unless all these nodes are healthy."""
        for state in await self._host.states(self.slot, names):
            if not state.healthy:
                raise NodeLost(state.name, state.fault or f"its VM is {state.state}", state.console)

    async def _explained(self, cause: CampaignError | OSError) -> InfrastructureError:
        """Add to an error the consoles of the nodes that it names."""
        tails = [
            f"{state.name} is {state.state}; its console ends with:\n{state.console}"
            for state in await self.node_states()
            if state.name in str(cause)
        ]
        fix = "Raise cluster.boot_deadline_s if the node was merely slow."
        return InfrastructureError(str(cause), "\n".join(tails), fix)

    def _boots(self, *, credentialed: bool) -> list[NodeBoot]:
        # Restored nodes need no credentials: they have read theirs before they were saved.
        return [
            NodeBoot(
                name,
                self._image,
                macs(index),
                self._credentials(name, macs(index)) if credentialed else {},
                cards=self._cards.get(name, ()),
            )
            for index, name in enumerate(self.topology.guests)
        ]

    def _credentials(self, name: str, mac_pair: tuple[str, str]) -> dict[str, bytes]:
        named, *_ = self.topology.nodes_of(name)
        cards = self._cards.get(name, ())
        return credentials(self.topology, named, self.keys, mac_pair, cards)

    def _disconnect(self) -> None:
        for remote in self._remotes.values():
            remote.close()
        self._remotes.clear()


@asynccontextmanager
async def released_on_failure(cluster: LiveCluster) -> AsyncIterator[LiveCluster]:
    """Release a cluster that can't be brought to where the block wants it."""
    try:
        yield cluster
    # BaseException, since a cancelled trial must give its slot back too.
    except BaseException:
        await cluster.release()
        raise


async def _set_clock(remote: Remote, timeout_s: float) -> None:
    # A restored node's clock stands at the moment of its saving, and daemons refuse messages from
    # another time.
    await remote.succeed(("date", "--utc", "--set", f"@{time.time():.6f}"), timeout_s=timeout_s)


def _never_awaited(work: Awaitable[object]) -> None:
    # Closing a coroutine spares the reader of a WrongClusterState a warning about it.
    close = getattr(work, "close", None)
    if close is not None:
        close()
