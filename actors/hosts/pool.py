"""The hosts of a campaign: opened, watched, lost and opened again, drained and added while trials
run.

The driver keeps no state of a host but its actor's handle. A driver that is killed takes its actors
with it; what outlives them is ended by their wardens, and found by lease (see hypervisor/warden.py,
hypervisor/reaper.py).
"""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.hosts import ray_session
from actors.hosts.host_actor import HostActor, got, unwrapped
from actors.hosts.slot import HostFacts
from actors.hypervisor.lease import Owner
from actors.transfer.image_source import Shelf
from campaign.core.commands import Order
from campaign.core.errors import CampaignError, InfrastructureError
from campaign.core.version import source_digest
from campaign.images.bundles.manifest import Bundle
from campaign.schema.hosts import HostSettings, TestbedSettings

OPEN_S = 120.0
OPEN_FAR_S = 1200.0  # an image may have to be brought there first
CLOSE_S = 60.0
PING_S = 3.0
SUSPECT_S = 1.0
ALL_AWAY_S = 900.0
CUT_OFF_AFTER = 3
"""So many times longer than the driver a far host waits for a sign of life: a driver may be busy
for a while."""
FIRST_RETRY_S = 5.0
LONGEST_RETRY_S = 300.0
T = TypeVar("T")
LABEL = "host"
"""The label of a Ray node that is a host; its value is the host's name."""

# Ray's decorator hides the class from type checkers, so the remote ones get names of their own.
# They compute little.
_HOST_ACTOR: Any = ray.remote(num_cpus=0, max_concurrency=16)(HostActor)
_SHELF_ACTOR: Any = ray.remote(num_cpus=0, max_concurrency=8)(Shelf)


@dataclass(frozen=True)
class Change:
    """What became of a host: open, with its facts; or out of service, and why. `gone`: what it had
    is lost."""

    host: str
    facts: HostFacts | None = None
    why: str = ""
    gone: bool = False


@dataclass(frozen=True)
class Post:
    """A host that a cluster's actor serves: its name, its actor, and what joins it to other hosts
    of the cluster."""

    name: str
    actor: "ActorHandle[Any]"
    address: str
    local: bool
    bridge: str | None


@dataclass
class _Member:
    """A host as the pool sees it: being opened, open, or away until `retry_at`."""

    settings: HostSettings
    actor: "ActorHandle[Any] | None" = None
    facts: HostFacts | None = None
    opening: Any = None  # the answer that is awaited, if it is being opened
    since: float = 0.0  # when opening began; monotonic, as all of these
    ping: Any = None
    heard: float = 0.0
    retry_at: float = 0.0
    failures: int = 0  # in a row
    drained: bool = False

    @property
    def is_open(self) -> bool:
        return self.facts is not None


