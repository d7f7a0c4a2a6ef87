"""What stands in for kubelets and container runtimes where all nodes share the head's VM."""

from typing import Any

from schedulers._kubernetes import access, daemons
from schedulers._kubernetes.pods import SLOT
from schedulers.base import File, Node, Topology

KUBELETS = "kubelets.service"
NODES_FILE = f"{access.FOLDER}/nodes.json"
_PROGRAM = "/var/lib/campaign/kubelets.py"
_RAN = "/run/kubelets"
_OF = ("etcd", "kube-", "vc-")
_QUIET = (
    # Clients would ask an idle server every half minute whether it is there.
    "HTTP2_READ_IDLE_TIMEOUT_SECONDS=0",
    # Go would collect garbage every two minutes, however little there is.
    "GOGC=off",
    "GOMEMLIMIT=512MiB",
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
    nodes = daemons.json_file(NODES_FILE, [_node(node) for node in topology.compute])
    # systemd reads these folders for every unit whose name begins so.
    quiet = f"[Service]\nEnvironment={' '.join(_QUIET)}\n".encode()
    settings = (File(f"/etc/systemd/system/{of}.service.d/quiet.conf", quiet) for of in _OF)
    return (daemons.program(_PROGRAM, "kubelets.py"), nodes, unit, *settings)


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
