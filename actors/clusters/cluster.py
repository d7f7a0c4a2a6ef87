"""The life of one trial on one cluster: get it ready, replay, collect, tear down; each arrow timed.

Plain asyncio without Ray, so that it can be driven by tests; `actors/hosts/pool.py` makes it a Ray
actor. Whatever goes wrong ends as an outcome with a reason, and the slot is released whatever
happens.
"""

import asyncio
import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from actors.clusters.failures import NodeLost, cause_of, outcome_of
from actors.clusters.live import HostHandle
from actors.clusters.phase_clock import PhaseClock
from actors.clusters.provisioner import Blueprint, Ready, Supply
from actors.clusters.replay import Replay, Replayed
from actors.hosts.slot import Commitment, HostFacts, NodeState
from campaign.analysis.validity import judge, valid
from campaign.analysis.validity import reason as reason_of
from campaign.core.errors import CampaignError, SchedulerError, StallError
from campaign.core.jobs import Workload
from campaign.core.testbed import Status
from campaign.core.trials import Check, Evaluation, Outcome, Trial
from campaign.schema.model import ValiditySettings
from campaign.schema.settings import Scalar
from schedulers.base import Params

COMMAND_S = 60.0
LOGS_S = 60.0


@dataclass(frozen=True)
class TrialSpec:
    """Everything that evaluating a trial needs to know beside its blueprint.

    `stamps` are the driver's part of the provenance; `ahead` says when the next trial's cluster may
    be made ready (see testbed.overlap), and is "none" when no trial is expected to follow.
    """

    trial: Trial
    scheduler: str
    nodes: int
    params: Mapping[str, Scalar]
    validity: ValiditySettings
    workload: Workload
    stamps: Mapping[str, str] = field(default_factory=dict)
    ahead: str = "none"


