"""Replays a workload on a ready cluster and collects what was measured.

While jobs run, the cluster is disturbed as little as possible: the head node is asked one short
question every second or two, and every tenth second all VMs are asked whether the daemons live.
"""

import asyncio
import logging
import shlex
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from actors.bootstrap.ssh import Remote
from actors.clusters.asking import Asker
from actors.clusters.conditions import ClockReader, Conditions, read_cpu, steal_between
from actors.clusters.failures import run_all
from actors.clusters.health import HealthCheck
from actors.clusters.job_records import Records, job_files, missing_log, records_of_all, table_of
from actors.clusters.limits import PhaseLimit
from actors.clusters.stall import StallWatch
from campaign import guest
from campaign.core import log
from campaign.core.errors import InfrastructureError, StallError
from campaign.core.jobs import Workload
from campaign.core.phase_clock import PhaseClock
from campaign.core.time_limits import TimeLimits
from campaign.guest.clocks import ClockOffset, NodeClock
from schedulers.base import NativeTimes, Params, Topology
from schedulers.interface import BoundScheduler
from schedulers.job_log import job_log_of

POLL_INTERVAL_S = 1.0
POLL_SHARE = 4.0
"""Between two questions, so many times the seconds that the last answer took: on a head that is
slow to answer, asking must not be what keeps it busy."""
MAX_POLL_INTERVAL_S = 30.0
HEALTH_INTERVAL_S = 10.0
LOG_BYTES = 1_000_000

_log = logging.getLogger(__name__)


class WorkloadUnfinished(InfrastructureError):
    """The workload didn't end by its deadline."""


@dataclass(frozen=True)
class Replayed:
    """What a replay has measured.

    `first_job_s` is the time from its start to that of its first job, 0 if none started.
    """

    jobs: pa.Table
    conditions: Conditions
    first_job_s: float


