"""The life of one trial on one cluster: place, boot, reach, bootstrap, replay, collect, tear down; each arrow timed.

Plain asyncio without Ray, so that it can be driven by tests; `actors/pool.py` makes it a Ray actor. Whatever goes
wrong ends as an outcome with a reason, and the slot is released whatever happens.
"""

import asyncio
import contextlib
import hashlib
import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from actors.apply import apply_plan
from actors.host import HostFacts, NodeBoot, NodeShape, NodeState, Slot
from actors.identity import Keys, credentials, draw_keys, macs, topology_of
from actors.remote import Remote
from actors.replay import Replay, Replayed
from campaign.errors import CampaignError, InfrastructureError, SchedulerError
from campaign.images.manifest import Bundle
from campaign.jobs import Workload
from campaign.model import ClusterSettings, ValiditySettings
from campaign.settings import Scalar
from campaign.testbed import Status
from campaign.trials import Check, Evaluation, Outcome, Trial
from campaign.validity import judge, valid
from campaign.validity import reason as reason_of
from schedulers.base import Node, Params, Scheduler

WATCH_S = 2.0
LOGS_S = 60.0
SPARE_S = 120  # a lease outlives the sum of the deadlines by this


@dataclass(frozen=True)
class TrialSpec:
    """Everything that evaluating a trial needs to know; `stamps` are the driver's part of the provenance."""

    campaign: str
    trial: Trial
    nodes: int
    params: Mapping[str, Scalar]
    cluster: ClusterSettings
    validity: ValiditySettings
    scheduler: Scheduler
    workload: Workload
    bundle: Bundle
    stamps: Mapping[str, str] = field(default_factory=dict)

    @property
    def cluster_name(self) -> str:
        """A host name label, unique per campaign, trial, attempt and start."""
        digest = hashlib.sha256(f"{self.campaign}/{self.trial}/{time.time_ns()}".encode()).hexdigest()[:6]
        label = re.sub(r"[^a-z0-9]+", "-", self.campaign)[:12].strip("-")
        return f"{label}-t{self.trial.number}-{digest}"

    @property
    def shape(self) -> NodeShape:
        return NodeShape(self.cluster.vcpus, self.cluster.memory_mib)

    @property
    def lease_s(self) -> float:
        """How long a slot may be needed at most."""
        deadlines = self.cluster
        return deadlines.boot_deadline_s + deadlines.bootstrap_deadline_s + deadlines.workload_deadline_s + SPARE_S


class HostHandle(Protocol):
    """The host as a cluster uses it, near or far."""

    async def facts(self) -> HostFacts: ...
    async def acquire(self, cluster: str, nodes: int, shape: NodeShape, trial: str, expires: int) -> Slot: ...
    async def start(self, slot: Slot, boots: Sequence[NodeBoot]) -> None: ...
    async def look(self, slot: Slot, names: Sequence[str]) -> list[NodeState]: ...
    async def release(self, slot: Slot) -> None: ...


class NodeLost(InfrastructureError):
    """A node's VM ended or its kernel failed; `details` is its console's tail."""


class PhaseClock:
    """Times the arrows of a trial's life."""

    def __init__(self) -> None:
        self.phases: dict[str, float] = {}
        self.status = Status("placed", time.time())
        self._since = time.monotonic()

    def reached(self, phase: str, following: str) -> None:
        """The arrow to `phase` is done; the one to `following` begins."""
        now = time.monotonic()
        self.phases[phase] = now - self._since
        self._since = now
        self.status = Status(following, time.time())

    def tell(self, detail: str) -> None:
        """Say how far the present phase is."""
        self.status = Status(self.status.phase, self.status.since, detail)


