"""Flux's bootstrap plans.

Every node has the same certificate and configuration, and a broker that finds the others. Where
nodes share a VM, brokers are instances of one unit, and differ by name and port.
"""

import shlex
from collections.abc import Iterator

from schedulers.base import BootstrapPlan, File, Node, Probe, Secrets, Stage, Step, Topology, Unit
from schedulers.flux.conf import (
    CERTIFICATE,
    CLUSTER_CONF,
    SCHEDULER_CONF,
    TEMPLATE_FILE,
    UNIT,
    UNIT_FILE,
    FluxNames,
    cluster_toml,
    core_arguments,
    log_of,
    scheduler_toml,
    unit_file,
    unit_of,
)
from schedulers.flux.params import CORE, FLUXION, FLUXION_FEASIBILITY, FLUXION_RESOURCE, FluxParams

CURVE = "curve.cert"
VERIFY = """\
import json, flux
instance = flux.Flux()
modules = instance.rpc("module.list").get()["mods"]
found = {"sched": next(one["name"] for one in modules if "sched" in one["services"])}
for name in ("sched-fluxion-qmanager", "sched-fluxion-resource"):
    if any(one["name"] == name for one in modules):
        found[name] = instance.rpc(name + ".params").get()["params"]
print(json.dumps(found))
"""
"""A program for Flux's Python: the module that schedules, and the parameters that Fluxion's modules
answer with."""


def bootstrap(
    topology: Topology, params: FluxParams, secrets: Secrets, names: FluxNames
) -> BootstrapPlan:
    """Return the plan from booted nodes to an instance with all compute nodes up."""
    shared = (
        File(CERTIFICATE, secrets[CURVE], mode=0o400, owner=names.user, secret=True),
        _cluster_file(topology, names),
    )
    head = topology.head
    steps = {
        node.name: _broker(
            node,
            _unit_file(node, names),
            *shared,
            *([_scheduler_file(params)] if node == head else []),
        )
        for node in topology.nodes
    }
    return BootstrapPlan(
        (
            Stage("brokers", steps),
            Stage("nodes", {head.name: _met(topology, names)}),
            *_started(topology, names),
        )
    )


def reconfigure(topology: Topology, params: FluxParams, names: FluxNames) -> BootstrapPlan:
    """Return the plan from an instance to one with other parameters, or with fewer nodes.

    Only fewer nodes make the brokers start anew. Otherwise the head loads another scheduler, or the
    same with other parameters: a module reads its part of the configuration when it is loaded.
    """
    brokers = {
        node.name: Step(files=(_cluster_file(topology, names),), units=(_unit(node),))
        for node in topology.nodes
    }
    scheduler = Step(
        files=(_scheduler_file(params),), commands=(("bash", "-euc", _reload(params, names)),)
    )
    return BootstrapPlan(
        (
            Stage("brokers", brokers),
            Stage("nodes", {topology.head.name: _met(topology, names)}),
            *_started(topology, names),
            Stage("scheduler", {topology.head.name: scheduler}),
            Stage("scheduled", {topology.head.name: Step(probes=(_schedules(params, names),))}),
        )
    )


def _broker(node: Node, *files: File) -> Step:
    return Step(files=files, commands=(("systemctl", "daemon-reload"),), units=(_unit(node),))


def _unit(node: Node) -> Unit:
    return Unit(unit_of(node), log=log_of(node))


def _unit_file(node: Node, names: FluxNames) -> File:
    shared = unit_of(node) != UNIT
    content = unit_file(names.user, names.program, shared=shared)
    return File(TEMPLATE_FILE if shared else UNIT_FILE, content)


def _cluster_file(topology: Topology, names: FluxNames) -> File:
    return File(CLUSTER_CONF, cluster_toml(topology, names.user))


def _scheduler_file(params: FluxParams) -> File:
    return File(SCHEDULER_CONF, scheduler_toml(params))


def _met(topology: Topology, names: FluxNames) -> Step:
    """Return a step that waits until every broker is up: one that isn't ready shows as offline."""
    count = len(topology.nodes)
    expect = rf"\S+ run \S+,\s+owner \S+,\s+depth \d+,\s+size {count}"
    if topology.model.partitions:  # named queues begin stopped
        expect += r"(\s+scheduler stopped)?"
    return Step(
        probes=(
            Probe(
                f"{count} brokers are ready",
                (names.program, "uptime"),
                expect,
                # Brokers of one VM start one after the other.
                deadline_s=120 + (2 * count if topology.dense else 0),
            ),
        )
    )


def _started(topology: Topology, names: FluxNames) -> Iterator[Stage]:
    """Yield the stage that starts the queues, if there are any: they begin stopped."""
    if topology.model.partitions:
        start = (names.program, "queue", "start", "--all", "--quiet")
        yield Stage("queues", {topology.head.name: Step(commands=(start,))})


def _reload(params: FluxParams, names: FluxNames) -> str:
    """Return shell commands that put one scheduler in the place of another.

    They use Flux's programs in C: its own modprobe is in Python, and slow on emulated nodes.
    """
    flux = names.program
    loaded = [
        (FLUXION_RESOURCE, "load-allowlist=node,core,gpu"),
        (FLUXION_FEASIBILITY,),
        (FLUXION,),
    ]
    # A scheduler of flux-core has its own arguments; Fluxion reads its settings from a file.
    wanted = loaded if params.sched == FLUXION else [(params.sched, *core_arguments(params))]
    # Only one scheduler can be loaded; --force because the others aren't there to be removed.
    lines = [
        *(
            f"{flux} module remove --force {name}"
            for name in (FLUXION, FLUXION_FEASIBILITY, FLUXION_RESOURCE, *CORE)
        ),
        f"{flux} config reload",
        *(shlex.join((flux, "module", "load", *module)) for module in wanted),
    ]
    return "\n".join(lines)


def _schedules(params: FluxParams, names: FluxNames) -> Probe:
    asked = f"{names.program} module list | grep -ow {params.sched}"
    return Probe(f"{params.sched} is loaded", ("bash", "-c", asked), params.sched, deadline_s=60)
