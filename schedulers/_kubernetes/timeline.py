"""What happens to nodes while a workload runs: they are cordoned, emptied, and used again."""

import shlex
from collections.abc import Iterator

from schedulers._kubernetes import accounts
from schedulers._kubernetes.access import curl, url
from schedulers._kubernetes.plan import MERGE, NODES
from schedulers.base import TimedCommand, Topology
from schedulers.node_events import nodes_of

NOW = '{"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":0}'
"""A lost node can't confirm the end of its pods; without grace they are removed unconfirmed."""


def timed_commands(topology: Topology) -> Iterator[TimedCommand]:
    """Yield the commands by their seconds after the workload's start.

    A node that is drained or down takes no further pods; one that is down loses those that it has.
    """
    for event in topology.model.events:
        names = nodes_of(event, topology)
        yield event.at_s, _cordon(names, "false" if event.becomes == "up" else "true")
        if event.becomes == "down":
            lines = (shlex.join(delete_pods_of(name)) for name in names)
            yield event.at_s, ("bash", "-c", " && ".join(lines))


def delete_pods_of(node: str) -> tuple[str, ...]:
    """Return the command that ends the pods of a node at once."""
    return (*delete(), url(f"{accounts.PODS}?fieldSelector=spec.nodeName%3D{node}"))


def delete() -> tuple[str, ...]:
    """Return the command that deletes what stands at the URL that is put after it, at once."""
    return curl(
        "-o", "/dev/null", "-X", "DELETE", "-H", "Content-Type: application/json", "-d", NOW
    )


def _cordon(names: list[str], cordoned: str) -> tuple[str, ...]:
    patch = f'{{"spec":{{"unschedulable":{cordoned}}}}}'
    # curl makes a request for each of the names in braces, over one connection.
    where = url(f"{NODES}/{{{','.join(names)}}}")
    return curl("--fail-early", "-o", "/dev/null", "-X", "PATCH", "-H", MERGE, "-d", patch, where)
