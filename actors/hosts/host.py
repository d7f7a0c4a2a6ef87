"""One libvirt host: its connection, how its guests run, its slots and its golden clusters.

`Host` is plain and synchronous; `actors/hosts/host_actor.py` makes it a Ray actor, and
`actors/hosts/local.py` serves it in this process.
"""

import contextlib
import contextvars
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from actors.hosts.device_leases import Wanted, device_resources, lease_devices
from actors.hosts.node_specs import hardware, node_specs
from actors.hosts.resources import cluster_resources, host_resources
from actors.hosts.slot import (
    LOOPBACK,
    HostFacts,
    HostUsage,
    NodeBoot,
    NodeShape,
    NodeState,
    SharedNetwork,
    Slot,
)
from actors.hosts.slot_table import SlotTable
from actors.hosts.state_dir import end_private_libvirtd, golden_store, run_root, state_dir_of
from actors.hypervisor import run_folder
from actors.hypervisor.calibration import calibrate
from actors.hypervisor.capacity import (
    Resources,
    available_cpus,
    memory_total_mib,
)
from actors.hypervisor.connection import Hypervisor
from actors.hypervisor.console import console_tail, kernel_fault
from actors.hypervisor.daemon import PrivateLibvirtd, choose_uri
from actors.hypervisor.errors import HypervisorError
from actors.hypervisor.host_hardware import require_devices
from actors.hypervisor.lease import Lease, Owner
from actors.hypervisor.node_spec import MemoryFile, Multicast, NodeSpec
from actors.hypervisor.overlay import Bridge, Overlay
from actors.hypervisor.ports import free_ports
from actors.hypervisor.probe import Acceleration, acceleration
from actors.hypervisor.reaper import reap
from actors.hypervisor.starting import start_attached
from actors.hypervisor.watchdog import Watchdog
from actors.snapshots.lock import SnapshotLock
from actors.snapshots.registry import Fetch, SnapshotOffer, SnapshotRegistry
from actors.snapshots.snapshot import Golden, SnapshotKey
from campaign.core import log
from campaign.core.errors import CampaignError
from campaign.guest import exchange
from campaign.images.bundles.manifest import Bundle
from campaign.schema.hosts import HostSettings

MAX_THREADS = 16
"""So many nodes are started or ended at once."""
MULTICAST_GROUP = "239.192.77.1"
"""One group for all clusters, in the organisation-local range; each cluster has its own port."""

_log = logging.getLogger(__name__)
T = TypeVar("T")
R = TypeVar("R")


