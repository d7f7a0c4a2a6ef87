"""The cluster that a campaign's settings describe, as adapters get it."""

from dataclasses import replace

from campaign.core.cluster import ClusterModel, NodeGroup, model_of
from campaign.schema.model import ClusterSettings
from schedulers.base import Node, Topology


def topology_of(
    cluster: str,
    nodes: int,
    settings: ClusterSettings,
    memory_mib: int,
    model: ClusterModel | None = None,
) -> Topology:
    """Return a head and `nodes` compute nodes, with all that the settings say of them.

    `memory_mib` is the memory of a node whose group says nothing of it. `model` has more than the
    settings do: users that only the workload knows.
    """
    equal = Topology.of_equal_nodes(
        cluster,
        nodes,
        slots=settings.slots_per_node,
        memory_mib=memory_mib,
        dense=settings.dense,
    )
    own = model_of(settings, nodes)
    if model is not None:
        own = replace(own, users=model.users)
    groups = [group for group in own.groups for _ in range(group.nodes)]
    if not groups:
        return replace(equal, model=own)
    compute = (_in_group(*pair) for pair in zip(equal.compute, groups, strict=True))
    return Topology(cluster, (equal.head, *compute), own)


def _in_group(node: Node, group: NodeGroup) -> Node:
    return replace(
        node,
        slots=group.slots,
        memory_mib=node.memory_mib if group.memory_mib is None else group.memory_mib,
        group=group.name,
        gpus=group.gpus,
        gpu_type=group.gpu_type,
        features=group.features,
    )
