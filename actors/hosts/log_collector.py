"""Brings the logs of actors home: from every host, also from far ones and from actors that died.

It works in a thread of the driver's, so that a silent host delays no trial. What is home already is
known by the size of the file there; so a driver that goes on with a campaign appends what is new.
"""

import contextvars
import logging
import threading
import time
from collections.abc import Mapping
from typing import Protocol

from actors.hosts.actor_log import LogPlace, check_name
from actors.hosts.host_actor import HostActor
from actors.hosts.ray_nodes import LABEL, ray_nodes, run_on
from actors.hosts.remote_call import RemoteActor
from campaign.core.errors import InfrastructureError
from campaign.schema.hosts import HostSettings

ANSWER_TIMEOUT_S = 5.0
TASK_TIMEOUT_S = 15.0
"""A task on a far host may have to wait for a process there to start."""
FINISH_TIMEOUT_S = 30.0

_log = logging.getLogger(__name__)


class LogSink(Protocol):
    """Where the logs of actors go: the results folder of a campaign."""

    @property
    def campaign(self) -> str:
        """The campaign's name on hosts, which no other campaign has, not even one named alike."""
        ...

    def size(self, name: str) -> int:
        """Return how many bytes of a log are there; 0 if there is none of that name."""
        ...

    def append(self, name: str, data: bytes) -> None:
        """Append to a log; OSError where that can't be done."""
        ...


class LogSource(Protocol):
    """The logs of one host, see `LogPlace`. The methods may raise what calls of actors raise."""

    def sizes(self) -> Mapping[str, int]:
        """Return the size of each log in bytes, by name."""
        ...

    def chunk(self, name: str, offset: int) -> bytes:
        """Return a part of a log from `offset` on; empty at its end."""
        ...

    def remove(self, sizes: Mapping[str, int]) -> None:
        """Remove the logs that have exactly these sizes."""
        ...


class LogsOfActor:
    """The logs on a far host, as the host's living actor gives them."""

    def __init__(self, host: str, actor: RemoteActor[HostActor]) -> None:
        self._failure = f"host {host} didn't answer"
        self._actor = actor

    def sizes(self) -> Mapping[str, int]:
        """See `LogSource.sizes`."""
        return self._actor.call_within(ANSWER_TIMEOUT_S, self._failure, HostActor.log_sizes)

    def chunk(self, name: str, offset: int) -> bytes:
        """See `LogSource.chunk`."""
        return self._actor.call_within(
            ANSWER_TIMEOUT_S, self._failure, HostActor.log_chunk, name, offset
        )

    def remove(self, sizes: Mapping[str, int]) -> None:
        """See `LogSource.remove`."""
        self._actor.call_within(ANSWER_TIMEOUT_S, self._failure, HostActor.remove_logs, sizes)


class LogsOfNode:
    """The logs on a far host whose actor is dead, read by tasks on its Ray node."""

    def __init__(self, host: str, place: LogPlace) -> None:
        self._host = host
        self._place = place

    def sizes(self) -> Mapping[str, int]:
        """See `LogSource.sizes`; InfrastructureError if the Ray node is gone as well."""
        # For a node that isn't there, Ray would let the task wait instead of refusing it.
        if self._host not in ray_nodes():
            raise InfrastructureError(f"no living Ray node has the label {LABEL}={self._host}")
        return run_on(self._host, LogPlace.sizes, self._place, timeout_s=TASK_TIMEOUT_S)

    def chunk(self, name: str, offset: int) -> bytes:
        """See `LogSource.chunk`."""
        return run_on(
            self._host, LogPlace.chunk, self._place, name, offset, timeout_s=TASK_TIMEOUT_S
        )

    def remove(self, sizes: Mapping[str, int]) -> None:
        """See `LogSource.remove`."""
        run_on(self._host, LogPlace.remove, self._place, sizes, timeout_s=TASK_TIMEOUT_S)


class LogCollector:
    """Brings what is new in the logs of hosts to `sink`, in a thread, a host after the other.

    Without a sink, it does nothing, and actors have no place to write logs to.
    """

    def __init__(self, sink: LogSink | None) -> None:
        self._sink = sink
        self._wanted: dict[str, LogSource] = {}  # by host, in the order of the requests
        self._sources: dict[str, LogSource] = {}  # the last of each host
        self._failing: set[str] = set()
        self._changed = threading.Condition()
        self._finishing = False
        self._thread: threading.Thread | None = None

    def place(self, settings: HostSettings) -> LogPlace | None:
        """Return where the actors on a host of these settings write their logs."""
        return LogPlace(settings.state_dir, self._sink.campaign) if self._sink else None

    def request(
        self, host: str, settings: HostSettings, actor: RemoteActor[HostActor] | None
    ) -> None:
        """Have what is new on `host` brought home soon; returns at once.

        `actor` is the host's, unless it is dead.
        """
        if self._sink and (place := self.place(settings)):
            self._request(host, source_of(host, settings, place, actor), self._sink)

    def finish(self) -> None:
        """Bring home what is left, and remove on the hosts what is home.

        Takes FINISH_TIMEOUT_S at most; the logs that aren't home then stay on their hosts.
        """
        with self._changed:
            # All hosts once more, since actors went on logging after the last request.
            self._wanted = dict(self._sources)
            self._finishing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(FINISH_TIMEOUT_S)

    def _request(self, host: str, source: LogSource, sink: LogSink) -> None:
        with self._changed:
            self._wanted[host] = source
            self._sources[host] = source
            self._changed.notify()
            if self._thread is None:
                # A context of its own, so that what it logs names the campaign.
                serve = contextvars.copy_context().run
                self._thread = threading.Thread(target=serve, args=(self._serve, sink), daemon=True)
                self._thread.start()

    def _collect(self, host: str, source: LogSource, sink: LogSink) -> None:
        begun = time.monotonic()
        try:
            sizes = source.sizes()
            for name, size in sizes.items():
                check_name(name)
                _bring(source, sink, name, size)
            if self._finishing:
                # With the sizes at home: a log that has grown meanwhile has another one there, and
                # stays.
                source.remove({name: sink.size(name) for name in sizes})
        except Exception as error:  # noqa: BLE001 - a log that isn't brought must end no campaign
            # One warning is enough until it works again.
            level = logging.DEBUG if host in self._failing else logging.WARNING
            self._failing.add(host)
            _log.log(
                level,
                "the logs of host %s can't be brought home now: %s; they stay in its state folder",
                host,
                str(error).partition("\n")[0],
            )
            return
        self._failing.discard(host)
        took = time.monotonic() - begun
        _log.debug("the logs of host %s are home after %.3f s", host, took)

    def _serve(self, sink: LogSink) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted or self._finishing)
                if not self._wanted:
                    return
                host = next(iter(self._wanted))
                source = self._wanted.pop(host)
            # Outside the condition, so that a request never waits for a slow host.
            self._collect(host, source, sink)


def source_of(
    host: str, settings: HostSettings, place: LogPlace, actor: RemoteActor[HostActor] | None
) -> LogSource:
    """Return the logs of a host, as they are read from the driver's machine."""
    if settings.reach == "local":
        return place  # files of this machine, whoever lives
    return LogsOfActor(host, actor) if actor else LogsOfNode(host, place)


def _bring(source: LogSource, sink: LogSink, name: str, size: int) -> None:
    offset = sink.size(name)
    # Up to the size that was listed: a log that grows meanwhile would never be done.
    while offset < size:
        data = source.chunk(name, offset)
        if not data:
            return  # the host has removed it meanwhile
        sink.append(name, data)
        offset += len(data)
