"""The life of one trial on one cluster: get it ready, replay, collect, release; each phase timed.

Plain asyncio without Ray, so that it can be driven by tests; `actors/libvirt_testbed.py` makes it
a Ray actor. Whatever goes wrong ends as an outcome with a reason, and the slot is released whatever
happens.
"""

import asyncio
import contextlib
import logging
import time
from dataclasses import replace

from actors.clusters.asking import Asker
from actors.clusters.cluster_spec import ClusterSpec
from actors.clusters.failures import NodeLost, cause_of, outcome_of, retryable, run_all
from actors.clusters.judging import Surroundings, checks_of, judged
from actors.clusters.live import LiveCluster
from actors.clusters.provisioner import Provisioner, ReadyCluster
from actors.clusters.replay import Replay, Replayed
from actors.clusters.trial_facts import (
    check_effective,
    plan_files,
    used_mib,
    with_host,
    with_image,
)
from actors.clusters.trial_load import load_of
from actors.clusters.trial_spec import TrialSpec
from actors.hosts.interface import HostNodes
from actors.hosts.slot import HostUsage, NodeState
from campaign.core import log
from campaign.core.errors import CampaignError, StallError
from campaign.core.phase_clock import PhaseClock
from campaign.core.phases import Phase
from campaign.core.testbed import Status
from campaign.core.time_limits import TimeLimits
from campaign.core.trials import Check, Evaluation, Outcome

MEMINFO = ("cat", "/proc/meminfo")

_log = logging.getLogger(__name__)


