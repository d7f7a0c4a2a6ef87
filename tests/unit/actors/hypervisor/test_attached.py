"""What a node has of its host's: libvirt's own schema takes it, and what can't be meant is
refused."""

import dataclasses
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from actors.hypervisor.attached import NetworkCard
from actors.hypervisor.domain import LEASE_NAMESPACE, domain_xml, parse_lease
from actors.hypervisor.errors import InvalidLease, InvalidNodeSpec
from actors.hypervisor.node_spec import MappedFiles, MemoryFile
from tests.unit.actors.hypervisor.test_domain import (
    LEASE,
    assert_fits_schema,
    changed,
    needs_schema,
)

GPU = ("0000:65:00.0", "0000:65:00.1")
BRIDGE = NetworkCard("fabric", "bridge", "br0", "02:0c:00:00:00:01")
LIBVIRTS = NetworkCard("storage", "network", "default", "02:0c:00:00:00:02")
SHAPED = dataclasses.replace(BRIDGE, rate_mbit=100, latency_ms=2.5, model="e1000e")


@needs_schema
@pytest.mark.parametrize("machine", ["pc", "q35"])
@pytest.mark.parametrize("acceleration", ["kvm", "tcg"])
@pytest.mark.parametrize("cards", [(), (BRIDGE,), (SHAPED, LIBVIRTS)], ids=len)
@pytest.mark.parametrize("devices", [(), GPU, ("ffff:ff:1f.7",)], ids=len)
def test_fits_libvirts_own_schema(acceleration, machine, cards, devices, tmp_path):
    spec = changed(acceleration=acceleration, machine=machine, cards=cards, devices=devices)
    assert_fits_schema(domain_xml(spec, run_as=(0, 0)), tmp_path)


def test_a_device_is_passed_through_by_its_address_and_given_back():
    domain = ET.fromstring(domain_xml(changed(devices=GPU)))
    hostdevs = domain.findall("devices/hostdev")
    assert [dict(one.attrib) for one in hostdevs] == [
        {"mode": "subsystem", "type": "pci", "managed": "yes"}
    ] * 2
    assert [dict(one.find("source/address").attrib) for one in hostdevs] == [
        {"domain": "0x0000", "bus": "0x65", "slot": "0x00", "function": f"0x{function}"}
        for function in (0, 1)
    ]


def test_a_card_has_its_network_its_model_and_its_rate_in_kilobytes():
    domain = ET.fromstring(domain_xml(changed(cards=(SHAPED, LIBVIRTS))))
    first, second = domain.findall("devices/interface")
    assert (first.get("type"), first.find("source").attrib) == ("bridge", {"bridge": "br0"})
    assert (second.get("type"), second.find("source").attrib) == ("network", {"network": "default"})
    assert first.find("model").get("type") == "e1000e"
    rates = {one.tag: one.get("average") for one in first.find("bandwidth")}
    assert rates == {"inbound": "12500", "outbound": "12500"}, "100 Mbit/s are 12500 kB/s"
    assert second.find("bandwidth") is None


def test_taps_have_names_that_links_can_have_and_no_two_the_same():
    names = {
        card.tap(domain) for card in (BRIDGE, LIBVIRTS) for domain in ("c1-n1", "c1-n2", "c2-n1")
    }
    assert len(names) == 6 and all(len(name) <= 15 for name in names)
    domain = ET.fromstring(domain_xml(changed(cards=(BRIDGE,))))
    assert domain.find("devices/interface/target").get("dev") == BRIDGE.tap("c1-n0")


def test_a_node_without_them_is_described_as_ever():
    plain = ET.fromstring(domain_xml(changed()))
    assert plain.find("devices/hostdev") is None and plain.find("devices/interface") is None
    assert "devices" not in plain.find(f"metadata/{{{LEASE_NAMESPACE}}}lease").attrib


def test_the_lease_of_a_domain_says_which_devices_it_covers():
    lease = dataclasses.replace(LEASE, devices=GPU)
    element = ET.fromstring(domain_xml(changed(lease=lease, devices=GPU))).find(
        f"metadata/{{{LEASE_NAMESPACE}}}lease"
    )
    assert parse_lease(ET.tostring(element, encoding="unicode")) == lease
    with pytest.raises(InvalidLease, match="PCI addresses"):
        dataclasses.replace(LEASE, devices=("../etc",))
    with pytest.raises(InvalidLease):
        type(LEASE).from_fields(LEASE.fields() | {"devices": 7})


@pytest.mark.parametrize(
    "fields",
    [
        {"devices": ("65:00.0",)},
        {"devices": ("0000:65:00.8",)},
        {"devices": ("0000:65:20.0",)},
        {"devices": (GPU[0], GPU[0])},
        {"cards": (dataclasses.replace(BRIDGE, where="a,b"),)},
        {"cards": (dataclasses.replace(BRIDGE, where="x" * 16),)},
        {"cards": (dataclasses.replace(LIBVIRTS, where="../x"),)},
        {"cards": (dataclasses.replace(BRIDGE, source="mcast"),)},
        {"cards": (dataclasses.replace(BRIDGE, mac="03:0c:00:00:00:01"),)},
        {"cards": (dataclasses.replace(BRIDGE, model="rtl8139"),)},
        {"cards": (dataclasses.replace(BRIDGE, rate_mbit=0),)},
        {"cards": (dataclasses.replace(BRIDGE, latency_ms=-1.0),)},
        {"cards": (BRIDGE, dataclasses.replace(BRIDGE, where="br1"))},
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused_by_name(fields):
    (name,) = fields
    with pytest.raises(InvalidNodeSpec, match=name):
        changed(**fields)


@pytest.mark.parametrize("attached", [{"devices": GPU}, {"cards": (BRIDGE,)}], ids=str)
def test_a_node_with_them_is_neither_saved_nor_restored_nor_in_virtual_time(attached):
    for use in ("record", "restore"):
        with pytest.raises(InvalidNodeSpec, match="saved or restored"):
            changed(memory=MemoryFile(Path("/m"), use), **attached)
    with pytest.raises(InvalidNodeSpec, match="virtual time"):
        changed(mapped=MappedFiles(Path("/x"), 2**21, 2**21), vcpus=1, **attached)
