"""The testbed of real VMs: an actor per live cluster, on the host that its trial was placed on."""

import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import ray
from ray.exceptions import RayError

from actors.clusters.cluster_spec import ClusterSpec
from actors.clusters.provisioner import Provisioner
from actors.clusters.trial_run import TrialRun
from actors.clusters.trial_spec import TrialSpec
from actors.clusters.virtual_trial import VirtualTrialRun
from actors.hosts.device_leases import device_resources
from actors.hosts.host_actor import HostActor
from actors.hosts.host_ref import HostChange, HostRef
from actors.hosts.interface import HostNodes, HostSnapshots
from actors.hosts.load_watch import LoadWatch
from actors.hosts.multi_host import HostPart, MultiHost
from actors.hosts.placement import Needs, Placement, shares
from actors.hosts.pool import Pool
from actors.hosts.remote_call import RemoteActor, unwrap
from actors.hosts.remote_host import RemoteHost
from actors.hosts.resources import cluster_resources
from campaign.core import log
from campaign.core.errors import CampaignError, CapacityError
from campaign.core.host_load import HostLoad
from campaign.core.phases import Phase
from campaign.core.testbed import Status
from campaign.core.trials import Evaluation, Trial

STATUS_TIMEOUT_S = 1.0
LOAD_TIMEOUT_S = 10.0

_log = logging.getLogger(__name__)


class ClusterActor:
    """Owns the live clusters of one trial after the other, and the one prefetched for the next.

    It drives SSH, bootstrap, workload and collection. It is asynchronous, so that it answers while
    it works. Its log is on its own machine, that of its first host.
    """

    def __init__(self, cluster_spec: ClusterSpec, refs: Sequence[HostRef], name: str) -> None:
        where = "+".join(ref.name for ref in refs)
        log.set_defaults(campaign=cluster_spec.campaign, host=where)
        if refs[0].log_place:
            refs[0].log_place.begin(f"cluster-{name}")
        self._cluster_spec = cluster_spec
        self._host, snapshots = host_of(refs, name)
        self._snapshots = snapshots
        self._provisioner = Provisioner(cluster_spec, self._host, snapshots)
        self._cluster: TrialRun | VirtualTrialRun | None = None

    async def evaluate(self, spec: TrialSpec) -> Evaluation:
        """Evaluate one trial."""
        self._cluster = self._run_of(spec)
        return await self._cluster.evaluate()

    async def status(self) -> Status | None:
        """Return how far the trial is that is evaluated now, or was last."""
        return self._cluster.status if self._cluster else None

    def _run_of(self, spec: TrialSpec) -> TrialRun | VirtualTrialRun:
        if self._cluster_spec.virtual_time and self._snapshots:
            return VirtualTrialRun(self._cluster_spec, spec, self._host, self._snapshots)
        return TrialRun(self._cluster_spec, spec, self._host, self._provisioner)


_CLUSTER_ACTOR: Any = ray.remote(num_cpus=0, max_concurrency=4)(ClusterActor)


def host_of(refs: Sequence[HostRef], holder: str) -> tuple[HostNodes, HostSnapshots | None]:
    """Return the hosts of a cluster as one, and its snapshots, which several hosts don't have.

    Slots are taken in the name of `holder`.
    """
    if len(refs) == 1:
        host = RemoteHost(refs[0].actor, holder)
        return host, host
    parts = [
        HostPart(RemoteHost(ref.actor, holder), ref.name, ref.address, ref.local, ref.bridge)
        for ref in refs
    ]
    return MultiHost(parts), None


@dataclass(frozen=True)
class _Assignment:
    """The hosts on which a cluster actor serves, and the scheduler of its trials."""

    hosts: tuple[str, ...]
    scheduler: str


@dataclass(frozen=True)
class _Worker:
    """A cluster actor and its hosts' actors."""

    actor: RemoteActor[ClusterActor]
    name: str
    """The name in which it takes slots and locks."""
    assignment: _Assignment
    hosts: tuple[RemoteActor[HostActor], ...]

    @property
    def where(self) -> str:
        """Its hosts, as a trial's record names them, such as "a+b"."""
        return "+".join(self.assignment.hosts)


@dataclass
class _Running:
    """A trial that is being evaluated. All times are monotonic seconds."""

    trial: Trial
    worker: _Worker
    deadline_s: float
    status: Status
    """How far it was when its actor last said so, which was at `last_answer`."""
    begun: float = field(default_factory=time.monotonic)
    last_answer: float = field(default_factory=time.monotonic)
    asked: Any = None
    """The reference of the status that was asked for, if any."""


