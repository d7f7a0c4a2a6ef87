"""A cluster over several hosts: who gets which nodes, what each host is told of the others, and
what is given back."""

import asyncio
from dataclasses import replace

import pytest

from actors.hosts.multi_host import HostPart, MultiHost
from actors.hosts.placement import shares
from actors.hosts.slot import LOOPBACK, HostUsage, NodeBoot, NodeShape, NodeState, Slot
from actors.hypervisor.capacity import Resources
from actors.hypervisor.errors import NodeStartFailed
from actors.hypervisor.lease import Lease, Owner
from actors.hypervisor.node_spec import Multicast
from actors.hypervisor.overlay import Bridge, Overlay
from campaign.core.errors import CapacityError

SHAPE = NodeShape(1, 512)
LEASE = Lease("demo", "c", 9, Owner("here", "0" * 36, 1, 1))


class Host:
    """A host that takes slots and starts nodes, as far as a cluster over several hosts sees it."""

    def __init__(self, name, *, full=False):
        self.name = name
        self.full = full
        self.slots = []
        self.nodes = {}
        self.networks = []

    async def acquire(
        self, cluster, nodes, shape, expires, *, preemptible=False, devices=(), shared=None
    ):
        if self.full:
            raise CapacityError(f"{self.name} is full")
        self.networks.append(shared.network)
        own = Multicast("239.1.1.1", 22200)
        network = (
            shared.network.bridge if isinstance(shared.network, Overlay) else shared.network or own
        )
        ports = tuple(range(22200, 22200 + nodes))
        slot = Slot(cluster, ports, network, LEASE, Resources(vcpus=nodes), shape, shared.address)
        self.slots.append(slot)
        return slot

    async def start(self, slot, boots):
        self.nodes[slot] = [boot.name for boot in boots]

    async def states(self, slot, names):
        assert set(names) <= set(self.nodes[slot])
        return [NodeState(name, "running", None, "", self.name) for name in names]

    async def drop(self, slot, names):
        self.nodes[slot] = [name for name in self.nodes[slot] if name not in names]

    async def usage(self):
        return HostUsage(len(self.slots), 0.5 if self.name == "a" else 0.1)

    async def release(self, slot):
        self.slots.remove(slot)


def multi_host(*hosts, local=False, bridge=None):
    parts = [
        HostPart(host, host.name, f"10.77.0.{n}", local, bridge) for n, host in enumerate(hosts, 1)
    ]
    return MultiHost(parts)


def acquired(several, nodes):
    return asyncio.run(several.acquire("c", nodes, SHAPE, 9))


def boots(*names):
    return [NodeBoot(name, None, ("", ""), {}) for name in names]


def test_each_node_has_the_devices_that_its_own_host_gave_it():
    slot = acquired(multi_host(Host("a"), Host("b")), 3)
    assert slot.devices_of(["head", "n1", "n2"]) == {}
    a, b = slot.parts
    given = replace(slot, parts=(replace(a, devices=((), ("A",))), replace(b, devices=(("B",),))))
    assert given.devices_of(["head", "n1", "n2"]) == {"n1": ("B",), "n2": ("A",)}


def test_nodes_are_dealt_in_turn():
    assert shares(5, 2) == [3, 2] and shares(3, 3) == [1, 1, 1] and shares(2, 1) == [2]
    a = Host("a")
    b = Host("b")
    several = multi_host(a, b)
    slot = acquired(several, 3)
    asyncio.run(several.start(slot, boots("head", "n1", "n2")))
    assert a.nodes[slot.parts[0]] == ["head", "n2"] and b.nodes[slot.parts[1]] == ["n1"]
    assert slot.ssh_endpoints == (("10.77.0.1", 22200), ("10.77.0.2", 22200), ("10.77.0.1", 22201))
    states = asyncio.run(several.states(slot, ["n1", "head"]))
    assert [(state.name, state.host) for state in states] == [("n1", "b"), ("head", "a")]
    asyncio.run(several.drop(slot, ["n2"]))
    assert a.nodes[slot.parts[0]] == ["head"]


def test_each_host_knows_the_others_and_all_have_one_number():
    a = Host("a")
    b = Host("b")
    c = Host("c")
    slot = acquired(multi_host(a, b, c), 4)
    overlays = [host.networks[0] for host in (a, b, c)]
    assert len({one.number for one in overlays}) == 1 and 0 <= overlays[0].number < 2**24
    assert overlays[1].address == "10.77.0.2" and overlays[1].peers == ("10.77.0.1", "10.77.0.3")
    assert {part.network for part in slot.parts} == {overlays[0].bridge}
    assert all(len(link) <= 15 for link in overlays[0].links)


def test_a_bridge_of_the_sites_is_used_as_it_is():
    a = Host("a")
    b = Host("b")
    acquired(multi_host(a, b, bridge="br-hpc"), 2)
    assert [host.networks[0] for host in (a, b)] == [Bridge("br-hpc")] * 2


def test_on_one_machine_all_join_the_first_hosts_multicast_group_on_loopback():
    a = Host("a")
    b = Host("b")
    slot = acquired(multi_host(a, b, local=True), 2)
    assert a.networks[0] is None and b.networks[0] == slot.parts[0].network
    assert {address for address, _ in slot.ssh_endpoints} == {LOOPBACK}


def test_where_one_host_has_no_room_the_others_get_theirs_back():
    a = Host("a")
    b = Host("b", full=True)
    with pytest.raises(CapacityError, match="b is full"):
        acquired(multi_host(a, b), 3)
    assert not a.slots


def test_release_and_usage_are_of_all_hosts():
    a = Host("a")
    b = Host("b")
    several = multi_host(a, b)
    slot = acquired(several, 3)
    assert asyncio.run(several.usage()) == HostUsage(1, 0.5)
    asyncio.run(several.release(slot))
    assert not a.slots and not b.slots


def test_a_host_that_cannot_release_keeps_no_other_from_it():
    a = Host("a")
    b = Host("b")
    several = multi_host(a, b)
    slot = acquired(several, 3)
    a.slots.clear()  # its release fails now
    with pytest.raises(ValueError):
        asyncio.run(several.release(slot))
    assert not b.slots


def test_an_error_of_one_host_comes_out_as_it_is():
    class Broken(Host):
        async def start(self, slot, boots):
            raise NodeStartFailed("b has no memory")

    several = multi_host(Host("a"), Broken("b"))
    slot = acquired(several, 2)
    with pytest.raises(NodeStartFailed, match="b has no memory"):
        asyncio.run(several.start(slot, boots("head", "n1")))
