"""The Ray actors, and the testbed that places trials on them: one actor per libvirt host, one per live cluster.

The driver keeps no state of a cluster but its actor's handle. Everything heavy happens in the actors; a driver that is
killed takes local Ray with it, so what outlives it is found by lease, not by destructor (see hypervisor/reaper.py).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError

from actors import ray_session
from actors.cluster import Cluster, TrialSpec
from actors.golden import Golden, Recipe
from actors.goldens import GoldenOffer
from actors.host import Host, HostFacts, NodeBoot, NodeShape, NodeState, Slot, cluster_resources
from actors.hypervisor.lease import Owner
from actors.placement import Needs, Placement
from actors.supply import Blueprint, Supply
from campaign.errors import CampaignError, CapacityError, InfrastructureError
from campaign.images.manifest import Bundle
from campaign.model import HostSettings, TestbedSettings
from campaign.testbed import Status
from campaign.trials import Evaluation, Trial

OPEN_S = 120.0
CLOSE_S = 60.0


class HostActor:
    """Owns the connection to one libvirt host and every VM on it. Each method is the host's of the same name."""

    def open(self, name: str, settings: HostSettings, bundle: Bundle, campaign: str, owner: Owner) -> HostFacts:
        """Not the constructor: an error in there would reach the driver as text only."""
        self._host = Host(name, settings, bundle, owner)
        self._campaign = campaign
        return self._host.facts

    def facts(self) -> HostFacts:
        return self._host.facts

    def acquire(self, cluster: str, nodes: int, shape: NodeShape, expires: int, ahead: bool) -> Slot:
        return self._host.acquire(cluster, nodes, shape, campaign=self._campaign, expires=expires, ahead=ahead)

    def do(self, method: str, *arguments: object) -> Any:
        """Call any other of the host's methods."""
        return getattr(self._host, method)(*arguments)

    def close(self) -> None:
        self._host.close()


class RemoteHost:
    """A host's actor as a cluster uses it: the errors that it raised come out as they are, not wrapped by Ray."""

    def __init__(self, actor: "ActorHandle[Any]") -> None:
        self._actor = actor

    async def facts(self) -> HostFacts:
        facts: HostFacts = await _asked(self._actor.facts.remote())
        return facts

    async def acquire(self, cluster: str, nodes: int, shape: NodeShape, expires: int, ahead: bool = False) -> Slot:
        slot: Slot = await _asked(self._actor.acquire.remote(cluster, nodes, shape, expires, ahead))
        return slot

    async def claim(self, slot: Slot, expires: int) -> None:
        await self._do("claim", slot, expires)

    async def start(self, slot: Slot, boots: Sequence[NodeBoot], recipe: Recipe | None = None) -> None:
        await self._do("start", slot, boots, recipe)

    async def golden(self, ingredients: Mapping[str, str], shape: NodeShape) -> GoldenOffer:
        offer: GoldenOffer = await self._do("golden", ingredients, shape)
        return offer

    async def disclaim(self, recipe: Recipe) -> None:
        await self._do("disclaim", recipe)

    async def save(self, slot: Slot, names: Sequence[str], identity: Mapping[str, bytes]) -> Golden:
        golden: Golden = await self._do("save", slot, names, identity)
        return golden

    async def restore(self, slot: Slot, boots: Sequence[NodeBoot], golden: Golden) -> None:
        await self._do("restore", slot, boots, golden)

    async def resume(self, slot: Slot, names: Sequence[str]) -> None:
        await self._do("resume", slot, names)

    async def drop(self, slot: Slot, names: Sequence[str]) -> None:
        await self._do("drop", slot, names)

    async def look(self, slot: Slot, names: Sequence[str]) -> list[NodeState]:
        states: list[NodeState] = await self._do("look", slot, names)
        return states

    async def release(self, slot: Slot) -> None:
        await self._do("release", slot)

    async def _do(self, method: str, *arguments: object) -> Any:
        return await _asked(self._actor.do.remote(method, *arguments))


