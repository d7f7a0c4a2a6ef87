"""Replays a workload on a ready cluster and brings home what was measured.

While jobs run the cluster is disturbed as little as can be: one short question to the head every
second or two, and every tenth second whether the daemons live.
"""

import asyncio
import shlex
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from actors.bootstrap.ssh import Remote
from actors.clusters.conditions import ClockReader, Conditions, read_cpu, steal_between
from actors.clusters.failures import run_all
from actors.clusters.stall import StallWatch
from campaign import guest
from campaign.core.errors import InfrastructureError, SchedulerError, StallError
from campaign.core.jobs import Job, Workload
from campaign.core.phase_clock import PhaseClock
from campaign.guest.clocks import ClockOffset, NodeClock
from campaign.guest.collect import Collected, jobs_table
from schedulers.base import File, NativeTimes, Params, Topology
from schedulers.interface import BoundScheduler

POLL_S = 1.0
HEALTH_S = 10.0
COMMAND_S = 60.0
LOG_BYTES = 1_000_000
SCRIPTS = f"{guest.FOLDER}/scripts"
FATE_S = 60.0
"""How long a scheduler may take to give up the jobs of a lost node."""


class SchedulerDied(SchedulerError):
    """A daemon of the scheduler ended while jobs were running; `details` is the end of its log."""


class WorkloadUnfinished(InfrastructureError):
    """The workload didn't end by its deadline."""


@dataclass(frozen=True)
class Replayed:
    """A finished replay; `first_job_s` is the time from its start to that of its first job, 0 if
    none started."""

    jobs: pa.Table
    conditions: Conditions
    first_job_s: float


