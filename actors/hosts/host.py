"""One libvirt host: its connection, how its guests run, its capacity, and the slots that live
clusters occupy.

`Host` is plain and synchronous; `actors/hosts/pool.py` makes it a Ray actor. Its methods may be
called from several threads.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal

from actors.hosts.slot import (
    LOOPBACK,
    Commitment,
    HostFacts,
    NodeBoot,
    NodeShape,
    NodeState,
    Slot,
    Span,
)
from actors.hypervisor import run_folder
from actors.hypervisor.calibration import calibrate
from actors.hypervisor.capacity import (
    Capacity,
    Resources,
    available_cpus,
    memory_total_mib,
    node_resources,
    read_cpu_model,
    read_host,
)
from actors.hypervisor.connection import Hypervisor
from actors.hypervisor.console import console_tail, kernel_fault
from actors.hypervisor.daemon import PrivateLibvirtd, choose_uri
from actors.hypervisor.domain import MemoryFile, Multicast, NodeSpec, fingerprint
from actors.hypervisor.errors import HypervisorError
from actors.hypervisor.lease import Lease, Owner
from actors.hypervisor.overlay import Bridge, Overlay
from actors.hypervisor.ports import free_ports
from actors.hypervisor.probe import Acceleration, acceleration
from actors.hypervisor.reaper import Reaped, reap
from actors.hypervisor.watchdog import Warden
from actors.snapshots.registry import GoldenOffer, Goldens, Stage
from actors.snapshots.snapshot import Golden, Recipe
from actors.snapshots.store import GoldenStore
from campaign.core.errors import CapacityError
from campaign.images.bundles.manifest import Bundle
from campaign.schema.hosts import HostSettings

TB_CACHE_MIB = 128
"""Translation cache of an emulated node: unbounded, it grows to three times the guest's memory."""
VCPUS_PER_CPU = 8
"""Nodes sleep most of the time, so a host's CPUs may be promised several times over."""
MOST_AT_ONCE = 16
MULTICAST_GROUP = "239.192.77.1"
"""One group for all clusters, in the organisation-local range; each cluster has a port of its
own."""


