"""Where a trial's cluster comes from: restored from a golden cluster, or booted; and the next one,
made ready ahead.

A golden cluster is booted and joined once, with all the nodes that a trial may want, and saved with
its memory. A trial gets its head and its first nodes as they were then, moved to the trial's
parameters. Whatever goes wrong on that way, the trial gets a cold boot instead, and the reason goes
with it.
"""

import asyncio
import contextlib
import hashlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from actors.bootstrap.apply import BootstrapFailed, apply_plan
from actors.bootstrap.ssh import Remote
from actors.clusters.failures import cause_of
from actors.clusters.identity import Keys, draw_keys, load_keys, topology_of
from actors.clusters.live import HostHandle, Standing, released_on_failure
from actors.clusters.phase_clock import PhaseClock
from actors.hosts.slot import NodeShape, Slot
from actors.snapshots.registry import GoldenOffer
from actors.snapshots.snapshot import Golden
from campaign import guest
from campaign.core.errors import CampaignError
from campaign.images.bundles.manifest import Bundle
from campaign.schema.model import ClusterSettings
from campaign.schema.settings import Scalar
from schedulers.base import BootstrapPlan, File, Params, Scheduler, Topology

SPARE_S = 120  # a lease outlives the sum of the deadlines by this
SETTLE_S = 1.0
COMMAND_S = 90.0
ANSIBLE_PATIENCE = 8
"""How many times longer than our own bootstrap a playbook may take: every module starts a Python on
the node."""
GIVE_UP_AFTER = 3
"""Failures in a row after which golden clusters aren't tried any more: each costs a trial its
time."""


@dataclass(frozen=True)
class Blueprint:
    """What all clusters of a campaign have in common; `smallest` and `largest` count their compute
    nodes."""

    campaign: str
    scheduler: Scheduler
    cluster: ClusterSettings
    bundle: Bundle
    smallest: int
    largest: int
    via: Literal["ssh", "ansible"] = "ssh"

    @property
    def shape(self) -> NodeShape:
        return NodeShape(self.cluster.vcpus, self.cluster.memory_mib)

    @property
    def cold(self) -> bool:
        """Whether every cluster is booted. What spans hosts can't be saved at one instant."""
        return self.cluster.start == "cold" or self.cluster.hosts > 1

    @property
    def lease_s(self) -> float:
        """How long a slot may be needed at most."""
        return (
            self.cluster.boot_deadline_s
            + self.bootstrap_deadline_s
            + self.cluster.workload_deadline_s
            + SPARE_S
        )

    @property
    def longest_s(self) -> float:
        """How long a trial may take at most: with a golden cluster that is made first, isn't
        restored then, and is replaced by a cold boot."""
        return self.lease_s + 2 * (self.cluster.boot_deadline_s + self.bootstrap_deadline_s)

    @property
    def bootstrap_deadline_s(self) -> float:
        """How long a bootstrap may take."""
        return self.cluster.bootstrap_deadline_s * (
            ANSIBLE_PATIENCE if self.via == "ansible" else 1
        )

    def topology(self, nodes: int) -> Topology:
        """A cluster with `nodes` compute nodes."""
        return topology_of(nodes, self.cluster.slots_per_node, self.cluster.memory_mib)

    def name(self, purpose: str) -> str:
        """A host name label for a cluster, unique per campaign, purpose and moment."""
        digest = hashlib.sha256(f"{self.campaign}/{purpose}/{time.time_ns()}".encode()).hexdigest()[
            :6
        ]
        label = re.sub(r"[^a-z0-9]+", "-", self.campaign)[:12].strip("-")
        return f"{label}-{purpose}-{digest}"

    def base_plan(self) -> BootstrapPlan:
        """How a golden cluster is bootstrapped: the scheduler's defaults, on as many nodes as a
        trial may want."""
        scheduler = self.scheduler
        secrets = scheduler.make_secrets()
        return scheduler.plan(
            self.topology(self.largest), scheduler.Params(), secrets, self.bundle.manifest.facts
        )

    def ingredients(self) -> dict[str, str]:
        """What shapes a golden cluster, beside its host."""
        instruments = hashlib.sha256(b"".join(guest.files().values())).hexdigest()
        return {
            "image": self.bundle.hash,
            "scheduler": self.scheduler.name,
            "plan": self.base_plan().digest,
            "nodes": str(self.largest),
            "vcpus": str(self.cluster.vcpus),
            "memory_mib": str(self.cluster.memory_mib),
            "instruments": instruments,
        }


