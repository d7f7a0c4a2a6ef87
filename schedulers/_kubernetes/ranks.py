"""How jobs rank: a priority class for each rank that partitions and qualities of service give."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from campaign.core.cluster import ClusterModel
from schedulers.base import Topology

if TYPE_CHECKING:
    from campaign.core.jobs import Job

PATH = "/apis/scheduling.k8s.io/v1/priorityclasses"
Rank = tuple[int, int]
"""The tier of a job's partition, then the priority of its quality of service."""


def class_of(job: "Job", topology: Topology) -> str | None:
    """Return the priority class of the job; None where all jobs have the same rank."""
    model = topology.model
    ranks = _ranks(model)
    partition = model.partition(job.traits.partition)
    qos = next((each for each in model.qos if each.name == job.traits.qos), None)
    rank = (partition.priority_tier if partition else 0, qos.priority if qos else 0)
    return _name(ranks.index(rank)) if len(ranks) > 1 else None


def classes(model: ClusterModel) -> Iterator[dict[str, Any]]:
    """Yield the priority classes, the lowest first; only their order counts.

    No pod is ended for another's sake.
    """
    ranks = _ranks(model)
    for place in range(len(ranks) if len(ranks) > 1 else 0):
        yield {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": _name(place)},
            "value": place,
            "preemptionPolicy": "Never",
        }


def _ranks(model: ClusterModel) -> list[Rank]:
    tiers = {partition.priority_tier for partition in model.partitions} or {0}
    priorities = {0} | {qos.priority for qos in model.qos}
    return sorted((tier, priority) for tier in tiers for priority in priorities)


def _name(place: int) -> str:
    return f"rank-{place}"