class Host:
    """A host that is open for nodes. `close` ends whatever still runs of ours in this campaign."""

    def __init__(self, name: str, settings: HostSettings, bundle: Bundle, owner: Owner) -> None:
        """Connect, remove what dead drivers left, and find out how guests run, with the kernel of
        `bundle`.

        Raises InfrastructureErrors.
        """
        self._settings = settings
        self._owner = owner
        self._state_dir = state_dir_of(settings)
        self._lock = threading.Lock()
        self._slots: dict[str, Slot] = {}
        self._holders: dict[str, str] = {}  # who uses a slot, by its cluster
        self._given: set[str] = set()  # the clusters of all slots that were ever given
        self._ahead: set[str] = set()  # slots that give way to a trial that needs their room
        self._goldens = Goldens(golden_store(settings))
        uri = choose_uri(settings.uri, self._state_dir)
        private = PrivateLibvirtd(self._state_dir)
        # Guests outlive a libvirtd of ours that dies, and one that is started in its place takes
        # them up again.
        self._hypervisor = Hypervisor(
            uri, revive=private.start if uri == private.uri else lambda: None
        )
        self._warden = Warden(uri, self._state_dir)
        self.swept = reap(self._hypervisor, self._run_root)
        self._acceleration = self._choose_acceleration(bundle)
        versions = self._hypervisor.versions()
        self._capacity = Capacity(host_resources(settings, self._state_dir))
        uri = self._hypervisor.uri
        total = self._capacity.total
        self.facts = HostFacts(
            name, uri, self._acceleration, versions, total, calibrate(), os.getpid()
        )

    @property
    def _run_root(self) -> Path:
        return run_root(self._state_dir)

    def needs(self, nodes: int, shape: NodeShape) -> Resources:
        """What a cluster of `nodes` VMs would occupy."""
        return cluster_resources(nodes, shape, self._acceleration.kind)

    def acquire(
        self,
        cluster: str,
        nodes: int,
        shape: NodeShape,
        *,
        campaign: str,
        expires: int,
        ahead: bool,
        holder: str = "",
        span: Span | None = None,
    ) -> Slot:
        """Give a cluster of `nodes` VMs its slot until `release`; CapacityError says what is
        missing.

        A slot that is taken `ahead` of its trial is taken back when its room is needed; `claim`
        makes it a lasting one. `holder` names who uses it, for `forsake`; `span` is for a cluster
        whose other nodes are on other hosts.
        """
        needed = self.needs(nodes, shape)
        with self._lock:
            shortfall = self._shortfall(needed, set() if ahead else self._ahead)
            if shortfall:
                raise CapacityError(
                    f"a cluster of {nodes} VMs doesn't fit on host {self.facts.name}: {shortfall}"
                )
            in_the_way = (
                [self._slots[name] for name in self._ahead] if not self._fits(needed) else []
            )
        for slot in in_the_way:
            self.release(slot)
        with self._lock:
            if shortfall := self._shortfall(
                needed, ()
            ):  # another took the room while slots were given back
                raise CapacityError(
                    f"a cluster of {nodes} VMs doesn't fit on host {self.facts.name}: {shortfall}"
                )
            taken = {port for slot in self._slots.values() for port in slot.ports}
            low, high = self._settings.ports
            address = span.address if span else LOOPBACK
            ports = free_ports(nodes, range(low, high + 1), reserved=taken, address=address)
            lease = Lease(campaign=campaign, trial=cluster, expires=expires, owner=self._owner)
            # The lowest SSH port is unique among live slots, so it serves as the cluster's
            # multicast port too.
            own = Multicast(MULTICAST_GROUP, ports[0])
            network = self._joined(span.network, lease) if span and span.network else own
            slot = Slot(cluster, ports, network, lease, needed, shape, address)
            self._slots[cluster] = slot
            self._holders[cluster] = holder
            self._given.add(cluster)
            self._warden.watch(cluster)
            self._capacity = self._capacity.reserve(needed)
            if ahead:
                self._ahead.add(cluster)
        return slot

    def _joined(self, network: Multicast | Bridge | Overlay, lease: Lease) -> Multicast | Bridge:
        """The network as nodes here are plugged into it; what must be made for that goes with the
        slot."""
        if not isinstance(network, Overlay):
            return network
        folder = run_folder.create(
            self._run_root, f"{lease.trial}-network", lease, {}, links=network.links
        )
        try:
            network.build()
        except HypervisorError:
            folder.remove()
            raise
        return network.bridge

    def claim(self, slot: Slot, expires: int) -> None:
        """Make a slot that was taken ahead a trial's own; CapacityError if it had to give way
        meanwhile."""
        with self._lock:
            if slot.cluster not in self._slots:
                raise CapacityError(
                    f"the slot {slot.cluster} on host {self.facts.name} was needed for something "
                    "else"
                )
            self._ahead.discard(slot.cluster)
        lease = replace(slot.lease, expires=expires)
        for folder in run_folder.all_folders(self._run_root):
            if folder.path.name.startswith(f"{slot.cluster}-"):
                self._hypervisor.renew(folder.path.name, expires)
                folder.renew(lease)

    def start(self, slot: Slot, boots: Sequence[NodeBoot], recipe: Recipe | None = None) -> None:
        """Start the nodes of a slot, all at once. On return all run; at a failure the caller
        releases the slot.

        With a recipe, their memory is in files, so that `save` can keep them as its golden cluster.
        """
        names = [boot.name for boot in boots]
        memory_mib = slot.shape.memory_mib
        memory = self._goldens.record(slot.cluster, recipe, names, memory_mib) if recipe else {}
        with _at_once(boots) as threads:
            list(threads.map(self._hypervisor.start, self._specs(slot, boots, memory)))

    def golden(
        self, ingredients: Mapping[str, str], shape: NodeShape, maker: str | None
    ) -> GoldenOffer:
        """What there is of the golden cluster of these ingredients on this host, verified.

        If there is nothing, it is the `maker`'s to make, and to `disclaim` afterwards; None only
        looks. What was damaged is discarded, and GoldenDamaged says what it was.
        """
        return self._goldens.offer(self.recipe(ingredients, shape), maker)

    def recipe(self, ingredients: Mapping[str, str], shape: NodeShape) -> Recipe:
        """The recipe of the golden cluster of these ingredients on this host."""
        return Recipe({**ingredients, **self._hardware(shape)})

    def disclaim(self, recipe: Recipe) -> None:
        """Nobody makes this golden cluster any more."""
        self._goldens.disclaim(recipe)

    def confirm(self, recipe: Recipe) -> None:
        """This golden cluster is made here, and on no other host."""
        self._goldens.confirm(recipe)

    def stage(self, key: str) -> Stage:
        """Whether the golden cluster of this key is being made here."""
        return self._goldens.stage(key)

    def save(self, slot: Slot, names: Sequence[str], identity: Mapping[str, bytes]) -> Golden:
        """Keep the nodes of a slot, started with a recipe, as its golden cluster; they stand still
        from then on.

        All are stopped before the first is saved, so that they are saved at one instant.
        """
        for name in names:
            self._hypervisor.suspend(f"{slot.cluster}-{name}")

        def save_devices(name: str, path: Path) -> None:
            self._hypervisor.save_devices(f"{slot.cluster}-{name}", path)

        return self._goldens.keep(slot.cluster, names, identity, save_devices)

    def restore(self, slot: Slot, boots: Sequence[NodeBoot], golden: Golden) -> None:
        """Start the nodes of a slot as they were when `golden` was saved, paused."""
        memory = {boot.name: MemoryFile(golden.ram(boot.name), "restore") for boot in boots}

        specs = self._specs(slot, boots, memory)
        with _at_once(boots) as threads:
            list(threads.map(self._hypervisor.start, specs))
            list(
                threads.map(
                    lambda spec: self._hypervisor.load_devices(spec.name, golden.state(spec.node)),
                    specs,
                )
            )

    def resume(self, slot: Slot, names: Sequence[str]) -> None:
        """Let paused nodes run."""
        for name in names:
            self._hypervisor.resume(f"{slot.cluster}-{name}")

    def drop(self, slot: Slot, names: Sequence[str]) -> None:
        """End some nodes of a slot; it keeps their share of the capacity."""
        with _at_once(names) as threads:
            list(
                threads.map(self._hypervisor.destroy, [f"{slot.cluster}-{name}" for name in names])
            )

    def look(self, slot: Slot, names: Sequence[str]) -> list[NodeState]:
        """How the slot's nodes are."""
        return [self._look(slot, name) for name in names]

    def commitment(self) -> Commitment:
        """How much of this machine is promised to nodes just now."""
        reserved = self._capacity.reserved
        return Commitment(
            reserved.vcpus / available_cpus(), reserved.memory_mib / memory_total_mib()
        )

    def release(self, slot: Slot) -> None:
        """End the slot's nodes, remove their files, and give the capacity back. Releasing twice is
        harmless.

        A slot whose nodes can't be ended stays in the books, since they may run on, and can be
        released again.
        """
        with self._lock:
            if self._slots.pop(slot.cluster, None) is None:
                return
            self._ahead.discard(slot.cluster)
        try:
            self._remove(
                lambda lease: lease.trial == slot.lease.trial and lease.owner == slot.lease.owner
            )
        except (HypervisorError, OSError):
            with self._lock:
                self._slots[slot.cluster] = slot
            raise
        with self._lock:
            self._holders.pop(slot.cluster, None)
            self._capacity = self._capacity.release(slot.resources)
        self._goldens.forget(slot.cluster)

    def forsake(self, holder: str) -> None:
        """Release every slot of a holder that is dead, and let others make what it was making."""
        self._goldens.forsake(holder)
        for slot in [
            slot for cluster, slot in self._slots.items() if self._holders.get(cluster) == holder
        ]:
            with contextlib.suppress(HypervisorError, OSError):  # its lease runs out
                self.release(slot)

    def close(self) -> None:
        """Release every slot, end the private libvirtd if it was ours to start, and disconnect.

        Actors of a killed driver live on for seconds and may have started nodes since we opened,
        and a libvirt that was given up may have started ours after all: they go too. What can't be
        ended is left to the warden.
        """
        for slot in list(self._slots.values()):
            with contextlib.suppress(HypervisorError, OSError):
                self.release(slot)
        try:
            reaped = reap(self._hypervisor, self._run_root, clusters=self._given)
        finally:
            self._goldens.close()
            self._hypervisor.close()
        if not reaped.failures:
            self._warden.dismiss()
        _end_private_libvirtd(self._state_dir)

    def _remove(self, wanted: Callable[[Lease], bool]) -> None:
        with ThreadPoolExecutor(MOST_AT_ONCE) as threads:  # a busy emulator takes seconds to die
            list(threads.map(self._hypervisor.destroy_owned, self._hypervisor.ours(wanted)))
        for folder in run_folder.all_folders(self._run_root):
            with contextlib.suppress(HypervisorError):
                if wanted(folder.lease()):
                    folder.remove()

    def _fits(self, needed: Resources) -> bool:
        return self._capacity.fits(needed) is None

    def _shortfall(self, needed: Resources, giving_way: Iterable[str]) -> object | None:
        """What is missing even if the slots `giving_way` are given back; to be called with the lock
        held."""
        capacity = self._capacity
        for name in giving_way:
            capacity = capacity.release(self._slots[name].resources)
        return capacity.fits(needed)

    def _hardware(self, shape: NodeShape) -> dict[str, str]:
        """What of this host shapes the memory and the devices of a node."""
        kind = self._acceleration.kind
        return {
            "acceleration": kind,
            "cpu": read_cpu_model() if kind == "kvm" else "emulated",
            "qemu": self.facts.versions.qemu,
            "domain": fingerprint(shape.vcpus, shape.memory_mib, kind, TB_CACHE_MIB),
        }

    def _specs(
        self, slot: Slot, boots: Sequence[NodeBoot], memory: Mapping[str, MemoryFile]
    ) -> list[NodeSpec]:
        pairs = zip(boots, slot.ports, strict=True)
        return [
            replace(self._spec(slot, boot, port), memory=memory.get(boot.name))
            for boot, port in pairs
        ]

    def _spec(self, slot: Slot, boot: NodeBoot, port: int) -> NodeSpec:
        name = f"{slot.cluster}-{boot.name}"
        folder = run_folder.create(self._run_root, name, slot.lease, boot.credentials)
        return NodeSpec(
            cluster=slot.cluster,
            node=boot.name,
            vcpus=slot.shape.vcpus,
            memory_mib=slot.shape.memory_mib,
            kernel=boot.image.kernel,
            initrd=boot.image.initrd,
            cmdline=boot.image.manifest.kernel_cmdline,
            root=boot.image.root,
            acceleration=self._acceleration.kind,
            tb_cache_mib=TB_CACHE_MIB,
            ssh_port=port,
            ssh_address=slot.address,
            network=slot.network,
            management_mac=boot.macs[0],
            cluster_mac=boot.macs[1],
            credentials=folder.credentials,
            console_log=folder.console_log,
            lease=slot.lease,
        )

    def _look(self, slot: Slot, name: str) -> NodeState:
        domain = f"{slot.cluster}-{name}"
        tail = console_tail(self._run_root / domain / "console.log", lines=40)
        return NodeState(
            name, self._hypervisor.state(domain), kernel_fault(tail), tail, self.facts.name
        )

    def _choose_acceleration(self, bundle: Bundle) -> Acceleration:
        if self._settings.acceleration != "auto":
            return Acceleration(self._settings.acceleration, "hosts.*.acceleration says so")
        return acceleration(bundle.kernel, bundle.initrd, self._state_dir)