class Cluster:
    """One cluster, for one trial."""

    def __init__(self, spec: TrialSpec, host: HostHandle) -> None:
        self._spec, self._host = spec, host
        self._name = spec.cluster_name
        self._topology = topology_of(self._name, spec.nodes, spec.cluster.slots_per_node, spec.cluster.memory_mib)
        self._clock = PhaseClock()
        self._replayed: Replayed | None = None
        self._files: dict[str, bytes] = {}
        self._provenance: dict[str, str] = {}
        self._host_name = ""
        self._states: list[NodeState] = []

    @property
    def status(self) -> Status:
        """How far the trial is."""
        return self._clock.status

    async def evaluate(self) -> Evaluation:
        """Live the trial's life. Never raises for what a trial can meet; the outcome says it."""
        outcome, reason = await self._live()
        jobs, checks = None, tuple[Check, ...]()
        if self._replayed is not None:
            jobs = self._replayed.jobs
            checks = self._judge(self._replayed)
            if outcome == "ok" and not valid(checks):
                outcome, reason = "invalid", reason_of(checks)
        return Evaluation(
            outcome=outcome,
            reason=reason,
            host=self._host_name,
            jobs=jobs,
            phases=self._clock.phases,
            provenance=self._provenance,
            checks=checks,
            files=self._files,
        )

    async def _live(self) -> tuple[Outcome, str]:
        slot: Slot | None = None
        try:
            slot = await self._place()
            await self._on(slot)
        except (CampaignError, OSError, ExceptionGroup) as error:
            cause = cause_of(error)
            return ("scheduler_failed" if isinstance(cause, SchedulerError) else "infrastructure_failed"), str(cause)
        finally:
            if slot is not None:
                await self._host.release(slot)
            self._clock.reached("torn_down", "judged")
        return "ok", ""

    async def _place(self) -> Slot:
        facts = await self._host.facts()
        self._host_name = facts.name
        self._provenance |= _provenance(facts, self._spec)
        expires = int(time.time() + self._spec.lease_s)
        count = len(self._topology.nodes)
        slot = await self._host.acquire(self._name, count, self._spec.shape, self._name, expires)
        self._clock.reached("placed", "booted")
        return slot

    async def _on(self, slot: Slot) -> None:
        keys = draw_keys(self._topology)
        await self._host.start(slot, [self._boot(i, node, keys) for i, node in enumerate(self._topology.nodes)])
        self._clock.reached("booted", "reachable")
        async with asyncio.TaskGroup() as group:
            watcher = group.create_task(self._watch(slot))
            async with self._reach(slot, keys) as remotes:
                self._clock.reached("reachable", "ready")
                await self._bootstrap(remotes)
                await self._replay(remotes)
            watcher.cancel()
            self._states = await self._host.look(slot, [node.name for node in self._topology.nodes])

    def _boot(self, index: int, node: Node, keys: Keys) -> NodeBoot:
        pair = macs(self._name, index)
        return NodeBoot(node.name, pair, credentials(self._topology, node, keys, pair))

    @asynccontextmanager
    async def _reach(self, slot: Slot, keys: Keys) -> AsyncIterator[dict[str, Remote]]:
        """Open connections to all nodes; a node that never answers is an error with its console's tail."""
        deadline = time.monotonic() + self._spec.cluster.boot_deadline_s
        remotes: dict[str, Remote] = {}

        async def connect(node: Node, port: int) -> None:
            remotes[node.name] = await Remote.connect(
                node.name, port, keys.client, keys.hosts[node.name].public, deadline
            )
            self._clock.tell(f"{len(remotes)}/{len(self._topology.nodes)} nodes reachable")

        try:
            try:
                async with asyncio.TaskGroup() as group:
                    for node, port in zip(self._topology.nodes, slot.ports, strict=True):
                        group.create_task(connect(node, port))
            except ExceptionGroup as group:
                raise await self._explain(slot, cause_of(group)) from None
            yield remotes
        finally:
            for remote in remotes.values():
                remote.close()

    async def _explain(self, slot: Slot, cause: CampaignError | OSError) -> InfrastructureError:
        """Add to an error what the consoles of the nodes that it concerns say."""
        states = await self._host.look(slot, [node.name for node in self._topology.nodes])
        tails = [f"{s.name} is {s.state}; its console ends with:\n{s.console}" for s in states if s.name in str(cause)]
        mend = "Raise cluster.boot_deadline_s if the node was merely slow."
        return InfrastructureError(str(cause), "\n".join(tails), mend)

    async def _watch(self, slot: Slot) -> None:
        """Raise NodeLost as soon as a node's VM ends or its kernel fails."""
        names = [node.name for node in self._topology.nodes]
        while True:
            for state in await self._host.look(slot, names):
                if not state.well:
                    what = state.fault or f"its VM is {state.state}"
                    raise NodeLost(f"{state.name} was lost: {what}", state.console)
            await asyncio.sleep(WATCH_S)

    async def _bootstrap(self, remotes: Mapping[str, Remote]) -> None:
        scheduler, deadline = self._spec.scheduler, time.monotonic() + self._spec.cluster.bootstrap_deadline_s
        params = scheduler.Params(**self._spec.params)
        facts = self._spec.bundle.manifest.facts
        plan = scheduler.plan(self._topology, params, scheduler.make_secrets(), facts)
        self._files |= {f"config/{node}{file.path}": file.content for node, file in plan.files() if not file.secret}
        self._files["plan.txt"] = plan.describe().encode()
        await apply_plan(plan, remotes, deadline=deadline, tell=self._clock.tell)
        head = remotes[self._topology.head.name]
        version = await head.succeed(scheduler.version_command(), timeout_s=30)
        self._provenance["scheduler_version"] = scheduler.parse_version(version)
        self._provenance["plan_digest"] = plan.digest
        running = scheduler.parse_config(await head.succeed(scheduler.verify_command(), timeout_s=30))
        _check_effective(params, running)

    async def _replay(self, remotes: Mapping[str, Remote]) -> None:
        spec = self._spec
        replay = Replay(spec.workload, spec.scheduler, self._topology, remotes, self._clock.tell)
        try:
            await replay.prepare()
            self._clock.reached("ready", "workload")
            self._replayed = await replay.run(spec.cluster.workload_deadline_s)
            self._clock.reached("workload", "collected")
        finally:
            with contextlib.suppress(CampaignError, OSError, TimeoutError):
                self._files |= await asyncio.wait_for(replay.logs(), LOGS_S)
        self._clock.reached("collected", "torn_down")

    def _judge(self, replayed: Replayed) -> tuple[Check, ...]:
        return judge(
            replayed.jobs,
            slots={node.name: node.slots for node in self._topology.compute},
            clocks=replayed.conditions.clocks,
            steal={self._host_name: replayed.conditions.steal},
            lost_nodes=[state.name for state in self._states if state.state != "running"],
            console_faults=[state.fault for state in self._states if state.fault],
            settings=self._spec.validity,
            resolution_s=self._spec.scheduler.resolution_s,
        )


