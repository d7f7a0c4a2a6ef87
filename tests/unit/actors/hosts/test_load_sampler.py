"""A host's load is sampled for as long as the host is open."""

import logging
import threading
from dataclasses import replace

import pytest

from actors.hosts import load_sampler
from actors.hosts.load_sampler import LoadSampler, _domains_of
from actors.hosts.state_dir import run_root, state_dir_of
from actors.hypervisor import run_folder
from actors.hypervisor.host_reading import HostReader
from actors.hypervisor.lease import Lease, Owner
from campaign.schema.hosts import HostSettings
from tests.fakes.proc import FakeMachine, Program


@pytest.fixture
def machine(tmp_path):
    """A machine of two CPUs with one busy program."""
    made = FakeMachine(tmp_path)
    made.run(Program(400))
    return made


@pytest.fixture
def sampler(machine):
    reader = HostReader([], root=machine.root, clock=lambda: machine.now)
    return LoadSampler(reader.read, clock=lambda: machine.now)


def test_samples_are_those_of_a_window_and_say_how_old_they_are(machine, sampler):
    for _ in range(4):
        machine.advance(5)
        sampler.take()
    machine.advance(1)
    assert [one.ago_s for one in sampler.samples(100)] == [16, 11, 6, 1]
    assert [one.ago_s for one in sampler.samples(10)] == [6, 1]
    assert all(one.foreign_cpus == pytest.approx(1.0, abs=0.01) for one in sampler.samples(100))


def test_the_time_of_a_failed_reading_belongs_to_the_next_sample(machine, sampler, caplog):
    stat = machine.root / "proc" / "stat"
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            machine.advance(5)
            stat.unlink()
            sampler.take()
    assert len(caplog.records) == 1  # said once
    machine.advance(5)
    sampler.take()
    (found,) = sampler.samples(100)
    assert found.seconds == 20


def test_a_thread_samples_until_it_is_stopped(machine, monkeypatch):
    monkeypatch.setattr(load_sampler, "INTERVAL_S", 0.001)
    monkeypatch.setattr(load_sampler, "COST_FACTOR", 0)
    reader = HostReader([], root=machine.root)
    read = threading.Semaphore(0)

    def count():
        read.release()
        return reader.read()

    sampler = LoadSampler(count)
    sampler.start()
    try:
        for _ in range(4):
            assert read.acquire(timeout=120)
        assert len(sampler.samples(1000)) >= 2
    finally:
        sampler.stop()
    (thread,) = [one for one in threading.enumerate() if one.name == "load sampler"] or [None]
    if thread:
        thread.join(120)
        assert not thread.is_alive()


def test_samples_beyond_what_is_kept_are_forgotten(machine, monkeypatch):
    monkeypatch.setattr(load_sampler, "KEPT", 3)
    reader = HostReader([], root=machine.root, clock=lambda: machine.now)
    sampler = LoadSampler(reader.read, clock=lambda: machine.now)
    for _ in range(5):
        machine.advance(5)
        sampler.take()
    assert [one.ago_s for one in sampler.samples(1000)] == [10, 5, 0]


def test_nodes_are_those_with_our_lease_and_a_network_is_none(tmp_path):
    settings = HostSettings(state_dir=str(tmp_path))
    root = run_root(state_dir_of(settings))
    me = Owner.current()
    lease = Lease("test", "c-t1", 2**31, me)
    run_folder.create(root, "c-t1-n1", lease, {})
    run_folder.create(root, "c-t1-network", lease, {}, links=["br0"])
    run_folder.create(root, "c-t2-n1", replace(lease, owner=replace(me, start=1)), {})
    (root / "c-t3-n1").mkdir()
    assert _domains_of(settings, me) == {"c-t1-n1"}
