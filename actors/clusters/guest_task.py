"""Makes the tasks of a guest in virtual time: a plan, a smoke test, and a workload's replay.

All of a cluster's nodes are in that guest. Nobody asks it anything: what it is to do, and what it
is to bring home, is in the task before its clock runs.
"""

import hashlib
import shlex
from collections.abc import Callable, Iterator, Sequence

import pyarrow.compute as pc

from actors.bootstrap.apply import script_of
from actors.bootstrap.ssh import tar_of
from actors.clusters.job_records import job_files
from actors.clusters.virtual_progress import work_s
from campaign import guest
from campaign.core.jobs import Workload
from campaign.guest.task import (
    GuestCommand,
    GuestFile,
    GuestReplay,
    GuestStage,
    GuestTask,
)
from schedulers.base import BootstrapPlan, File, Node, Params, Step, Topology
from schedulers.interface import BoundScheduler
from schedulers.job_log import job_log_of

RECORDS_BYTES = 64 << 20
"""Of the instruments' files, which are the measurement, all is brought home."""
SETTLE_S = 5.0
"""How long a guest idles before it is saved, so that what the smoke test left to do is done."""
INSTRUCTIONS_PER_S = 10**9
"""A guest's clock counts a nanosecond for each instruction (QEMU's `-icount shift=0`)."""
POLL_S = 60.0
"""How often a guest looks what its jobs have done, on its own clock."""
SLACK = 4.0
DAY_S = 86_400.0
VERSION = "version"
CONFIG = "config"
MEMINFO = "meminfo"
ACCOUNTING = "accounting"
JOB_LOG = "job log"


def seeded(seed: str) -> Callable[[int], bytes]:
    """Return a function that draws so many bytes, the same ones in the same order for each seed.

    A closed guest's secrets protect nothing: it has no network, and nobody logs in. If they were
    drawn at random, the golden clusters of two machines would differ.
    """
    drawn = 0

    def draw(count: int) -> bytes:
        nonlocal drawn
        drawn += 1
        return hashlib.shake_256(f"{seed}/{drawn}".encode()).digest(count)

    return draw


def golden_task(
    bound: BoundScheduler[Params], topology: Topology, plan: BootstrapPlan
) -> GuestTask:
    """Return the first task of a guest: become the cluster that `plan` describes.

    The plan has a step per VM, of which there is one.
    """
    return GuestTask(
        stages=(_instruments(), *_stages(plan)),
        smoke_test=bound.smoke_test_command(topology),
        settle_s=SETTLE_S,
        health_command=bound.health_command(topology.nodes),
        files=tuple(_logs(bound, topology.nodes)),
    )


def trial_task(
    bound: BoundScheduler[Params],
    topology: Topology,
    plan: BootstrapPlan,
    surplus: Sequence[Node],
    replay: GuestReplay,
) -> GuestTask:
    """Return the task of a guest that was restored as a golden cluster.

    It gives up the `surplus` nodes, which `topology` doesn't have, takes `plan` (which has a step
    per VM), and does the replay.
    """
    stages = [*_stages(plan)]
    if surplus:
        stages.insert(0, GuestStage("surplus nodes", shlex.join(bound.stop_command(surplus))))
    records = [guest.JOBS_FILE, guest.SUBMITS_FILE, guest.STARTED_FILE, guest.EVENTS_FILE]
    collect = [GuestCommand(ACCOUNTING, bound.accounting_command())]
    if job_log := job_log_of(bound, guest.STARTED_FILE):
        records += job_log.files
        collect.append(GuestCommand(JOB_LOG, job_log.command, needed=False))
    return GuestTask(
        stages=tuple(stages),
        smoke_test=bound.smoke_test_command(topology),
        health_command=bound.health_command(topology.nodes),
        checks=(
            GuestCommand(VERSION, bound.version_command()),
            GuestCommand(CONFIG, bound.verify_command()),
            GuestCommand(MEMINFO, ("cat", "/proc/meminfo")),
        ),
        replay=replay,
        collect=tuple(collect),
        files=(
            *(GuestFile(path, RECORDS_BYTES) for path in records),
            *_logs(bound, topology.nodes),
        ),
    )


def replay_of(
    workload: Workload,
    bound: BoundScheduler[Params],
    topology: Topology,
    *,
    deadline_s: float,
    stall_s: float,
) -> GuestReplay:
    """Return how a guest replays the workload; the limits are seconds of its clock."""
    return GuestReplay(
        archive=tar_of(job_files(workload, bound, topology)),
        submit_command=guest.agent_command(),
        lines={job.job_id: bound.scheduler.nodes_needed(job, topology) for job in workload.jobs()},
        jobs_file=guest.JOBS_FILE,
        submits_file=guest.SUBMITS_FILE,
        done_file=guest.DONE_FILE,
        pending_command=bound.pending_command(),
        idle_command=bound.idle_command(),
        longest_s=longest_s(workload),
        stall_s=stall_s,
        deadline_s=deadline_s,
        poll_s=POLL_S,
    )


def generous_s(workload: Workload, slots: int) -> float:
    """Return the seconds in which any scheduler should be through with the workload.

    From the last arrival on, four times as long as the longest job and all the work need on so many
    slots, which a quarter of them busy can do, and a day.
    """
    table = workload.table
    last = float(pc.max(table.column("arrival_s")).as_py() or 0)
    return last + SLACK * (longest_s(workload) + work_s(workload) / slots) + DAY_S


def longest_s(workload: Workload) -> float:
    """Return the run time of the longest job, seconds."""
    return float(pc.max(workload.table.column("runtime_s")).as_py() or 0)


def _instruments() -> GuestStage:
    tools = tuple(File(path, content, mode=0o755) for path, content in guest.files().items())
    # Jobs write their times into the instruments' folder, whichever user they run as.
    return _stage("instruments", Step(tools, commands=(("chmod", "1777", guest.FOLDER),)))


def _stages(plan: BootstrapPlan) -> Iterator[GuestStage]:
    for stage in plan.stages:
        for step in stage.steps.values():
            yield _stage(stage.name, step)


def _stage(name: str, step: Step) -> GuestStage:
    return GuestStage(name, script_of(step), tar_of(step.files), step.probes, step.units)


def _logs(bound: BoundScheduler[Params], nodes: Sequence[Node]) -> Iterator[GuestFile]:
    for path in dict.fromkeys(path for node in nodes for path in bound.log_files(node)):
        yield GuestFile(path)
