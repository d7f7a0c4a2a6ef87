"""The testbed of real VMs: an actor per live cluster, on the host that its trial was placed on."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import ray
from ray.exceptions import RayError

from actors.clusters.cluster_spec import ClusterSpec
from actors.clusters.provisioner import Provisioner
from actors.clusters.trial_run import TrialRun, TrialSpec
from actors.hosts.host_actor import HostActor
from actors.hosts.interface import HostNodes, HostSnapshots
from actors.hosts.multi_host import HostPart, MultiHost
from actors.hosts.placement import Needs, Placement, shares
from actors.hosts.pool import HostChange, HostRef, Pool
from actors.hosts.remote_call import RemoteActor, unwrap
from actors.hosts.remote_host import RemoteHost
from actors.hosts.resources import cluster_resources
from campaign.core.errors import CampaignError, CapacityError
from campaign.core.phases import Phase
from campaign.core.testbed import Status
from campaign.core.trials import Evaluation, Trial

STATUS_TIMEOUT_S = 1.0


class ClusterActor:
    """Owns SSH, bootstrap, workload and collection of live clusters, one trial's after the other's;
    and the cluster that is made ready for the next. Async, so that it answers while it works."""

    def __init__(self, cluster_spec: ClusterSpec, refs: Sequence[HostRef], name: str) -> None:
        self._cluster_spec = cluster_spec
        self._host, snapshots = host_of(refs, name)
        self._provisioner = Provisioner(cluster_spec, self._host, snapshots)
        self._cluster: TrialRun | None = None

    async def evaluate(self, spec: TrialSpec) -> Evaluation:
        self._cluster = TrialRun(self._cluster_spec, spec, self._host, self._provisioner)
        return await self._cluster.evaluate()

    async def status(self) -> Status | None:
        return self._cluster.status if self._cluster else None


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
    """Where a cluster actor serves: on which hosts, and for trials of which scheduler."""

    hosts: tuple[str, ...]
    scheduler: str


@dataclass(frozen=True)
class _Worker:
    """A cluster actor, the name in which it takes slots, and its hosts' actors, with which it
    ends."""

    actor: RemoteActor[ClusterActor]
    name: str
    assignment: _Assignment
    hosts: tuple[RemoteActor[HostActor], ...]

    @property
    def where(self) -> str:
        """Its hosts, as a trial's record names them."""
        return "+".join(self.assignment.hosts)


@dataclass
class _Running:
    """A trial that is being evaluated, by whom, how long that may take, how far it was when its
    actor last said so, and when that was."""

    trial: Trial
    worker: _Worker
    limit_s: float
    status: Status
    begun: float = field(default_factory=time.monotonic)
    heard: float = field(default_factory=time.monotonic)
    asked: Any = None


