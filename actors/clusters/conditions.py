"""What surrounds a measurement: the nodes' clocks, and the CPU time that this machine lost."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import asyncssh
import psutil

from actors.bootstrap.ssh import Remote
from campaign import guest
from campaign.core.errors import InfrastructureError
from campaign.guest.clocks import ClockOffset, ClockSample, NodeClock, offset, parse_clock

CLOCK_SAMPLES = 8
CLOCK_ROUNDS = 8
GOOD_ERROR_S = 0.1
"""An offset that is known better than this needs no more questions."""


@dataclass(frozen=True)
class Conditions:
    """What surrounded a measurement: the nodes' clocks by name, and the stolen CPU time.

    `steal` is the share of this machine's CPU time, 0 to 1, that a hypervisor gave to others.
    """

    clocks: Mapping[str, NodeClock]
    steal: float


class ClockReader:
    """Asks a node for its time, over a shell that stays open.

    Starting a shell for each question would cost more than all the questions.
    """

    def __init__(
        self, node: str, process: "asyncssh.SSHClientProcess[str]", timeout_s: float
    ) -> None:
        self._node = node
        self._process = process
        self._timeout_s = timeout_s

    @classmethod
    async def open(cls, remote: Remote, timeout_s: float) -> "ClockReader":
        """Start the shell on the node behind `remote`; each answer may take `timeout_s`."""
        shell = await remote.open_shell(guest.clock_command())
        return cls(remote.node, shell, timeout_s)

    async def offset(self) -> ClockOffset:
        """Return the node's time against ours, by CLOCK_SAMPLES questions of one round trip each.

        On a host that is so busy that none of them is answered swiftly, up to CLOCK_ROUNDS times as
        many are asked: one swift answer is enough. Raises InfrastructureError when the clock
        doesn't answer.
        """
        samples: list[ClockSample] = []
        try:
            for _ in range(CLOCK_ROUNDS):
                samples += [await self._sample() for _ in range(CLOCK_SAMPLES)]
                found = offset(samples)
                if found.error_s <= GOOD_ERROR_S:
                    break
            return found
        except (TimeoutError, OSError, asyncssh.Error) as error:
            raise InfrastructureError(f"{self._node}: its clock doesn't answer: {error}") from None

    async def _sample(self) -> ClockSample:
        # The wall clock and not the monotonic one, since it is compared with the node's.
        sent = time.time()
        self._process.stdin.write("\n")
        async with asyncio.timeout(self._timeout_s):
            answer = await self._process.stdout.readline()
        return ClockSample(sent, parse_clock(answer), time.time())


def read_cpu() -> Mapping[str, float]:
    """Return this machine's CPU times in seconds since its boot, by the kernel's names of them."""
    times: Any = psutil.cpu_times()
    # A guest's time is counted as user time already.
    return {name: value for name, value in times._asdict().items() if not name.startswith("guest")}


def steal_between(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """Return the share of CPU time that a hypervisor below this machine gave to others.

    `before` and `after` are two readings of `read_cpu`.
    """
    spent = {name: after[name] - before[name] for name in before}
    total = sum(spent.values())
    return spent["steal"] / total if total > 0 else 0.0
