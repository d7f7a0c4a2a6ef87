"""A host's books, on libvirt's own test driver, which has no VMs: what can't be ended stays in
them."""

import time

import pytest

from actors.hosts.host import Host
from actors.hosts.slot import NodeShape
from actors.hypervisor.errors import HypervisorError
from actors.hypervisor.lease import Owner
from campaign.core.errors import CapacityError
from campaign.images.bundles.store import Store
from campaign.schema.hosts import HostSettings
from tests.unit.campaign.images.test_store import add

SHAPE = NodeShape(vcpus=1, memory_mib=512)


@pytest.fixture
def host(tmp_path):
    """One with room for one cluster of two VMs."""
    settings = HostSettings(
        uri="test:///default", state_dir=str(tmp_path), acceleration="tcg", memory_mib=2000
    )
    opened = Host("here", settings, add(Store(tmp_path / "images")), Owner.current())
    yield opened
    opened.close()


def acquire(host, cluster, holder=""):
    wishes = {
        "campaign": "demo",
        "expires": int(time.time()) + 600,
        "ahead": False,
        "holder": holder,
    }
    return host.acquire(cluster, 2, SHAPE, **wishes)


@pytest.mark.parametrize(
    "error", [HypervisorError("libvirt does not answer"), OSError("read-only file system")]
)
def test_a_slot_whose_nodes_cannot_be_ended_keeps_its_room_until_they_are(host, monkeypatch, error):
    slot = acquire(host, "first")

    def hung(*_):
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(host._hypervisor, "ours", hung)
        with pytest.raises(type(error)):
            host.release(slot)
        host.forsake("")
    with pytest.raises(CapacityError):
        acquire(host, "second")
    host.release(slot)
    host.release(acquire(host, "second"))


def test_what_a_dead_holder_had_is_given_back(host):
    acquire(host, "first", holder="dead")
    host.forsake("living")
    with pytest.raises(CapacityError):
        acquire(host, "second")
    host.forsake("dead")
    acquire(host, "second")
