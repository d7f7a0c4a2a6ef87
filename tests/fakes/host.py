"""A host whose nodes are entries of a dictionary, and connections to them that always succeed.

`FakeHost` is both `HostNodes` and `HostSnapshots`: slots, nodes with a state, one golden cluster.
"""

import asyncio
from pathlib import Path

from actors.bootstrap.ssh import Output
from actors.hosts.slot import HostFacts, HostUsage, NodeState, Slot
from actors.hypervisor.calibration import REFERENCE_HASH_MIB_S, Calibration
from actors.hypervisor.capacity import Resources
from actors.hypervisor.connection import Versions
from actors.hypervisor.node_spec import Multicast
from actors.hypervisor.probe import Acceleration
from actors.snapshots.registry import SnapshotOffer
from actors.snapshots.snapshot import Golden, SnapshotKey
from campaign.core.errors import CapacityError, InfrastructureError

NETWORK = Multicast("239.0.0.1", 1)


class FakeRemote:
    """A connection to `node`; every command succeeds and says nothing."""

    def __init__(self, node):
        self.node = node
        self.commands = []
        self.closed = False

    async def run(self, command, *, timeout_s, stdin=None):
        self.commands.append(tuple(command))
        return Output(0, "", "")

    async def succeed(self, command, *, timeout_s, stdin=None):
        return (await self.run(command, timeout_s=timeout_s)).stdout

    async def put(self, files, *, timeout_s):
        self.commands.append(("put", *(file.path for file in files)))

    async def renew(self, deadline):
        pass

    def close(self):
        self.closed = True


class FakeHost:
    """Slots by name, each with the states of its nodes; what `refuses` names fails."""

    def __init__(self, refuses=(), slowness=1.0):
        self.slowness = slowness
        self.slots = {}
        self.released = []
        self.recorded = set()
        self.golden_cluster = None
        self.refuses = set(refuses)
        self.made = 0
        self.samples = []  # of its load
        self.tasks = {}  # what guests in virtual time were given, by their name
        self.said = {}  # what they say of it: Progress, and the result's bytes
        self.results = {}
        self.wanted = {}  # by slot: the devices that each node wants
        self.cards = {}  # by slot: the cards of each node

    def _do(self, what):
        if what in self.refuses:
            raise InfrastructureError(f"{what} is refused")

    async def facts(self):
        return HostFacts(
            name="h",
            uri="test:///default",
            acceleration=Acceleration("kvm", "a fake"),
            versions=Versions("1", "2", "3", "here"),
            total=Resources(),
            calibration=Calibration(REFERENCE_HASH_MIB_S / self.slowness, 9000.0, 60.0),
            pid=1,
        )

    async def acquire(self, cluster, nodes, shape, expires, *, preemptible=False, devices=()):
        self._do("acquire")
        self.slots[cluster] = {}
        self.wanted[cluster] = devices
        ports = tuple(range(2200, 2200 + nodes))
        given = tuple(
            tuple(f"0000:0{node}:00.{function}" for function in range(sum(of_node.values())))
            for node, of_node in enumerate(devices)
        )
        return Slot(cluster, ports, NETWORK, None, Resources(), shape, devices=given)

    async def pin(self, slot, expires):
        if slot.cluster not in self.slots:
            raise CapacityError("its room was needed")

    async def start(self, slot, boots):
        self._do("start")
        self.slots[slot.cluster] = {boot.name: "running" for boot in boots}
        self.tasks |= {boot.name: (boot.task_number, boot.task) for boot in boots}
        self.cards[slot.cluster] = {boot.name: boot.cards for boot in boots}

    async def lookup(self, key_inputs, shape, *, make):
        key = SnapshotKey(key_inputs)
        return SnapshotOffer(key, self.golden_cluster, yours=make and not self.golden_cluster)

    async def unlock(self, key):
        pass

    async def start_recorded(self, slot, boots, key):
        await self.start(slot, boots)
        self.recorded.add(slot.cluster)

    async def save(self, slot, names, identity):
        self._do("save")
        assert slot.cluster in self.recorded
        await asyncio.sleep(0)
        self.made += 1
        self.golden_cluster = Golden(
            Path(), SnapshotKey({"number": str(self.made)}), tuple(names), identity, "seal", 1, 1
        )
        return self.golden_cluster

    async def restore(self, slot, boots, golden):
        self._do("restore")
        self.slots[slot.cluster] = {boot.name: "paused" for boot in boots}
        self.tasks |= {boot.name: (boot.task_number, boot.task) for boot in boots}

    async def resume(self, slot, names):
        self._do("resume")
        for name in names:
            assert self.slots[slot.cluster][name] == "paused"
            self.slots[slot.cluster][name] = "running"

    async def drop(self, slot, names):
        for name in names:
            del self.slots[slot.cluster][name]

    async def states(self, slot, names):
        nodes = self.slots[slot.cluster]
        return [
            NodeState(name, nodes.get(name, "none"), None, f"console of {name}", "h")
            for name in names
        ]

    async def progress(self, slot, name):
        return self.said.get(name)

    async def result(self, slot, name):
        return self.results[name]

    async def cpu_s(self, slot, name):
        return 0.0

    async def usage(self):
        return HostUsage(0.0, 0.0)

    async def load(self, window_s):
        self._do("load")
        return {"h": self.samples}

    async def release(self, slot):
        self.released.append(slot.cluster)
        self.slots.pop(slot.cluster, None)


def connect_to_fakes(monkeypatch, made=None):
    """Have `Remote.connect` return fake connections, which `made` keeps by node."""
    from actors.clusters import live

    async def connect(node, *_, **__):
        remote = FakeRemote(node)
        if made is not None:
            made[node] = remote
        return remote

    monkeypatch.setattr(live.Remote, "connect", connect)