class ClusterActor:
    """Owns SSH, bootstrap, workload and collection of live clusters, one trial's after the other's; and the cluster
    that is made ready for the next. Async, so that it answers while it works."""

    def __init__(self, blueprint: Blueprint, host: "ActorHandle[Any]") -> None:
        self._blueprint, self._host = blueprint, RemoteHost(host)
        self._supply = Supply(blueprint, self._host)
        self._cluster: Cluster | None = None

    async def evaluate(self, spec: TrialSpec) -> Evaluation:
        self._cluster = Cluster(self._blueprint, spec, self._host, self._supply)
        return await self._cluster.evaluate()

    async def status(self) -> Status | None:
        return self._cluster.status if self._cluster else None


# Ray's decorator hides the class from type checkers, so the remote ones get names of their own. They compute little.
_HOST_ACTOR: Any = ray.remote(num_cpus=0, max_concurrency=16)(HostActor)
_CLUSTER_ACTOR: Any = ray.remote(num_cpus=0, max_concurrency=4)(ClusterActor)


@dataclass(frozen=True)
class _Post:
    """Where a cluster actor serves: on which host, and for trials of which scheduler."""

    host: str
    scheduler: str


@dataclass(frozen=True)
class _Running:
    """A trial that is being evaluated, by which actor, at which post."""

    trial: Trial
    actor: "ActorHandle[Any]"
    post: _Post


