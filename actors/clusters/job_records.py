"""What a replay puts on the head for a workload's jobs, and the jobs table of what it leaves."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from campaign import guest
from campaign.core.errors import SchedulerError
from campaign.core.jobs import Job, Workload
from campaign.guest import PayloadRun
from campaign.guest.clocks import NodeClock
from campaign.guest.collect import Collected, jobs_table, runs_by_node
from schedulers.arrays import SubmitsArrays
from schedulers.base import File, NativeTimes, Params, Topology
from schedulers.interface import BoundScheduler

SCRIPTS = f"{guest.FOLDER}/scripts"
MISSING_LOG = "job-log-missing.txt"
"""The file of a trial that says why its scheduler's log of all jobs isn't there."""

_log = logging.getLogger(__name__)


def job_files(workload: Workload, bound: BoundScheduler[Params], topology: Topology) -> list[File]:
    """Return a batch script per submission, and the schedule by which the agent submits the jobs.

    A submission is a job, or an array where the scheduler knows arrays.
    """
    jobs = list(workload.jobs())
    session = bound.session_command()
    scripts = []
    commands: dict[int, tuple[str, ...]] = {}
    for tasks in _submissions(jobs):
        path = _script(tasks[0])
        payloads = [_payload(job, workload.payload, bound, topology) for job in tasks]
        if tasks[0].traits.array is not None and isinstance(bound, SubmitsArrays):
            payload = bound.array_payload(payloads)
            told = bound.submit_array_commands(tasks, topology, path)
        else:
            [payload] = payloads
            told = [(path,) if session else bound.submit_command(tasks[0], topology, path)]
        scripts.append(File(path, bound.job_script(tasks[0], topology, payload), mode=0o755))
        commands |= zip((job.job_id for job in tasks), told, strict=True)
    eventful = topology.model.reservations or topology.model.events
    schedule = guest.schedule(
        [(job, commands[job.job_id]) for job in jobs],
        bound.timed_commands(topology) if eventful else (),
    )
    stays = [File(guest.SESSION_FILE, guest.session(session))] if session else []
    return [*scripts, *stays, *records_of_all(topology), File(guest.SCHEDULE_FILE, schedule)]


def _submissions(jobs: Sequence[Job]) -> list[list[Job]]:
    """Return the jobs that are submitted at once, in the order of the first of each."""
    found: dict[tuple[str, int], list[Job]] = {}
    for job in jobs:
        array = job.traits.array
        key = ("job", job.job_id) if array is None else ("array", array)
        found.setdefault(key, []).append(job)
    return list(found.values())


def _payload(job: Job, kind: str, bound: BoundScheduler[Params], topology: Topology) -> str:
    nodes = bound.scheduler.nodes_needed(job, topology)
    return guest.payload(job, kind, nodes, bound.payload_node(topology))


def records_of_all(topology: Topology) -> list[File]:
    """Return the instruments' file into which the jobs of several users write, where there are."""
    return [File(guest.JOBS_FILE, b"", mode=0o666)] if topology.model.own_users else []


@dataclass(frozen=True)
class Records:
    """What a replay has left.

    `started` and `submits` are the content of the head's STARTED_FILE and SUBMITS_FILE; `runs` are
    by VM, `clocks` by node, `accounting` by native id; `events` is the content of EVENTS_FILE.
    """

    started: str
    submits: str
    runs: Mapping[str, Sequence[PayloadRun]]
    clocks: Mapping[str, NodeClock]
    accounting: Mapping[str, NativeTimes]
    events: str = ""


def missing_log(said: str, absent: Iterable[str] = ()) -> dict[str, bytes]:
    """Return the file that says what of the log of all jobs (`JobLog`) couldn't be written.

    `said` is what its command has printed; `absent` are files that weren't brought home.
    """
    untold = (f"{path}: not written" for path in absent if path not in said)
    if not (why := "\n".join(filter(None, (said.strip(), *untold)))):
        return {}
    _log.warning("the trial is without its scheduler's log of all jobs: %s", why)
    return {MISSING_LOG: f"{why}\n".encode()}


def table_of(
    workload: Workload, bound: BoundScheduler[Params], topology: Topology, records: Records
) -> pa.Table:
    """Return the jobs table (JOBS_SCHEMA) of a replay.

    Raises GuestError for what can't be read, and SchedulerError where reservations or node events
    could not be made: the cluster was another then.
    """
    if failed := guest.failed_events(records.events):
        raise SchedulerError(
            f"{bound.scheduler.name} refused what was to happen to the cluster: {failed[0]}",
            "\n".join(failed),
            "See cluster.reservations and cluster.events.",
        )
    submits = guest.parse_submits(records.submits)
    names = {name: [node.name for node in topology.nodes_of(name)] for name in topology.guests}
    collected = Collected(
        head=topology.head.name,
        started_us=guest.parse_started(records.started),
        submits=submits,
        runs=runs_by_node(records.runs, names),
        clocks=records.clocks,
        nodes_requested={
            job.job_id: bound.scheduler.nodes_needed(job, topology) for job in workload.jobs()
        },
        # A submission that was refused has no native id.
        native_ids={
            one.job_id: bound.parse_submit(one.output) for one in submits if one.exit_status == 0
        },
        accounting=records.accounting,
    )
    return jobs_table(workload, collected)


def _script(job: Job) -> str:
    return f"{SCRIPTS}/{job.job_id}.sh"
