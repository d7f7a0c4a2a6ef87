"""Small clusters and jobs, and all that a bound adapter says of them: what its checks look at."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, get_args

from schedulers.base import BootstrapPlan, Params, Role, Topology
from schedulers.interface import BoundScheduler

if TYPE_CHECKING:
    from campaign.core.jobs import Job

SLOTS = 4
MEMORY_MIB = 512
SCRIPT = "/run/conformance/7.sh"
"""Where the sample job's script stands."""
PAYLOAD = "/bin/echo conforming"
"""What the sample job runs."""
ROLES: tuple[Role, ...] = get_args(Role)
FOREIGN = ("", "\n", "no such thing", "{]", "\x00")
"""Answers that no tool gives when it works; a parser may take at most the empty ones for "nothing
there"."""
BUILD = "5a3fc0de-dirty"
"""A version as a build of sources may have it: a commit."""


def topology(compute: int, *, dense: bool = False) -> Topology:
    """Return a cluster with a head and `compute` compute nodes of SLOTS slots."""
    return Topology.of_equal_nodes(
        "conformance", compute, slots=SLOTS, memory_mib=MEMORY_MIB, dense=dense
    )


CLUSTER = topology(2)
DENSE = topology(3, dense=True)


def clusters_of(bound: BoundScheduler[Params]) -> Iterator[Topology]:
    """Yield CLUSTER, and DENSE too where the adapter has plans for nodes that share a VM."""
    yield CLUSTER
    if bound.scheduler.shared_node_mib:
        yield DENSE


def job(width: int, *, number: int = 7, arrival_s: float = 0.0) -> "Job":
    """Return a job of a second, with a minute's limit."""
    from campaign.core.jobs import Job

    return Job(number, arrival_s, width, 1.0, 60.0, 0)


def plans_of(
    bound: BoundScheduler[Params], cluster: Topology
) -> Iterator[tuple[str, BootstrapPlan]]:
    """Yield the plans of a bound adapter under its defaults, by the member that makes them."""
    params = bound.scheduler.Params()
    yield "plan", bound.plan(cluster, params, bound.scheduler.make_secrets())
    yield "reconfigure", bound.reconfigure(cluster, params)


def commands_of(
    bound: BoundScheduler[Params], cluster: Topology
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield every command that runs on a node for a bound adapter, by the member that makes it.

    Those of its plans come first, then those of a trial.
    """
    for name, plan in plans_of(bound, cluster):
        for stage in plan.stages:
            for step in stage.steps.values():
                for command in step.commands:
                    yield f"a command of {name}", command
                for probe in step.probes:
                    yield f"a probe of {name}", probe.command
    yield "smoke_test_command", bound.smoke_test_command(cluster)
    yield "submit_command", bound.submit_command(job(1), cluster, SCRIPT)
    for _, command in bound.timed_commands(cluster):
        yield "a timed command", command
    yield "session_command", bound.session_command()
    yield "pending_command", bound.pending_command()
    yield "idle_command", bound.idle_command()
    yield "cancel_command", bound.cancel_command("7")
    yield "lost_command", bound.lost_command(cluster.compute[0].name)
    yield "accounting_command", bound.accounting_command()
    yield "version_command", bound.version_command()
    yield "verify_command", bound.verify_command()
    for node in (cluster.head, cluster.compute[0]):
        yield f"health_command of the {node.role}", bound.health_command([node])
    yield "stop_command", bound.stop_command(cluster.compute)
