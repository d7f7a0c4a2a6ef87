"""What slurm.conf and gres.conf say of a cluster's nodes, partitions and preemption.

A cluster without a model has one partition of all its nodes, `main`.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from math import ceil

from campaign.core.cluster import ClusterModel, Partition
from campaign.core.errors import SchedulerError
from campaign.core.levers import Lever
from schedulers.base import Node, Topology

EXPRESSED = frozenset(
    {
        Lever.UNLIKE_NODES,
        Lever.MEMORY,
        Lever.GPUS,
        Lever.FEATURES,
        Lever.PARTITIONS,
        Lever.PARTITION_LIMITS,
        Lever.PARTITION_PRIORITY,
        Lever.PARTITION_FACTORS,
        Lever.PREEMPTION,
        Lever.USERS,
        Lever.RESERVATIONS,
        Lever.NODE_EVENTS,
        Lever.NODE_COUNTS,
        Lever.EXCLUSIVE,
        Lever.DEPENDENCIES,
        Lever.ARRAYS,
    }
)
"""What Slurm is told by itself: what takes slurmdbd comes beside it."""
ONLY_PARTITION = "main"
_GPUS = "/etc/campaign-gpus"
WHOLE = "whole-cluster"
"""A partition of all nodes for root, to which no job of a workload goes: the smoke test's."""


def node_options(node: Node) -> str:
    """Return what the line of a node says of its GPUs and features, with a space before each."""
    found = ""
    if node.gpus:
        found += f" Gres={_gres(node)}"
    if node.features:
        found += f" Feature={','.join(node.features)}"
    return found


def partition_lines(
    topology: Topology, passed_on: Mapping[str, Mapping[str, str]]
) -> Iterator[str]:
    """Yield the lines of slurm.conf that define the partitions.

    `passed_on` has what they say beside the model, by partition and key.
    """
    model = topology.model
    everything = ",".join(node.name for node in topology.compute)
    if not model.partitions:
        yield (
            f"PartitionName={ONLY_PARTITION} Nodes={everything} Default=YES MaxTime=INFINITE "
            "State=UP"
        )
        return
    for partition in model.partitions:
        more = passed_on.get(partition.name, {})
        own = (one for one in _partition(partition, topology) if one.partition("=")[0] not in more)
        yield " ".join((*own, *(f"{key}={value}" for key, value in more.items())))
    yield (
        f"PartitionName={WHOLE} Nodes={everything} RootOnly=YES Hidden=YES MaxTime=INFINITE "
        "State=UP"
    )


def preemption_lines(model: ClusterModel) -> Iterator[str]:
    """Yield the lines of slurm.conf by which jobs give way; none where none does."""
    by_partition = {each.preempt for each in model.partitions} - {"off"}
    by_qos = {each.preempt for each in model.qos if any(_preempted(model, each.name))}
    if by_partition and by_qos:
        raise SchedulerError(
            "cluster.partitions and cluster.qos both let jobs give way; Slurm does one of them",
            resolution="Set preempt=off in all partitions, or leave out cluster.qos.NAME.preempts.",
        )
    modes = (by_partition or by_qos) - {"off"}
    if modes:
        yield f"PreemptType=preempt/{'partition_prio' if by_partition else 'qos'}"
        most = next(mode for mode in ("suspend", "requeue", "cancel") if mode in modes)
        yield f"PreemptMode={'SUSPEND,GANG' if most == 'suspend' else most.upper()}"


def requeues(model: ClusterModel) -> bool:
    """Return whether jobs may have to start anew: they give way, or lose their nodes."""
    modes = [*(each.preempt for each in model.partitions), *(each.preempt for each in model.qos)]
    return "requeue" in modes or any(event.becomes == "down" for event in model.events)


def gpu_command(node: Node) -> tuple[str, ...]:
    """Return the command that makes what stands for the devices of a node's GPUs.

    Slurm counts a GPU only if its file is there and is a device.
    """
    link = f"ln -sfn /dev/null {_GPUS}/gpu$i"
    script = f"mkdir -p {_GPUS}; for ((i = 0; i < {node.gpus}; i++)); do {link}; done"
    return ("bash", "-euc", script)


def gres_conf(topology: Topology) -> bytes:
    """Return gres.conf: GPUs that count and have no device; nothing where there are none."""
    kinds: defaultdict[tuple[str | None, int], list[str]] = defaultdict(list)
    for node in topology.compute:
        if node.gpus:
            kinds[node.gpu_type, node.gpus].append(node.name)
    lines = [
        f"NodeName={','.join(names)} Name=gpu{f' Type={kind}' if kind else ''} "
        f"File={_GPUS}/gpu[0-{count - 1}]"
        for (kind, count), names in kinds.items()
    ]
    return "\n".join(["AutoDetect=off", *lines, ""]).encode() if lines else b""


def _preempted(model: ClusterModel, name: str) -> Iterator[bool]:
    return (name in other.preempts for other in model.qos)


def _gres(node: Node) -> str:
    return ":".join(("gpu", *([node.gpu_type] if node.gpu_type else []), str(node.gpus)))


def _partition(partition: Partition, topology: Topology) -> Iterator[str]:
    model = topology.model
    yield f"PartitionName={partition.name}"
    nodes = [
        node.name
        for node in topology.compute
        if not partition.groups or node.group in partition.groups
    ]
    yield f"Nodes={','.join(nodes)}"
    if partition == model.default_partition:
        yield "Default=YES"
    yield f"MaxTime={_minutes(partition.max_time_s)}"
    if partition.default_time_s is not None:
        yield f"DefaultTime={_minutes(partition.default_time_s)}"
    if partition.max_nodes is not None:
        yield f"MaxNodes={partition.max_nodes}"
    if partition.min_nodes is not None:
        yield f"MinNodes={partition.min_nodes}"
    yield f"PriorityTier={partition.priority_tier}"
    yield f"PriorityJobFactor={partition.priority_factor}"
    if partition.allow_accounts:
        yield f"AllowAccounts={','.join(partition.allow_accounts)}"
    if partition.allow_qos:
        yield f"AllowQos={','.join(partition.allow_qos)}"
    if partition.qos:
        yield f"QOS={partition.qos}"
    if partition.exclusive:
        yield "OverSubscribe=EXCLUSIVE"
    if any(each.preempt != "off" for each in model.partitions):
        yield f"PreemptMode={partition.preempt.upper()}"
    yield "State=UP"


def _minutes(seconds: float | None) -> str:
    return "INFINITE" if seconds is None else str(ceil(seconds / 60))
