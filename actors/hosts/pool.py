"""The hosts of a campaign: opened, watched, lost and opened again, drained and added.

The driver keeps no state of a host but its actor's handle. A driver that is killed takes its actors
with it; what outlives them is ended by their watchdogs, and found by lease (see
hypervisor/watchdog.py, hypervisor/reaper.py).
"""

import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError

from actors.hosts import ray_session
from actors.hosts.host_actor import HostActor
from actors.hosts.host_ref import HostChange, HostRef
from actors.hosts.log_collector import LogCollector, LogSink
from actors.hosts.ray_nodes import LABEL, options_here, options_there, ray_nodes
from actors.hosts.remote_call import RemoteActor, unwrap, wait_for
from actors.hosts.slot import HostFacts
from actors.hypervisor.lease import Owner
from actors.transfer.chunks import Server
from actors.transfer.image_source import ImageSource
from campaign.core import log
from campaign.core.commands import OperatorCommand
from campaign.core.errors import CampaignError, InfrastructureError
from campaign.core.version import source_digest
from campaign.images.bundles.manifest import Bundle
from campaign.schema.hosts import HostSettings, TestbedSettings

OPEN_TIMEOUT_S = 120.0
OPEN_FAR_TIMEOUT_S = 1200.0  # an image may have to be brought there first
CLOSE_TIMEOUT_S = 60.0
PING_INTERVAL_S = 3.0
SUSPECT_TIMEOUT_S = 1.0
ALL_AWAY_TIMEOUT_S = 900.0
CUT_OFF_FACTOR = 3
"""So many times longer than the driver a far host waits for a sign of life: a driver may be busy
for a while."""
FIRST_RETRY_S = 5.0
MAX_RETRY_S = 300.0

_log = logging.getLogger(__name__)

# Ray's decorator hides the class from type checkers, so the remote ones get names of their own.
# They compute little.
_HOST_ACTOR: Any = ray.remote(num_cpus=0, max_concurrency=16)(HostActor)
_SOURCE_ACTOR: Any = ray.remote(num_cpus=0, max_concurrency=8)(ImageSource)


@dataclass
class _Member:
    """A host as the pool sees it: being opened, open, or unreachable until `retry_at`.

    All times are monotonic seconds.
    """

    settings: HostSettings
    actor: RemoteActor[HostActor] | None = None
    facts: HostFacts | None = None
    opening: Any = None  # the reference of its answer, if it is being opened
    opening_since: float = 0.0
    ping: Any = None  # the reference of the answer to a ping
    last_answer: float = 0.0
    retry_at: float = 0.0
    failures: int = 0  # in a row
    drained: bool = False

    @property
    def is_open(self) -> bool:
        """True if it has opened and isn't lost."""
        return self.facts is not None