class Pool:
    """The hosts of a campaign, open for trials. Use it in a `with`: leaving ends everything that it started."""

    def __init__(
        self, hosts: Mapping[str, HostSettings], bundle: Bundle, campaign: str, testbed: TestbedSettings
    ) -> None:
        self._hosts, self._bundle, self._campaign, self._testbed = hosts, bundle, campaign, testbed
        self._actors: dict[str, ActorHandle[Any]] = {}
        self.facts: dict[str, HostFacts] = {}

    def __enter__(self) -> "Pool":
        """Start or join Ray, and open every host; raises the first host's error, with nothing left open."""
        ray_session.start(self._testbed.ray_address)
        try:
            owner = Owner.current()
            for name, settings in self._hosts.items():
                self._actors[name] = _HOST_ACTOR.remote()
                opening = self._actors[name].open.remote(name, settings, self._bundle, self._campaign, owner)
                self.facts[name] = _get(opening, OPEN_S, f"host {name} didn't open")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Release every slot, close the hosts and leave Ray."""
        for name, actor in self._actors.items():
            try:
                _get(actor.close.remote(), CLOSE_S, f"host {name} didn't close")
            except CampaignError:
                continue  # it never opened, or is gone: the reaper of the next start finds what it left
        self._actors.clear()
        ray_session.stop()

    def actor(self, host: str) -> "ActorHandle[Any]":
        """The actor of an open host."""
        return self._actors[host]


class LibvirtTestbed:
    """Evaluates trials on real VMs, made by the blueprint of their scheduler. `spec_of` says what a trial needs beside
    it; `say` hears which hosts are taken out of service."""

    def __init__(
        self,
        pool: Pool,
        blueprints: Mapping[str, Blueprint],
        spec_of: Callable[[Trial], TrialSpec],
        placement: Placement,
        say: Callable[[str], None],
    ) -> None:
        self._pool, self._blueprints, self._spec_of = pool, blueprints, spec_of
        self._placement, self._say = placement, say
        for name, facts in pool.facts.items():
            placement.add(name, facts.total, facts.acceleration.kind)
        self._idle: dict[_Post, list[ActorHandle[Any]]] = {}  # cluster actors without a trial
        self._running: dict[Any, _Running] = {}
        self._statuses: dict[int, Status] = {}

    def room(self) -> int:
        """How many more trials fit, whatever their size."""
        return min(self._placement.room(self._needs(one, one.largest)) for one in self._blueprints.values())

    def start(self, trial: Trial) -> None:
        """Give the trial a cluster actor on a host with room; one that has none to evaluate, if there is."""
        spec = self._spec_of(trial)
        blueprint = self._blueprints[spec.scheduler]
        idle_on = [post.host for post, actors in self._idle.items() if actors and post.scheduler == spec.scheduler]
        host = self._placement.place(trial.number, self._needs(blueprint, spec.nodes), preferred=idle_on)
        if host is None:
            raise CapacityError(f"trial {trial.number} was started, but its {spec.nodes + 1} VMs fit on no host")
        post = _Post(host, spec.scheduler)
        idle = self._idle.setdefault(post, [])
        actor = idle.pop() if idle else _CLUSTER_ACTOR.remote(blueprint, self._pool.actor(host))
        self._running[actor.evaluate.remote(spec)] = _Running(trial, actor, post)
        self._statuses[trial.number] = Status("placed", time.time())

    def wait(self, timeout_s: float) -> list[tuple[Trial, Evaluation]]:
        """The evaluations that ended."""
        done, _ = ray.wait(list(self._running), num_returns=len(self._running), timeout=timeout_s)
        return [self._ended(reference) for reference in done]

    def statuses(self) -> Mapping[int, Status]:
        """How far the running trials are; an actor that is slow to answer keeps its last status."""
        asked = {one.actor.status.remote(): one.trial.number for one in self._running.values()}
        answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=1.0) if asked else ([], [])
        for reference in answered:
            try:
                status = ray.get(reference)
                self._statuses[asked[reference]] = status or self._statuses[asked[reference]]
            except RayError:
                continue  # its evaluation will say why
        return dict(self._statuses)

    def close(self) -> None:
        """Forget running trials; the pool ends their VMs."""
        for actor in [one.actor for one in self._running.values()] + [
            one for all_of in self._idle.values() for one in all_of
        ]:
            ray.kill(actor)
        self._running.clear()
        self._idle.clear()

    def _ended(self, reference: Any) -> tuple[Trial, Evaluation]:
        """What an evaluation came to; an actor that died is the platform's failure, and is not used again."""
        one = self._running.pop(reference)
        self._statuses.pop(one.trial.number, None)
        try:
            evaluation: Evaluation = ray.get(reference)
            self._idle[one.post].append(one.actor)
        except RayError as error:
            evaluation = Evaluation("infrastructure_failed", str(unwrapped(error)), one.post.host)
        taken_out = self._placement.release(one.trial.number, failed=evaluation.outcome == "infrastructure_failed")
        if taken_out:
            why, _, _ = evaluation.reason.partition("\n")
            self._say(f"{taken_out}; the last: {why}")
        return one.trial, evaluation

    def _needs(self, blueprint: Blueprint, nodes: int) -> Needs:
        """What a cluster with so many compute nodes would occupy, by how a host's guests run."""
        kinds = {facts.acceleration.kind for facts in self._pool.facts.values()}
        return {kind: cluster_resources(nodes + 1, blueprint.shape, kind) for kind in kinds}


def unwrapped(error: RayError) -> Exception:
    """The error that an actor raised, where it is one of ours; else an InfrastructureError saying what Ray said."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, CampaignError):
        return cause
    return InfrastructureError(f"an actor failed: {str(error).strip().splitlines()[-1]}", str(error)[-3000:])


def _get(reference: Any, timeout_s: float, what: str) -> Any:
    try:
        return ray.get(reference, timeout=timeout_s)
    except ray.exceptions.GetTimeoutError:
        raise InfrastructureError(f"{what} within {timeout_s:g} s") from None
    except RayError as error:
        raise unwrapped(error) from None


async def _asked(reference: Any) -> Any:
    try:
        return await reference
    except RayError as error:
        raise unwrapped(error) from None
