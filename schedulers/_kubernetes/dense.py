"""What stands in for kubelets and container runtimes where all nodes share the head's VM."""

from typing import Any

from schedulers._kubernetes import access, daemons
from schedulers._kubernetes.pods import SLOT
from schedulers.base import File, Node, Topology

KUBELETS = "kubelets.service"
NODES_FILE = f"{access.FOLDER}/nodes.json"
_PROGRAM = "/var/lib/campaign/kubelets.py"
_RAN = "/run/kubelets"
HEAPS_MIB = {"etcd": 128, "kube-apiserver": 448, "kube-": 160, "vc-": 160}
"""At which heap each daemon collects garbage; a name that ends with a dash is of all others that
begin so. While eight jobs of 20 nodes came and went, what lived in them was a fifth of it at most.
"""
_QUIET = (
    # Clients would ask an idle server every half minute whether it is there.
    "HTTP2_READ_IDLE_TIMEOUT_SECONDS=0",
    # Go would collect garbage every two minutes, however little there is.
    "GOGC=off",
)
_SLACK = "20ms"
"""How much later than asked a daemon may wake, so that several timers wake it once."""


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
    nodes = daemons.json_file(NODES_FILE, [_node(node) for node in topology.compute])
    settings = (_quiet(of, heap_mib) for of, heap_mib in HEAPS_MIB.items())
    return (daemons.program(_PROGRAM, "kubelets.py"), nodes, unit, *settings)


def _quiet(of: str, heap_mib: int) -> File:
    environment = " ".join((*_QUIET, f"GOMEMLIMIT={heap_mib}MiB"))
    lines = ("[Service]", f"Environment={environment}", f"TimerSlackNSec={_SLACK}")
    # systemd reads such a folder for every unit whose name begins so, and of files of one name that
    # of the longest beginning.
    return File(f"/etc/systemd/system/{of}.service.d/quiet.conf", "\n".join((*lines, "")).encode())


def _node(node: Node) -> dict[str, Any]:
    """Return the node as a kubelet would register it, with its slots."""
    resources = {
        "cpu": str(node.slots),
        "memory": f"{node.memory_mib}Mi",
        "pods": str(daemons.max_pods(node)),
        SLOT: str(node.slots),
    }
    pressures = ("MemoryPressure", "DiskPressure", "PIDPressure")
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
    labels = {"kubernetes.io/hostname": node.name, "kubernetes.io/os": "linux"}
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
