"""What the pods of a job ask for, and on which nodes and beside which pods they may run."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING, Any

from schedulers._kubernetes.offers import (
    FEATURE,
    GPU,
    GPU_TYPE,
    GROUP,
    HOST,
    MEMORY,
    SLOT,
    kubernetes_name,
)
from schedulers._kubernetes.pods import JOB_LABEL, shares
from schedulers.base import Topology
from schedulers.fitting import alternatives

if TYPE_CHECKING:
    from campaign.core.jobs import Job

Requests = dict[str, int]


@dataclass(frozen=True)
class JobPods:
    """The pods of one job: what each asks for, by resource, those that ask for most first.

    `spec` is what all of them say of where they may run and how they rank.
    """

    name: str
    script: str
    requests: tuple[Requests, ...]
    spec: dict[str, Any] = field(default_factory=dict)


def requests(job: "Job", pods: int) -> tuple[Requests, ...]:
    """Return what each of so many pods of the job asks for: equal parts of it, or nearly so."""
    gpus = shares(job.traits.gpus or 0, pods)
    return tuple(
        _without_zeros({SLOT: slots, GPU: gpu, MEMORY: _memory(job, slots)})
        for slots, gpu in zip(shares(job.width, pods), gpus, strict=True)
    )


def _memory(job: "Job", slots: int) -> int:
    traits = job.traits
    return ceil(traits.memory_per_node_mib or (traits.memory_per_slot_mib or 0.0) * slots)


def _without_zeros(found: Requests) -> Requests:
    return {name: count for name, count in found.items() if count}


def placement(job: "Job", name: str, topology: Topology, asked: tuple[Requests, ...]) -> Any:
    """Return the affinity of the job's pods: on which nodes, and beside which pods they may run.

    It is empty where they may run anywhere.
    """
    terms = list(_node_terms(job, topology))
    apart = _apart(job, name, topology, asked)
    found: dict[str, Any] = {}
    if any(terms):
        rules = {"nodeSelectorTerms": [{"matchExpressions": term} for term in terms]}
        found["nodeAffinity"] = {"requiredDuringSchedulingIgnoredDuringExecution": rules}
    if apart:
        beside = [{"labelSelector": apart, "topologyKey": HOST}]
        found["podAntiAffinity"] = {"requiredDuringSchedulingIgnoredDuringExecution": beside}
    return found


def _node_terms(job: "Job", topology: Topology) -> Iterator[list[dict[str, Any]]]:
    """Yield what a node must be, in each of the alternatives that the job leaves."""
    partition = topology.model.partition(job.traits.partition)
    always = []
    if partition and partition.groups:
        always.append(_is_in(GROUP, *map(kubernetes_name, partition.groups)))
    if job.traits.gpu_type:
        always.append(_is_in(GPU_TYPE, kubernetes_name(job.traits.gpu_type)))
    for features in alternatives(job.traits.features or "") or ((),):
        keys = (f"{FEATURE}{kubernetes_name(feature)}" for feature in features)
        yield [*always, *(_is_in(key, "true") for key in keys)]


def _is_in(key: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": "In", "values": [*values]}


def _apart(job: "Job", name: str, topology: Topology, asked: tuple[Requests, ...]) -> Any:
    """Return which pods none of the job's may share a node with: all, its own, or none at all."""
    partition = topology.model.partition(job.traits.partition)
    if job.traits.exclusive or (partition and partition.exclusive):
        return {"matchExpressions": [{"key": JOB_LABEL, "operator": "Exists"}]}
    # On equal nodes, no two pods of a job that has the fewest fit one node anyway.
    largest = max(node.slots for node in topology.compute)
    if len(asked) > 1 and asked[-1][SLOT] + asked[-2][SLOT] <= largest:
        return {"matchLabels": {JOB_LABEL: name}}
    return None