def _check_effective(params: Params, running: Mapping[str, Scalar]) -> None:
    """Raise SchedulerError unless the scheduler runs with every parameter that it was given."""
    wanted = params.model_dump()
    shared = sorted(wanted.keys() & running.keys())
    wrong = [f"{n}: asked {wanted[n]!r}, runs {running[n]!r}" for n in shared if wanted[n] != running[n]]
    if wrong:
        raise SchedulerError("the scheduler doesn't run with the parameters that it was given", "\n".join(wrong))


def _provenance(facts: HostFacts, spec: TrialSpec) -> dict[str, str]:
    return {
        "scheduler": spec.scheduler.name,
        "image_hash": spec.bundle.hash,
        "image_name": spec.bundle.manifest.name,
        "guest_kernel": spec.bundle.manifest.kernel_version,
        "host": facts.name,
        "host_name": facts.versions.host,
        "kernel": facts.versions.kernel,
        "acceleration": facts.acceleration.kind,
        "acceleration_reason": facts.acceleration.reason,
        "libvirt": facts.versions.libvirt,
        "qemu": facts.versions.qemu,
        "workload_hash": spec.workload.hash,
        **spec.stamps,
    }


def cause_of(error: BaseException) -> CampaignError | OSError:
    """The leaf of a group of errors that explains the others: a lost node first, then the scheduler, then the rest.

    Anything that is no expected error is raised: it is a bug, not an outcome.
    """
    leaves = list(_leaves(error))
    for leaf in leaves:
        if not isinstance(leaf, CampaignError | OSError):
            raise leaf
    ranked = [
        leaf for kind in (NodeLost, SchedulerError, CampaignError, OSError) for leaf in leaves if isinstance(leaf, kind)
    ]
    return ranked[0]


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
