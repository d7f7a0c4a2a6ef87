"""What a host and the clusters on it tell each other: its facts, its slots, the nodes to start."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from actors.hypervisor.attached import NetworkCard
from actors.hypervisor.calibration import EMULATION_SLOWNESS, Calibration
from actors.hypervisor.capacity import Resources
from actors.hypervisor.connection import Versions
from actors.hypervisor.lease import Lease
from actors.hypervisor.node_spec import Multicast
from actors.hypervisor.overlay import Bridge, Overlay
from actors.hypervisor.probe import Acceleration
from campaign.images.bundles.manifest import Bundle

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class NodeShape:
    """The size of one guest, and what its clock counts.

    A "virtual" clock counts the guest's own instructions and skips its idleness, so what happens in
    the guest doesn't depend on the host. Such a guest is closed: it has no network and no disk, and
    gets all that it needs with its task.
    """

    vcpus: int
    memory_mib: int
    clock: Literal["real", "virtual"] = "real"


@dataclass(frozen=True)
class HostFacts:
    """A host as it was found when it was opened."""

    name: str
    uri: str
    acceleration: Acceleration
    versions: Versions
    total: Resources
    """What it has for nodes in all."""
    calibration: Calibration
    """How fast it is."""
    pid: int
    """The process that serves it."""
    address: str = LOOPBACK
    """The address at which other machines reach it, where it is one of several."""

    @property
    def slowness(self) -> float:
        """How many times longer than on the reference machine a phase may take on its nodes."""
        emulated = self.acceleration.kind == "tcg"
        return self.calibration.slowness * (EMULATION_SLOWNESS if emulated else 1.0)


@dataclass(frozen=True)
class Slot:
    """What one cluster occupies on its host: a port per node, a network, its share of capacity."""

    cluster: str
    ports: tuple[int, ...]
    network: Multicast | Bridge
    lease: Lease
    resources: Resources
    shape: NodeShape
    address: str = LOOPBACK
    parts: tuple["Slot", ...] = ()
    """The slots on each host of a cluster that spans hosts, over which its nodes are dealt."""
    devices: tuple[tuple[str, ...], ...] = ()
    """The PCI addresses of each node's devices, in the nodes' order; empty if there are none."""

    @property
    def ssh_endpoints(self) -> tuple[tuple[str, int], ...]:
        """The address and port of each node's SSH server, in the order of the nodes."""
        if not self.parts:
            return tuple((self.address, port) for port in self.ports)
        dealt = [list(part.ssh_endpoints) for part in self.parts]
        # Node i is on part i modulo n, which is how `MultiHost` deals the nodes.
        return tuple(dealt[index % len(dealt)].pop(0) for index in range(sum(map(len, dealt))))

    def devices_of(self, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return the PCI addresses of the devices of each of these nodes that has any.

        `names` are those of all nodes, in their order.
        """
        parts = self.parts or (self,)
        found = {
            name: devices
            for place, part in enumerate(parts)
            for name, devices in zip(names[place :: len(parts)], part.devices, strict=False)
        }
        return {name: found[name] for name in names if found.get(name)}


@dataclass(frozen=True)
class SharedNetwork:
    """What a host must know of a cluster that has nodes on other hosts, too."""

    network: Multicast | Bridge | Overlay | None
    """The network between the hosts; None for a network of the host's own, as any cluster has."""
    address: str
    """The address at which the host's nodes are reached by whoever drives the cluster."""


@dataclass(frozen=True)
class HostUsage:
    """What is promised to nodes on a host."""

    vcpus_per_cpu: float
    memory: float
    """A share of the host's memory, from 0 to 1."""

    def __or__(self, other: "HostUsage") -> "HostUsage":
        """Return the larger of both, figure by figure."""
        return HostUsage(
            max(self.vcpus_per_cpu, other.vcpus_per_cpu), max(self.memory, other.memory)
        )


@dataclass(frozen=True)
class NodeBoot:
    """A node to start: its name, image, MAC addresses (management, cluster) and credentials."""

    name: str
    image: Bundle
    macs: tuple[str, str]
    credentials: Mapping[str, bytes] = field(repr=False)
    task: bytes = field(default=b"", repr=False)
    """What a guest in virtual time finds in its exchange when it is started or restored."""
    task_number: int = 0
    """The number of that task: higher than that of the last one that a restored guest did."""
    cards: tuple[NetworkCard, ...] = ()
    """Its cards on further networks."""


@dataclass(frozen=True)
class NodeState:
    """A node as its host sees it."""

    name: str
    state: str
    """The state of its domain, such as "running"; "halted" if it has stopped itself."""
    fault: str | None
    """The fault that its kernel has reported, if any."""
    console: str
    """The last lines of its console."""
    host: str

    @property
    def healthy(self) -> bool:
        """True if the node runs and its kernel has reported no fault."""
        return self.state == "running" and self.fault is None