class LibvirtTestbed:
    """Evaluates trials on real VMs, made by the spec of their scheduler. `spec_of` says what a
    trial needs beside it; `say` hears which hosts are taken out of service. An actor that is silent
    for `heartbeat_timeout_s` is given up."""

    def __init__(
        self,
        pool: Pool,
        cluster_specs: Mapping[str, ClusterSpec],
        spec_of: Callable[[Trial], TrialSpec],
        placement: Placement,
        say: Callable[[str], None],
        *,
        heartbeat_timeout_s: float,
    ) -> None:
        self._pool = pool
        self._cluster_specs = cluster_specs
        self._spec_of = spec_of
        self._placement = placement
        self._say = say
        self._heartbeat_timeout_s = heartbeat_timeout_s
        self._idle: dict[_Assignment, list[_Worker]] = {}  # cluster actors without a trial
        self._running: dict[Any, _Running] = {}
        self._golden_at: dict[
            str, set[str]
        ] = {}  # hosts that had a scheduler's golden cluster when they opened
        self._joined = 0
        self._lost: list[tuple[Trial, Evaluation]] = []
        self._see_to_hosts()

    def room(self) -> int:
        """How many more trials fit, whatever their size."""
        return min(self._room(one) for one in self._cluster_specs.values())

    def start(self, trial: Trial) -> None:
        """Give the trial a cluster actor on a host with room; one that has none to evaluate, if
        there is."""
        spec = self._spec_of(trial)
        cluster_spec = self._cluster_specs[spec.scheduler]
        assignments = [
            assignment
            for assignment, idle in self._idle.items()
            if idle and assignment.scheduler == spec.scheduler
        ]
        idle_on = {host for assignment in assignments for host in assignment.hosts}
        preferred = (idle_on, self._golden_at.get(spec.scheduler, ()))
        hosts = self._placement.place_over(
            trial.number, self._needs(cluster_spec, spec.nodes), preferred=preferred
        )
        if not hosts:
            raise CapacityError(
                f"trial {trial.number} was started, but its {spec.nodes + 1} VMs fit on no host"
            )
        worker = self._worker(_Assignment(hosts, spec.scheduler))
        status = Status(Phase.PLACED, time.time())
        slowness = max(self._pool.facts[host].slowness for host in hosts)
        self._running[worker.actor.send(ClusterActor.evaluate, spec)] = _Running(
            trial, worker, cluster_spec.trial_deadline_s(slowness), status
        )

    def wait(self, timeout_s: float) -> list[tuple[Trial, Evaluation]]:
        """The evaluations that ended, and those that a lost host or a silent actor has ended."""
        references = list(self._running)
        done, _ = (
            ray.wait(references, num_returns=len(references), timeout=timeout_s)
            if references
            else ([], [])
        )
        if not references:
            time.sleep(timeout_s)  # nothing runs while all hosts are away
        ended = [self._ended(reference) for reference in done]
        self._see_to_hosts()
        self._see_to_silence()
        lost = self._lost
        self._lost = []
        return ended + lost

    def statuses(self) -> Mapping[int, Status]:
        """How far the running trials are; an actor that is slow to answer keeps its last status."""
        for one in self._running.values():
            one.asked = one.asked or one.worker.actor.send(ClusterActor.status)
        asked = {one.asked: one for one in self._running.values()}
        answered: list[Any] = []
        if asked:
            answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=STATUS_TIMEOUT_S)
        for reference in answered:
            one = asked[reference]
            with contextlib.suppress(RayError):  # its evaluation will say why
                one.status = ray.get(reference) or one.status
                one.heard = time.monotonic()
            one.asked = None
        return {one.trial.number: one.status for one in self._running.values()}

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
        """What an evaluation came to; an actor that died is the platform's failure, and is not used
        again."""
        one = self._running[reference]
        try:
            evaluation: Evaluation = ray.get(reference)
            self._idle.setdefault(one.worker.assignment, []).append(one.worker)
        except RayError as error:
            evaluation = Evaluation("infrastructure_failed", str(unwrap(error)), one.worker.where)
            self._dismiss(one.worker)
        return self._told(reference, evaluation)

    def _told(self, reference: Any, evaluation: Evaluation) -> tuple[Trial, Evaluation]:
        """Take note of how a trial has ended, in the books and as far as its host is concerned."""
        one = self._running.pop(reference)
        evaluation = replace(evaluation, host=evaluation.host or one.worker.where)
        failed = evaluation.outcome == "infrastructure_failed"
        if failed:
            for host in one.worker.assignment.hosts:
                self._pool.suspect(host)
        taken_out = self._placement.release(one.trial.number, failed=failed)
        if taken_out:
            why, _, _ = evaluation.reason.partition("\n")
            self._say(f"{taken_out}; the last: {why}")
        return one.trial, evaluation

    def _dismiss(self, worker: _Worker) -> None:
        """An actor is dead or given up: its slots on the host go with it."""
        with contextlib.suppress(RayError):
            worker.actor.kill()
            for host in worker.hosts:
                host.send(HostActor.release_all_of, worker.name)

    def _give_up(self, reference: Any, why: str) -> None:
        one = self._running[reference]
        self._dismiss(one.worker)
        self._lost.append(
            self._told(reference, Evaluation("infrastructure_failed", why, one.worker.where))
        )

    def _see_to_silence(self) -> None:
        """Give up actors that hang, and those that answer but have missed all their own
        deadlines."""
        now = time.monotonic()
        for reference, one in list(self._running.items()):
            if now - one.heard > self._heartbeat_timeout_s:
                self._give_up(
                    reference, f"its actor hasn't answered for {self._heartbeat_timeout_s:g} s"
                )
            elif now - one.begun > one.limit_s:
                detail = f"{one.status.phase} {one.status.detail}".strip()
                self._give_up(reference, f"it isn't done after {one.limit_s:g} s ({detail})")

    def _see_to_hosts(self) -> None:
        for change in self._pool.poll():
            if change.facts is not None:
                self._placement.add(change.host, change.facts.total, change.facts.acceleration.kind)
                self._note_goldens(change.host)
            elif change.host in self._placement.hosts:
                self._placement.take_out(change.host, change.why)
            if change.gone:
                self._forget(change)
        if len(self._placement.out_of_service) == len(self._placement.hosts):
            for host, facts in self._pool.serving.items():
                self._placement.add(host, facts.total, facts.acceleration.kind)
                self._say(f"no other host is left: host {host} is used again")

    def _forget(self, change: HostChange) -> None:
        """A host is lost with all that it had: its trials have failed, its idle actors are of no
        use."""
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
        """Of which schedulers a host has golden clusters already; best effort, it only steers
        placement."""
        for name, cluster_spec in self._cluster_specs.items():
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
        """How many clusters of the largest size fit, each on as many hosts as it spans."""
        parts = self._needs(cluster_spec, cluster_spec.largest)
        return self._placement.room(parts[0]) // len(parts)

    def _needs(self, cluster_spec: ClusterSpec, nodes: int) -> list[Needs]:
        """What a cluster with so many compute nodes would occupy on each of its hosts, by how a
        host's guests run; the largest part first."""
        parts = shares(nodes + 1, cluster_spec.settings.hosts)
        return [
            {kind: cluster_resources(part, cluster_spec.shape, kind) for kind in ("kvm", "tcg")}
            for part in parts
        ]