class Pool:
    """The hosts of a campaign, open for trials.

    Use it in a `with`: leaving ends everything that it started. `commands` returns the
    operator commands since it was last called. What happens to hosts is logged. What actors on the
    hosts log is brought to `logs`; without it, they write no logs.
    """

    def __init__(
        self,
        hosts: Mapping[str, HostSettings],
        bundles: Sequence[Bundle],
        campaign: str,
        testbed: TestbedSettings,
        *,
        commands: Callable[[], Sequence[OperatorCommand]] = tuple,
        logs: LogSink | None = None,
    ) -> None:
        self._bundles = bundles
        self._campaign = campaign
        self._testbed = testbed
        self._commands = commands
        self._logs = LogCollector(logs)
        self._members = {name: _Member(settings) for name, settings in hosts.items()}
        self._own_source: RemoteActor[ImageSource] | None = None
        self._changes: list[HostChange] = []
        self._served = time.monotonic()  # when a host was last open

    def __enter__(self) -> "Pool":
        """Start or join Ray, and open the hosts; raise the first error if none of them opens."""
        ray_session.start(self._testbed.ray_address)
        try:
            # First of all, so that a host that was drained by a command isn't opened.
            self._obey()
            errors = self._open_all()
            if not self.facts:
                raise (
                    errors[0]
                    if errors
                    else InfrastructureError("every host is drained", resolution=_SERVE)
                )
        # `__exit__` isn't called when `__enter__` fails.
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def facts(self) -> dict[str, HostFacts]:
        """The facts of the open hosts, by name."""
        return {
            name: member.facts for name, member in self._members.items() if member.facts is not None
        }

    @property
    def serving(self) -> dict[str, HostFacts]:
        """The facts of the open hosts that aren't drained, by name."""
        return {
            name: facts for name, facts in self.facts.items() if not self._members[name].drained
        }

    def actor(self, host: str) -> RemoteActor[HostActor]:
        """Return the actor of an open host; InfrastructureError if it isn't open."""
        actor = self._members[host].actor
        if actor is None:
            raise InfrastructureError(f"host {host} isn't open")
        return actor

    def ref(self, host: str) -> HostRef:
        """Return an open host, as the actor of a cluster needs to know it."""
        settings = self._members[host].settings
        facts = self.facts[host]
        return HostRef(
            host,
            self.actor(host),
            facts.address,
            settings.reach == "local",
            settings.bridge,
            self._logs.place(settings),
        )

    def options_on(self, host: str) -> dict[str, Any]:
        """Return Ray's options that put an actor on the machine of `host`."""
        far = self._members[host].settings.reach == "ray"
        return options_there(host) if far else options_here()

    def poll(self) -> list[HostChange]:
        """Return what has become of the hosts since the last call.

        Returns at once: what takes time goes on meanwhile. Raises InfrastructureError when no host
        has been open for ALL_AWAY_TIMEOUT_S.
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
        elif time.monotonic() > self._served + ALL_AWAY_TIMEOUT_S:
            away = "\n".join(f"{change.host}: {change.why}" for change in changes if change.why)
            raise InfrastructureError(
                f"no host has been reachable for {ALL_AWAY_TIMEOUT_S:g} s", away, _SERVE
            )
        return changes

    def suspect(self, host: str) -> None:
        """Find out at once whether a host's actor is dead, on which a trial has failed.

        So no other trial is sent there. An actor that is merely slow to answer keeps its time.
        """
        member = self._members.get(host)
        if member is None or member.actor is None or not member.is_open:
            return
        ping = member.actor.send(HostActor.ping)
        answered, _ = ray.wait([ping], timeout=SUSPECT_TIMEOUT_S)
        if answered:
            try:
                ray.get(ping)
            except RayError as error:
                self._lose(host, member, unwrap(error))

    def collect_logs(self, host: str) -> None:
        """Begin to bring home what actors on a host have logged; returns at once."""
        if member := self._members.get(host):
            actor = member.actor if member.is_open else None
            self._logs.request(host, member.settings, actor)

    def close(self) -> None:
        """Release every slot, close the hosts, bring their logs home and leave Ray."""
        for name in list(self._members):
            self._close(name)
        # After the hosts' closing, of which the logs tell too, and before Ray's end, since far logs
        # come through Ray.
        self._logs.finish()
        ray_session.stop()

    def _open_all(self) -> list[CampaignError]:
        """Open all hosts that aren't drained, and return the errors of those that can't be."""
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
        """Begin to open a host; return the error if that can't be."""
        far = member.settings.reach == "ray"
        # Ray would let an actor for a node that isn't there wait without an error.
        if far and name not in ray_nodes():
            error = InfrastructureError(
                f"no living Ray node has the label {LABEL}={name}",
                resolution=f"`hpc-campaign host join {name}` says what to run on the host.",
            )
            return self._miss(name, member, error)
        member.actor = RemoteActor(_HOST_ACTOR.options(**self.options_on(name)).remote())
        member.opening = member.actor.send(
            HostActor.open,
            name,
            member.settings,
            self._bundles,
            self._campaign,
            # A far machine can't tell whether this process lives, so its actor is the owner.
            owner=None if far else Owner.current(),
            sources=self._sources_for(name) if far else {},
            version=source_digest(),
            driver_timeout_s=CUT_OFF_FACTOR * self._testbed.heartbeat_timeout_s,
            log_place=self._logs.place(member.settings),
        )
        member.opening_since = time.monotonic()
        return None

    def _finish_opening(self, name: str, member: _Member) -> CampaignError | None:
        """Take note if the host is open by now; return the error if it can't be opened."""
        ready, _ = ray.wait([member.opening], timeout=0)
        limit_s = OPEN_FAR_TIMEOUT_S if member.settings.reach == "ray" else OPEN_TIMEOUT_S
        if not ready and time.monotonic() < member.opening_since + limit_s:
            return None
        try:
            if not ready:
                raise InfrastructureError(f"host {name} didn't open within {limit_s:g} s")
            member.facts = wait_for(member.opening, OPEN_TIMEOUT_S, f"host {name} didn't answer")
        except CampaignError as error:
            # It may still be opening, and must not live beside the next one.
            self.actor(name).kill()
            return self._miss(name, member, error)
        member.opening = None
        member.failures = 0
        member.last_answer = time.monotonic()
        self._changes.append(HostChange(name, facts=member.facts))
        self._introduce()
        self.collect_logs(name)  # earlier lives may have left some
        return None

    def _listen(self, name: str, member: _Member) -> None:
        """Ping an open host every few seconds, and lose one that doesn't answer for too long."""
        now = time.monotonic()
        if member.ping is None:
            if now >= member.last_answer + PING_INTERVAL_S:
                member.ping = self.actor(name).send(HostActor.ping)
            return
        answered, _ = ray.wait([member.ping], timeout=0)
        if answered:
            try:
                ray.get(member.ping)
            except RayError as error:
                self._lose(name, member, unwrap(error))
                return
            member.ping = None
            member.last_answer = now
        elif now > member.last_answer + self._testbed.heartbeat_timeout_s:
            silence = f"it hasn't answered for {self._testbed.heartbeat_timeout_s:g} s"
            self._lose(name, member, InfrastructureError(silence))

    def _lose(self, name: str, member: _Member, error: Exception) -> None:
        """Give an open host up with all that it had, which its watchdog ends."""
        self.actor(name).kill()
        self._miss(name, member, InfrastructureError(str(error).partition("\n")[0]))

    def _miss(self, name: str, member: _Member, error: CampaignError) -> CampaignError:
        """Try a host again after a while, which doubles with each failure; return the error."""
        wait_s = min(FIRST_RETRY_S * 2**member.failures, MAX_RETRY_S)
        member.actor = member.facts = member.opening = member.ping = None
        member.failures += 1
        member.retry_at = time.monotonic() + wait_s
        self._changes.append(HostChange(name, why=error.brief, gone=True))
        self.collect_logs(name)
        if member.failures == 1:
            with log.context(host=name):
                _log.warning(
                    "host %s is unreachable: %s; retrying every %g to %g s",
                    name,
                    error.brief,
                    FIRST_RETRY_S,
                    MAX_RETRY_S,
                )
        return error

    def _obey(self) -> None:
        for command in self._commands():
            with log.context(host=command.host):
                self._carry_out(command)

    def _carry_out(self, command: OperatorCommand) -> None:
        name = command.host
        if command.settings is not None:
            if name in self._members:
                self._close(name)
                self._changes.append(HostChange(name, why="it has other settings now", gone=True))
            self._members[name] = _Member(command.settings)
            _log.info("host %s is added", name)
        if name not in self._members:
            _log.warning("there is no host %s to %s", name, command.action)
            return
        member = self._members[name]
        if command.action == "drain" and not member.drained:
            _log.info("host %s is drained: what runs there ends, nothing new begins", name)
            self._changes.append(HostChange(name, why="it is drained"))
        elif command.action == "serve" and member.drained:
            _log.info("host %s serves again", name)
            if member.is_open:
                self._changes.append(HostChange(name, facts=member.facts))
        member.drained = command.action == "drain"

    def _introduce(self) -> None:
        """Let the open hosts know each other."""
        known = self._open_actors()
        for name, actor in known.items():
            # Nobody waits for the answer: a slow host must not hold up the others.
            actor.send(
                HostActor.set_peers, {other: one for other, one in known.items() if other != name}
            )

    def _open_actors(self) -> dict[str, RemoteActor[HostActor]]:
        return {
            name: member.actor
            for name, member in self._members.items()
            if member.is_open and member.actor is not None
        }

    def _sources_for(self, host: str) -> dict[str, RemoteActor[Server]]:
        """Return what a far host may take images from: this machine, and the other open hosts."""
        if self._own_source is None:
            # An actor of its own, since a driver can't be asked.
            actor = _SOURCE_ACTOR.options(**options_here()).remote("the driver", self._bundles)
            self._own_source = RemoteActor(actor)
        sources: dict[str, RemoteActor[Server]] = {"the driver": self._own_source}
        others = self._open_actors().items()
        return sources | {name: actor for name, actor in others if name != host}

    def _close(self, name: str) -> None:
        member = self._members.pop(name)
        if member.actor is not None:
            failure = f"host {name} didn't close"
            # It never opened, or is gone: its watchdog sees to what it left.
            with contextlib.suppress(CampaignError):
                member.actor.call_within(CLOSE_TIMEOUT_S, failure, HostActor.close)
        # A closed host's actor still gives its logs.
        self._logs.request(name, member.settings, member.actor if member.is_open else None)


_SERVE = (
    "`hpc-campaign host list` says where they are; `host serve HOST` lets a drained "
    "one serve again."
)