def _at_once(things: Sequence[object]) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, min(len(things), MOST_AT_ONCE)))


def run_root(state_dir: Path) -> Path:
    """Where the run folders of nodes stand."""
    return state_dir / run_folder.RUN_FOLDERS


def host_resources(settings: HostSettings, state_dir: Path) -> Resources:
    """What a host has for nodes: what is free, within the limits that its settings draw."""
    low, high = settings.ports
    found = read_host(state_dir, ports=high - low + 1, vcpus_per_cpu=VCPUS_PER_CPU)
    memory = found.memory_mib if settings.memory_mib is None else settings.memory_mib
    return replace(found, memory_mib=memory, vcpus=settings.vcpus or found.vcpus)


def cluster_resources(nodes: int, shape: NodeShape, kind: Literal["kvm", "tcg"]) -> Resources:
    """What `nodes` VMs occupy, the emulator's own memory included."""
    node = node_resources(
        vcpus=shape.vcpus, memory_mib=shape.memory_mib, tb_cache_mib=TB_CACHE_MIB, acceleration=kind
    )
    return node * nodes


def sweep(settings: HostSettings, *, everything: bool = False) -> Reaped:
    """Remove what dead drivers left on a host; with `everything`, live campaigns' domains too."""
    with connected(settings) as hypervisor:
        return reap(hypervisor, run_root(state_dir_of(settings)), now=time.time(), all=everything)


@contextlib.contextmanager
def connected(settings: HostSettings) -> Iterator[Hypervisor]:
    """A connection for a look at a host; a private libvirtd is ended afterwards unless others need
    it."""
    state_dir = state_dir_of(settings)
    try:
        with Hypervisor(choose_uri(settings.uri, state_dir)) as hypervisor:
            yield hypervisor
    finally:
        _end_private_libvirtd(state_dir)


def state_dir_of(settings: HostSettings) -> Path:
    """A host's state folder."""
    return Path(settings.state_dir).expanduser().absolute()


def golden_store(settings: HostSettings) -> GoldenStore:
    """Where a host keeps its golden clusters."""
    return GoldenStore(state_dir_of(settings) / "golden", settings.golden_mib)


def _end_private_libvirtd(state_dir: Path) -> None:
    with contextlib.suppress(HypervisorError):  # another campaign's guests may still run under it
        PrivateLibvirtd(state_dir).stop()