class Replay:
    """One replay of `workload` by the scheduler of `bound` on the VMs behind `remotes`.

    Its methods are called in this order: `prepare`, `run`, after a lost node `lose`, `collect`. A
    replay that failed or stalled can be collected too, once `run` has begun; `logs` may be called
    at any time. `clock` is told how far it is; `questions` are the limits of what nodes are asked.
    """

    def __init__(
        self,
        workload: Workload,
        bound: BoundScheduler[Params],
        topology: Topology,
        remotes: Mapping[str, Remote],
        clock: PhaseClock,
        *,
        questions: TimeLimits,
    ) -> None:
        self._workload = workload
        self._bound = bound
        self._name = bound.scheduler.name
        self._job_log = job_log_of(bound, guest.STARTED_FILE)
        self._missing_log: dict[str, bytes] = {}
        self._topology = topology
        self._remotes = remotes
        self._clock = clock
        self._questions = questions
        self._asker = Asker(questions)
        # By VM; in a dense cluster one has several nodes, and the head's has all of them.
        self._nodes = {guest: topology.nodes_of(guest) for guest in topology.guests}
        self._health = HealthCheck(bound, self._nodes, remotes, self._asker)
        self._head = remotes[topology.head.name]
        self._clocks: dict[str, ClockReader] = {}
        self._before: dict[str, ClockOffset] = {}
        self._cpu: tuple[Mapping[str, float], Mapping[str, float]] | None = None
        self._brought: dict[str, dict[str, bytes]] = {}
        self._lost: set[str] = set()

    async def prepare(self) -> None:
        """Put the job scripts on the head node, and measure the nodes' clocks."""
        with log.span(_log, "putting job scripts on the head and reading clocks"):
            await run_all(
                self._head.put(
                    job_files(self._workload, self._bound, self._topology),
                    timeout_s=self._questions.query_s,
                ),
                *(
                    remote.put(files, timeout_s=self._questions.query_s)
                    for name, remote in self._remotes.items()
                    if (files := records_of_all(self._topology)) and remote is not self._head
                ),
                *map(self._open_clock, self._remotes),
            )
            self._before = await self._offsets()

    async def run(self, deadline_s: float, stall_s: float) -> None:
        """Replay, and wait for the last job.

        Raises WorkloadUnfinished after `deadline_s` seconds, SchedulerDied as soon as a daemon is
        dead, an InfrastructureError for a node that leaves questions unanswered for longer than
        `TimeLimits.unanswered_s`, and StallError when jobs wait and none has started or ended for
        `stall_s` longer than the longest job runs. What was measured until then can be collected.
        """
        cpu_before = read_cpu()
        longest_s = max((job.runtime_s for job in self._workload.jobs()), default=0.0)
        with log.span(_log, f"replaying {len(self._workload)} jobs"):
            await self._start_agent()
            try:
                await self._finish(time.monotonic() + deadline_s, StallWatch(longest_s + stall_s))
            finally:
                self._cpu = cpu_before, read_cpu()

    async def lose(self, node: str) -> str:
        """Tell the scheduler that a compute node is lost; return how its jobs ended, in a line.

        The scheduler has `TimeLimits.loss_s` to give up the jobs that ran there. Nothing is asked
        of the node any more.
        """
        self._lost.add(node)
        self._clock.detail(f"waiting until {self._name} gives up the jobs of {node}, which is lost")
        command = self._bound.lost_command(node)
        until = time.monotonic() + self._questions.loss_s
        accepted = False
        while True:
            # A controller that is busy with the loss may refuse the command: it is tried again.
            if not accepted:
                accepted = (await self._asker.run(self._head, command)).ok
            states = [times.state for times in (await self._accounting()).values()]
            if time.monotonic() > until or any(
                self._bound.final_state(state) != "completed" for state in states
            ):
                break
            await asyncio.sleep(POLL_INTERVAL_S)
        counted = ", ".join(
            f"{state} ({count})" for state, count in sorted(Counter(states).items())
        )
        return f"{self._name} reports of the jobs that ended: {counted or 'nothing'}"

    async def collect(self, limit: PhaseLimit) -> Replayed:
        """Return what was measured.

        What is late or fails is asked for again until the phase's `limit`. Raises an
        InfrastructureError that names it then, and RuntimeError when nothing has been replayed.
        """
        if self._cpu is None:
            raise RuntimeError("collect needs a replay that has run")
        what = "fetching records and logs of all nodes"
        with log.span(_log, "collecting"):
            async with limit.deadline() as deadline, self._clock.waiting(what):
                after = await self._offsets(deadline)
                clocks = {
                    node.name: NodeClock(self._before[name], after[name])
                    for name in after
                    for node in self._nodes[name]
                }
                await self._write_job_log(deadline)
                accounting, _ = await run_all(self._accounting(deadline), self._bring_all(deadline))
        jobs = self._jobs(clocks, accounting)
        return Replayed(jobs, Conditions(clocks, steal_between(*self._cpu)), first_job_s(jobs))

    async def logs(self) -> dict[str, bytes]:
        """Return the scheduler's logs and the instruments' files, by `logs/<VM><path>`.

        VMs that don't answer are left out; of a long file the last LOG_BYTES are kept, of the log
        of jobs all.
        """
        missing = [name for name in self._guests_left() if name not in self._brought]
        # Not a TaskGroup: what the other nodes have is kept when one doesn't answer.
        await asyncio.gather(
            *(self._bring(name, self._questions.logs_s) for name in missing),
            return_exceptions=True,
        )
        kept = {name: {*self._log_files(name), guest.JOBS_FILE} for name in self._nodes}
        whole = self._job_log.files if self._job_log else ()
        kept[self._topology.head.name] |= {guest.SUBMITS_FILE, *whole}
        return self._missing_log | {
            f"logs/{name}{path}": content if path in whole else content[-LOG_BYTES:]
            for name, files in self._brought.items()
            for path, content in files.items()
            if path in kept[name]
        }

    async def _start_agent(self) -> None:
        # In the background and without the connection's pipes, since SSH waits until all of these
        # are closed.
        line = f"{shlex.join(guest.agent_command())} </dev/null >/dev/null 2>&1 &"
        # Not asked again where it fails: a second agent would submit all jobs once more.
        command = ("setsid", "bash", "-c", line)
        await self._head.succeed(command, timeout_s=self._questions.query_s)

    async def _finish(self, deadline: float, stall: StallWatch) -> None:
        """Wait until the agent has submitted everything and the scheduler has no job left."""
        checked = time.monotonic()
        total = len(self._workload)
        while True:
            asked = time.monotonic()
            pending = await self._asker.ask(self._head, self._pending)
            took_s = time.monotonic() - asked
            if pending is not None and not pending:
                return
            left, submitted = (
                (total, ", still submitting") if pending is None else (len(pending), "")
            )
            self._clock.detail(f"{total - left} of {total} jobs done{submitted}")
            now = time.monotonic()
            if halted := stall.observe(pending, now):
                raise StallError(halted, resolution="If that is no stall, raise cluster.stall_s.")
            if now > deadline:
                raise WorkloadUnfinished(
                    f"the workload didn't end in time: {left} of {total} jobs are left",
                    resolution="Raise cluster.workload_deadline_s, or replay fewer jobs.",
                )
            if now - checked > HEALTH_INTERVAL_S:
                checked = now
                await self._health.check()
            pause_s = min(MAX_POLL_INTERVAL_S, POLL_SHARE * took_s)
            while pause_s > HEALTH_INTERVAL_S:
                await asyncio.sleep(HEALTH_INTERVAL_S)
                await self._health.check()
                checked = time.monotonic()
                pause_s -= HEALTH_INTERVAL_S
            await asyncio.sleep(max(POLL_INTERVAL_S, pause_s))

    async def _pending(self, timeout_s: float) -> dict[str, str] | None:
        """Return the jobs that are not done; None while the agent still submits.

        Return None too when the scheduler's client fails and all daemons live: it is asked again.
        """
        question = f"test -e {guest.DONE_FILE} && {shlex.join(self._bound.pending_command())}"
        output = await self._head.run(("bash", "-c", question), timeout_s=timeout_s)
        if output.ok:
            return self._bound.parse_pending(output.stdout)
        # A missing DONE_FILE prints nothing, so words on stderr mean that the scheduler's client
        # failed.
        if output.stderr.strip():
            await self._health.check()
        return None

    def _log_files(self, name: str) -> list[str]:
        """Return the paths of the logs and configuration files of a VM's nodes."""
        return [path for node in self._nodes[name] for path in self._bound.log_files(node)]

    async def _open_clock(self, node: str) -> None:
        remote = self._remotes[node]
        self._clocks[node] = await ClockReader.open(remote, self._questions.clock_s)

    async def _offsets(self, deadline: float | None = None) -> dict[str, ClockOffset]:
        # One node after the other, so that none delays another's answer.
        return {
            name: await self._asker.ask(remote, partial(self._offset, name), deadline)
            for name, remote in self._remotes.items()
            if name not in self._lost
        }

    async def _offset(self, node: str, timeout_s: float) -> ClockOffset:
        """Return a node's offset, over a fresh shell where the last one failed."""
        clock = self._clocks.pop(node, None)
        try:
            # Opening a shell has no time limit of its own.
            async with asyncio.timeout(timeout_s):
                if clock is None:
                    clock = await ClockReader.open(self._remotes[node], timeout_s)
                found = await clock.offset()
        except TimeoutError:
            raise InfrastructureError(
                f"{node}: its clock doesn't answer within {timeout_s:g} s"
            ) from None
        # Put back only now: a late answer of a shell would be taken for that to the next question.
        self._clocks[node] = clock
        return found

    def _guests_left(self) -> list[str]:
        return [name for name in self._nodes if name not in self._lost]

    async def _write_job_log(self, deadline: float) -> None:
        """Have the scheduler write its log of all jobs, for which nobody waits for long."""
        if self._job_log is None:
            return
        limit_s = min(self._questions.query_s, max(0.0, deadline - time.monotonic()) / 2)
        try:
            said = await self._head.run(self._job_log.command, timeout_s=limit_s)
        except (InfrastructureError, OSError) as error:
            self._missing_log = missing_log(str(error))
        else:
            self._missing_log = missing_log(said.stdout + said.stderr)

    async def _bring_all(self, deadline: float) -> None:
        """Fetch logs and records of all VMs, asked for again until `deadline`."""
        await run_all(
            *(
                self._asker.ask(self._remotes[name], partial(self._bring, name), deadline)
                for name in self._guests_left()
            )
        )

    async def _bring(self, name: str, timeout_s: float) -> None:
        paths = (*self._log_files(name), guest.JOBS_FILE, guest.SUBMITS_FILE)
        paths += (guest.STARTED_FILE, guest.EVENTS_FILE)
        paths += self._job_log.files if self._job_log else ()
        self._brought[name] = await self._remotes[name].fetch(paths, timeout_s=timeout_s)

    def _jobs(
        self, clocks: Mapping[str, NodeClock], accounting: Mapping[str, NativeTimes]
    ) -> pa.Table:
        head = self._topology.head.name
        records = Records(
            started=self._record(head, guest.STARTED_FILE),
            submits=self._record(head, guest.SUBMITS_FILE),
            runs={
                name: guest.parse_runs(self._record(name, guest.JOBS_FILE)) for name in self._nodes
            },
            clocks=clocks,
            accounting=accounting,
            events=self._record(head, guest.EVENTS_FILE),
        )
        return table_of(self._workload, self._bound, self._topology, records)

    async def _accounting(self, deadline: float | None = None) -> dict[str, NativeTimes]:
        command = self._bound.accounting_command()
        output = await self._asker.printed(self._head, command, deadline)
        return self._bound.parse_accounting(output)

    def _record(self, node: str, path: str) -> str:
        """Return what an instrument wrote: nothing on a lost node, or where no job ran."""
        if node in self._lost:
            return ""
        if node not in self._brought:
            raise InfrastructureError(f"{node}: its records of jobs can't be fetched")
        return self._brought[node].get(path, b"").decode()


def first_job_s(jobs: pa.Table) -> float:
    """Return the seconds from the workload's start to its first job's; 0 if none started."""
    first = pc.min(jobs.column("start_ns")).as_py()
    # The clocks' errors may put the first start slightly before the workload's.
    return 0.0 if first is None else max(0, first) / 1e9
