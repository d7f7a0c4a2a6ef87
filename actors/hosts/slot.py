"""What a host and the clusters on it tell each other: its facts, the slots that it gives, the nodes
to start."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from actors.hypervisor.calibration import Calibration
from actors.hypervisor.capacity import Resources
from actors.hypervisor.connection import Versions
from actors.hypervisor.domain import Multicast
from actors.hypervisor.lease import Lease
from actors.hypervisor.overlay import Bridge, Overlay
from actors.hypervisor.probe import Acceleration
from campaign.images.bundles.manifest import Bundle

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class NodeShape:
    """What one node needs of its host."""

    vcpus: int
    memory_mib: int


@dataclass(frozen=True)
class HostFacts:
    """What a host is: how guests run on it, its versions, what it has for nodes, how fast it is,
    and who serves it."""

    name: str
    uri: str
    acceleration: Acceleration
    versions: Versions
    total: Resources
    calibration: Calibration
    pid: int
    address: str = LOOPBACK
    """By which other machines reach it, where it is one of several."""


@dataclass(frozen=True)
class Slot:
    """What one live cluster occupies on its host: a port per node, a network, and its share of the
    capacity."""

    cluster: str
    ports: tuple[int, ...]
    network: Multicast | Bridge
    lease: Lease
    resources: Resources
    shape: NodeShape
    address: str = LOOPBACK
    parts: tuple["Slot", ...] = ()
    """Those of a cluster that spans hosts, in their order; its nodes are dealt over them in
    turn."""

    @property
    def doors(self) -> tuple[tuple[str, int], ...]:
        """Where each node's SSH server is reached, in the order of the nodes."""
        if not self.parts:
            return tuple((self.address, port) for port in self.ports)
        dealt = [list(part.doors) for part in self.parts]
        return tuple(dealt[index % len(dealt)].pop(0) for index in range(sum(map(len, dealt))))


@dataclass(frozen=True)
class Span:
    """What a host must know of a cluster that is on other hosts, too: the network between them, and
    the address at which the host's own nodes are reached by whoever drives the cluster."""

    network: Multicast | Bridge | Overlay | None  # None: one of the host's own, as for any cluster
    address: str


@dataclass(frozen=True)
class Commitment:
    """What is promised to nodes on a host: virtual CPUs for each of its CPUs, and the share of its
    memory."""

    vcpus_per_cpu: float
    memory: float

    def __or__(self, other: "Commitment") -> "Commitment":
        """The larger of both, figure by figure."""
        return Commitment(
            max(self.vcpus_per_cpu, other.vcpus_per_cpu), max(self.memory, other.memory)
        )


@dataclass(frozen=True)
class NodeBoot:
    """A node to start: its name, its image, its MAC addresses (management, cluster) and its
    credentials."""

    name: str
    image: Bundle
    macs: tuple[str, str]
    credentials: Mapping[str, bytes] = field(repr=False)


@dataclass(frozen=True)
class NodeState:
    """How a node is: libvirt's state of it, its kernel's fault if it had one, its console's last
    lines, its host."""

    name: str
    state: str
    fault: str | None
    console: str
    host: str

    @property
    def well(self) -> bool:
        return self.state == "running" and self.fault is None
