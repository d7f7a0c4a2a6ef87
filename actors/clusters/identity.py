"""Names, addresses and keys of a cluster's nodes, and the credentials that tell them to a guest.

Pure, except that keys are drawn at random.
"""

import base64
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from actors.bootstrap.ssh import Identity, make_identity
from actors.hypervisor.attached import NetworkCard
from campaign.core.cluster import ClusterModel
from campaign.schema.model import ClusterSettings
from schedulers import topologies
from schedulers.base import LOOPBACK, Node, Params, Topology
from schedulers.interface import Scheduler

CLUSTER = "campaign"
"""Every cluster has this name for itself. Clusters never meet, and one that is restored from memory
keeps the name that it was saved with."""
MANAGEMENT = {"address": "10.0.2.15/24", "gateway": "10.0.2.2"}
"""The address and gateway that QEMU's user network expects of its only guest."""


@dataclass(frozen=True)
class Keys:
    """A cluster's SSH keys: `client` is ours, `hosts` has the host key of each VM by name."""

    client: Identity = field(repr=False)
    hosts: Mapping[str, Identity] = field(repr=False)


def topology_of(
    compute_nodes: int, slots: int, memory_mib: int, *, dense: bool = False
) -> Topology:
    """Return a cluster of a head and `compute_nodes` compute nodes, with `slots` each.

    In a `dense` one they share one VM.
    """
    return Topology.of_equal_nodes(
        CLUSTER, compute_nodes, slots=slots, memory_mib=memory_mib, dense=dense
    )


def configured_topology(
    compute_nodes: int,
    settings: ClusterSettings,
    scheduler: Scheduler[Params],
    model: ClusterModel | None = None,
) -> Topology:
    """Return a cluster of so many compute nodes by these settings, with the users of `model`.

    A node of a dense cluster claims the memory that the scheduler needs of a VM: its share of the
    VM's would depend on the number of nodes.
    """
    memory_mib = scheduler.memory_mib if settings.dense else settings.memory_mib
    return topologies.topology_of(CLUSTER, compute_nodes, settings, memory_mib, model)


def draw_keys(topology: Topology) -> Keys:
    """Draw fresh SSH keys for one cluster."""
    hosts = {guest: make_identity(guest) for guest in topology.guests}
    return Keys(make_identity(topology.cluster), hosts)


def dump_keys(keys: Keys) -> dict[str, bytes]:
    """Return the keys by name, as a golden cluster keeps them."""
    pairs = {
        "client": keys.client,
        **{f"host.{node}": identity for node, identity in keys.hosts.items()},
    }
    return {
        f"{name}.{half}": getattr(pair, half)
        for name, pair in pairs.items()
        for half in ("private", "public")
    }


def load_keys(dumped: Mapping[str, bytes]) -> Keys:
    """Return the keys that `dump_keys` has made `dumped` of."""
    names = [name.removesuffix(".private") for name in dumped if name.endswith(".private")]
    pairs = {name: Identity(dumped[f"{name}.private"], dumped[f"{name}.public"]) for name in names}
    client = pairs.pop("client")
    return Keys(client, {name.removeprefix("host."): pair for name, pair in pairs.items()})


def macs(index: int) -> tuple[str, str]:
    """Return the MAC addresses (management, cluster) of VM number `index` of any cluster.

    They are locally administered ones.
    """
    tail = f"00:00:{index >> 8:02x}:{index & 255:02x}"
    return f"02:0a:{tail}", f"02:0b:{tail}"


def credentials(
    topology: Topology,
    node: Node,
    keys: Keys,
    mac_pair: tuple[str, str],
    cards: Sequence[NetworkCard] = (),
) -> dict[str, bytes]:
    """Return the systemd credentials of the VM of a node, whose host name is the node's.

    `cards` are those on further networks. The nodes of a dense cluster have no network between
    them. systemd writes the files that `tmpfiles.extra` names before any service starts.
    """
    files = {
        "/etc/ssh/ssh_host_ed25519_key": ("0600", keys.hosts[node.name].private),
        "/etc/systemd/network/10-management.network": ("0644", _network(mac_pair[0], **MANAGEMENT)),
    }
    if node.address != LOOPBACK:
        network = _network(mac_pair[1], f"{node.address}/16")
        files["/etc/systemd/network/20-cluster.network"] = ("0644", network)
    for card in cards:
        if card.address:
            path = f"/etc/systemd/network/30-{card.network}.network"
            files[path] = ("0644", _network(card.mac, card.address))
    return {
        "ssh.authorized_keys.root": keys.client.public,
        **closed_credentials(topology, node, files),
    }


def closed_credentials(
    topology: Topology, node: Node, files: Mapping[str, tuple[str, bytes]] | None = None
) -> dict[str, bytes]:
    """Return the systemd credentials of a VM to which nobody logs in: its own and others' names.

    `files` are written too: mode and content by path.
    """
    written = {"/etc/hosts": ("0644", _hosts(topology)), **(files or {})}
    return {
        "system.hostname": node.name.encode(),
        "tmpfiles.extra": "".join(
            _tmpfile(path, mode, content) for path, (mode, content) in written.items()
        ).encode(),
    }


def _network(mac: str, address: str, gateway: str = "") -> bytes:
    # Only settings that the guest contract names (see campaign/images).
    route = f"Gateway={gateway}\n" if gateway else ""
    return f"[Match]\nMACAddress={mac}\n[Network]\nAddress={address}\n{route}".encode()


def _hosts(topology: Topology) -> bytes:
    lines = ["127.0.0.1 localhost", *(f"{node.address} {node.name}" for node in topology.nodes)]
    return ("\n".join(lines) + "\n").encode()


def _tmpfile(path: str, mode: str, content: bytes) -> str:
    # In a line of tmpfiles.d, `~` says that the argument is base64.
    return f"f+~ {shlex.quote(path)} {mode} root root - {base64.b64encode(content).decode()}\n"
