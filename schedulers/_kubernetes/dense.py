"""What stands in for kubelets and container runtimes where all nodes share the head's VM."""

from typing import Any, NamedTuple

from schedulers._kubernetes import access, daemons, offers
from schedulers.base import File, Node, Topology

KUBELETS = "kubelets.service"
NODES_FILE = f"{access.FOLDER}/nodes.json"
_PROGRAM = "/var/lib/campaign/kubelets.py"
_RAN = "/run/kubelets"


class Quiet(NamedTuple):
    """At which heap a daemon collects garbage, and how much later than asked it may wake.

    Late timers are those of a guest that idles, and several of them wake it once.
    """

    heap_mib: int
    slack_ms: int


QUIET = {
    # The queues of Kubernetes' daemons have a timer of half a second each, some forty in the API
    # server. Neither it nor the store decides anything, so theirs may be later.
    "etcd": Quiet(128, 1000),
    "kube-apiserver": Quiet(448, 1000),
    "kube-": Quiet(160, 100),
    "vc-": Quiet(160, 100),
}
"""By the beginnings of units' names, of which the longest counts. How late a scheduler may be, its
parameters say (`plan.Control`). While eight jobs of 20 nodes came, 91 MiB lived in the API server's
heap, 17 in etcd's and 11 in kube-scheduler's."""
_ENVIRONMENT = (
    # Clients would ask an idle server every half minute whether it is there.
    "HTTP2_READ_IDLE_TIMEOUT_SECONDS=0",
    # Go would collect garbage every two minutes, however little there is.
    "GOGC=off",
)


def files(topology: Topology) -> tuple[File, ...]:
    """Return the program that stands in, its unit, the nodes that it registers, and what quiets
    the daemons of the head."""
    unit = daemons.unit(
        KUBELETS,
        "/usr/bin/python3",
        _PROGRAM,
        access.KUBECONFIG,
        NODES_FILE,
        _RAN,
        after=daemons.API_SERVER,
        # It can't find a pod's process again, so none may outlive it.
        kill="control-group",
    )
    nodes = daemons.json_file(NODES_FILE, [_node(node, topology) for node in topology.compute])
    settings = (_quiet(beginning, quiet) for beginning, quiet in QUIET.items())
    return (daemons.program(_PROGRAM, "kubelets.py"), nodes, unit, *settings)


def _quiet(beginning: str, quiet: Quiet) -> File:
    environment = " ".join((*_ENVIRONMENT, f"GOMEMLIMIT={quiet.heap_mib}MiB"))
    # systemd reads such a folder for every unit whose name begins so, and of files of one name that
    # of the longest beginning.
    return _settings(
        f"{beginning}.service", "quiet", f"Environment={environment}", _slack(quiet.slack_ms)
    )


def late(unit: str, slack_ms: int) -> File:
    """Return what lets the unit's daemon wake so much later, whatever QUIET says of it."""
    # Of settings that are there twice, the file whose name comes last counts.
    return _settings(unit, "slack", _slack(slack_ms))


def _slack(ms: int) -> str:
    return f"TimerSlackNSec={ms}ms"


def _settings(unit: str, name: str, *lines: str) -> File:
    path = f"/etc/systemd/system/{unit}.d/{name}.conf"
    return File(path, ("\n".join(("[Service]", *lines)) + "\n").encode())


def _node(node: Node, topology: Topology) -> dict[str, Any]:
    """Return the node as a kubelet would register it, with what it offers."""
    resources = {
        "cpu": str(node.slots),
        "memory": f"{node.memory_mib}Mi",
        "pods": str(daemons.max_pods(node)),
        **offers.offers_of(node, topology),
    }
    pressures = ("MemoryPressure", "DiskPressure", "PIDPressure")
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
    own = {"kubernetes.io/hostname": node.name, "kubernetes.io/os": "linux"}
    labels = own | offers.labels(node)
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name, "labels": labels},
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "conditions": [ready, *({"type": kind, "status": "False"} for kind in pressures)],
            "addresses": [
                {"type": "InternalIP", "address": node.address},
                {"type": "Hostname", "address": node.name},
            ],
            "nodeInfo": {"kubeletVersion": "stand-in"},
        },
    }
