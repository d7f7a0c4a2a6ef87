"""What sbatch is told of a job beside its slots and its time limit."""

from math import ceil
from typing import TYPE_CHECKING

from schedulers.base import Topology
from schedulers.commands import as_user, native_id_of
from schedulers.slurm.cluster_conf import requeues

if TYPE_CHECKING:
    from campaign.core.jobs import Job

KINDS = {"after": "after", "afternotok": "afternotok", "afterok": "afterok", "aftercorr": "afterok"}
"""What Slurm calls kinds of dependencies; those of an array's tasks are of single jobs here."""


def options(job: "Job", topology: Topology) -> dict[str, str | int | None]:
    """Return the options of the job's own wishes; one without a value has None."""
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
    return told | ({"exclusive": None} if traits.exclusive else {})


def submit_command(job: "Job", topology: Topology, script: str) -> tuple[str, ...]:
    """Return the command that submits the job's script, as its user where jobs have their own."""
    traits = job.traits
    wishes = []
    if traits.after:
        kind = KINDS.get(traits.after_kind or "", "afterany")
        ids = (native_id_of(number) for number in traits.after)
        wishes = [f"--dependency={kind}:{':'.join(ids)}"]
    command = ("sbatch", "--parsable", *wishes, script)
    user = topology.model.user(traits.user_name) if traits.user_name else None
    return as_user(user.uid, command) if user else command
