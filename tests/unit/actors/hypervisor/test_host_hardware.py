"""What a host lacks of what nodes ask for is told before anything starts, and all of it at once."""

import pytest

from actors.hypervisor.errors import HypervisorError
from actors.hypervisor.host_hardware import HostHardware, require
from campaign.schema.devices import DeviceSettings, NetworkSettings
from tests.fakes.sysfs import FakeSysfs

GPU = "0000:65:00.0"
SOUND = "0000:65:00.1"
NIC = "0000:17:00.0"


@pytest.fixture
def machine(tmp_path):
    """One with a GPU, whose sound shares its group with it and a bridge, and a network card."""
    sysfs = FakeSysfs(tmp_path)
    sysfs.driver("vfio-pci")
    sysfs.function("0000:64:00.0", "060400", group=1, driver="pcieport")
    sysfs.function(GPU, "030000", group=1, driver="nouveau")
    sysfs.function(SOUND, "040300", group=1, driver="snd_hda_intel")
    sysfs.function(NIC, "020000", group=2, driver="ixgbe")
    return sysfs


def device(address=GPU, kind="gpu", companions=(SOUND,)):
    return DeviceSettings(address=address, kind=kind, companions=list(companions))


def problems(machine, privileged=True, **devices):
    return list(HostHardware(machine.root, privileged=privileged).device_problems(devices))


def test_a_whole_group_can_be_passed_through(machine):
    assert problems(machine, a=device(), b=device(NIC, "nic", ())) == []


def test_a_device_that_is_not_there_is_named(machine):
    (told,) = problems(machine, a=device("0000:99:00.0", companions=()))
    assert told == (
        "a (0000:99:00.0): there is no PCI device 0000:99:00.0 on the host (lspci -D lists them)"
    )


def test_a_device_of_another_kind_is_told_from_what_was_meant(machine):
    (told,) = problems(machine, a=device(NIC, "gpu", ()))
    assert "it is no gpu: its PCI class is 02" in told


def test_without_an_iommu_there_is_no_group(machine):
    machine.function("0000:05:00.0", "030000")
    (told,) = problems(machine, a=device("0000:05:00.0", companions=()))
    assert "no IOMMU group" in told and "intel_iommu=on" in told


def test_what_shares_the_group_and_is_the_hosts_is_named_with_its_driver(machine):
    (told,) = problems(machine, a=device(companions=()))
    assert f"{SOUND} is in its IOMMU group" in told and "snd_hda_intel" in told


def test_a_neighbour_that_is_bound_to_vfio_or_to_nothing_does_no_harm(machine):
    for number, driver in ((3, "vfio-pci"), (4, None)):
        machine.function(f"0000:0{number}:00.0", "120000", group=number)
        machine.function(f"0000:0{number}:00.1", "040300", group=number, driver=driver)
        assert problems(machine, a=device(f"0000:0{number}:00.0", "fpga", ())) == []


def test_two_devices_of_one_group_go_to_one_node_or_none(machine):
    told = problems(machine, a=device(companions=()), b=device(SOUND, "other", ()))
    assert any("a (0000:65:00.0): it shares its IOMMU group with b" in one for one in told)


def test_without_vfio_and_without_root_both_are_told(machine, tmp_path):
    (machine.root / "sys/bus/pci/drivers/vfio-pci").rmdir()
    told = problems(machine, privileged=False, a=device())
    assert any("root" in one for one in told) and any("modprobe vfio-pci" in one for one in told)
    machine.module("vfio-pci")
    assert problems(machine, a=device()) == [], "libvirt loads it"


def networks(machine, known=(), refused=None, privileged=True, **settings):
    found = {name: NetworkSettings(**one) for name, one in settings.items()}
    hardware = HostHardware(machine.root, privileged=privileged, links=machine.links)
    said = refused or {}

    def kernel(*, rate, latency):
        asked = {"rate": rate, "latency": latency}
        return {what: words for what, words in said.items() if asked[what]}

    return list(hardware.network_problems(found, lambda: known, kernel))


def test_a_bridge_must_be_there_and_be_one(machine):
    machine.link("br0", "bridge")
    machine.link("eth0")
    assert networks(machine, a={"bridge": "br0"}) == []
    (told,) = networks(machine, a={"bridge": "eth0"})
    assert "a: the bridge eth0 is no bridge" in told
    (told,) = networks(machine, a={"bridge": "br1"})
    assert "a: the bridge br1 doesn't exist" in told


def test_a_network_of_libvirts_must_be_active(machine):
    assert networks(machine, known=["default"], a={"network": "default"}) == []
    (told,) = networks(machine, known=["default"], a={"network": "fabric"})
    assert "no active network fabric" in told


def test_what_the_kernel_cannot_do_is_told_by_the_setting_that_wants_it(machine):
    machine.link("br0", "bridge")
    refused = {"rate": "no police", "latency": "no netem"}
    assert networks(machine, refused=refused, a={"bridge": "br0"}) == []
    (told,) = networks(machine, refused=refused, a={"bridge": "br0", "latency_ms": 1})
    assert told == "a: the kernel can't do latency_ms: no netem"
    (told,) = networks(machine, refused=refused, a={"bridge": "br0", "rate_mbit": 1})
    assert told == "a: the kernel can't do rate_mbit: no police"


def test_cards_need_root(machine):
    machine.link("br0", "bridge")
    (told,) = networks(machine, privileged=False, a={"bridge": "br0"})
    assert "root" in told


def test_all_problems_are_one_error():
    require("hosts.a.devices", [])
    with pytest.raises(HypervisorError) as one:
        require("hosts.a.devices", ["no GPU"])
    assert one.value.brief == "hosts.a.devices: no GPU"
    with pytest.raises(HypervisorError) as two:
        require("hosts.a.devices", ["no GPU", "no vfio"])
    assert two.value.brief == "hosts.a.devices: 2 things are missing"
    assert two.value.details == "no GPU\nno vfio" and two.value.resolution