@dataclass(frozen=True)
class Ready:
    """A cluster whose nodes are all ready for jobs, under the parameters of `plan`.

    `origin` is the key of the golden cluster that it was restored from, or empty; `reason` says why
    it was booted although a golden one was wanted.
    """

    standing: Standing
    plan: BootstrapPlan
    origin: str
    reason: str = ""


class Supply:
    """Makes clusters by a blueprint on one host, one trial's after the other's."""

    def __init__(self, blueprint: Blueprint, host: HostHandle) -> None:
        self._blueprint = blueprint
        self._host = host
        self._scheduler = blueprint.scheduler
        self._facts = blueprint.bundle.manifest.facts
        self._ahead: asyncio.Task[Standing | None] | None = None
        self._failures = 0
        self._last_failure = ""
        self.cold_because = ""
        """Why the last cluster was booted, or was to be, although a golden one was wanted; empty if
        it wasn't."""

    async def obtain(
        self, name: str, nodes: int, params: Mapping[str, Scalar], clock: PhaseClock
    ) -> Ready:
        """A pristine cluster with `nodes` compute nodes, ready for jobs, in a slot called `name`.

        The caller releases it. `clock` hears of each phase. Raises what a cold boot and its
        bootstrap can meet.
        """
        topology = self._blueprint.topology(nodes)
        wanted = self._scheduler.Params(**params)
        self.cold_because = ""
        if self._blueprint.cold:
            return await self._cold(name, topology, wanted, clock)
        if self._failures >= GIVE_UP_AFTER:
            self.cold_because = (
                f"golden clusters failed {self._failures} times, at last: {self._last_failure}"
            )
            return await self._cold(name, topology, wanted, clock)
        try:
            return await self._from_golden(name, topology, wanted, clock)
        except (CampaignError, OSError, ExceptionGroup) as error:
            self.cold_because = self._last_failure = str(cause_of(error))
            await self.close()
            clock.reached("fallback", "placed")
        ready = await self._cold(name, topology, wanted, clock)
        self._failures += (
            1  # not where booting fails as well: parameters that a scheduler refuses, say
        )
        return ready

    def make_ahead(self) -> None:
        """Begin to restore the next trial's cluster, if there is room for it beside the one that
        lives now."""
        if self._ahead is None and not self._blueprint.cold and self._failures < GIVE_UP_AFTER:
            self._ahead = asyncio.create_task(self._standby())

    async def close(self) -> None:
        """Give back what was made ahead and is not needed."""
        standing = await self._taken_ahead()
        if standing:
            await standing.release()

    async def _from_golden(
        self, name: str, topology: Topology, params: Params, clock: PhaseClock
    ) -> Ready:
        golden = await self._golden(clock)
        standing = await self._taken_ahead() or await self._restored(name, topology, golden, clock)
        async with released_on_failure(standing):
            await standing.keep(topology)
            asleep = [node for node in topology.nodes if node.name not in standing.remotes]
            clock.reached("started", "reachable")
            await standing.wake(asleep, self._boot_deadline(), clock.tell)
            clock.reached("reachable", "ready")
            plan = self._scheduler.reconfigure(topology, params, self._facts)
            await standing.watched(self._configure(standing, plan, clock))
        self._failures = 0
        return Ready(standing, plan, golden.key)

    async def _cold(
        self, name: str, topology: Topology, params: Params, clock: PhaseClock
    ) -> Ready:
        standing = await self._placed(name, topology, clock)
        async with released_on_failure(standing):
            await self._boot(standing, clock)
            plan = self._scheduler.plan(
                topology, params, self._scheduler.make_secrets(), self._facts
            )
            await standing.watched(self._configure(standing, plan, clock, fresh=True))
        return Ready(standing, plan, "", self.cold_because)

    async def _golden(self, clock: PhaseClock) -> Golden:
        """The golden cluster, made now if there is none yet."""
        while True:
            offer = await self._offer(make=True)
            if offer.golden:
                return offer.golden
            if offer.yours:
                break
            clock.tell("waiting for the golden cluster, which another trial makes")
            await asyncio.sleep(1.0)
        try:
            return await self._make_golden(offer, clock)
        finally:
            await self._host.disclaim(offer.recipe)
            clock.reached("golden", "placed")

    async def _make_golden(self, offer: GoldenOffer, clock: PhaseClock) -> Golden:
        # The trial's own phases begin afterwards.
        making = PhaseClock(lambda detail: clock.tell(f"making the golden cluster: {detail}"))
        topology = self._blueprint.topology(self._blueprint.largest)
        standing = await self._placed(self._blueprint.name("golden"), topology, making)
        try:
            await self._boot(standing, making, offer)
            await standing.watched(
                self._configure(standing, self._blueprint.base_plan(), making, fresh=True)
            )
            standing.hang_up()
            await asyncio.sleep(SETTLE_S)
            return await standing.save()
        finally:
            await standing.release()

    async def _boot(
        self, standing: Standing, clock: PhaseClock, offer: GoldenOffer | None = None
    ) -> None:
        clock.tell(f"booting {len(standing.topology.nodes)} nodes")
        await standing.boot(offer.recipe if offer else None)
        clock.reached("started", "reachable")
        await standing.reach(standing.topology.nodes, self._boot_deadline(), clock.tell)
        clock.reached("reachable", "ready")

    async def _placed(self, name: str, topology: Topology, clock: PhaseClock) -> Standing:
        slot = await self._acquire(name, topology)
        clock.reached("placed", "started")
        return self._standing(slot, topology, draw_keys(topology))

    async def _restored(
        self, name: str, topology: Topology, golden: Golden, clock: PhaseClock
    ) -> Standing:
        slot = await self._acquire(name, topology)
        clock.reached("placed", "started")
        standing = self._standing(slot, topology, load_keys(golden.identity))
        async with released_on_failure(standing):
            await standing.restore(golden)
        return standing

    def _standing(self, slot: Slot, topology: Topology, keys: Keys) -> Standing:
        return Standing(self._host, slot, topology, self._blueprint.bundle, keys)

    async def _standby(self) -> Standing | None:
        """The largest cluster, restored; nodes that only larger trials want stay paused.

        None where there is no room, or whatever else went wrong: the trial will meet it again, and
        say so.
        """
        with contextlib.suppress(CampaignError, OSError, ExceptionGroup):
            offer = await self._offer(make=False)
            if offer.golden is None:
                return None
            topology = self._blueprint.topology(self._blueprint.largest)
            slot = await self._acquire(self._blueprint.name("next"), topology, ahead=True)
            standing = self._standing(slot, topology, load_keys(offer.golden.identity))
            async with released_on_failure(standing):
                await standing.restore(offer.golden)
                surely = self._blueprint.topology(self._blueprint.smallest).nodes
                await standing.wake(surely, self._boot_deadline(), lambda _: None)
            return standing
        return None

    async def _taken_ahead(self) -> Standing | None:
        """The cluster that was made ahead, now the caller's; None if there is none, or if its room
        was needed."""
        if self._ahead is None:
            return None
        standing = await self._ahead
        self._ahead = None
        if standing is None:
            return None
        try:
            await self._host.claim(standing.slot, self._expiry())
        except CampaignError:
            await standing.release()
            return None
        return standing

    async def _configure(
        self, standing: Standing, plan: BootstrapPlan, clock: PhaseClock, *, fresh: bool = False
    ) -> None:
        """Apply `plan`, and see a job run across all nodes. A `fresh` cluster lacks the
        instruments."""
        if fresh:
            tools = [File(path, content, mode=0o755) for path, content in guest.files().items()]
            await asyncio.gather(*(_equip(remote, tools) for remote in standing.remotes.values()))
        deadline = time.monotonic() + self._blueprint.bootstrap_deadline_s
        if self._blueprint.via == "ansible":
            from actors.bootstrap.ansible import play

            await play(plan, standing.access(), deadline=deadline, tell=clock.tell)
        else:
            await apply_plan(plan, standing.remotes, deadline=deadline, tell=clock.tell)
        clock.tell("a job across all nodes")
        command = self._scheduler.rehearsal_command(standing.topology)
        output = await standing.remotes[standing.topology.head.name].run(
            command, timeout_s=COMMAND_S
        )
        if not output.ok:
            said = (output.stderr or output.stdout).strip()[-2000:]
            raise BootstrapFailed(f"a job across all nodes failed (status {output.status})", said)

    async def _offer(self, *, make: bool) -> GoldenOffer:
        return await self._host.golden(
            self._blueprint.ingredients(), self._blueprint.shape, make=make
        )

    async def _acquire(self, name: str, topology: Topology, *, ahead: bool = False) -> Slot:
        count = len(topology.nodes)
        return await self._host.acquire(name, count, self._blueprint.shape, self._expiry(), ahead)

    def _expiry(self) -> int:
        return int(time.time() + self._blueprint.lease_s)

    def _boot_deadline(self) -> float:
        return time.monotonic() + self._blueprint.cluster.boot_deadline_s


async def _equip(remote: Remote, tools: list[File]) -> None:
    """Put the instruments on a node. Jobs leave their times beside them, whoever they run as."""
    await remote.put(tools, timeout_s=COMMAND_S)
    await remote.succeed(("chmod", "1777", guest.FOLDER), timeout_s=COMMAND_S)
