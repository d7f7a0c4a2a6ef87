"""Who the nodes of a cluster are: names, addresses, keys, and the credentials by which a guest learns them. Pure but
for drawing keys."""

import base64
import hashlib
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from actors.remote import Identity, make_identity
from schedulers.base import Node, Topology

PREFIX = "10.42"
"""The cluster network; it exists only between the nodes of one cluster."""
MANAGEMENT = {"address": "10.0.2.15/24", "gateway": "10.0.2.2"}
"""What QEMU's user network expects its only guest to be."""


@dataclass(frozen=True)
class Keys:
    """A cluster's SSH keys: one for us, one per node to know it by."""

    client: Identity = field(repr=False)
    hosts: Mapping[str, Identity] = field(repr=False)


def topology_of(cluster: str, compute_nodes: int, slots: int, memory_mib: int) -> Topology:
    """A cluster of a head and `compute_nodes` nodes, addresses counted from .1."""
    head = Node("head", "head", _address(0), 0, memory_mib)
    compute = [Node(f"n{i}", "compute", _address(i), slots, memory_mib) for i in range(1, compute_nodes + 1)]
    return Topology(cluster, (head, *compute))


def draw_keys(topology: Topology) -> Keys:
    """Fresh SSH keys for one cluster."""
    hosts = {node.name: make_identity(node.name) for node in topology.nodes}
    return Keys(make_identity(topology.cluster), hosts)


def macs(cluster: str, index: int) -> tuple[str, str]:
    """The MAC addresses (management, cluster) of a cluster's node number `index`: locally administered, stable."""
    digest = hashlib.sha256(f"{cluster}/{index}".encode()).hexdigest()
    tail = ":".join(digest[i : i + 2] for i in range(0, 8, 2))
    return f"02:0a:{tail}", f"02:0b:{tail}"


def credentials(topology: Topology, node: Node, keys: Keys, mac_pair: tuple[str, str]) -> dict[str, bytes]:
    """The systemd credentials of one node; `tmpfiles.extra` writes its files before any service starts."""
    files = {
        "/etc/ssh/ssh_host_ed25519_key": ("0600", keys.hosts[node.name].private),
        "/etc/systemd/network/10-management.network": ("0644", _network(mac_pair[0], **MANAGEMENT)),
        "/etc/systemd/network/20-cluster.network": ("0644", _network(mac_pair[1], f"{node.address}/16")),
        "/etc/hosts": ("0644", _hosts(topology)),
    }
    return {
        "system.hostname": node.name.encode(),
        "ssh.authorized_keys.root": keys.client.public,
        "tmpfiles.extra": "".join(_tmpfile(path, mode, content) for path, (mode, content) in files.items()).encode(),
    }


def _address(index: int) -> str:
    return f"{PREFIX}.{(index + 1) // 256}.{(index + 1) % 256}"


def _network(mac: str, address: str, gateway: str = "") -> bytes:
    """Only keys that the guest contract names (see campaign/images)."""
    route = f"Gateway={gateway}\n" if gateway else ""
    return f"[Match]\nMACAddress={mac}\n[Network]\nAddress={address}\n{route}".encode()


def _hosts(topology: Topology) -> bytes:
    lines = ["127.0.0.1 localhost", *(f"{node.address} {node.name}" for node in topology.nodes)]
    return ("\n".join(lines) + "\n").encode()


def _tmpfile(path: str, mode: str, content: bytes) -> str:
    """A tmpfiles.d line that writes `content`: `~` says that the argument is base64."""
    return f"f+~ {shlex.quote(path)} {mode} root root - {base64.b64encode(content).decode()}\n"
