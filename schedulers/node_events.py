"""Which nodes the events of a cluster's model are about, for adapters."""

from campaign.core.cluster import NodeEvent
from schedulers.base import Topology


def nodes_of(event: NodeEvent, topology: Topology) -> list[str]:
    """Return the names of the nodes that the event is about."""
    if event.node is not None:
        return [event.node]
    of_group = [node.name for node in topology.compute if node.group == event.group]
    return of_group[: event.count]
