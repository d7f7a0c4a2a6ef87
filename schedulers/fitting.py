"""Which compute nodes a job may have, and how many of them it needs."""

import re
from math import ceil
from typing import TYPE_CHECKING

from campaign.core.errors import WorkloadError
from schedulers.base import Node, Topology

if TYPE_CHECKING:  # a job brings Arrow with it, which --help has no use for
    from campaign.core.jobs import Job, JobTraits

_ALL_OF = re.compile(r"[\w.-]+(?:[&,][\w.-]+)*")
_ANY_OF = re.compile(r"[\w.-]+(?:\|[\w.-]+)+")


def fewest_nodes(job: "Job", topology: Topology) -> int:
    """Return the fewest compute nodes that hold the job, or as many as it asks for beyond that.

    Raise WorkloadError where the cluster can never hold it.
    """
    if not 1 <= job.width <= topology.slots:
        raise WorkloadError(
            f"job {job.job_id} is {job.width} slots wide; cluster {topology.cluster} has "
            f"{topology.slots}",
            resolution="Set workload.max_width, or use more nodes or slots.",
        )
    nodes = fitting_nodes(job, topology)
    slots = _fewest([_room(node, job.traits) for node in nodes], job.width)
    gpus = _fewest([node.gpus for node in nodes], job.traits.gpus or 0)
    asked = min(job.traits.nodes or 1, job.width)
    if slots is None or gpus is None or asked > len(nodes):
        raise WorkloadError(
            f"job {job.job_id} ({_wants(job)}) fits no nodes of cluster {topology.cluster} that it "
            "may have",
            resolution="Give the cluster such nodes (cluster.groups), or leave such jobs out.",
        )
    _check_partition(job, max(slots, gpus, asked), topology)
    return max(slots, gpus, asked)


def fewest_equal_nodes(job: "Job", topology: Topology) -> int:
    """Return the fewest compute nodes that hold the job where each gives it an equal part.

    That is what schedulers do that know but one kind of part: more nodes, where nodes are unlike,
    than those that could hold it by unequal parts. Raise WorkloadError where the cluster can never
    hold it so, and for constraints on features that such schedulers don't know.
    """
    wanted = job.traits.features
    if wanted and alternatives(wanted) is None:
        raise WorkloadError(
            f"job {job.job_id} wants nodes with features {wanted}",
            "only features that are joined by & alone, or by | alone, are known here",
            "Leave such jobs out, or use Slurm.",
        )
    nodes = fitting_nodes(job, topology)
    for count in range(fewest_nodes(job, topology), min(len(nodes), job.width) + 1):
        slots = ceil(job.width / count)
        gpus = ceil((job.traits.gpus or 0) / count)
        able = [each for each in nodes if _room(each, job.traits) >= slots and each.gpus >= gpus]
        if len(able) >= count:
            _check_partition(job, count, topology)
            return count
    raise WorkloadError(
        f"job {job.job_id} ({_wants(job)}) fits no nodes of cluster {topology.cluster} by equal "
        "parts",
        resolution="Make groups more alike (cluster.groups), or leave such jobs out.",
    )


def alternatives(constraint: str) -> tuple[tuple[str, ...], ...] | None:
    """Return sets of features of which a node must have one, by a constraint of `&` or of `|`.

    Return None for any other constraint.
    """
    if _ALL_OF.fullmatch(constraint):
        return (tuple(re.split("[&,]", constraint)),)
    if _ANY_OF.fullmatch(constraint):
        return tuple((feature,) for feature in constraint.split("|"))
    return None


def fitting_nodes(job: "Job", topology: Topology) -> list[Node]:
    """Return the compute nodes on which a part of the job could run."""
    partition = topology.model.partition(job.traits.partition)
    groups = partition.groups if partition else ()
    return [
        node
        for node in topology.compute
        if (not groups or node.group in groups)
        and _room(node, job.traits) > 0
        and _has_gpus(node, job.traits)
        and _has_features(node, job.traits.features)
    ]


def _check_partition(job: "Job", nodes: int, topology: Topology) -> None:
    """Raise WorkloadError where the job's partition is for smaller jobs, or for larger ones."""
    partition = topology.model.partition(job.traits.partition)
    if partition is None:
        return
    flags = next((q.flags for q in topology.model.qos if q.name == job.traits.qos), ())
    most = None if "partition_max_nodes" in flags else partition.max_nodes
    least = None if "partition_min_nodes" in flags else partition.min_nodes
    if (most is None or nodes <= most) and (least is None or nodes >= least):
        return
    raise WorkloadError(
        f"job {job.job_id} ({_wants(job)}) needs {nodes} nodes, and its partition "
        f"{partition.name} is for jobs of {least or 1} to {most or 'all'}",
        resolution=f"Change cluster.partitions.{partition.name}.max_nodes or min_nodes, or leave "
        "such jobs out (workload.max_width, workload.min_width).",
    )


def _room(node: Node, traits: "JobTraits") -> int:
    """Return how many of the job's slots the empty node could hold."""
    if traits.memory_per_node_mib and traits.memory_per_node_mib > node.memory_mib:
        return 0
    if not traits.memory_per_slot_mib:
        return node.slots
    return min(node.slots, int(node.memory_mib // traits.memory_per_slot_mib))


def _has_gpus(node: Node, traits: "JobTraits") -> bool:
    if not traits.gpus:
        return True
    return node.gpus > 0 and traits.gpu_type in (None, node.gpu_type)


def _has_features(node: Node, constraint: str | None) -> bool:
    known = alternatives(constraint) if constraint else None
    if known is None:  # only schedulers read what else there is
        return True
    return any(set(features) <= set(node.features) for features in known)


def _fewest(rooms: list[int], wanted: int) -> int | None:
    """Return how many of the largest rooms are needed; None where all are too small."""
    held = 0
    for count, room in enumerate(sorted(rooms, reverse=True), start=1):
        held += room
        if held >= wanted:
            return count
    return None


def _wants(job: "Job") -> str:
    traits = job.traits
    wishes = {
        "slots": job.width,
        "nodes": traits.nodes,
        "MiB a slot": traits.memory_per_slot_mib,
        "MiB a node": traits.memory_per_node_mib,
        "GPUs": traits.gpus,
    }
    words = [f"{value:g} {name}" for name, value in wishes.items() if value]
    names = {
        "type": traits.gpu_type,
        "features": traits.features,
        "partition": traits.partition,
    }
    return ", ".join(words + [f"{name} {value}" for name, value in names.items() if value])
