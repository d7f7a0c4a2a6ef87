"""The Ray actors, and the testbed that places trials on them: one actor per libvirt host, one per live cluster.

The driver keeps no state of a cluster but its actor's handle. Everything heavy happens in the actors; a driver that is
killed takes local Ray with it, so what outlives it is found by lease, not by destructor (see hypervisor/reaper.py).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError

from actors import ray_session
from actors.cluster import Cluster, TrialSpec
from actors.host import Host, HostFacts, NodeBoot, NodeShape, NodeState, Slot
from actors.hypervisor.lease import Owner
from campaign.errors import CampaignError, InfrastructureError
from campaign.images.manifest import Bundle
from campaign.model import HostSettings, TestbedSettings
from campaign.testbed import Status
from campaign.trials import Evaluation, Trial

OPEN_S = 120.0
CLOSE_S = 60.0


class HostActor:
    """Owns the connection to one libvirt host and every VM on it."""

    def open(self, name: str, settings: HostSettings, bundle: Bundle, campaign: str, owner: Owner) -> HostFacts:
        """Not the constructor: an error in there would reach the driver as text only."""
        self._host = Host(name, settings, bundle, owner)
        self._campaign = campaign
        return self._host.facts

    def facts(self) -> HostFacts:
        return self._host.facts

    def room(self, nodes: int, shape: NodeShape) -> bool:
        return self._host.room(nodes, shape)

    def acquire(self, cluster: str, nodes: int, shape: NodeShape, trial: str, expires: int) -> Slot:
        return self._host.acquire(cluster, nodes, shape, trial=trial, campaign=self._campaign, expires=expires)

    def start(self, slot: Slot, boots: Sequence[NodeBoot]) -> None:
        self._host.start(slot, boots)

    def look(self, slot: Slot, names: Sequence[str]) -> list[NodeState]:
        return self._host.look(slot, names)

    def release(self, slot: Slot) -> None:
        self._host.release(slot)

    def close(self) -> None:
        self._host.close()


class RemoteHost:
    """A host's actor as a cluster uses it: the errors that it raised come out as they are, not wrapped by Ray."""

    def __init__(self, actor: "ActorHandle[Any]") -> None:
        self._actor = actor

    async def facts(self) -> HostFacts:
        facts: HostFacts = await self._ask("facts")
        return facts

    async def acquire(self, cluster: str, nodes: int, shape: NodeShape, trial: str, expires: int) -> Slot:
        slot: Slot = await self._ask("acquire", cluster, nodes, shape, trial, expires)
        return slot

    async def start(self, slot: Slot, boots: Sequence[NodeBoot]) -> None:
        await self._ask("start", slot, boots)

    async def look(self, slot: Slot, names: Sequence[str]) -> list[NodeState]:
        states: list[NodeState] = await self._ask("look", slot, names)
        return states

    async def release(self, slot: Slot) -> None:
        await self._ask("release", slot)

    async def _ask(self, method: str, *arguments: object) -> Any:
        try:
            return await getattr(self._actor, method).remote(*arguments)
        except RayError as error:
            raise unwrapped(error) from None


class ClusterActor:
    """Owns SSH, bootstrap, workload and collection of one live cluster; async, so that it answers while it works."""

    def __init__(self, spec: TrialSpec, host: "ActorHandle[Any]") -> None:
        self._cluster = Cluster(spec, RemoteHost(host))

    async def evaluate(self) -> Evaluation:
        return await self._cluster.evaluate()

    async def status(self) -> Status:
        return self._cluster.status


# Ray's decorator hides the class from type checkers, so the remote ones get names of their own. They compute little.
_HOST_ACTOR: Any = ray.remote(num_cpus=0, max_concurrency=16)(HostActor)
_CLUSTER_ACTOR: Any = ray.remote(num_cpus=0, max_concurrency=4)(ClusterActor)


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

    def with_room(self, nodes: int, shape: NodeShape) -> list["ActorHandle[Any]"]:
        """The hosts on which a cluster of `nodes` VMs fits now."""
        return [a for n, a in self._actors.items() if _get(a.room.remote(nodes, shape), OPEN_S, f"host {n} is silent")]


class LibvirtTestbed:
    """Evaluates trials on real VMs. `spec_of` says what a trial needs; `largest` is the biggest cluster, in VMs."""

    def __init__(self, pool: Pool, spec_of: Callable[[Trial], TrialSpec], largest: int, shape: NodeShape) -> None:
        self._pool, self._spec_of = pool, spec_of
        self._largest, self._shape = largest, shape
        self._running: dict[Any, tuple[Trial, ActorHandle[Any]]] = {}
        self._statuses: dict[int, Status] = {}

    def room(self) -> int:
        """How many more trials fit, whatever their size."""
        return len(self._pool.with_room(self._largest, self._shape))

    def start(self, trial: Trial) -> None:
        """Give the trial a cluster actor on a host with room."""
        spec = self._spec_of(trial)
        host = self._pool.with_room(spec.nodes + 1, spec.shape)[0]
        actor = _CLUSTER_ACTOR.remote(spec, host)
        self._running[actor.evaluate.remote()] = (trial, actor)
        self._statuses[trial.number] = Status("placed", time.time())

    def wait(self, timeout_s: float) -> list[tuple[Trial, Evaluation]]:
        """The evaluations that ended."""
        done, _ = ray.wait(list(self._running), num_returns=len(self._running), timeout=timeout_s)
        ended = []
        for reference in done:
            trial, _actor = self._running.pop(reference)
            self._statuses.pop(trial.number, None)
            ended.append((trial, _evaluation(reference)))
        return ended

    def statuses(self) -> Mapping[int, Status]:
        """How far the running trials are; an actor that is slow to answer keeps its last status."""
        asked = {actor.status.remote(): trial.number for trial, actor in self._running.values()}
        answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=1.0) if asked else ([], [])
        for reference in answered:
            try:
                self._statuses[asked[reference]] = ray.get(reference)
            except RayError:
                continue  # its evaluation will say why
        return dict(self._statuses)

    def close(self) -> None:
        """Forget running trials; the pool ends their VMs."""
        for _, actor in self._running.values():
            ray.kill(actor)
        self._running.clear()


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


def _evaluation(reference: Any) -> Evaluation:
    """What an evaluation came to; an actor that died is the platform's failure."""
    try:
        evaluation: Evaluation = ray.get(reference)
    except RayError as error:
        return Evaluation("infrastructure_failed", str(unwrapped(error)))
    return evaluation
