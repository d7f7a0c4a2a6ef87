"""Flux's queues and properties: what a cluster's partitions and features are to it.

Without flux-accounting, Flux has no banks, no fair share and no limits of people, and nothing gives
way to anything; nor does it count memory, or keep nodes for a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from campaign.core.cluster import ClusterModel, Partition
from campaign.core.errors import SchedulerError
from campaign.core.levers import Lever
from schedulers.base import Node, Topology
from schedulers.fitting import alternatives

if TYPE_CHECKING:
    from campaign.core.jobs import Job

EXPRESSED = frozenset(
    {
        Lever.UNLIKE_NODES,
        Lever.GPUS,
        Lever.FEATURES,
        Lever.PARTITIONS,
        Lever.PARTITION_LIMITS,
        Lever.QOS,
        Lever.NODE_EVENTS,
        Lever.NODE_COUNTS,
        Lever.EXCLUSIVE,
        Lever.DEPENDENCIES,
    }
)
"""What Flux is told without flux-accounting."""
WHOLE = "whole-cluster"
"""A queue over all nodes, to which no job of a workload goes: the smoke test's."""
URGENCY = 16
"""Flux's own urgency of a job, of 0 to MOST_URGENCY."""
MOST_URGENCY = 31
GRACE_S = 10.0
"""Trace jobs often ran for exactly their limit, and Flux counts the launch too and ends a job at a
whole second."""


@dataclass(frozen=True)
class FluxQueue:
    """A queue as the configuration has it; limits that aren't there are None."""

    name: str
    requires: tuple[str, ...] = ()
    duration_s: float | None = None
    max_nodes: int | None = None
    min_nodes: int | None = None


def queues(model: ClusterModel) -> tuple[FluxQueue, ...]:
    """Return the queues, with the smoke test's; none where there are no partitions."""
    found = [
        FluxQueue(
            partition.name,
            (_of_partition(partition),) if partition.groups else (),
            None if partition.max_time_s is None else partition.max_time_s + GRACE_S,
            partition.max_nodes,
            partition.min_nodes,
        )
        for partition in model.partitions
    ]
    return (*found, FluxQueue(WHOLE)) if found else ()


def properties(node: Node, model: ClusterModel) -> list[str]:
    """Return a node's properties: its features, its type of GPU, partitions of its group."""
    own = [partition for partition in model.partitions if node.group in partition.groups]
    types = [_of_gpu_type(node.gpu_type)] if node.gpu_type else []
    return [*node.features, *types, *map(_of_partition, own)]


def queue_of(job: "Job", topology: Topology) -> str | None:
    """Return the queue of the job's partition; None where there are no queues."""
    partition = topology.model.partition(job.traits.partition)
    return partition.name if partition else None


def constraint(job: "Job", topology: Topology) -> dict[str, Any] | None:
    """Return which properties a node must have for the job (RFC 31); None where any will do."""
    return _all_of([*_wanted(job, topology)])


def _wanted(job: "Job", topology: Topology) -> Iterator[dict[str, Any]]:
    partition = topology.model.partition(job.traits.partition)
    if partition and partition.groups:
        yield _has(_of_partition(partition))
    if job.traits.gpu_type:
        yield _has(_of_gpu_type(job.traits.gpu_type))
    features = alternatives(job.traits.features or "") or ()
    if features:
        either = [_has(*some) for some in features]
        yield either[0] if len(either) == 1 else {"or": either}


def _all_of(wanted: list[dict[str, Any]]) -> dict[str, Any] | None:
    if len(wanted) > 1:
        return {"and": wanted}
    return wanted[0] if wanted else None


def _has(*names: str) -> dict[str, Any]:
    return {"properties": [*names]}


def _of_partition(partition: Partition) -> str:
    return f"partition-{partition.name}"


def _of_gpu_type(name: str) -> str:
    return f"gpu-type-{name}"


def urgency(job: "Job", model: ClusterModel) -> int:
    """Return the job's urgency: Flux's own, and a step more for each higher rank.

    Raise SchedulerError where Flux has too few steps for the priorities of the cluster.
    """
    ranks = sorted({0} | {qos.priority for qos in model.qos})
    if len(ranks) > MOST_URGENCY - URGENCY + 1:
        raise SchedulerError(
            f"cluster.qos has {len(ranks)} priorities, and Flux {MOST_URGENCY - URGENCY + 1}",
            resolution="Give some qualities of service the same priority.",
        )
    own = next((qos.priority for qos in model.qos if qos.name == job.traits.qos), 0)
    return URGENCY + ranks.index(own)
