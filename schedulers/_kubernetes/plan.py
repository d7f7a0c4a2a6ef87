"""Bootstrap plans: an API server, nodes that find it, and the scheduler with what it needs."""

import json
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from schedulers._kubernetes import access, daemons, dense, image, offers
from schedulers._kubernetes.access import curl, url
from schedulers._kubernetes.accounts import TABLE
from schedulers._kubernetes.offers import SLOT
from schedulers.base import BootstrapPlan, File, Node, Probe, Secrets, Stage, Step, Topology, Unit

_RELOAD = ("systemctl", "daemon-reload")
NODES = "/api/v1/nodes"
MERGE = "Content-Type: application/merge-patch+json"


@dataclass(frozen=True)
class Control:
    """What schedules: a daemon whose files parameters shape, and units that they don't.

    `before` are commands that must have run before either starts; `ready` asks whether it takes
    jobs. In a dense cluster that idles, the scheduler may wake `late_ms` later than it asked for.
    `objects` are made before it starts: each is the path of its kind, and the object.
    """

    scheduler: str
    files: tuple[File, ...]
    others: tuple[File, ...]
    other_units: tuple[str, ...]
    ready: tuple[Probe, ...]
    late_ms: int
    objects: tuple[tuple[str, dict[str, Any]], ...] = ()
    before: tuple[tuple[str, ...], ...] = ()


def bootstrap(topology: Topology, secrets: Secrets, control: Control) -> BootstrapPlan:
    """Return the plan from booted nodes to a cluster that takes jobs."""
    head = topology.head.name
    standing_in = dense.files(topology) if topology.dense else ()
    serving = Step(
        files=(*access.head_files(topology, secrets), *daemons.head_files(topology), *standing_in),
        commands=(_RELOAD,),
        units=(
            *map(_unit, (daemons.ETCD, daemons.API_SERVER, daemons.RENDEZVOUS)),
            *([_unit(dense.KUBELETS)] if topology.dense else ()),
        ),
        probes=(
            Probe(
                "the API server is ready",
                curl(url("/readyz")),
                "ok",
                deadline_s=300,
                interval_s=1.0,
            ),
        ),
    )
    others = Step(
        files=control.others,
        commands=(_RELOAD, *control.before),
        units=tuple(_unit(name) for name in control.other_units),
    )
    return BootstrapPlan(
        (
            Stage("daemons", {head: serving, **_nodes(topology, secrets)}),
            Stage("controllers", {head: others}),
            *([Stage("objects", {head: _made(control)})] if control.objects else ()),
            Stage("nodes", {head: Step(probes=(_joined(topology),))}),
            Stage(
                "slots",
                {head: Step(commands=_offer(topology), probes=(_offered(topology),))},
            ),
            Stage("scheduler", {head: _schedule(topology, control)}),
        )
    )


def reconfigure(topology: Topology, control: Control) -> BootstrapPlan:
    """Return the plan from a cluster to one with other parameters, or with fewer nodes.

    The API server forgets the nodes that are no longer there.
    """
    head = topology.head.name
    forgotten = Step(commands=(("bash", "-euc", _forget(topology)),), probes=(_offered(topology),))
    return BootstrapPlan(
        (
            Stage("nodes", {head: forgotten}),
            Stage("scheduler", {head: _schedule(topology, control)}),
        )
    )


def forget(nodes: Sequence[Node]) -> tuple[str, ...]:
    """Return the command that has the API server forget these nodes, those that it knows."""
    names = ",".join(node.name for node in nodes)
    # curl makes a request for each of the names in braces, over one connection.
    gone = curl(
        "-o", "/dev/null", "-w", r"%{http_code}\n", "-X", "DELETE", url(f"{NODES}/{{{names}}}")
    )
    return ("bash", "-c", f"! {shlex.join(gone)} | grep -vxE '200|404'")


