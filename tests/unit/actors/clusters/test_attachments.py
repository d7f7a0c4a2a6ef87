"""Which VMs of a cluster have devices and further cards, and under which addresses."""

import asyncio
import base64
from types import SimpleNamespace

import pytest

from actors.clusters.attachments import cards_of, devices_of
from actors.clusters.cluster_spec import ClusterSpec, VirtualTime
from actors.clusters.identity import credentials, draw_keys, macs
from actors.clusters.provisioner import Provisioner
from campaign.core.phase_clock import PhaseClock
from campaign.schema.model import ClusterSettings
from tests.fakes.host import FakeHost
from tests.fakes.scheduler import FakeScheduler

FABRIC = {"bridge": "br0", "first_address": "10.90.0.11/24", "rate_mbit": 100, "latency_ms": 2}
STORAGE = {"network": "default"}
ATTACHED = ClusterSettings.model_validate(
    {"devices": {"gpu": 2}, "networks": {"fabric": FABRIC, "storage": STORAGE}}
)
GROUPED = ClusterSettings.model_validate(
    {
        "groups": {
            "plain": {"nodes": 1, "networks": []},
            "fast": {"nodes": [1, 3], "devices": {"gpu": 1}, "networks": ["fabric"]},
            "all": {"nodes": 1},
        },
        "networks": {"fabric": FABRIC, "storage": STORAGE},
    }
)
BUNDLE = SimpleNamespace(hash="0" * 64, manifest=SimpleNamespace(name="fake", facts={}))


def test_compute_nodes_have_devices_and_the_head_has_none():
    assert devices_of(ATTACHED, 2) == ({}, {"gpu": 2}, {"gpu": 2})
    assert devices_of(ClusterSettings(), 2) == ()


def test_each_card_has_its_network_an_address_and_a_mac_of_its_own():
    cards = cards_of(ATTACHED, 2, "c1")
    assert sorted(cards) == ["n1", "n2"]
    fabric, storage = cards["n2"]
    assert (fabric.source, fabric.where, fabric.address) == ("bridge", "br0", "10.90.0.12/24")
    assert (fabric.rate_mbit, fabric.latency_ms) == (100, 2)
    assert (storage.source, storage.where, storage.address) == ("network", "default", None)
    both = [*cards.values(), *cards_of(ATTACHED, 2, "c2").values()]
    assert len({card.mac for of_node in both for card in of_node}) == 8


def test_unlike_nodes_have_what_their_group_says():
    # The group whose size is searched comes last.
    assert devices_of(GROUPED, 4) == ({}, {}, {}, {"gpu": 1}, {"gpu": 1})
    cards = cards_of(GROUPED, 4, "c1")
    assert {name: [card.network for card in some] for name, some in cards.items()} == {
        "n1": [],
        "n2": ["fabric", "storage"],
        "n3": ["fabric"],
        "n4": ["fabric"],
    }
    assert cards["n3"][0].address == "10.90.0.13/24"


@pytest.mark.parametrize("settings", [ATTACHED, GROUPED], ids=["equal", "groups"])
def test_such_clusters_are_booted_for_every_trial(settings, remotes):
    async def run():
        host = FakeHost()
        spec = ClusterSpec("test", FakeScheduler(), settings, BUNDLE, 3, 3)
        ready = await Provisioner(spec, host, host).provision("t", 3, {}, PhaseClock())
        assert (ready.golden_key, host.made) == ("", 0)
        slot = ready.cluster.slot.cluster
        assert host.wanted[slot] == devices_of(settings, 3)
        assert host.cards[slot] == {"head": (), **cards_of(settings, 3, slot)}
        await ready.cluster.release()

    asyncio.run(run())


def test_guests_in_virtual_time_have_nothing_of_their_hosts():
    limits = VirtualTime(100, 100)
    spec = ClusterSpec("test", FakeScheduler(), ATTACHED, BUNDLE, 1, 2, virtual_time=limits)
    topology = spec.topology(2)
    assert (spec.devices(topology), spec.cards(topology, "c")) == ((), {})


def test_a_node_learns_the_addresses_of_its_cards():
    spec = ClusterSpec("test", FakeScheduler(), ATTACHED, BUNDLE, 1, 2)
    topology = spec.topology(1)
    (node,) = topology.compute
    cards = spec.cards(topology, "c1")[node.name]
    given = credentials(topology, node, draw_keys(topology), macs(1), cards)
    lines = given["tmpfiles.extra"].decode().splitlines()
    files = {line.split()[1]: base64.b64decode(line.split()[-1]).decode() for line in lines}
    assert "/etc/systemd/network/30-storage.network" not in files, "it has no address"
    fabric = files["/etc/systemd/network/30-fabric.network"]
    assert f"MACAddress={cards[0].mac}" in fabric and "Address=10.90.0.11/24" in fabric