class Cluster:
    """One cluster, for one trial."""

    def __init__(
        self, blueprint: Blueprint, spec: TrialSpec, host: HostHandle, supply: Supply | None = None
    ) -> None:
        self._blueprint = blueprint
        self._spec = spec
        self._host = host
        self._supply = supply or Supply(blueprint, host)
        self._clock = PhaseClock()
        self._replayed: Replayed | None = None
        self._files: dict[str, bytes] = {}
        self._provenance: dict[str, str] = {}
        self._host_name = ""
        self._states: list[NodeState] = []
        self._committed = Commitment(0, 0)
        self._lost = ""

    @property
    def status(self) -> Status:
        """How far the trial is."""
        return self._clock.status

    async def evaluate(self) -> Evaluation:
        """Live the trial's life. Never raises for what a trial can meet; the outcome says it."""
        outcome, reason = await self._live()
        jobs = None
        checks = tuple[Check, ...]()
        if self._replayed is not None:
            jobs = self._replayed.jobs
            checks = self._judge(self._replayed)
            if outcome == "ok" and not valid(checks):
                outcome = "invalid"
                reason = "; ".join(filter(None, (reason, reason_of(checks))))
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
        ready: Ready | None = None
        name = self._blueprint.name(f"t{self._spec.trial.number}")
        try:
            await self._introduce()
            ready = await self._supply.obtain(
                name, self._spec.nodes, self._spec.params, self._clock
            )
            self._note_origin(ready)
            await self._use(ready)
        except (CampaignError, OSError, ExceptionGroup) as error:
            if self._supply.cold_because:
                self._provenance |= {"start": "cold", "cold_because": self._supply.cold_because}
            cause = cause_of(error)
            return outcome_of(cause), str(cause)
        finally:
            if ready is not None:
                await ready.standing.release()
            self._clock.reached("torn_down", "judged")
        return "ok", self._lost

    async def _introduce(self) -> None:
        facts = await self._host.facts()
        self._host_name = facts.name
        self._provenance |= _provenance(facts, self._blueprint) | dict(self._spec.stamps)
        self._provenance["workload_hash"] = self._spec.workload.hash

    def _note_origin(self, ready: Ready) -> None:
        """What is kept of how the cluster came to be: where it comes from, and its plan."""
        plan = ready.plan
        self._files |= {
            f"config/{node}{file.path}": file.content
            for node, file in plan.files()
            if not file.secret
        }
        self._files["plan.txt"] = plan.describe().encode()
        self._provenance |= {
            "plan_digest": plan.digest,
            "start": "golden" if ready.origin else "cold",
        }
        if ready.origin:
            self._provenance["golden_key"] = ready.origin
        if ready.reason:
            self._provenance["cold_because"] = ready.reason

    async def _use(self, ready: Ready) -> None:
        """Replay the workload and bring home what was measured, also where it has stalled or a node
        was lost."""
        spec = self._spec
        scheduler = self._blueprint.scheduler
        standing = ready.standing
        replay = Replay(
            spec.workload, scheduler, standing.topology, standing.remotes, self._clock.tell
        )
        try:
            await standing.watched(self._prepare(ready, replay))
            self._clock.reached("ready", "workload")
            if spec.ahead == "running":
                self._supply.make_ahead()
            self._committed = await self._host.commitment()
            stall = await self._run(ready, replay)
            self._committed |= await self._host.commitment()
            self._clock.reached("workload", "collected")
            if spec.ahead == "collecting":
                self._supply.make_ahead()
            self._replayed = await self._collect(ready, replay)
            self._clock.split("workload", "first_job", self._replayed.first_job_s)
            self._states = await standing.states()
            if len({state.host for state in self._states}) > 1:
                self._provenance["node_hosts"] = " ".join(
                    f"{state.name}={state.host}" for state in self._states
                )
            if stall:
                raise stall
        finally:
            with contextlib.suppress(CampaignError, OSError, TimeoutError):
                self._files |= await asyncio.wait_for(replay.logs(), LOGS_S)
        self._clock.reached("collected", "torn_down")

    async def _prepare(self, ready: Ready, replay: Replay) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._check_effective(ready))
            group.create_task(replay.prepare())

    async def _run(self, ready: Ready, replay: Replay) -> StallError | None:
        """Replay to the end. A stall is one, and so is a lost compute node: what the scheduler
        makes of it is kept."""
        cluster = self._blueprint.cluster
        try:
            await ready.standing.watched(replay.run(cluster.workload_deadline_s, cluster.stall_s))
        except NodeLost as lost:
            if lost.node == ready.standing.topology.head.name:
                raise
            self._lost = f"{lost.brief}; {await replay.lose(lost.node)}"
        except StallError as stall:
            return stall
        return None

    async def _collect(self, ready: Ready, replay: Replay) -> Replayed:
        if self._lost:
            return await replay.collect()  # a watcher would only see again what is known
        return await ready.standing.watched(replay.collect())

    async def _check_effective(self, ready: Ready) -> None:
        """Raise SchedulerError unless the scheduler runs with every parameter that it was given."""
        scheduler = self._blueprint.scheduler
        topology = ready.standing.topology
        head, first = (
            ready.standing.remotes[node.name] for node in (topology.head, topology.compute[0])
        )
        version, running, head_memory, node_memory = await asyncio.gather(
            head.succeed(scheduler.version_command(), timeout_s=COMMAND_S),
            head.succeed(scheduler.verify_command(), timeout_s=COMMAND_S),
            *(
                remote.succeed(("cat", "/proc/meminfo"), timeout_s=COMMAND_S)
                for remote in (head, first)
            ),
        )
        self._provenance |= {
            "head_used_mib": used_mib(head_memory),
            "node_used_mib": used_mib(node_memory),
        }
        self._provenance["scheduler_version"] = scheduler.parse_version(version)
        _compare(scheduler.Params(**self._spec.params), scheduler.parse_config(running))

    def _judge(self, replayed: Replayed) -> tuple[Check, ...]:
        topology = self._blueprint.topology(self._spec.nodes)
        scheduler = self._blueprint.scheduler
        return judge(
            replayed.jobs,
            slots={node.name: node.slots for node in topology.compute},
            clocks=replayed.conditions.clocks,
            steal={self._host_name: replayed.conditions.steal},
            vcpus_per_cpu=self._committed.vcpus_per_cpu,
            memory_promised=self._committed.memory,
            lost_nodes=[state.name for state in self._states if state.state != "running"],
            console_faults=[state.fault for state in self._states if state.fault],
            settings=self._spec.validity,
            launching_s=scheduler.launching_s,
            resolution_s=scheduler.resolution_s,
        )


def used_mib(meminfo: str) -> str:
    """What a node's programs occupy of its memory, MiB, by its /proc/meminfo; empty where that
    doesn't tell."""
    kib = dict(re.findall(r"^(MemTotal|MemAvailable):\s+(\d+) kB$", meminfo, re.MULTILINE))
    return str((int(kib["MemTotal"]) - int(kib["MemAvailable"])) >> 10) if len(kib) == 2 else ""


def _compare(params: Params, running: Mapping[str, Scalar]) -> None:
    wanted = params.model_dump()
    shared = sorted(wanted.keys() & running.keys())
    wrong = [
        f"{n}: asked {wanted[n]!r}, runs {running[n]!r}" for n in shared if wanted[n] != running[n]
    ]
    if wrong:
        raise SchedulerError(
            "the scheduler doesn't run with the parameters that it was given", "\n".join(wrong)
        )


def _provenance(facts: HostFacts, blueprint: Blueprint) -> dict[str, str]:
    recipe = blueprint.bundle.manifest.recipe
    return {
        "scheduler": blueprint.scheduler.name,
        "image_hash": blueprint.bundle.hash,
        "image_name": blueprint.bundle.manifest.name,
        **(recipe.tags if recipe else {}),
        "guest_kernel": blueprint.bundle.manifest.kernel_version,
        "host": facts.name,
        "host_name": facts.versions.host,
        "kernel": facts.versions.kernel,
        "acceleration": facts.acceleration.kind,
        "acceleration_reason": facts.acceleration.reason,
        "libvirt": facts.versions.libvirt,
        "qemu": facts.versions.qemu,
        **facts.calibration.stamps,
    }