class Host:
    """A host that is open for nodes. `close` ends whatever of this campaign still runs on it.

    All methods may be called from several threads.
    """

    def __init__(self, name: str, settings: HostSettings, bundle: Bundle, owner: Owner) -> None:
        """Connect, remove what dead drivers left, and find out how guests run.

        The kernel of `bundle` is booted for that, unless the settings or an earlier boot tell.
        Raises InfrastructureErrors.
        """
        self._settings = settings
        self._owner = owner
        self._state_dir = state_dir_of(settings)
        self._snapshots = SnapshotRegistry(golden_store(settings), SnapshotLock(name))
        uri = choose_uri(settings.uri, self._state_dir)
        private = PrivateLibvirtd(self._state_dir)
        # Guests outlive a libvirtd of ours that dies, and one that is started in its place takes
        # them up again.
        self._hypervisor = Hypervisor(
            uri, revive=private.start if uri == private.uri else lambda: None
        )
        self._watchdog = Watchdog(uri, self._state_dir)
        # Before resources are counted, since what dead drivers left still holds some.
        self.swept = reap(self._hypervisor, self._run_root)
        self._acceleration = self._choose_acceleration(bundle)
        total = host_resources(settings, self._state_dir)
        self._slots = SlotTable(name, total)
        self.facts = HostFacts(
            name,
            self._hypervisor.uri,
            self._acceleration,
            self._hypervisor.versions(),
            total,
            calibrate(),
            os.getpid(),
        )

    @property
    def _run_root(self) -> Path:
        return run_root(self._state_dir)

    @property
    def snapshot_lock(self) -> SnapshotLock:
        """The right to make golden clusters on this host."""
        return self._snapshots.lock

    def needs(self, nodes: int, shape: NodeShape, devices: Sequence[Wanted] = ()) -> Resources:
        """Return what a cluster of `nodes` VMs would occupy."""
        room = cluster_resources(nodes, shape, self._acceleration.kind)
        return room + device_resources(devices)

    def acquire(
        self,
        cluster: str,
        nodes: int,
        shape: NodeShape,
        *,
        campaign: str,
        expires: int,
        preemptible: bool = False,
        holder: str = "",
        shared: SharedNetwork | None = None,
        devices: Sequence[Wanted] = (),
    ) -> Slot:
        """Give a cluster of `nodes` VMs its slot until `release`.

        Raises CapacityError, which says what is missing. A `preemptible` slot is taken back when
        its room is needed; `pin` makes it a lasting one. `expires` is when its lease runs out, in
        Unix seconds. `holder` names who uses it, for `release_all_of`; `shared` is for a cluster
        that has nodes on other hosts, too. `devices` are those that each node wants, if any does.
        """
        if any(devices):
            require_devices(self.facts.name, self._settings.devices)
        needed = self.needs(nodes, shape, devices)
        for slot in self._slots.to_preempt(nodes, needed, preemptible=preemptible):
            self.release(slot)
        lease = Lease(campaign=campaign, trial=cluster, expires=expires, owner=self._owner)

        def make(taken: set[int]) -> Slot:
            low, high = self._settings.ports
            address = shared.address if shared else LOOPBACK
            ports = free_ports(nodes, range(low, high + 1), reserved=taken, address=address)
            # Before anything is started, so that at no moment a node runs that nobody would end.
            self._watchdog.watch(cluster)
            # The lowest SSH port is unique among live slots, so it serves as the cluster's
            # multicast port too.
            own = Multicast(MULTICAST_GROUP, ports[0])
            given = lease_devices(self._run_root, lease, self._settings.devices, devices)
            network = self._joined(shared.network, lease) if shared and shared.network else own
            return Slot(cluster, ports, network, lease, needed, shape, address, devices=given)

        with _step(cluster, f"acquiring a slot for {nodes} nodes"):
            try:
                slot = self._slots.add(nodes, needed, make, holder=holder, preemptible=preemptible)
            except (CampaignError, OSError):
                # What was leased for it beside a slot must not stay so.
                self._remove_folders(lambda one: (one.trial, one.owner) == (cluster, self._owner))
                raise
            _log.debug("holder %s, ports %s, network %s", holder, slot.ports, slot.network)
            _log.debug("devices %s", slot.devices or "none")
        return slot

    def _joined(self, network: Multicast | Bridge | Overlay, lease: Lease) -> Multicast | Bridge:
        """Make what nodes here need to be plugged into `network`; it goes with the slot."""
        if not isinstance(network, Overlay):
            return network
        # The lease is on the disk before the links exist, so the reaper finds them whatever
        # happens.
        folder = run_folder.create(
            self._run_root, f"{lease.trial}-network", lease, {}, links=network.links
        )
        try:
            network.build()
        except HypervisorError:
            folder.remove()
            raise
        return network.bridge

    def pin(self, slot: Slot, expires: int) -> None:
        """Make a preemptible slot a lasting one, with a lease until `expires` (Unix seconds).

        Raises CapacityError if it was taken back meanwhile.
        """
        with log.context(cluster=slot.cluster):
            # The slot comes first: if it was taken back, its lease must not be renewed.
            self._slots.pin(slot.cluster)
            _log.debug("the slot is a lasting one now")
        lease = replace(slot.lease, expires=expires)
        for folder in run_folder.all_folders(self._run_root):
            if folder.path.name.startswith(f"{slot.cluster}-"):
                self._hypervisor.renew(folder.path.name, expires)
                folder.renew(lease)

    def start(self, slot: Slot, boots: Sequence[NodeBoot]) -> None:
        """Start the nodes of a slot, all at once.

        On return all run; at a failure the caller releases the slot.
        """
        with _step(slot.cluster, f"starting {len(boots)} nodes"):
            _at_once(partial(start_attached, self._hypervisor), self._specs(slot, boots, {}))

    def start_recorded(self, slot: Slot, boots: Sequence[NodeBoot], key: SnapshotKey) -> None:
        """Start nodes with their memory in files, so that `save` can keep them under `key`."""
        names = [boot.name for boot in boots]
        with _step(slot.cluster, f"starting {len(boots)} nodes to be saved"):
            memory = self._snapshots.record(slot.cluster, key, names, slot.shape.memory_mib)
            _at_once(self._hypervisor.start, self._specs(slot, boots, memory))

    def lookup(
        self,
        key_inputs: Mapping[str, str],
        shape: NodeShape,
        owner: str | None,
        fetch: Fetch = lambda _: None,
    ) -> SnapshotOffer:
        """Return the golden cluster of these inputs on this host; see `SnapshotRegistry.lookup`."""
        return self._snapshots.lookup(self.snapshot_key(key_inputs, shape), owner, fetch)

    def snapshot_key(self, key_inputs: Mapping[str, str], shape: NodeShape) -> SnapshotKey:
        """Return the key of the golden cluster of these inputs on this host."""
        qemu = self.facts.versions.qemu
        return SnapshotKey({**key_inputs, **hardware(shape, self._acceleration.kind, qemu)})

    def save(self, slot: Slot, names: Sequence[str], identity: Mapping[str, bytes]) -> Golden:
        """Keep the nodes of a slot, which were started by `start_recorded`, as a golden cluster.

        They stand still from then on. All are stopped before the first is saved, so that they are
        saved at one instant; those that have halted stand still already. `identity` holds the
        cluster's secrets.
        """

        hypervisor = self._hypervisor
        virtual = slot.shape.clock == "virtual"
        save = hypervisor.save_devices_at_once if virtual else hypervisor.save_devices

        def save_devices(name: str, path: Path) -> None:
            save(f"{slot.cluster}-{name}", path)

        with _step(slot.cluster, f"saving {len(names)} nodes"):
            for state in self.states(slot, names):
                if state.state != "halted":
                    self._hypervisor.suspend(f"{slot.cluster}-{state.name}")
            return self._snapshots.save(slot.cluster, names, identity, save_devices)

    def restore(self, slot: Slot, boots: Sequence[NodeBoot], golden: Golden) -> None:
        """Start the nodes of a slot as they were when `golden` was saved, paused."""
        memory = {boot.name: MemoryFile(golden.ram(boot.name), "restore") for boot in boots}

        def load_devices(spec: NodeSpec) -> None:
            self._hypervisor.load_devices(spec.name, golden.state(spec.node))

        with _step(slot.cluster, f"restoring {len(boots)} nodes"):
            specs = self._specs(slot, boots, memory)
            _at_once(self._hypervisor.start, specs)
            _at_once(load_devices, specs)

    def resume(self, slot: Slot, names: Sequence[str]) -> None:
        """Let paused nodes run."""
        with _step(slot.cluster, f"resuming {len(names)} nodes"):
            for name in names:
                self._hypervisor.resume(f"{slot.cluster}-{name}")

    def drop(self, slot: Slot, names: Sequence[str]) -> None:
        """End some nodes of a slot; the slot keeps their share of the capacity."""
        with _step(slot.cluster, f"ending {', '.join(names)}"):
            _at_once(self._hypervisor.destroy, [f"{slot.cluster}-{name}" for name in names])

    def states(self, slot: Slot, names: Sequence[str]) -> list[NodeState]:
        """Return the state of nodes of a slot, in the order of `names`."""
        return [self._state(slot, name) for name in names]

    def progress(self, slot: Slot, name: str) -> exchange.GuestProgress | None:
        """Return what a guest in virtual time says of its task; None if it has said nothing yet."""
        return exchange.read_progress(self._folder(slot, name).exchange)

    def result(self, slot: Slot, name: str) -> bytes:
        """Return what a guest in virtual time has left in its exchange, once it is done."""
        return exchange.read_result(self._folder(slot, name).exchange)

    def cpu_s(self, slot: Slot, name: str) -> float:
        """Return the CPU time that a running node's emulator has used so far, seconds."""
        return self._hypervisor.usage(f"{slot.cluster}-{name}").cpu_seconds

    def usage(self) -> HostUsage:
        """Return how much of this machine is promised to nodes just now."""
        reserved = self._slots.reserved
        return HostUsage(
            reserved.vcpus / available_cpus(), reserved.memory_mib / memory_total_mib()
        )

    def release(self, slot: Slot) -> None:
        """End the slot's nodes, remove their files, and give the capacity back.

        Releasing twice is harmless. A slot whose nodes can't be ended stays in the table, since
        they may run on, and can be released again.
        """
        entry = self._slots.begin_release(slot.cluster)
        if entry is None:
            return

        def of_slot(lease: Lease) -> bool:
            # Another driver's cluster on this host may have the same name.
            return lease.trial == slot.lease.trial and lease.owner == slot.lease.owner

        try:
            with _step(slot.cluster, "ending nodes"):
                self._remove(of_slot)
        except (HypervisorError, OSError):
            self._slots.fail_release(entry)
            raise
        self._slots.finish_release(entry)
        self._snapshots.forget(slot.cluster)

    def release_all_of(self, holder: str) -> None:
        """Release every slot of a holder that is dead, and let others make what it was making."""
        self._snapshots.lock.release_all_of(holder)
        for slot in self._slots.slots_of(holder):
            with contextlib.suppress(HypervisorError, OSError):  # its lease runs out
                self.release(slot)

    def close(self) -> None:
        """Release every slot, end the private libvirtd if it was ours to start, and disconnect.

        Actors of a killed driver live on for seconds and may have started nodes since we opened,
        and a libvirt that was given up may have started ours after all: they go too. What can't be
        ended is left to the watchdog.
        """
        for slot in self._slots.all_slots():
            with contextlib.suppress(HypervisorError, OSError):
                self.release(slot)
        try:
            reaped = reap(self._hypervisor, self._run_root, clusters=self._slots.clusters_ever)
        finally:
            self._snapshots.close()
            self._hypervisor.close()
        if not reaped.failures:
            self._watchdog.dismiss()
        end_private_libvirtd(self._state_dir)

    def _remove(self, wanted: Callable[[Lease], bool]) -> None:
        # A busy emulator takes seconds to die.
        _at_once(self._hypervisor.destroy_owned, list(self._hypervisor.ours(wanted)))
        # The folders come last, since nodes use the credentials in them until they have ended.
        self._remove_folders(wanted)

    def _remove_folders(self, wanted: Callable[[Lease], bool]) -> None:
        for folder in run_folder.all_folders(self._run_root):
            with contextlib.suppress(HypervisorError):
                if wanted(folder.lease()):
                    folder.remove()

    def _state(self, slot: Slot, name: str) -> NodeState:
        tail = console_tail(self._folder(slot, name).console_log, lines=40)
        state = self._hypervisor.state(f"{slot.cluster}-{name}")
        return NodeState(name, state, kernel_fault(tail), tail, self.facts.name)

    def _folder(self, slot: Slot, name: str) -> run_folder.RunFolder:
        return run_folder.RunFolder(self._run_root / f"{slot.cluster}-{name}")

    def _specs(
        self, slot: Slot, boots: Sequence[NodeBoot], memory: Mapping[str, MemoryFile]
    ) -> list[NodeSpec]:
        return node_specs(self._run_root, slot, boots, memory, self._acceleration.kind)

    def _choose_acceleration(self, bundle: Bundle) -> Acceleration:
        if self._settings.acceleration != "auto":
            return Acceleration(self._settings.acceleration, "hosts.*.acceleration says so")
        return acceleration(bundle.kernel, bundle.initrd, self._state_dir)


@contextlib.contextmanager
def _step(cluster: str, what: str) -> Iterator[None]:
    """Log a step with its duration, and that all that is logged inside is about `cluster`."""
    with log.context(cluster=cluster), log.span(_log, what):
        yield


def _at_once(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Do `work` for all items in threads; the first error is raised when all have ended."""
    with ThreadPoolExecutor(max(1, min(len(items), MAX_THREADS))) as threads:
        # Threads don't inherit what the log says that records are about.
        futures = [threads.submit(contextvars.copy_context().run, work, item) for item in items]
    return [future.result() for future in futures]