def _nodes(topology: Topology, secrets: Secrets) -> dict[str, Step]:
    """Return what compute nodes need that have a VM of their own."""
    if topology.dense:
        return {}
    # Units start after the commands of their step, and importing the image needs a containerd.
    return {
        node.name: Step(
            files=(*access.node_files(node.name, topology, secrets), *daemons.node_files(node)),
            commands=(_RELOAD, ("systemctl", "restart", daemons.CONTAINERD), *_image()),
            units=(_unit(daemons.CONTAINERD), _unit(daemons.KUBELET)),
        )
        for node in topology.compute
    }


def _made(control: Control) -> Step:
    """Return a step that makes the objects that aren't there yet."""
    files = []
    commands = []
    for number, (path, value) in enumerate(control.objects):
        files.append(daemons.json_file(f"{access.FOLDER}/objects/{number}.json", value))
        what = ("-H", "Content-Type: application/json", "--data-binary", f"@{files[-1].path}")
        asked = curl("-o", "/dev/null", "-w", r"%{http_code}\n", *what, url(path))
        commands.append(("bash", "-c", f"{shlex.join(asked)} | grep -xE '201|409'"))
    return Step(files=tuple(files), commands=tuple(commands))


def _schedule(topology: Topology, control: Control) -> Step:
    late = (dense.late(control.scheduler, control.late_ms),) if topology.dense else ()
    return Step(
        files=(*control.files, *late),
        commands=(_RELOAD,),
        units=(_unit(control.scheduler),),
        probes=control.ready,
    )


def _unit(name: str) -> Unit:
    return Unit(name, log=daemons.log(name))


def _image() -> Iterable[tuple[str, ...]]:
    """Yield the commands that import the pods' image, and pin it so that nothing removes it."""
    ctr = ("ctr", "--namespace=k8s.io", "images")
    yield (*ctr, "import", "--no-unpack", daemons.IMAGE_FILE)
    yield (
        *ctr,
        "label",
        image.NAME,
        "io.cri-containerd.image=managed",
        "io.cri-containerd.pinned=pinned",
    )


def _joined(topology: Topology) -> Probe:
    count = len(topology.compute)
    asked = (
        f"{shlex.join(curl('-H', TABLE, url(NODES + '?includeObject=None')))} | grep -o "
        "'\"Ready\"' | wc -l"
    )
    return Probe(
        f"{count} nodes are ready",
        ("bash", "-c", asked),
        str(count),
        deadline_s=300,
        interval_s=1.0,
    )


def _offer(topology: Topology) -> tuple[tuple[str, ...], ...]:
    # What stands in for kubelets has told what nodes offer.
    return () if topology.dense else tuple(_offer_of(node, topology) for node in topology.compute)


def _offer_of(node: Node, topology: Topology) -> tuple[str, ...]:
    own = offers.offers_of(node, topology)
    # Kubernetes' documented way to advertise an extended resource: a patch of the node's status.
    patch = json.dumps({"status": {"capacity": own, "allocatable": own}})
    where = url(f"{NODES}/{node.name}/status")
    return curl("-o", "/dev/null", "-X", "PATCH", "-H", MERGE, "-d", patch, where)


def _offered(topology: Topology) -> Probe:
    """Return a probe for exactly these nodes with their slots.

    Each node says twice how many slots it has: as its capacity, and as what of it is free to give.
    """
    lines = sum(1 for _ in topology.compute) * 2
    asked = f'{shlex.join(curl(url(NODES)))} | grep -c \'"{SLOT}": "[1-9]\''
    return Probe(
        f"{len(topology.compute)} nodes offer slots",
        ("bash", "-c", asked),
        str(lines),
        deadline_s=60,
    )


def _forget(topology: Topology) -> str:
    names = "|".join(node.name for node in topology.compute)
    table = shlex.join(curl("-H", TABLE, url(NODES + "?includeObject=None")))
    gone = shlex.join(curl("-o", "/dev/null", "-X", "DELETE"))
    found = f"{table} | grep -A1 '\"cells\"' | grep -o '\"n[0-9]*\"' | tr -d '\"'"
    return (
        f"for node in $({found}); do case $node in {names}) ;; *) {gone} {url(NODES)}/$node "
        ";; esac; done"
    )
