"""One libvirt host: its connection, how its guests run, its capacity, and the slots that live clusters occupy.

`Host` is plain and synchronous; `actors/pool.py` makes it a Ray actor. Its methods may be called from several threads.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from actors.hypervisor import run_folder
from actors.hypervisor.capacity import Capacity, Resources, node_resources, read_host
from actors.hypervisor.connection import Hypervisor, Versions
from actors.hypervisor.console import console_tail, kernel_fault
from actors.hypervisor.daemon import PrivateLibvirtd, choose_uri
from actors.hypervisor.domain import Multicast, NodeSpec
from actors.hypervisor.errors import HypervisorError
from actors.hypervisor.lease import Lease, Owner
from actors.hypervisor.ports import free_ports
from actors.hypervisor.probe import Acceleration, acceleration
from actors.hypervisor.reaper import Reaped, reap
from campaign.errors import CapacityError
from campaign.images.manifest import Bundle
from campaign.model import HostSettings

TB_CACHE_MIB = 128
"""Translation cache of an emulated node: unbounded, it grows to three times the guest's memory."""
VCPUS_PER_CPU = 8
"""Nodes sleep most of the time, so a host's CPUs may be promised several times over."""
MOST_AT_ONCE = 16
MULTICAST_GROUP = "239.192.77.1"
"""One group for all clusters, in the organisation-local range; each cluster has a port of its own."""


@dataclass(frozen=True)
class NodeShape:
    """What one node needs of its host."""

    vcpus: int
    memory_mib: int


@dataclass(frozen=True)
class HostFacts:
    """What a host is: how guests run on it, its versions, and what it has for nodes."""

    name: str
    uri: str
    acceleration: Acceleration
    versions: Versions
    total: Resources


@dataclass(frozen=True)
class Slot:
    """What one live cluster occupies on its host: a port per node, a network, and its share of the capacity."""

    cluster: str
    ports: tuple[int, ...]
    multicast: Multicast
    lease: Lease
    resources: Resources
    shape: NodeShape


@dataclass(frozen=True)
class NodeBoot:
    """A node to start: its name, its MAC addresses (management, cluster) and its credentials."""

    name: str
    macs: tuple[str, str]
    credentials: Mapping[str, bytes] = field(repr=False)


@dataclass(frozen=True)
class NodeState:
    """How a node is: libvirt's state of it, its kernel's fault if it had one, and its console's last lines."""

    name: str
    state: str
    fault: str | None
    console: str

    @property
    def well(self) -> bool:
        return self.state == "running" and self.fault is None


