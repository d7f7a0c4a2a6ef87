"""The life of one trial in virtual time: one guest is the whole cluster, and does all by itself.

It goes on from a golden cluster at the very instruction at which that was saved, with a task of its
own: another configuration, a job across all nodes, the workload. What is measured waits for nobody
on the host, so it is the same on every machine, however busy.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pyarrow as pa

from actors.clusters import guest_task
from actors.clusters.cluster_spec import ClusterSpec
from actors.clusters.failures import cause_of, outcome_of, retryable
from actors.clusters.guest_outcome import ONE_CLOCK, clock_s, failure_of, jobs_of, logs_of
from actors.clusters.job_records import missing_log
from actors.clusters.judging import Surroundings, checks_of, judged
from actors.clusters.standstill import where
from actors.clusters.trial_facts import (
    check_effective,
    plan_files,
    used_mib,
    with_host,
    with_image,
)
from actors.clusters.trial_spec import TrialSpec
from actors.clusters.virtual_cluster import VirtualCluster
from actors.clusters.virtual_watch import VirtualWatch
from actors.hosts.interface import HostNodes, HostSnapshots
from actors.hosts.slot import HostUsage
from campaign.analysis.rules import RULES
from campaign.core import log
from campaign.core.errors import CampaignError, InfrastructureError, StallError
from campaign.core.phase_clock import PhaseClock
from campaign.core.phases import Phase
from campaign.core.testbed import Status
from campaign.core.trials import Check, Evaluation, Outcome
from campaign.guest import STARTED_FILE
from campaign.guest.task import GuestReplay, GuestResult
from schedulers.base import Topology
from schedulers.job_log import job_log_of

_log = logging.getLogger(__name__)


class VirtualTrialRun:
    """One trial in one guest on `host`: restored, resumed, waited for, judged and released."""

    def __init__(
        self, cluster_spec: ClusterSpec, spec: TrialSpec, host: HostNodes, snapshots: HostSnapshots
    ) -> None:
        """Evaluate `spec` on a cluster of `cluster_spec`, which has limits of virtual time."""
        self._cluster_spec = cluster_spec
        self._cluster = VirtualCluster(cluster_spec, host, snapshots)
        self._limits = self._cluster.limits
        self._spec = spec
        self._host = host
        self._snapshots = snapshots
        self._bound = cluster_spec.bound
        self._clock = PhaseClock()
        self._watch = VirtualWatch(self._clock, spec.workload, self._topology.slots)
        self._host_name = ""
        self._jobs: pa.Table | None = None
        self._files: dict[str, bytes] = {}
        self._provenance = replace(spec.provenance, workload_hash=spec.workload.hash)
        self._retryable: bool | None = None

    @property
    def status(self) -> Status:
        """How far the trial is."""
        return self._clock.status

    @property
    def _topology(self) -> Topology:
        return self._cluster_spec.topology(self._spec.nodes)

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
            outcome, reason = await self._live()
            checks = () if self._jobs is None else self._judge(self._jobs)
            outcome, reason = judged(outcome, reason, checks)
            if outcome == "invalid":
                self._retryable = False  # it would be so again
            _log.debug("outcome: %s%s", outcome, f" ({reason})" if reason else "")
        return Evaluation(
            outcome=outcome,
            reason=reason,
            host=self._host_name,
            jobs=self._jobs,
            phases=self._clock.phases,
            provenance=self._provenance,
            checks=checks,
            files=self._files,
            retryable=self._retryable,
        )

    async def _live(self) -> tuple[Outcome, str]:
        name = self._cluster_spec.name(f"t{self._spec.trial.number}")
        with log.context(cluster=name):
            try:
                async with self._real_deadline():
                    await self._introduce()
                    with log.context(host=self._host_name):
                        await self._use(name)
            # Any other error is a bug and not an outcome (see `cause_of`).
            except (CampaignError, OSError, ExceptionGroup) as error:
                cause = cause_of(error)
                self._retryable = retryable(cause)
                return outcome_of(cause), str(cause)
            finally:
                self._clock.reached(Phase.TORN_DOWN, Phase.JUDGED)
        return "ok", ""

    @asynccontextmanager
    async def _real_deadline(self) -> AsyncIterator[None]:
        limit_s = self._limits.real_deadline_s
        deadline = asyncio.timeout(limit_s)
        try:
            async with deadline:
                yield
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise InfrastructureError(
                f"the trial didn't end within {limit_s:g} s of real time; the guest is at "
                f"{where(self._watch.last)}",
                resolution="Raise testbed.real_deadline_s, or replay fewer jobs.",
            ) from error

    async def _introduce(self) -> None:
        facts = await self._host.facts()
        self._host_name = facts.name
        provenance = with_host(with_image(self._provenance, self._cluster_spec), facts)
        self._provenance = replace(
            provenance,
            acceleration="tcg",
            acceleration_reason="virtual time counts instructions, which takes an emulator",
            guest_clock="virtual",
            instructions_per_s=guest_task.INSTRUCTIONS_PER_S,
        )

    async def _use(self, name: str) -> None:
        """Let a guest do the trial's task, and keep what it brings home."""
        spec = self._cluster_spec
        try:
            golden = await self._cluster.golden(self._clock)
        finally:
            self._files |= self._cluster.logs
        topology = self._topology
        params = spec.scheduler.Params(**self._spec.params)
        plan = self._bound.reconfigure(topology, params).by_guest(topology)
        self._files |= plan_files(plan)
        self._provenance = replace(
            self._provenance, plan_digest=plan.digest, start="golden", golden_key=golden.digest
        )
        [head] = topology.guests
        surplus = spec.surplus(topology).get(head, [])
        task = guest_task.trial_task(self._bound, topology, plan, surplus, self._replay())
        async with self._cluster.placed(name, self._clock) as guest:
            await guest.restore(self._snapshots, golden, task)
            self._clock.reached(Phase.STARTED, Phase.READY)
            await guest.resume(self._snapshots)
            result = await guest.finish(1, self._limits.stuck_s, self._watch.look)
            self._watch.end(result)
            self._keep(result)
            self._clock.reached(Phase.COLLECTED, Phase.TORN_DOWN)
        if failure := failure_of(result, self._bound):
            raise failure

    def _replay(self) -> GuestReplay:
        settings = self._cluster_spec.settings
        workload = self._spec.workload
        return guest_task.replay_of(
            workload,
            self._bound,
            self._topology,
            deadline_s=settings.workload_deadline_s
            or guest_task.generous_s(workload, self._topology.slots),
            stall_s=settings.stall_s,
        )

    def _keep(self, result: GuestResult) -> None:
        """Keep what a guest brought home of the trial, whatever it ended with.

        Raises SchedulerError where the scheduler ran with other parameters than the trial's.
        """
        bound = self._bound
        self._files |= logs_of(result, self._topology.head.name)
        told = result.outputs
        if guest_task.VERSION in told:
            self._provenance = replace(
                self._provenance, scheduler_version=bound.parse_version(told[guest_task.VERSION])
            )
        if guest_task.MEMINFO in told:
            self._provenance = replace(
                self._provenance, head_used_mib=used_mib(told[guest_task.MEMINFO])
            )
        if guest_task.JOB_LOG in told and (wanted := job_log_of(bound, STARTED_FILE)):
            absent = (path for path in wanted.files if path not in result.files)
            self._files |= missing_log(told[guest_task.JOB_LOG], absent)
        self._provenance = self._watch.noted(self._provenance)
        if guest_task.CONFIG in told:
            # The running scheduler was asked, not the files: it may have ignored what is there.
            params = bound.scheduler.Params(**self._spec.params)
            check_effective(params, bound.parse_config(told[guest_task.CONFIG]))
        if isinstance(failure_of(result, bound), StallError | None):
            self._jobs = jobs_of(result, self._spec.workload, bound, self._topology)
            clock = clock_s(result)
            lead = self._provenance.lead_s
            # One that nothing was changed for has been running since soon after the guest's boot,
            # at midnight.
            self._provenance = replace(
                self._provenance, clock_s=clock, lead_s=clock if lead is None else lead
            )

    def _judge(self, jobs: pa.Table) -> tuple[Check, ...]:
        around = Surroundings(
            host=self._host_name,
            clocks=dict.fromkeys((node.name for node in self._topology.nodes), ONE_CLOCK),
            steal=0.0,
            cpu_taken=0.0,
            usage=HostUsage(0.0, 0.0),
            lost=(),
            faults=(),
            slowness=1.0,
        )
        return tuple(map(_noted, checks_of(self._cluster_spec, self._spec, jobs, around)))


def _noted(check: Check) -> Check:
    """Return the check with a note where it doesn't apply in virtual time."""
    why = RULES[check.name].real_only
    return check.model_copy(update={"note": f"doesn't apply: {why}"}) if why else check
