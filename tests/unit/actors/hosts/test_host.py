"""A host's slots, on libvirt's own test driver, which has no VMs."""

import time

import pytest

from actors.hosts.host import Host, _at_once
from actors.hosts.slot import NodeShape
from actors.hypervisor.errors import HypervisorError
from actors.hypervisor.lease import Owner
from campaign.core import log
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


def acquire(host, cluster, holder="", preemptible=False):
    wishes = {
        "campaign": "demo",
        "expires": int(time.time()) + 600,
        "holder": holder,
        "preemptible": preemptible,
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
        host.release_all_of("")
    with pytest.raises(CapacityError):
        acquire(host, "second")
    host.release(slot)
    host.release(acquire(host, "second"))


def test_what_a_dead_holder_had_is_given_back(host):
    acquire(host, "first", holder="dead")
    host.release_all_of("living")
    with pytest.raises(CapacityError):
        acquire(host, "second")
    host.release_all_of("dead")
    acquire(host, "second")


def test_a_preemptible_slot_gives_way_to_one_that_is_needed(host):
    ahead = acquire(host, "ahead", preemptible=True)
    acquire(host, "needed")
    with pytest.raises(CapacityError, match="needed for something else"):
        host.pin(ahead, int(time.time()) + 600)


def test_a_slot_that_was_pinned_stays(host):
    host.pin(acquire(host, "ahead", preemptible=True), int(time.time()) + 600)
    with pytest.raises(CapacityError):
        acquire(host, "needed")


def test_a_dead_holder_makes_no_golden_cluster_any_more(host):
    assert host.lookup({"image": "a"}, SHAPE, "dead").yours
    assert not host.lookup({"image": "a"}, SHAPE, "living").yours
    host.release_all_of("dead")
    assert host.lookup({"image": "a"}, SHAPE, "living").yours


def test_steps_are_logged_with_their_cluster_and_duration(host, caplog):
    caplog.set_level("DEBUG", "actors.hosts.host")
    with caplog.filtering(log.ContextFilter()):
        host.release(acquire(host, "first"))
    ended = [one for one in caplog.records if getattr(one, "event", "") == "end"]
    assert [one.span for one in ended] == ["acquiring a slot for 2 nodes", "ending nodes"]
    assert all(one.cluster == "first" and one.duration_s >= 0 for one in ended)


def test_threads_of_a_step_log_what_it_is_about():
    with log.context(cluster="first"):
        assert _at_once(lambda _: log.current()["cluster"], [1, 2, 3]) == ["first"] * 3


def test_an_error_in_a_thread_is_raised_when_all_have_ended():
    done = []

    def work(item):
        if item == 1:
            raise HypervisorError("no")
        time.sleep(0.05)
        done.append(item)

    with pytest.raises(HypervisorError):
        _at_once(work, [1, 2, 3])
    assert sorted(done) == [2, 3]