class Host:
    """A host that is open for nodes. `close` ends whatever still runs of ours in this campaign."""

    def __init__(self, name: str, settings: HostSettings, bundle: Bundle, owner: Owner) -> None:
        """Connect, remove what dead drivers left, and find out how guests run. Raises InfrastructureErrors."""
        self._settings, self._bundle, self._owner = settings, bundle, owner
        self._state_dir = state_dir_of(settings)
        self._lock = threading.Lock()
        self._slots: dict[str, Slot] = {}
        self._hypervisor = Hypervisor(choose_uri(settings.uri, self._state_dir))
        self.swept = reap(self._hypervisor, self._run_root)
        self._acceleration = self._choose_acceleration()
        versions = self._hypervisor.versions()
        self._capacity = Capacity(host_resources(settings, self._state_dir))
        self.facts = HostFacts(name, self._hypervisor.uri, self._acceleration, versions, self._capacity.total)

    @property
    def _run_root(self) -> Path:
        return run_root(self._state_dir)

    def needs(self, nodes: int, shape: NodeShape) -> Resources:
        """What a cluster of `nodes` VMs would occupy."""
        return cluster_resources(nodes, shape, self._acceleration.kind)

    def room(self, nodes: int, shape: NodeShape) -> bool:
        """Whether a cluster of `nodes` VMs fits now."""
        with self._lock:
            return self._capacity.fits(self.needs(nodes, shape)) is None

    def acquire(self, cluster: str, nodes: int, shape: NodeShape, *, trial: str, campaign: str, expires: int) -> Slot:
        """Give a cluster of `nodes` VMs its slot until `release`; CapacityError says what is missing."""
        needed = self.needs(nodes, shape)
        with self._lock:
            shortfall = self._capacity.fits(needed)
            if shortfall:
                raise CapacityError(f"a cluster of {nodes} VMs doesn't fit on host {self.facts.name}: {shortfall}")
            taken = {port for slot in self._slots.values() for port in slot.ports}
            low, high = self._settings.ports
            ports = free_ports(nodes, range(low, high + 1), reserved=taken)
            # The lowest SSH port is unique among live slots, so it serves as the cluster's multicast port too.
            multicast = Multicast(MULTICAST_GROUP, ports[0])
            lease = Lease(campaign=campaign, trial=trial, expires=expires, owner=self._owner)
            slot = Slot(cluster, ports, multicast, lease, needed, shape)
            self._slots[cluster] = slot
            self._capacity = self._capacity.reserve(needed)
        return slot

    def start(self, slot: Slot, boots: Sequence[NodeBoot]) -> None:
        """Start the nodes of a slot, all at once. On return all run; at a failure the caller releases the slot."""
        specs = [self._spec(slot, boot, port) for boot, port in zip(boots, slot.ports, strict=True)]
        with ThreadPoolExecutor(len(specs)) as threads:
            list(threads.map(self._hypervisor.start, specs))

    def look(self, slot: Slot, names: Sequence[str]) -> list[NodeState]:
        """How the slot's nodes are."""
        return [self._look(slot, name) for name in names]

    def release(self, slot: Slot) -> None:
        """End the slot's nodes, remove their files, and give the capacity back. Releasing twice is harmless."""
        with self._lock:
            if self._slots.pop(slot.cluster, None) is None:
                return
            self._capacity = self._capacity.release(slot.resources)
        self._remove(lambda lease: lease.trial == slot.lease.trial and lease.owner == slot.lease.owner)

    def close(self) -> None:
        """Release every slot, end the private libvirtd if it was ours to start, and disconnect.

        Actors of a killed driver live on for seconds and may have started nodes since we opened: they go too.
        """
        for slot in list(self._slots.values()):
            self.release(slot)
        reap(self._hypervisor, self._run_root)
        self._hypervisor.close()
        _end_private_libvirtd(self._state_dir)

    def _remove(self, wanted: Callable[[Lease], bool]) -> None:
        with ThreadPoolExecutor(MOST_AT_ONCE) as threads:  # a busy emulator takes seconds to die
            list(threads.map(self._hypervisor.destroy_owned, self._hypervisor.ours(wanted)))
        for folder in run_folder.all_folders(self._run_root):
            with contextlib.suppress(HypervisorError):
                if wanted(folder.lease()):
                    folder.remove()

    def _spec(self, slot: Slot, boot: NodeBoot, port: int) -> NodeSpec:
        name = f"{slot.cluster}-{boot.name}"
        folder = run_folder.create(self._run_root, name, slot.lease, boot.credentials)
        return NodeSpec(
            cluster=slot.cluster,
            node=boot.name,
            vcpus=slot.shape.vcpus,
            memory_mib=slot.shape.memory_mib,
            kernel=self._bundle.kernel,
            initrd=self._bundle.initrd,
            cmdline=self._bundle.manifest.kernel_cmdline,
            root=self._bundle.root,
            acceleration=self._acceleration.kind,
            tb_cache_mib=TB_CACHE_MIB,
            ssh_port=port,
            multicast=slot.multicast,
            management_mac=boot.macs[0],
            cluster_mac=boot.macs[1],
            credentials=folder.credentials,
            console_log=folder.console_log,
            lease=slot.lease,
        )

    def _look(self, slot: Slot, name: str) -> NodeState:
        domain = f"{slot.cluster}-{name}"
        tail = console_tail(self._run_root / domain / "console.log", lines=40)
        return NodeState(name, self._hypervisor.state(domain), kernel_fault(tail), tail)

    def _choose_acceleration(self) -> Acceleration:
        if self._settings.acceleration != "auto":
            return Acceleration(self._settings.acceleration, "hosts.*.acceleration says so")
        return acceleration(self._bundle.kernel, self._bundle.initrd, self._state_dir)


def run_root(state_dir: Path) -> Path:
    """Where the run folders of nodes stand."""
    return state_dir / "nodes"


def host_resources(settings: HostSettings, state_dir: Path) -> Resources:
    """What a host has for nodes: what is free, within the limits that its settings draw."""
    low, high = settings.ports
    found = read_host(state_dir, ports=high - low + 1, vcpus_per_cpu=VCPUS_PER_CPU)
    memory = found.memory_mib if settings.memory_mib is None else settings.memory_mib
    return replace(found, memory_mib=memory, vcpus=settings.vcpus or found.vcpus)


def cluster_resources(nodes: int, shape: NodeShape, kind: Literal["kvm", "tcg"]) -> Resources:
    """What `nodes` VMs occupy, the emulator's own memory included."""
    node = node_resources(vcpus=shape.vcpus, memory_mib=shape.memory_mib, tb_cache_mib=TB_CACHE_MIB, acceleration=kind)
    return node * nodes


def sweep(settings: HostSettings, *, everything: bool = False) -> Reaped:
    """Remove what dead drivers left on a host; with `everything`, live campaigns' domains too."""
    with connected(settings) as hypervisor:
        return reap(hypervisor, run_root(state_dir_of(settings)), now=time.time(), all=everything)


@contextlib.contextmanager
def connected(settings: HostSettings) -> Iterator[Hypervisor]:
    """A connection for a look at a host; a private libvirtd is ended afterwards unless others need it."""
    state_dir = state_dir_of(settings)
    try:
        with Hypervisor(choose_uri(settings.uri, state_dir)) as hypervisor:
            yield hypervisor
    finally:
        _end_private_libvirtd(state_dir)


def state_dir_of(settings: HostSettings) -> Path:
    """A host's state folder."""
    return Path(settings.state_dir).expanduser().absolute()


def _end_private_libvirtd(state_dir: Path) -> None:
    with contextlib.suppress(HypervisorError):  # another campaign's guests may still run under it
        PrivateLibvirtd(state_dir).stop()
