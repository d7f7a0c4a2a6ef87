"""The Ray nodes that are hosts: finding them, placing actors there, and running functions there."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.hosts.remote_call import wait_for

T = TypeVar("T")
LABEL = "host"
"""The label of a Ray node that is a host; its value is the host's name."""


def ray_nodes() -> dict[str, Mapping[str, Any]]:
    """Return the living Ray nodes that are hosts, as Ray describes them, by the host's name."""
    return {
        node["Labels"][LABEL]: node
        for node in ray.nodes()
        if node["Alive"] and LABEL in node["Labels"]
    }


def options_there(host: str) -> dict[str, Any]:
    """Return Ray's options that put an actor or a task on a far host."""
    return {"label_selector": {LABEL: host}}


def options_here() -> dict[str, Any]:
    """Return Ray's options that put an actor on this machine."""
    here = ray.get_runtime_context().get_node_id()
    # Not soft: on another machine, the actor would be of no use.
    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(here, soft=False)}


def run_on(
    host: str, work: Callable[..., T], *arguments: object, timeout_s: float, **options: object
) -> T:
    """Run `work` on a far host and return its result.

    Raises InfrastructureError if it isn't done after `timeout_s`.
    """
    there: Any = ray.remote(work)
    # A task that claims a CPU would wait while other work has them all.
    reference = there.options(num_cpus=0, **options_there(host)).remote(*arguments, **options)
    done: T = wait_for(reference, timeout_s, f"host {host} didn't do it")
    return done
