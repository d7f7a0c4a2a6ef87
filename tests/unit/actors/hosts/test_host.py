"""A host's slots, on libvirt's own test driver, which has no VMs."""

import dataclasses
import stat
import time
from types import SimpleNamespace

import pytest

from actors.hosts.host import Host, _at_once
from actors.hosts.resources import cluster_resources
from actors.hosts.slot import NodeBoot, NodeShape
from actors.hypervisor.capacity import available_cpus
from actors.hypervisor.errors import HypervisorError
from actors.hypervisor.lease import Owner
from campaign.core import log
from campaign.core.errors import CapacityError
from campaign.guest.exchange import ExchangeError
from campaign.images.bundles.store import Store
from campaign.schema.hosts import HostSettings
from tests.unit.campaign.images.test_store import add

SHAPE = NodeShape(vcpus=1, memory_mib=512)
VIRTUAL = dataclasses.replace(SHAPE, clock="virtual")
MACS = ("52:54:00:00:00:01", "52:54:00:00:00:02")


@pytest.fixture
def host(tmp_path):
    """One with room for one cluster of two VMs."""
    settings = HostSettings(
        uri="test:///default", state_dir=str(tmp_path), acceleration="tcg", memory_mib=2000
    )
    bundle = add(Store(tmp_path / "images"))
    opened = Host("here", settings, bundle, Owner.current())
    opened.bundle = bundle
    yield opened
    opened.close()


def acquire(host, cluster, holder="", preemptible=False, nodes=2, shape=SHAPE):
    wishes = {
        "campaign": "demo",
        "expires": int(time.time()) + 600,
        "holder": holder,
        "preemptible": preemptible,
    }
    return host.acquire(cluster, nodes, shape, **wishes)


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


def test_guests_in_virtual_time_have_a_cpu_each(tmp_path):
    settings = HostSettings(
        uri="test:///default", state_dir=str(tmp_path), acceleration="tcg", memory_mib=1_000_000
    )
    opened = Host("here", settings, add(Store(tmp_path / "images")), Owner.current())
    try:
        for number in range(max(1, int(available_cpus()))):
            acquire(opened, f"c{number}", nodes=1, shape=VIRTUAL)
        with pytest.raises(CapacityError, match="1 whole CPUs are needed, 0 are free"):
            acquire(opened, "more", nodes=1, shape=VIRTUAL)
        acquire(opened, "real", nodes=1)
    finally:
        opened.close()


def test_a_guest_in_virtual_time_is_emulated_on_every_host():
    assert cluster_resources(1, VIRTUAL, "kvm") == cluster_resources(1, VIRTUAL, "tcg")


def test_a_golden_cluster_in_virtual_time_has_one_key_on_all_hosts(host, monkeypatch):
    here = host.snapshot_key({"image": "a"}, VIRTUAL)
    assert here != host.snapshot_key({"image": "a"}, SHAPE)
    monkeypatch.setattr("actors.hosts.node_specs.read_cpu_model", lambda: "another CPU")
    other = dataclasses.replace(host._acceleration, kind="kvm")
    monkeypatch.setattr(host, "_acceleration", other)
    assert host.snapshot_key({"image": "a"}, VIRTUAL) == here
    assert host.snapshot_key({"image": "a"}, VIRTUAL) != host.snapshot_key({"image": "b"}, VIRTUAL)


def padded(bundle, tmp_path):
    """The bundle with a root that can be mapped."""
    root = tmp_path / "root"
    root.write_bytes(bytes(2 << 20))
    return SimpleNamespace(
        kernel=bundle.kernel, initrd=bundle.initrd, root=root, manifest=bundle.manifest
    )


def test_an_exchange_lasts_as_long_as_its_guest_and_is_ours_alone(host, tmp_path):
    slot = acquire(host, "virtual", nodes=1, shape=VIRTUAL)
    boot = NodeBoot("head", padded(host.bundle, tmp_path), MACS, {}, b"a task", 3)
    host.start(slot, [boot])
    path = host._folder(slot, "head").exchange
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"a task" in path.read_bytes()[:16_384]
    assert host.progress(slot, "head") is None
    with pytest.raises(ExchangeError):
        host.result(slot, "head")
    host.release(slot)
    assert not path.exists()


def test_a_task_that_no_exchange_holds_leaves_no_folder(host, tmp_path, monkeypatch):
    slot = acquire(host, "virtual", nodes=1, shape=VIRTUAL)
    monkeypatch.setattr("campaign.guest.exchange.create.__kwdefaults__", {"size": 2 << 20})
    boot = NodeBoot("head", padded(host.bundle, tmp_path), MACS, {}, bytes(3 << 20), 0)
    with pytest.raises(ExchangeError):
        host.start(slot, [boot])
    assert [one.name for one in host._run_root.iterdir() if one.name != ".lock"] == []