class LibvirtTestbed:
    """Evaluates trials on real VMs, which are made by the cluster spec of their scheduler.

    `spec_of` returns what a trial needs beside that. An actor that doesn't answer for
    `heartbeat_timeout_s` is given up. Hosts that are taken out of service are logged.
    """

    def __init__(
        self,
        pool: Pool,
        cluster_specs: Mapping[str, ClusterSpec],
        spec_of: Callable[[Trial], TrialSpec],
        placement: Placement,
        *,
        heartbeat_timeout_s: float,
    ) -> None:
        self._pool = pool
        self._cluster_specs = cluster_specs
        self._spec_of = spec_of
        self._placement = placement
        self._heartbeat_timeout_s = heartbeat_timeout_s
        self._idle: dict[_Assignment, list[_Worker]] = {}  # cluster actors without a trial
        self._running: dict[Any, _Running] = {}
        # By scheduler: the hosts that had its golden cluster when they opened.
        self._golden_at: dict[str, set[str]] = {}
        self._joined = 0  # so many cluster actors have been started
        self._lost: list[tuple[Trial, Evaluation]] = []
        self._load_watch = LoadWatch(pool)
        self._see_to_hosts()
        self._load_watch.poll(LOAD_TIMEOUT_S)

    def room(self) -> int:
        """Return how many more trials fit, whatever their size."""
        return min(self._room(one) for one in self._cluster_specs.values())

    def start(self, trial: Trial) -> None:
        """Give the trial a cluster actor on a host with room, an idle one if there is one."""
        spec = self._spec_of(trial)
        cluster_spec = self._cluster_specs[spec.scheduler]
        assignments = [
            assignment
            for assignment, idle in self._idle.items()
            if idle and assignment.scheduler == spec.scheduler
        ]
        idle_on = {host for assignment in assignments for host in assignment.hosts}
        preferred = (self._load_watch.quiet, idle_on, self._golden_at.get(spec.scheduler, ()))
        hosts = self._placement.place_over(
            trial.number, self._needs(cluster_spec, spec.nodes), preferred=preferred
        )
        if not hosts:
            raise CapacityError(f"trial {trial.number} was started, but its VMs fit on no host")
        worker = self._worker(_Assignment(hosts, spec.scheduler))
        status = Status(Phase.PLACED, time.time())
        slowness = max(self._pool.facts[host].slowness for host in hosts)
        self._running[worker.actor.send(ClusterActor.evaluate, spec)] = _Running(
            trial, worker, cluster_spec.trial_deadline_s(slowness), status
        )

    def wait(self, timeout_s: float) -> list[tuple[Trial, Evaluation]]:
        """Return evaluations that ended, of themselves or by a lost host or a silent actor."""
        references = list(self._running)
        done, _ = (
            ray.wait(references, num_returns=len(references), timeout=timeout_s)
            if references
            else ([], [])
        )
        if not references:
            # Nothing runs while no host is reachable.
            time.sleep(timeout_s)
        # What has ended comes first, so that a result isn't lost with a host that fails just now.
        ended = [self._ended(reference) for reference in done]
        self._see_to_hosts()
        self._load_watch.poll()
        self._end_unanswering()
        lost = self._lost
        self._lost = []
        return ended + lost

    def statuses(self) -> Mapping[int, Status]:
        """Return how far the running trials are; an actor that is slow to answer keeps its last."""
        for one in self._running.values():
            # While a question is open, no second one is asked.
            one.asked = one.asked or one.worker.actor.send(ClusterActor.status)
        asked = {one.asked: one for one in self._running.values()}
        answered: list[Any] = []
        if asked:
            answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=STATUS_TIMEOUT_S)
        for reference in answered:
            one = asked[reference]
            # If the actor is dead, its evaluation will say why.
            with contextlib.suppress(RayError):
                one.status = ray.get(reference) or one.status
                one.last_answer = time.monotonic()
            one.asked = None
        return {one.trial.number: one.status for one in self._running.values()}

    def busy(self) -> str:
        """Return how others keep every open host busy; empty if they leave one of them quiet."""
        return self._load_watch.busy

    def loads(self) -> Mapping[str, HostLoad]:
        """Return how busy the open hosts are, as far as they have told."""
        return self._load_watch.loads

    def close(self) -> None:
        """Forget running trials; the pool ends their VMs."""
        for worker in [one.worker for one in self._running.values()] + [
            one for idle in self._idle.values() for one in idle
        ]:
            worker.actor.kill()
        self._running.clear()
        self._idle.clear()

    def _worker(self, assignment: _Assignment) -> _Worker:
        """Return an idle cluster actor, or a new one on the machine of its first host."""
        idle = self._idle.setdefault(assignment, [])
        if idle:
            return idle.pop()
        self._joined += 1
        refs = [self._pool.ref(host) for host in assignment.hosts]
        name = f"{'+'.join(assignment.hosts)}-{assignment.scheduler}-{self._joined}"
        options = self._pool.options_on(assignment.hosts[0])
        spec = self._cluster_specs[assignment.scheduler]
        handle = _CLUSTER_ACTOR.options(**options).remote(spec, refs, name)
        return _Worker(RemoteActor(handle), name, assignment, tuple(ref.actor for ref in refs))

    def _ended(self, reference: Any) -> tuple[Trial, Evaluation]:
        """Return what an evaluation came to. An actor that died is the platform's failure."""
        one = self._running[reference]
        try:
            evaluation: Evaluation = ray.get(reference)
            self._idle.setdefault(one.worker.assignment, []).append(one.worker)
        except RayError as error:
            evaluation = Evaluation("infrastructure_failed", str(unwrap(error)), one.worker.where)
            self._dismiss(one.worker)
        return self._note_end(reference, evaluation)

    def _note_end(self, reference: Any, evaluation: Evaluation) -> tuple[Trial, Evaluation]:
        """Give the trial's room back, and find out whether its hosts are to blame for a failure."""
        one = self._running.pop(reference)
        evaluation = replace(evaluation, host=evaluation.host or one.worker.where)
        failed = evaluation.outcome == "infrastructure_failed"
        if failed:
            for host in one.worker.assignment.hosts:
                # Before the trial's room is given back, so that no other one is sent to a dead
                # host.
                self._pool.suspect(host)
        for host in one.worker.assignment.hosts:
            self._pool.collect_logs(host)
        taken_out = self._placement.release(one.trial.number, failed=failed)
        if taken_out:
            why, _, _ = evaluation.reason.partition("\n")
            _log.warning("%s; the last: %s", taken_out, why)
        return one.trial, evaluation

    def _dismiss(self, worker: _Worker) -> None:
        """End an actor that is dead or given up, and release its slots and locks on its hosts."""
        with contextlib.suppress(RayError):
            worker.actor.kill()
            for host in worker.hosts:
                host.send(HostActor.release_all_of, worker.name)

    def _give_up(self, reference: Any, why: str) -> None:
        one = self._running[reference]
        self._dismiss(one.worker)
        self._lost.append(
            self._note_end(reference, Evaluation("infrastructure_failed", why, one.worker.where))
        )

    def _end_unanswering(self) -> None:
        """Give up actors that hang, and those that answer but have missed all their deadlines."""
        now = time.monotonic()
        for reference, one in list(self._running.items()):
            if now - one.last_answer > self._heartbeat_timeout_s:
                self._give_up(
                    reference, f"its actor hasn't answered for {self._heartbeat_timeout_s:g} s"
                )
            elif now - one.begun > one.deadline_s:
                detail = f"{one.status.phase} {one.status.detail}".strip()
                self._give_up(reference, f"it isn't done after {one.deadline_s:g} s ({detail})")

    def _see_to_hosts(self) -> None:
        for change in self._pool.poll():
            if change.facts is not None:
                self._placement.add(change.host, change.facts.total, change.facts.acceleration.kind)
                self._note_goldens(change.host)
            elif change.host in self._placement.hosts:
                self._placement.take_out(change.host, change.why)
            if change.gone:
                self._forget(change)
        # Placement itself keeps the last host, but lost and drained hosts may leave none in
        # service.
        if len(self._placement.out_of_service) == len(self._placement.hosts):
            for host, facts in self._pool.serving.items():
                self._placement.add(host, facts.total, facts.acceleration.kind)
                _log.warning("no other host is left: host %s is used again", host)

    def _forget(self, change: HostChange) -> None:
        """Give up what was on a lost host: its trials have failed, idle actors are of no use."""
        for reference, one in list(self._running.items()):
            if change.host in one.worker.assignment.hosts:
                self._give_up(reference, f"host {change.host} was lost: {change.why}")
        for assignment in [
            assignment for assignment in self._idle if change.host in assignment.hosts
        ]:
            for worker in self._idle.pop(assignment):
                self._dismiss(worker)
        for hosts in self._golden_at.values():
            hosts.discard(change.host)

    def _note_goldens(self, host: str) -> None:
        """Note of which schedulers a host has golden clusters; placement prefers such hosts."""
        for name, cluster_spec in self._cluster_specs.items():
            # This is only a preference: without an answer, trials are placed without it.
            with contextlib.suppress(CampaignError):
                if self._pool.actor(host).call_within(
                    STATUS_TIMEOUT_S,
                    f"host {host} didn't answer",
                    HostActor.has_golden,
                    cluster_spec.key_inputs(),
                    cluster_spec.shape,
                ):
                    self._golden_at.setdefault(name, set()).add(host)

    def _room(self, cluster_spec: ClusterSpec) -> int:
        """Return how many clusters of the largest size fit, each on as many hosts as it spans."""
        parts = self._needs(cluster_spec, cluster_spec.largest)
        # The head's part is the largest, but has no devices for the head.
        return min(self._placement.room(part) for part in parts) // len(parts)

    def _needs(self, cluster_spec: ClusterSpec, nodes: int) -> list[Needs]:
        """Return the resources of a cluster per host, the largest first, keyed by acceleration."""
        hosts = cluster_spec.settings.hosts
        parts = shares(cluster_spec.settings.vms(nodes), hosts)
        devices = cluster_spec.devices(cluster_spec.topology(nodes))
        return [
            {
                kind: cluster_resources(part, cluster_spec.shape, kind)
                + device_resources(devices[place::hosts])
                for kind in ("kvm", "tcg")
            }
            for place, part in enumerate(parts)
        ]
