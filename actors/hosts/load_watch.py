"""Asks the actors of open hosts, now and then, how busy others keep their machines."""

import time
from typing import Any

import ray
from ray.exceptions import RayError

from actors.hosts.host_actor import HostActor
from actors.hosts.pool import Pool
from campaign.core.host_load import HostLoad
from campaign.core.phases import Phase

ASK_INTERVAL_S = 5.0
RECENT_S = 20.0
"""Whether a host is busy now is judged by so many seconds."""


class LoadWatch:
    """The recent load of the hosts of a pool, as far as their actors have told."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._loads: dict[str, HostLoad] = {}
        self._asked: dict[str, Any] = {}  # the open questions, by host
        self._next: dict[str, float] = {}  # when to ask a host again (monotonic seconds)

    def poll(self, timeout_s: float = 0.0) -> None:
        """Take the answers that are there, wait `timeout_s` at most for those, and ask again."""
        serving = self._pool.serving
        self._loads = {host: load for host, load in self._loads.items() if host in serving}
        self._asked = {host: asked for host, asked in self._asked.items() if host in serving}
        now = time.monotonic()
        for host in serving:
            if host not in self._asked and now >= self._next.get(host, 0.0):
                self._asked[host] = self._pool.actor(host).send(HostActor.load, RECENT_S)
        if not self._asked:
            return
        open_questions = {reference: host for host, reference in self._asked.items()}
        answered, _ = ray.wait(
            list(open_questions), num_returns=len(open_questions), timeout=timeout_s
        )
        for reference in answered:
            host = open_questions[reference]
            del self._asked[host]
            self._next[host] = now + ASK_INTERVAL_S
            try:
                samples = ray.get(reference).get(host, ())
            except RayError:
                # The pool notices a dead actor by itself.
                self._loads.pop(host, None)
                continue
            self._loads[host] = HostLoad.of(host, Phase.PLACED, samples)

    @property
    def loads(self) -> dict[str, HostLoad]:
        """What is known, by host."""
        return dict(self._loads)

    @property
    def quiet(self) -> set[str]:
        """The open hosts that aren't known to be busy."""
        return {
            host
            for host in self._pool.serving
            if host not in self._loads or not self._loads[host].busy
        }

    @property
    def busy(self) -> str:
        """Why no host is quiet, in words; empty if one is, or if none is open."""
        if self.quiet:
            return ""
        return "; ".join(
            f"host {host}: {self._loads[host].sentence}" for host in self._pool.serving
        )