class Pool:
    """The hosts of a campaign, open for trials. Use it in a `with`: leaving ends everything that it
    started.

    `say` hears what happens to hosts, `orders` gives what people have ordered since it was last
    called.
    """

    def __init__(
        self,
        hosts: Mapping[str, HostSettings],
        bundles: Sequence[Bundle],
        campaign: str,
        testbed: TestbedSettings,
        *,
        say: Callable[[str], None],
        orders: Callable[[], Sequence[Order]] = tuple,
    ) -> None:
        self._bundles = bundles
        self._campaign = campaign
        self._testbed = testbed
        self._say = say
        self._orders = orders
        self._members = {name: _Member(settings) for name, settings in hosts.items()}
        self._shelf: ActorHandle[Any] | None = None
        self._changes: list[Change] = []
        self._served = time.monotonic()  # when a host was last open

    def __enter__(self) -> "Pool":
        """Start or join Ray, and open the hosts; the first host's error if none of them opens."""
        ray_session.start(self._testbed.ray_address)
        try:
            self._obey()
            errors = self._open_all()
            if not self.facts:
                raise (
                    errors[0]
                    if errors
                    else InfrastructureError("every host is drained", resolution=_SERVE)
                )
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def facts(self) -> dict[str, HostFacts]:
        """What the open hosts are."""
        return {
            name: member.facts for name, member in self._members.items() if member.facts is not None
        }

    @property
    def serving(self) -> dict[str, HostFacts]:
        """Those of them that aren't drained."""
        return {
            name: facts for name, facts in self.facts.items() if not self._members[name].drained
        }

    def actor(self, host: str) -> "ActorHandle[Any]":
        """The actor of an open host."""
        actor = self._members[host].actor
        if actor is None:
            raise InfrastructureError(f"host {host} isn't open")
        return actor

    def post(self, host: str) -> "Post":
        """An open host, as a cluster's actor must know it."""
        settings = self._members[host].settings
        facts = self.facts[host]
        return Post(
            host, self.actor(host), facts.address, settings.reach == "local", settings.bridge
        )

    def where(self, host: str) -> dict[str, Any]:
        """Ray's options that put an actor on the machine of `host`."""
        if self._members[host].settings.reach == "ray":
            return {"label_selector": {LABEL: host}}
        here = ray.get_runtime_context().get_node_id()
        return {"scheduling_strategy": NodeAffinitySchedulingStrategy(here, soft=False)}

    def look(self) -> list[Change]:
        """What has become of the hosts since the last look. Returns at once: what takes time goes
        on meanwhile.

        InfrastructureError when none has been there for too long.
        """
        self._obey()
        for name, member in self._members.items():
            if member.opening is not None:
                self._finish_opening(name, member)
            elif member.is_open:
                self._listen(name, member)
            elif not member.drained and time.monotonic() >= member.retry_at:
                self._begin_opening(name, member)
        changes = self._changes
        self._changes = []
        if self.facts:
            self._served = time.monotonic()
        elif time.monotonic() > self._served + ALL_AWAY_S:
            away = "\n".join(f"{change.host}: {change.why}" for change in changes if change.why)
            raise InfrastructureError(f"no host has been there for {ALL_AWAY_S:g} s", away, _SERVE)
        return changes

    def suspect(self, host: str) -> None:
        """A trial has failed on a host: find out at once whether its actor is dead, before another
        trial is sent there.

        One that is merely slow to answer keeps its time.
        """
        member = self._members.get(host)
        if member is None or member.actor is None or not member.is_open:
            return
        answered, _ = ray.wait([ping := member.actor.ping.remote()], timeout=SUSPECT_S)
        if answered:
            try:
                ray.get(ping)
            except RayError as error:
                self._lose(host, member, unwrapped(error))

    def close(self) -> None:
        """Release every slot, close the hosts and leave Ray."""
        for name in list(self._members):
            self._close(name)
        ray_session.stop()

    def _open_all(self) -> list[CampaignError]:
        """Open what isn't drained, all at once, and wait for it; the errors of those that can't be
        opened."""
        wanted = {name: member for name, member in self._members.items() if not member.drained}
        errors = [
            error for name, member in wanted.items() if (error := self._begin_opening(name, member))
        ]
        while awaited := {
            name: member for name, member in wanted.items() if member.opening is not None
        }:
            ray.wait([member.opening for member in awaited.values()], timeout=0.5)
            errors += [
                error
                for name, member in awaited.items()
                if (error := self._finish_opening(name, member))
            ]
        return errors

    def _begin_opening(self, name: str, member: _Member) -> CampaignError | None:
        """Begin to open a host; why that can't be, if so."""
        far = member.settings.reach == "ray"
        if far and name not in ray_nodes():
            error = InfrastructureError(
                f"no living Ray node has the label {LABEL}={name}",
                resolution=f"`python -m campaign host join {name}` says what to run on the host.",
            )
            return self._miss(name, member, error)
        member.actor = _HOST_ACTOR.options(**self.where(name)).remote()
        peers = {
            other: one.actor
            for other, one in self._members.items()
            if other != name and one.is_open
        }
        member.opening = member.actor.open.remote(
            name,
            member.settings,
            self._bundles,
            self._campaign,
            owner=None if far else Owner.current(),
            sources={"the driver": self._own_shelf(), **peers} if far else {},
            version=source_digest(),
            patience_s=CUT_OFF_AFTER * self._testbed.silence_s,
        )
        member.since = time.monotonic()
        return None

    def _finish_opening(self, name: str, member: _Member) -> CampaignError | None:
        """Take note if the host is open by now; why it can't be opened, if so."""
        ready, _ = ray.wait([member.opening], timeout=0)
        limit_s = OPEN_FAR_S if member.settings.reach == "ray" else OPEN_S
        if not ready and time.monotonic() < member.since + limit_s:
            return None
        try:
            if not ready:
                raise InfrastructureError(f"host {name} didn't open within {limit_s:g} s")
            member.facts = got(member.opening, OPEN_S, f"host {name} didn't answer")
        except CampaignError as error:
            ray.kill(self.actor(name))
            return self._miss(name, member, error)
        member.opening = None
        member.failures = 0
        member.heard = time.monotonic()
        self._changes.append(Change(name, facts=member.facts))
        self._introduce()
        return None

    def _listen(self, name: str, member: _Member) -> None:
        """Ask an open host for a sign of life every few seconds, and lose one that gives none for
        too long."""
        now = time.monotonic()
        if member.ping is None:
            if now >= member.heard + PING_S:
                member.ping = self.actor(name).ping.remote()
            return
        answered, _ = ray.wait([member.ping], timeout=0)
        if answered:
            try:
                ray.get(member.ping)
            except RayError as error:
                self._lose(name, member, unwrapped(error))
                return
            member.ping = None
            member.heard = now
        elif now > member.heard + self._testbed.silence_s:
            silence = f"it hasn't answered for {self._testbed.silence_s:g} s"
            self._lose(name, member, InfrastructureError(silence))

    def _lose(self, name: str, member: _Member, error: Exception) -> None:
        """An open host is gone with all that it had."""
        ray.kill(self.actor(name))  # its warden ends what it had
        self._miss(name, member, InfrastructureError(str(error).partition("\n")[0]))

    def _miss(self, name: str, member: _Member, error: CampaignError) -> CampaignError:
        """It is away: try it again after a while that doubles with each failure."""
        wait_s = min(FIRST_RETRY_S * 2**member.failures, LONGEST_RETRY_S)
        member.actor = member.facts = member.opening = member.ping = None
        member.failures += 1
        member.retry_at = time.monotonic() + wait_s
        self._changes.append(Change(name, why=error.brief, gone=True))
        if member.failures == 1:
            self._say(f"host {name} is away: {error.brief}; it is tried again from time to time")
        return error

    def _obey(self) -> None:
        for order in self._orders():
            name = order.host
            if order.settings is not None:
                if name in self._members:
                    self._close(name)
                    self._changes.append(Change(name, why="it has other settings now", gone=True))
                self._members[name] = _Member(order.settings)
                self._say(f"host {name} is added")
            if name not in self._members:
                self._say(f"there is no host {name} to {order.order}")
                continue
            member = self._members[name]
            if order.order == "drain" and not member.drained:
                self._say(f"host {name} is drained: what runs there ends, nothing new begins")
                self._changes.append(Change(name, why="it is drained"))
            elif order.order == "serve" and member.drained:
                self._say(f"host {name} serves again")
                if member.is_open:
                    self._changes.append(Change(name, facts=member.facts))
            member.drained = order.order == "drain"

    def _introduce(self) -> None:
        """Let the open hosts know each other."""
        known = {name: member.actor for name, member in self._members.items() if member.is_open}
        for name, actor in known.items():
            if actor is not None:
                actor.meet.remote({other: one for other, one in known.items() if other != name})

    def _own_shelf(self) -> "ActorHandle[Any]":
        """What the driver's machine has to give; an actor of its own, since drivers can't be
        asked."""
        if self._shelf is None:
            here = NodeAffinitySchedulingStrategy(
                ray.get_runtime_context().get_node_id(), soft=False
            )
            self._shelf = _SHELF_ACTOR.options(scheduling_strategy=here).remote(
                "the driver", self._bundles
            )
        return self._shelf

    def _close(self, name: str) -> None:
        member = self._members.pop(name)
        if member.actor is not None:
            with contextlib.suppress(
                CampaignError
            ):  # it never opened, or is gone: its warden sees to what it left
                got(member.actor.close.remote(), CLOSE_S, f"host {name} didn't close")


_SERVE = (
    "`python -m campaign host list` says where they are; `host serve HOST` lets a drained "
    "one serve again."
)


def ray_nodes() -> dict[str, Mapping[str, Any]]:
    """The living Ray nodes that are hosts, as Ray describes them, by the host's name."""
    return {
        node["Labels"][LABEL]: node
        for node in ray.nodes()
        if node["Alive"] and LABEL in node["Labels"]
    }


def run_on(
    host: str, work: Callable[..., T], *arguments: object, timeout_s: float, **options: object
) -> T:
    """What `work` comes to on a far host; InfrastructureError if it doesn't in time."""
    there: Any = ray.remote(work)
    working = there.options(num_cpus=0, label_selector={LABEL: host}).remote(*arguments, **options)
    done: T = got(working, timeout_s, f"host {host} didn't do it")
    return done
