"""Jobs under Slurm: their batch scripts, and what Slurm says of them."""

import re
import shlex
from datetime import UTC, datetime
from math import ceil
from typing import TYPE_CHECKING

from schedulers.base import FinalState, NativeTimes, ParseError, Topology, version_in
from schedulers.fitting import fewest_nodes
from schedulers.slurm import job_options

if TYPE_CHECKING:
    from campaign.core.jobs import Job

# A value may hold spaces; it ends where the next `Key=` begins.
_FIELD = re.compile(r"(\w+)=(.*?)(?=\s+\w+=|\s*$)")
_NEVER = {"", "None", "Unknown", "N/A"}
PENDING = "%i|%t|%r"
"""What squeue shows of a job: id, state, why it waits."""
# Tasks of an array are called ID_INDEX, parts of a heterogeneous job ID+OFFSET.
_PENDING_LINE = re.compile(r"(\d+(?:_\S+|\+\d+)?)\|([A-Z]{1,2})\|(.*)")
_FINAL_STATES: dict[str, FinalState] = {
    "COMPLETED": "completed",
    "FAILED": "failed",
    "OUT_OF_MEMORY": "failed",
    "TIMEOUT": "timeout",
    "DEADLINE": "timeout",
    "CANCELLED": "cancelled",
    "PREEMPTED": "cancelled",
    "NODE_FAIL": "node_lost",
    "BOOT_FAIL": "node_lost",
}


def job_script(job: "Job", topology: Topology, payload: str) -> bytes:
    """Return a batch script that runs `payload` once on each node of the job.

    Slurm counts limits in minutes: the requested time is rounded up to whole minutes, at least one.
    """
    nodes = fewest_nodes(job, topology)
    options = {
        "job-name": f"j{job.job_id}",
        "nodes": nodes,
        "ntasks": job.width,
        "time": max(1, ceil(job.requested_s / 60)),
        "chdir": "/",
        "input": "none",
        "output": "/dev/null",
        **job_options.options(job, topology),
    }
    lines = [
        f"#SBATCH --{key}" + ("" if value is None else f"={value}")
        for key, value in options.items()
    ]
    return (
        "\n".join(["#!/bin/bash", *lines, f"exec {_once_per_node(payload, nodes)}"]).encode()
        + b"\n"
    )


def _once_per_node(payload: str, nodes: int) -> str:
    if nodes == 1:
        return payload
    # The job's slots stay with the job while its one task per node runs; --overlap lets that task
    # have any of them.
    command = shlex.quote(f"exec {payload}")
    size = f"--nodes={nodes} --ntasks={nodes} --ntasks-per-node=1"
    return (
        f"srun {size} --overlap --mpi=none --input=none --output=/dev/null /bin/bash -c {command}"
    )


def parse_submit(text: str) -> str:
    """Return the job id that `sbatch --parsable` prints, as `ID` or `ID;CLUSTER`.

    That of an array's task is `ID_TASK`.
    """
    match = re.fullmatch(r"(\d+(?:_\d+)?)(;\S+)?", text.strip())
    if match is None:
        raise ParseError("the answer of sbatch --parsable", text)
    return match.group(1)


def parse_pending(text: str) -> dict[str, str]:
    """Return the jobs that `squeue -h` lists in the format PENDING, by id.

    Each has the reason why it waits; one that runs has an empty text.
    """
    found = {}
    for line in filter(str.strip, text.splitlines()):
        match = _PENDING_LINE.fullmatch(line.strip())
        if match is None:
            raise ParseError("a line of squeue", line)
        job, state, reason = match.groups()
        found[job] = (reason or "no reason given") if state == "PD" else ""
    return found


def final_state(state: str) -> FinalState:
    """Return how a job ended, from its state in the completion log.

    The state may go on after a space: `CANCELLED by 0` says by whom.
    """
    found = _FINAL_STATES.get(state.split(" ", maxsplit=1)[0])
    if found is None:
        raise ParseError("the state of an ended job", state)
    return found


def parse_version(text: str) -> str:
    """Return `24.11.5` from `slurm-wlm 24.11.5`, or the text as it is."""
    return version_in(text, r"^\s*slurm\S*\s+(\d\S*)\s*$")


def parse_accounting(text: str) -> dict[str, NativeTimes]:
    """Return the jobs of the log of jobcomp/filetxt by id; its times are whole seconds.

    Of a job that was requeued, the last line counts.
    """
    times = (_completed(line) for line in text.splitlines() if line.strip())
    return {job.native_id: job for job in times}


def _completed(line: str) -> NativeTimes:
    fields = dict(_FIELD.findall(line))
    missing = [key for key in ("JobId", "JobState", "StartTime", "EndTime") if key not in fields]
    if missing:
        raise ParseError(f"Slurm's completion log ({', '.join(missing)} missing)", line)
    # A task of an array has a number of its own too, which sbatch doesn't tell.
    task = [fields[key] for key in ("ArrayJobId", "ArrayTaskId") if key in fields]
    return NativeTimes(
        native_id="_".join(task) if task else fields["JobId"],
        state=fields["JobState"],
        start_s=_unix_seconds(fields["StartTime"], line),
        end_s=_unix_seconds(fields["EndTime"], line),
    )


def _unix_seconds(stamp: str, line: str) -> float | None:
    if stamp in _NEVER:
        return None
    try:
        # The controller is started with TZ=UTC0 (see `plan._controller_defaults`).
        return datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise ParseError(f"Slurm's completion log (time {stamp!r})", line) from None
