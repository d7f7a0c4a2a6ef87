"""Asks a node again where its answer is late or its connection broke, until a deadline."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from actors.bootstrap.ssh import Output, Remote
from actors.clusters.failures import NodeLost
from campaign.core.errors import InfrastructureError
from campaign.core.time_limits import TimeLimits

PAUSE_S = 1.0
"""Between an answer that failed at once and the next question."""
LEAST_S = 1.0
"""Even the last question gets so long for its answer."""

_log = logging.getLogger(__name__)
T = TypeVar("T")


class Asker:
    """Asks nodes questions that are safe to repeat, under the `limits` of their host.

    A question is asked again where its answer is late or the platform fails, over a new connection
    if the old one broke. Past its deadline, the last error is raised; a lost node, and all that
    isn't the platform's, at once.
    """

    def __init__(self, limits: TimeLimits) -> None:
        self._limits = limits

    @property
    def query_s(self) -> float:
        """How long a question may take at first, seconds."""
        return self._limits.query_s

    async def run(self, remote: Remote, command: Sequence[str]) -> Output:
        """Return how `command` ended on the node of `remote`; it may run again."""

        async def run_once(timeout_s: float) -> Output:
            return await remote.run(command, timeout_s=timeout_s)

        return await self.ask(remote, run_once)

    async def printed(
        self, remote: Remote, command: Sequence[str], deadline: float | None = None
    ) -> str:
        """Return what `command` prints on the node of `remote`; it runs again until it succeeds."""

        async def print_once(timeout_s: float) -> str:
            return await remote.succeed(command, timeout_s=timeout_s)

        return await self.ask(remote, print_once, deadline)

    async def ask(
        self,
        remote: Remote,
        question: Callable[[float], Awaitable[T]],
        deadline: float | None = None,
    ) -> T:
        """Return what `question` returns, asked again until `deadline` (monotonic seconds).

        It is given how long it may take: `TimeLimits.query_s` at first, and twice as long each
        time, since a host that has become slower answers late each time. Without a deadline, the
        node may be silent for `TimeLimits.unanswered_s`.
        """
        until = time.monotonic() + self._limits.unanswered_s if deadline is None else deadline
        limit_s = self._limits.query_s
        while True:
            try:
                await remote.renew(until)
                return await question(max(LEAST_S, min(limit_s, until - time.monotonic())))
            except NodeLost:
                raise
            except (InfrastructureError, OSError) as error:
                left_s = until - time.monotonic()
                if left_s <= PAUSE_S:
                    raise
                why = str(error).partition("\n")[0]
                _log.debug("asked again, for %.0f s at most: %s", left_s, why)
            await asyncio.sleep(PAUSE_S)
            limit_s *= 2
