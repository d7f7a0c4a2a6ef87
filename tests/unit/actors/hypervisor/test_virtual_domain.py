"""The domain of a guest in virtual time: libvirt's schema, what QEMU gets, and what is refused."""

import dataclasses
import xml.etree.ElementTree as ET
from pathlib import Path

import libvirt
import pytest

from actors.hypervisor import virtual_domain
from actors.hypervisor.domain import domain_xml, fingerprint
from actors.hypervisor.domain_state import in_words
from actors.hypervisor.errors import InvalidNodeSpec
from actors.hypervisor.node_spec import MappedFiles, MemoryFile
from actors.hypervisor.overlay import Bridge
from tests.unit.actors.hypervisor.test_domain import (
    SPEC,
    assert_fits_schema,
    needs_schema,
    qemu_arguments,
)

MIB = 2**20
MAPPED = MappedFiles(Path("/run/c1/exchange"), 256 * MIB, 136 * MIB)
VIRTUAL = dataclasses.replace(SPEC, vcpus=1, memory_mib=1024, credentials={}, mapped=MAPPED)


def changed(**fields):
    return dataclasses.replace(VIRTUAL, **fields)


def options(xml, name):
    """The values of every `name` among QEMU's own arguments."""
    arguments = qemu_arguments(xml)
    return [arguments[place + 1] for place, one in enumerate(arguments) if one == name]


@needs_schema
@pytest.mark.parametrize("run_as", [None, (1000, 100)])
@pytest.mark.parametrize("use", [None, "record", "restore"])
def test_fits_libvirts_own_schema(run_as, use, tmp_path):
    memory = MemoryFile(Path("/proc/1/fd/9"), use) if use else None
    assert_fits_schema(domain_xml(changed(memory=memory), run_as=run_as), tmp_path)


@pytest.mark.parametrize("network", [SPEC.network, Bridge("cbr-0a1b2c", 1450)], ids=str)
def test_the_guest_is_closed(network):
    xml = domain_xml(changed(network=network))
    domain = ET.fromstring(xml)
    for absent in ("genid", "devices/disk", "devices/interface", "sysinfo"):
        assert domain.find(absent) is None, absent
    assert options(xml, "-netdev") == []


def test_its_clock_counts_instructions_and_nothing_of_a_boot_is_drawn_by_lot():
    xml = domain_xml(VIRTUAL)
    clock = ET.fromstring(xml).find("clock")
    assert (clock.get("offset"), clock.get("start")) == ("absolute", "1893456000")
    assert clock.find("timer[@name='rtc']").get("track") == "guest"
    assert options(xml, "-icount") == ["shift=0,sleep=off,rr=record,rrfile=/dev/null"]
    assert options(xml, "-seed") == ["1"]
    assert options(xml, "-smbios") == ["type=1,uuid=00000000-0000-4000-8000-000000000001"]


def test_the_exchange_is_shared_and_the_root_is_read_only():
    xml = domain_xml(VIRTUAL)
    exchange, root = (
        dict(pair.split("=") for pair in one.split(",")[1:]) for one in options(xml, "-object")
    )
    assert exchange == {
        "id": "exchange",
        "mem-path": "/run/c1/exchange",
        "size": str(256 * MIB),
        "share": "on",
    }
    assert (root["mem-path"], root["readonly"]) == ("/store/root.erofs", "on")
    nvdimms = [one for one in options(xml, "-device") if one.startswith("nvdimm")]
    assert nvdimms == ["nvdimm,memdev=exchange", "nvdimm,memdev=root,unarmed=on"]


def test_there_is_room_for_all_that_is_mapped():
    (memory,) = options(domain_xml(changed(memory_mib=4096)), "-m")
    assert memory == "slots=2,maxmem=5120M"


def test_a_guest_that_halts_is_left_alone_and_one_that_ends_is_gone():
    xml = domain_xml(VIRTUAL)
    domain = ET.fromstring(xml)
    assert domain.findtext("on_crash") == "preserve"
    assert {domain.findtext("on_poweroff"), domain.findtext("on_reboot")} == {"destroy"}
    assert options(xml, "-action") == ["panic=pause"]
    assert any(one.startswith("pvpanic-pci,") for one in options(xml, "-device"))
    assert in_words(libvirt.VIR_DOMAIN_CRASHED, libvirt.VIR_DOMAIN_CRASHED_PANICKED) == "halted"
    assert in_words(libvirt.VIR_DOMAIN_CRASHED, 0) == "crashed"


@pytest.mark.parametrize(
    "fields",
    [
        {"vcpus": 2},
        {"acceleration": "kvm"},
        {"machine": "q35"},
        {"root": Path("/a,readonly=off")},
        {"mapped": dataclasses.replace(MAPPED, exchange=Path("/a,b"))},
        {"mapped": dataclasses.replace(MAPPED, exchange=Path("exchange"))},
        {"mapped": dataclasses.replace(MAPPED, exchange_size=MIB)},
        {"mapped": dataclasses.replace(MAPPED, root_size=0)},
        {"mapped": dataclasses.replace(MAPPED, root_size=136 * MIB + 4096)},
    ],
    ids=str,
)
def test_what_no_such_guest_can_be_is_refused(fields):
    with pytest.raises(InvalidNodeSpec):
        changed(**fields)


def test_guests_whose_memory_fits_no_other_have_other_fingerprints():
    real = fingerprint(1, 1024, "tcg", 256)
    virtual = fingerprint(1, 1024, "tcg", 256, exchange_size=64 * MIB)
    larger = fingerprint(1, 1024, "tcg", 256, exchange_size=128 * MIB)
    assert len({real, virtual, larger}) == 3
    assert virtual == fingerprint(1, 1024, "tcg", 256, exchange_size=64 * MIB)


def test_a_guest_fits_none_whose_kernel_was_told_otherwise(monkeypatch):
    told = fingerprint(1, 1024, "tcg", 256, exchange_size=64 * MIB)
    monkeypatch.setattr(virtual_domain, "KERNEL_OPTIONS", "root=pmem")
    assert fingerprint(1, 1024, "tcg", 256, exchange_size=64 * MIB) != told