class TrialRun:
    """One trial on one cluster: provisioned, used, judged and released."""

    def __init__(
        self,
        cluster_spec: ClusterSpec,
        spec: TrialSpec,
        host: HostNodes,
        provisioner: Provisioner,
    ) -> None:
        self._cluster_spec = cluster_spec
        self._spec = spec
        self._host = host
        self._provisioner = provisioner
        self._clock = PhaseClock()
        self._replayed: Replayed | None = None
        self._files: dict[str, bytes] = {}
        self._provenance = replace(spec.provenance, workload_hash=spec.workload.hash)
        self._host_name = ""
        self._host_slowness = 1.0
        self._states: list[NodeState] = []
        self._usage = HostUsage(0, 0)
        self._lost = ""
        self._retryable: bool | None = None

    @property
    def status(self) -> Status:
        """How far the trial is."""
        return self._clock.status

    async def evaluate(self) -> Evaluation:
        """Live the trial's life, and return what it came to.

        Raises nothing that a trial can meet: its outcome and reason say it.
        """
        number = self._spec.trial.number
        campaign = self._cluster_spec.campaign
        with (
            log.context(campaign=campaign, trial=number, phase=self._clock.phase_name),
            log.span(_log, f"trial {number}"),
        ):
            self._clock.begin()
            began = time.monotonic()
            outcome, reason = await self._live()
            load = await load_of(self._host, self._clock, began)
            self._provenance = replace(
                self._provenance,
                cpu_pressure_pct=load.cpu_pressure_pct,
                cpu_taken_pct=load.taken_pct,
            )
            jobs = None
            checks = tuple[Check, ...]()
            if self._replayed is not None:
                jobs = self._replayed.jobs
                checks = self._judge(self._replayed, load.taken)
                outcome, reason = judged(outcome, reason, checks)
            reason = load.explained(outcome, reason)
            _log.debug("outcome: %s%s", outcome, f" ({reason})" if reason else "")
        return Evaluation(
            outcome=outcome,
            reason=reason,
            host=self._host_name,
            jobs=jobs,
            phases=self._clock.phases,
            provenance=self._provenance,
            checks=checks,
            files=self._files,
            loads=load.phases,
            busy=load.held_up(outcome),
            retryable=self._retryable,
        )

    async def _live(self) -> tuple[Outcome, str]:
        ready: ReadyCluster | None = None
        name = self._cluster_spec.name(f"t{self._spec.trial.number}")
        with log.context(cluster=name):
            try:
                await self._introduce()
                with log.context(host=self._host_name):
                    ready = await self._provisioner.provision(
                        name, self._spec.nodes, self._spec.params, self._clock
                    )
                    self._note_origin(ready)
                    await self._use(ready)
            # Any other error is a bug and not an outcome (see `cause_of`).
            except (CampaignError, OSError, ExceptionGroup) as error:
                if why := self._provisioner.cold_because:
                    self._provenance = replace(self._provenance, start="cold", cold_because=why)
                cause = cause_of(error)
                self._retryable = retryable(cause)
                return outcome_of(cause), str(cause)
            finally:
                if ready is not None:
                    await ready.cluster.release()
                self._clock.reached(Phase.TORN_DOWN, Phase.JUDGED)
        return "ok", self._lost

    async def _introduce(self) -> None:
        facts = await self._host.facts()
        self._host_name = facts.name
        self._provenance = with_image(self._provenance, self._cluster_spec)
        self._provenance = with_host(self._provenance, facts)
        # Without emulation, which the schedulers' limits of launches count in.
        self._host_slowness = facts.calibration.slowness

    def _note_origin(self, ready: ReadyCluster) -> None:
        """Keep how the cluster came to be: where it comes from, and its plan without secrets."""
        plan = ready.plan
        self._files |= plan_files(plan)
        self._provenance = replace(
            self._provenance,
            plan_digest=plan.digest,
            start="golden" if ready.golden_key else "cold",
            golden_key=ready.golden_key,
            cold_because=ready.cold_because,
            devices=ready.cluster.devices,
        )

    async def _use(self, ready: ReadyCluster) -> None:
        """Replay the workload and bring home what was measured.

        A stall is raised after that, and a lost compute node is kept as the trial's reason.
        """
        questions = (await self._provisioner.limits()).questions
        replay = Replay(
            self._spec.workload,
            self._cluster_spec.bound,
            ready.cluster.topology,
            ready.cluster.remotes,
            self._clock,
            questions=questions,
        )
        try:
            with self._provisioner.undisturbed():
                stall = await self._measure(ready, replay, questions)
            if stall:
                raise stall
        finally:
            # Logs are evidence: what fails here must not hide what the trial ended with.
            with contextlib.suppress(CampaignError, OSError, TimeoutError):
                async with asyncio.timeout(questions.logs_s + questions.margin_s):
                    self._files |= await replay.logs()
        self._clock.reached(Phase.COLLECTED, Phase.TORN_DOWN)

    async def _measure(
        self, ready: ReadyCluster, replay: Replay, questions: TimeLimits
    ) -> StallError | None:
        """Replay and collect; return the stall that the workload ended with, if it did."""
        cluster = ready.cluster
        await cluster.watch_during(self._prepare(ready, replay, Asker(questions)))
        self._clock.reached(Phase.READY, Phase.WORKLOAD)
        if self._spec.prefetch == "running":
            self._provisioner.prefetch()
        # Before and after: other clusters come and go meanwhile, and the larger figure counts.
        self._usage = await self._host.usage()
        stall = await self._run(ready, replay)
        self._usage |= await self._host.usage()
        self._clock.reached(Phase.WORKLOAD, Phase.COLLECTED)
        # Only now, by default: what restores the next cluster must not disturb the measurement.
        if self._spec.prefetch == "collecting":
            self._provisioner.prefetch()
        self._replayed = await self._collect(ready, replay)
        self._clock.split(Phase.WORKLOAD, Phase.FIRST_JOB, self._replayed.first_job_s)
        await self._note_states(cluster)
        return stall

    async def _note_states(self, cluster: LiveCluster) -> None:
        self._states = await cluster.node_states()
        if len({state.host for state in self._states}) > 1:
            hosts = " ".join(f"{state.name}={state.host}" for state in self._states)
            self._provenance = replace(self._provenance, node_hosts=hosts)

    async def _prepare(self, ready: ReadyCluster, replay: Replay, asker: Asker) -> None:
        await run_all(self._check_effective(ready, asker), replay.prepare())

    async def _run(self, ready: ReadyCluster, replay: Replay) -> StallError | None:
        """Replay to the end, and return the stall that it ended with, if it did.

        A lost compute node is an end too: what the scheduler makes of it is kept.
        """
        settings = self._cluster_spec.settings
        try:
            await ready.cluster.watch_during(
                replay.run(settings.workload_deadline_s, settings.stall_s)
            )
        except NodeLost as lost:
            # A cluster that has lost its head has no scheduler that could go on.
            if lost.node == ready.cluster.topology.head.name:
                raise
            self._lost = f"{lost.brief}; {await replay.lose(lost.node)}"
        except StallError as stall:
            return stall
        return None

    async def _collect(self, ready: ReadyCluster, replay: Replay) -> Replayed:
        # Asked for again, since the host may have become busier meanwhile.
        limit = (await self._provisioner.limits()).collect
        if self._lost:
            return await replay.collect(limit)  # a watcher would only see again what is known
        return await ready.cluster.watch_during(replay.collect(limit))

    async def _check_effective(self, ready: ReadyCluster, asker: Asker) -> None:
        """Raise SchedulerError unless the scheduler runs with every parameter that it was given."""
        bound = self._cluster_spec.bound
        topology = ready.cluster.topology
        # Compute nodes are alike, so the first one stands for all.
        head, first = (
            ready.cluster.remotes[node.guest_name] for node in (topology.head, topology.compute[0])
        )
        version, running, head_memory, node_memory = await run_all(
            asker.printed(head, bound.version_command()),
            asker.printed(head, bound.verify_command()),
            asker.printed(head, MEMINFO),
            asker.printed(first, MEMINFO),
        )
        self._provenance = replace(
            self._provenance,
            scheduler_version=bound.parse_version(version),
            head_used_mib=used_mib(head_memory),
            node_used_mib=used_mib(node_memory),
        )
        # The running scheduler is asked, not the files: it may have ignored what is written there.
        check_effective(bound.scheduler.Params(**self._spec.params), bound.parse_config(running))

    def _judge(self, replayed: Replayed, cpu_taken: float | None) -> tuple[Check, ...]:
        around = Surroundings(
            host=self._host_name,
            clocks=replayed.conditions.clocks,
            steal=replayed.conditions.steal,
            cpu_taken=cpu_taken,
            usage=self._usage,
            lost=[state.name for state in self._states if state.state != "running"],
            faults=[state.fault for state in self._states if state.fault],
            slowness=self._host_slowness,
        )
        return checks_of(self._cluster_spec, self._spec, replayed.jobs, around)
