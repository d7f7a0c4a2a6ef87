"""What sbatch is told of a job beside its slots and its time limit."""

import shlex
from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING

from schedulers.base import Topology
from schedulers.commands import as_user, dependency_kind, native_id_of
from schedulers.slurm.cluster_conf import requeues

if TYPE_CHECKING:
    from campaign.core.jobs import Job


def options(job: "Job", topology: Topology) -> dict[str, str | int | None]:
    """Return the options in the job's script by which it has its own wishes.

    One without a value has None.
    """
    traits = job.traits
    found: dict[str, str | int | None] = {
        "partition": traits.partition,
        "qos": traits.qos,
        "account": traits.account,
        "reservation": traits.reservation,
        "constraint": traits.features,
    }
    if traits.memory_per_node_mib:
        found["mem"] = f"{ceil(traits.memory_per_node_mib)}M"
    elif traits.memory_per_slot_mib:
        found["mem-per-cpu"] = f"{ceil(traits.memory_per_slot_mib)}M"
    if traits.gpus:
        found["gpus"] = f"{traits.gpu_type}:{traits.gpus}" if traits.gpu_type else traits.gpus
    told: dict[str, str | int | None] = {
        name: value for name, value in found.items() if value is not None
    }
    # A job of a lost node ends instead of starting anew, unless jobs are to do that.
    told["requeue" if requeues(topology.model) else "no-requeue"] = None
    return told


def submit_command(job: "Job", topology: Topology, script: str, array: str = "") -> tuple[str, ...]:
    """Return the command that submits the job's script, as its user where jobs have their own.

    It has those wishes that only the command tells in Slurm's accounts. `array` are the tasks that
    the script is submitted for.
    """
    traits = job.traits
    wishes = [f"--array={array}"] if array else []
    wishes += ["--exclusive"] if traits.exclusive else []
    if traits.after:
        kind = dependency_kind(job)
        ids = (native_id_of(number) for number in traits.after)
        wishes.append(f"--dependency={kind}:{':'.join(ids)}")
    command = ("sbatch", "--parsable", *wishes, script)
    user = topology.model.user(traits.user_name) if traits.user_name else None
    return as_user(user.uid, command) if user else command


def submit_array_commands(
    tasks: "Sequence[Job]", topology: Topology, script: str
) -> list[tuple[str, ...]]:
    """Return a command for each task: one submits all of them, and each prints its own task's id.

    Tasks are counted from 0. Slurm calls them by the array's id, which is that of the first task
    without its count.
    """
    first = tasks[0]
    limit = f"%{first.traits.array_limit}" if first.traits.array_limit else ""
    submit = submit_command(first, topology, script, f"0-{len(tasks) - 1}{limit}")
    begin = 'id=$("$@") || exit; echo "${id%%;*}_0"'
    follow = '[[ $1 ]] && echo "${1%_*}_$2"'
    others = range(1, len(tasks))
    return [
        ("bash", "-c", begin, "array", *submit),
        *(("bash", "-c", follow, "task", native_id_of(first.job_id), str(n)) for n in others),
    ]


def array_payload(payloads: Sequence[str]) -> str:
    """Return the shell command that runs one of these, by the count of the task that runs it."""
    cases = " ".join(f"{place}) exec {payload};;" for place, payload in enumerate(payloads))
    return f"/bin/bash -c {shlex.quote(f'case $SLURM_ARRAY_TASK_ID in {cases} esac')}"