class Replay:
    """One replay of `workload` by the scheduler of `bound` on the nodes behind `remotes`.

    `clock` is told how far it is.
    """

    def __init__(
        self,
        workload: Workload,
        bound: BoundScheduler[Params],
        topology: Topology,
        remotes: Mapping[str, Remote],
        clock: PhaseClock,
    ) -> None:
        self._workload = workload
        self._bound = bound
        self._name = bound.scheduler.name
        self._topology = topology
        self._remotes = remotes
        self._clock = clock
        self._head = remotes[topology.head.name]
        self._clocks: dict[str, ClockReader] = {}
        self._before: dict[str, ClockOffset] = {}
        self._cpu: tuple[Mapping[str, float], Mapping[str, float]] | None = None
        self._brought: dict[str, dict[str, bytes]] = {}
        self._lost: set[str] = set()

    async def prepare(self) -> None:
        """Put the job scripts on the head node and measure the nodes' clocks; the workload hasn't
        begun."""
        await run_all(
            self._head.put(self._scripts(), timeout_s=COMMAND_S),
            *map(self._open_clock, self._remotes),
        )
        self._before = await self._offsets()

    async def run(self, deadline_s: float, stall_s: float) -> None:
        """Replay, and wait for the last job.

        Raises WorkloadUnfinished after `deadline_s`, SchedulerDied at once, and StallError when
        jobs wait and for `stall_s` longer than the longest job runs none has started or ended. What
        was measured until then can be collected.
        """
        cpu_before = read_cpu()
        await self._start_agent()
        longest_s = max((job.runtime_s for job in self._workload.jobs()), default=0.0)
        try:
            await self._finish(time.monotonic() + deadline_s, StallWatch(longest_s + stall_s))
        finally:
            self._cpu = cpu_before, read_cpu()

    async def lose(self, node: str) -> str:
        """Take a compute node for gone: what the scheduler makes of it, a line.

        The scheduler is told, and has FATE_S to give up what ran there. Nothing is asked of the
        node any more.
        """
        self._lost.add(node)
        self._clock.detail(f"waiting for what {self._name} makes of the loss of {node}")
        until = time.monotonic() + FATE_S
        told = False
        while True:
            told = (
                told
                or (await self._head.run(self._bound.lost_command(node), timeout_s=COMMAND_S)).ok
            )
            states = [times.state for times in (await self._accounting()).values()]
            if time.monotonic() > until or any(
                self._bound.final_state(state) != "completed" for state in states
            ):
                break
            await asyncio.sleep(POLL_S)
        counted = ", ".join(
            f"{state} ({count})" for state, count in sorted(Counter(states).items())
        )
        return f"{self._name} says of the jobs that ended: {counted or 'nothing'}"

    async def collect(self) -> Replayed:
        """What was measured, once the workload has run."""
        if self._cpu is None:
            raise RuntimeError("nothing has been replayed")
        self._clock.detail("collecting")
        after = await self._offsets()
        clocks = {name: NodeClock(self._before[name], after[name]) for name in after}
        accounting, _ = await run_all(self._accounting(), self._bring_all())
        jobs = self._jobs(clocks, accounting)
        return Replayed(jobs, Conditions(clocks, steal_between(*self._cpu)), first_job_s(jobs))

    async def logs(self) -> dict[str, bytes]:
        """The scheduler's logs and the instruments' files of every node that still answers, the
        ends of long ones."""
        if not self._brought:
            await self._bring_all()
        kept = {
            node.name: {*self._bound.log_files(node.role), guest.JOBS_FILE}
            for node in self._topology.nodes
        }
        kept[self._topology.head.name] |= {guest.SUBMITS_FILE}
        return {
            f"logs/{node}{path}": content[-LOG_BYTES:]
            for node, files in self._brought.items()
            for path, content in files.items()
            if path in kept[node]
        }

    def _scripts(self) -> list[File]:
        """A batch script per job, and the schedule by which the agent submits them."""
        jobs = list(self._workload.jobs())
        scripts = [
            File(
                _script(job),
                self._bound.job_script(job, self._topology, self._payload(job)),
                mode=0o755,
            )
            for job in jobs
        ]
        session = self._bound.session_command()
        schedule = guest.schedule(
            (job, (_script(job),) if session else self._submission(job)) for job in jobs
        )
        stays = [File(guest.SESSION_FILE, guest.session(session))] if session else []
        return [*scripts, *stays, File(guest.SCHEDULE_FILE, schedule)]

    def _submission(self, job: Job) -> tuple[str, ...]:
        return self._bound.submit_command(job, self._topology, _script(job))

    def _payload(self, job: Job) -> str:
        nodes = self._bound.scheduler.nodes_needed(job, self._topology)
        return guest.payload(job, self._workload.payload, nodes)

    async def _start_agent(self) -> None:
        line = f"{shlex.join(guest.agent_command())} </dev/null >/dev/null 2>&1 &"
        await self._head.succeed(("setsid", "bash", "-c", line), timeout_s=COMMAND_S)

    async def _finish(self, deadline: float, stall: StallWatch) -> None:
        """Wait until the agent has submitted everything and the scheduler has no job left."""
        checked = time.monotonic()
        total = len(self._workload)
        while True:
            pending = await self._pending()
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
            if now - checked > HEALTH_S:
                checked = now
                await self._check_health()
            await asyncio.sleep(POLL_S)

    async def _pending(self) -> dict[str, str] | None:
        """Jobs that are not done; None while the agent still submits. A client that fails is asked
        about again later, unless a daemon is dead."""
        question = f"test -e {guest.DONE_FILE} && {shlex.join(self._bound.pending_command())}"
        output = await self._head.run(("bash", "-c", question), timeout_s=COMMAND_S)
        if output.ok:
            return self._bound.parse_pending(output.stdout)
        if output.stderr.strip():
            await self._check_health()
        return None

    async def _check_health(self) -> None:
        """Raise SchedulerDied when a daemon of the scheduler is not alive."""
        await run_all(*(self._check_node(node.name, node.role) for node in self._topology.nodes))

    async def _check_node(self, name: str, role: Any) -> None:
        remote = self._remotes[name]
        for command in self._bound.health_commands(role):
            output = await remote.run(command, timeout_s=COMMAND_S)
            if not output.ok:
                logs = [
                    await remote.get(path, timeout_s=COMMAND_S, limit=3000)
                    for path in self._bound.log_files(role)
                ]
                details = "\n".join(log.decode(errors="replace") for log in logs)
                raise SchedulerDied(
                    f"{name}: a daemon of {self._name} died ({' '.join(command)})",
                    details,
                )

    async def _open_clock(self, node: str) -> None:
        self._clocks[node] = await ClockReader.open(self._remotes[node])

    async def _offsets(self) -> dict[str, ClockOffset]:
        """Every node's clock against ours, one node after the other so that none delays another's
        answer."""
        return {
            name: await clock.offset()
            for name, clock in self._clocks.items()
            if name not in self._lost
        }

    async def _bring_all(self) -> None:
        """Fetch logs and records of all nodes, a round trip each; nodes that don't answer are left
        out."""
        measured = (guest.JOBS_FILE, guest.SUBMITS_FILE, guest.STARTED_FILE)
        nodes = [node for node in self._topology.nodes if node.name not in self._lost]
        wanted = [
            self._remotes[n.name].fetch(
                (*self._bound.log_files(n.role), *measured), timeout_s=COMMAND_S
            )
            for n in nodes
        ]
        # Not a TaskGroup: what the other nodes have measured is kept when one doesn't answer.
        got = await asyncio.gather(*wanted, return_exceptions=True)
        self._brought = {
            node.name: files
            for node, files in zip(nodes, got, strict=True)
            if isinstance(files, dict)
        }

    def _jobs(
        self, clocks: Mapping[str, NodeClock], accounting: Mapping[str, NativeTimes]
    ) -> pa.Table:
        head = self._topology.head.name
        submits = guest.parse_submits(self._record(head, guest.SUBMITS_FILE))
        started_us = guest.parse_started(self._record(head, guest.STARTED_FILE))
        runs = {
            node.name: guest.parse_runs(self._record(node.name, guest.JOBS_FILE))
            for node in self._topology.compute
        }
        accepted = {
            s.job_id: self._bound.parse_submit(s.output) for s in submits if s.exit_status == 0
        }
        needed = {
            job.job_id: self._bound.scheduler.nodes_needed(job, self._topology)
            for job in self._workload.jobs()
        }
        collected = Collected(
            head=head,
            started_us=started_us,
            submits=submits,
            runs=runs,
            clocks=clocks,
            nodes_requested=needed,
            native_ids=accepted,
            accounting=accounting,
        )
        return jobs_table(self._workload, collected)

    async def _accounting(self) -> dict[str, NativeTimes]:
        output = await self._head.succeed(self._bound.accounting_command(), timeout_s=COMMAND_S)
        return self._bound.parse_accounting(output)

    def _record(self, node: str, path: str) -> str:
        """What an instrument wrote; a node that ran no job has written nothing, and what a lost one
        wrote is lost."""
        if node in self._lost:
            return ""
        if node not in self._brought:
            raise InfrastructureError(f"{node}: what it has measured can't be fetched")
        return self._brought[node].get(path, b"").decode()


def first_job_s(jobs: pa.Table) -> float:
    """Seconds from the start of the workload to that of its first job; 0 if none started."""
    first = pc.min(jobs.column("start_ns")).as_py()
    return 0.0 if first is None else max(0, first) / 1e9


def _script(job: Job) -> str:
    return f"{SCRIPTS}/{job.job_id}.sh"
