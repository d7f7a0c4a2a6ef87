"""What an adapter promises of clusters whose nodes share one VM, as a check like the others."""

from collections.abc import Mapping

from campaign.core.errors import SchedulerError
from schedulers.base import BootstrapPlan, Params
from schedulers.broken import Broken, require
from schedulers.facts import ImageFacts
from schedulers.interface import BoundScheduler, Scheduler
from schedulers.samples import DENSE, plans_of
from schedulers.systemd_fake import FakeSystemd


def dense_clusters_are_planned_or_refused(scheduler: Scheduler[Params], facts: ImageFacts) -> None:
    """Raise Broken unless an adapter can have all nodes in one VM, or says that it can't.

    If it can, plans are one by VM, each node has units and logs of its own that are checked and
    stopped by themselves (or the head has a daemon that stands in for all), and a job's payload can
    learn where it runs.
    """
    bound = scheduler.for_image(facts)
    if not scheduler.shared_node_mib:
        _check_refused(bound)
        return
    plans = dict(plans_of(bound, DENSE))
    for name, plan in plans.items():
        named = {guest for stage in plan.by_guest(DENSE).stages for guest in stage.steps}
        require(
            named == {*DENSE.guests}, f"{name} of a dense cluster, by VM, has steps for {named}"
        )
    require(bound.payload_node(DENSE), "a payload can't learn on which node of a VM it runs")
    _check_units(bound, _units(plans["plan"]))
    logs = [path for node in DENSE.nodes for path in bound.log_files(node)]
    require(len(set(logs)) == len(logs), f"nodes of one VM share logs: {logs}")


def _check_refused(bound: BoundScheduler[Params]) -> None:
    try:
        next(plans_of(bound, DENSE))
    except SchedulerError:
        return
    raise Broken("there is a plan for a dense cluster, although shared_node_mib is 0")


def _units(plan: BootstrapPlan) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {node.name: set() for node in DENSE.nodes}
    for stage in plan.stages:
        for name, step in stage.steps.items():
            found[name] |= {unit.name for unit in step.units}
    return found


def _check_units(bound: BoundScheduler[Params], units: Mapping[str, set[str]]) -> None:
    health = bound.health_command(DENSE.nodes)
    running = set[str]().union(*units.values())
    # Where no compute node has any, a daemon of the head stands in for them.
    planned = any(units[node.name] for node in DENSE.compute)
    with FakeSystemd() as systemd:
        require(systemd.succeeds(health, running), f"health_command fails with {sorted(running)}")
        for node in DENSE.compute:
            others = set[str]().union(
                *(found for name, found in units.items() if name != node.name)
            )
            own = units[node.name] - others
            require(own or not planned, f"{node.name} has no unit of its own")
            for unit in own:
                require(
                    not systemd.succeeds(health, running - {unit}),
                    f"health_command passes without {unit}",
                )
            stopped = set(bound.stop_command([node])) & running
            require(stopped == own, f"stop_command of {node.name} stops {stopped}, not {own}")
