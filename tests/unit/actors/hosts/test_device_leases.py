"""A device belongs to one VM at a time, whoever asks: clusters of one campaign, or of several."""

import json
import time

import pytest

from actors.hosts.device_leases import device_resources, lease_devices, leased_devices
from actors.hosts.host import Host
from actors.hosts.placement import Placement
from actors.hosts.resources import cluster_resources
from actors.hosts.slot import NodeBoot, NodeShape, SharedNetwork
from actors.hypervisor import host_hardware
from actors.hypervisor.attached import NetworkCard
from actors.hypervisor.capacity import Resources
from actors.hypervisor.errors import HypervisorError
from actors.hypervisor.lease import Lease, Owner
from actors.hypervisor.overlay import Overlay
from campaign.core.errors import CapacityError
from campaign.images.bundles.store import Store
from campaign.schema.devices import DeviceSettings
from campaign.schema.hosts import HostSettings
from tests.fakes.sysfs import FakeSysfs
from tests.unit.campaign.images.test_store import add

FIRST = "0000:65:00.0"
SOUND = "0000:65:00.1"
SECOND = "0000:66:00.0"
FPGA = "0000:17:00.0"
DEVICES = {
    "a": DeviceSettings(address=FIRST, kind="gpu", companions=[SOUND]),
    "b": DeviceSettings(address=SECOND, kind="gpu"),
    "c": DeviceSettings(address=FPGA, kind="fpga"),
}
SHAPE = NodeShape(vcpus=1, memory_mib=512)
HEAD_AND_ONE = ({}, {"gpu": 1})


def lease(trial, expires=1_900_000_000):
    return Lease("demo", trial, expires, Owner.current())


def test_each_node_gets_what_it_wants_and_no_two_the_same(tmp_path):
    given = lease_devices(tmp_path, lease("t1"), DEVICES, ({}, {"gpu": 1}, {"gpu": 1, "fpga": 1}))
    assert given == ((), (FIRST, SOUND), (SECOND, FPGA))
    assert leased_devices(tmp_path) == {FIRST, SOUND, SECOND, FPGA}
    (found,) = tmp_path.glob("*/lease.json")
    assert set(json.loads(found.read_text())["devices"].split()) == leased_devices(tmp_path)


def test_what_another_campaign_has_is_left_to_it(tmp_path):
    lease_devices(tmp_path, lease("t1"), DEVICES, HEAD_AND_ONE)
    assert lease_devices(tmp_path, lease("t2"), DEVICES, HEAD_AND_ONE) == ((), (SECOND,))
    with pytest.raises(CapacityError, match="asks for 1 gpu, but the host has 0 left"):
        lease_devices(tmp_path, lease("t3"), DEVICES, HEAD_AND_ONE)
    assert not (tmp_path / "t3-devices").exists()


def test_who_wants_none_leaves_nothing_on_the_disk(tmp_path):
    assert lease_devices(tmp_path, lease("t1"), DEVICES, ()) == ()
    assert list(tmp_path.iterdir()) == []


def test_devices_are_counted_by_kind_and_placement_counts_them():
    wanted = device_resources([{}, {"gpu": 2}, {"gpu": 2, "nic": 1}])
    assert wanted == Resources(gpus=4, nics=1)
    placement = Placement()
    placement.add("without", Resources(memory_mib=9000, vcpus=9, ports=9, disk_mib=999), "tcg")
    placement.add("with", Resources(memory_mib=8000, vcpus=9, ports=9, disk_mib=999, gpus=1), "tcg")
    needs = {"tcg": Resources(memory_mib=500, vcpus=1) + Resources(gpus=1)}
    assert placement.place(1, needs) == "with" and placement.place(2, needs) is None


@pytest.fixture
def host(tmp_path, monkeypatch):
    """One with room for many VMs and two GPUs, on a machine that has them."""
    sysfs = FakeSysfs(tmp_path / "machine")
    sysfs.driver("vfio-pci")
    for group, address in enumerate((FIRST, SECOND)):
        sysfs.function(address, group=group, driver="nouveau")
    sysfs.function(SOUND, "040300", group=0)
    real = host_hardware.HostHardware
    monkeypatch.setattr(host_hardware, "HostHardware", lambda: real(sysfs.root, privileged=True))
    settings = HostSettings(
        uri="test:///default",
        state_dir=str(tmp_path),
        acceleration="tcg",
        memory_mib=100_000,
        vcpus=100,
        devices={name: DEVICES[name] for name in "ab"},
    )
    opened = Host("here", settings, add(Store(tmp_path / "images")), Owner.current())
    opened.sysfs = sysfs
    yield opened
    opened.close()


def acquire(host, cluster, devices=HEAD_AND_ONE, shared=None):
    wishes = {"campaign": "demo", "expires": int(time.time()) + 600, "shared": shared}
    return host.acquire(cluster, 2, SHAPE, devices=devices, **wishes)


def test_a_slot_has_its_devices_until_it_is_released(host):
    first = acquire(host, "first")
    assert first.devices == ((), (FIRST, SOUND))
    assert acquire(host, "second").devices == ((), (SECOND,))
    with pytest.raises(CapacityError, match="1 GPUs are needed, 0 are free"):
        acquire(host, "third")
    host.release(first)
    assert acquire(host, "third").devices == ((), (FIRST, SOUND))
    assert host.needs(2, SHAPE, HEAD_AND_ONE) - host.needs(2, SHAPE) == Resources(gpus=1)
    assert host.needs(2, SHAPE) == cluster_resources(2, SHAPE, "tcg")


def test_a_slot_that_cannot_be_given_leaves_no_device_leased(host, monkeypatch):
    def no_links(_):
        raise HypervisorError("the network can't be made")

    monkeypatch.setattr(Overlay, "build", no_links)
    shared = SharedNetwork(Overlay(1, "127.0.0.1", ()), "127.0.0.1")
    with pytest.raises(HypervisorError, match="can't be made"):
        acquire(host, "first", shared=shared)
    assert leased_devices(host._run_root) == set()


def test_a_device_that_has_gone_is_told_and_nothing_is_leased(host):
    host.sysfs.unplug(SECOND)
    with pytest.raises(HypervisorError, match=rf"hosts.here.devices: b \({SECOND}\): there is no"):
        acquire(host, "first")
    assert leased_devices(host._run_root) == set()
    host.release(acquire(host, "plain", devices=()))


def test_a_nodes_own_lease_says_which_devices_it_has(host):
    slot = acquire(host, "first")
    bundle = add(Store(host._state_dir / "more"))
    card = NetworkCard("fabric", "bridge", "br0", "02:0c:00:00:00:01")
    macs = ("02:0a:00:00:00:01", "02:0b:00:00:00:01")
    boots = [
        NodeBoot("head", bundle, macs, {}),
        NodeBoot("n1", bundle, macs, {}, cards=(card,)),
    ]
    head, node = host._specs(slot, boots, {})
    assert (head.devices, head.lease.devices, head.cards, head.machine) == ((), (), (), "pc")
    assert node.devices == node.lease.devices == (FIRST, SOUND)
    assert node.cards == (card,) and node.machine == "q35"
    assert host._folder(slot, "n1").lease().devices == (FIRST, SOUND)
    assert not host._folder(slot, "devices").of_node and host._folder(slot, "n1").of_node
