"""A cluster that runs its jobs by a clock: nodes that answer late when their host is slow, and lose
connections."""

import asyncio
import json
import time

from actors.bootstrap.ssh import NodeUnreachable, Output, RemoteCommandFailed
from campaign import guest
from schedulers.base import LaunchLimit, NativeTimes
from tests.fakes.host import FakeRemote
from tests.fakes.scheduler import FakeScheduler


class AccountingScheduler(FakeScheduler):
    """A scheduler that starts each job on n1 as soon as it comes, and keeps accounts of it."""

    name = "fake"
    gangs = True
    launch_limit = LaunchLimit(1.0, at_once=4)

    def nodes_needed(self, job, topology):
        return 1

    def session_command(self):
        return ()

    def submit_command(self, job, topology, script):
        return ("submit", script)

    def parse_submit(self, text):
        return text.strip()

    def job_script(self, job, topology, payload):
        return payload.encode()

    def pending_command(self):
        return ("pending",)

    def idle_command(self):
        return ("idle",)

    def parse_pending(self, text):
        return json.loads(text)

    def accounting_command(self):
        return ("accounts",)

    def parse_accounting(self, text):
        return {one["native_id"]: NativeTimes(**one) for one in json.loads(text)}

    def health_command(self, nodes):
        return ("healthy",)

    def payload_node(self, topology):
        return ""

    def log_files(self, node):
        return ("/var/log/fake.log",)


class SlowHost:
    """A host on which an answer takes `slow` times as long as it should.

    It becomes `slows` times slower when it is first asked for what `slows_at` names. `lost` are the
    connections that break, one entry for each: the node, and what it is asked for then.
    """

    ANSWERS_S = {"pending": 1.0, "accounts": 6.6, "fetch": 5.0, "healthy": 0.5}

    def __init__(self, workload, slows_at="", slows=1.0, lost=()):
        self.slow = 1.0
        self.asked = []
        self.renewed = []
        self._jobs = list(workload.jobs())
        self._slows_at = slows_at
        self._slows = slows
        self._lost = list(lost)
        self._began = None

    async def answers(self, node, what, timeout_s):
        """Take as long as it takes to answer `node`'s question, or fail."""
        self.asked.append((node, what, round(time.monotonic(), 1)))
        if what == self._slows_at:
            self.slow = self._slows
        if (node, what) in self._lost:
            self._lost.remove((node, what))
            raise NodeUnreachable(f"{node}: connection lost during `{what}`")
        takes_s = self.ANSWERS_S.get(what, 0.01) * self.slow
        await asyncio.sleep(min(takes_s, timeout_s))
        if takes_s > timeout_s:
            raise RemoteCommandFailed(f"{node}: `{what}` didn't end within {timeout_s:g} s")

    def begin(self):
        """Submit the workload from now on."""
        self._began = time.time()

    def text(self, what):
        """What a command prints."""
        if what == "pending":
            now = time.time()
            left = [job for job, _, end in self._times() if end > now]
            return json.dumps({f"j{job.job_id}": "" for job in left})
        if what == "accounts":
            return json.dumps(
                [
                    {
                        "native_id": f"j{job.job_id}",
                        "state": "COMPLETED",
                        "start_s": start,
                        "end_s": end,
                    }
                    for job, start, end in self._times()
                ]
            )
        return ""

    def files(self, node):
        """What the instruments have written on a node."""
        if self._began is None:
            return {}
        if node == "head":
            submits = "".join(
                f"{job.job_id}\t{_us(start)}\t{_us(start)}\t{_us(start)}\t0\tj{job.job_id}\n"
                for job, start, _ in self._times()
            )
            return {
                guest.SUBMITS_FILE: submits.encode(),
                guest.STARTED_FILE: f"{_us(self._began)}\n".encode(),
            }
        runs = "".join(
            f"{job.job_id}\tn1\t{_us(start)}\t{_us(end)}\t0\n" for job, start, end in self._times()
        )
        return {guest.JOBS_FILE: runs.encode() if node == "n1" else b""}

    def _times(self):
        starts = [(job, self._began + job.arrival_s) for job in self._jobs]
        return [(job, start, start + job.runtime_s) for job, start in starts]


class SlowRemote(FakeRemote):
    """A connection to a node of a SlowHost."""

    def __init__(self, node, host):
        super().__init__(node)
        self._host = host

    async def run(self, command, *, timeout_s, stdin=None):
        words = " ".join(command)
        what = next((word for word in self._host.ANSWERS_S if word in words), command[0])
        await self._host.answers(self.node, what, timeout_s)
        if command[0] == "setsid":
            self._host.begin()
        return Output(0, self._host.text(what), "")

    async def fetch(self, paths, *, timeout_s):
        await self._host.answers(self.node, "fetch", timeout_s)
        return self._host.files(self.node)

    async def open_shell(self, command):
        return _Clock()

    async def renew(self, deadline):
        self._host.renewed.append(self.node)


class _Clock:
    """A shell that answers each line with the time."""

    def __init__(self):
        self.stdin = self
        self.stdout = self

    def write(self, text):
        pass

    async def readline(self):
        await asyncio.sleep(0.001)
        return f"{time.time():.6f}\n"


def _us(seconds):
    return round(seconds * 1e6)
