"""Hosts' actors without Ray: a golden cluster is brought from another host, or made on one of
them."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from actors.hosts.host_actor import HostActor
from actors.snapshots.lock import SnapshotLock
from actors.snapshots.registry import SnapshotRegistry
from actors.snapshots.store import GoldenStore
from campaign.core.errors import InfrastructureError
from tests.unit.actors.snapshots import golden_sample

KEY = golden_sample.key("a")


class SnapshotsOnly:
    """A host as far as its golden clusters go."""

    def __init__(self, store, name):
        self.registry = SnapshotRegistry(store, SnapshotLock(name))
        self.snapshot_lock = self.registry.lock

    def lookup(self, key_inputs, shape, owner, fetch):
        return self.registry.lookup(KEY, owner, fetch)


class Incoming:
    """What another host has: nothing, or a golden cluster; or it is cut off."""

    def __init__(self, brings):
        self.brings = brings

    def golden(self, key, peers):
        return self.brings()


@pytest.fixture
def store(tmp_path):
    return GoldenStore(tmp_path, limit_mib=100)


def actor_with(store, brings, name="anna"):
    actor = HostActor()
    actor.name = name
    actor._host = SnapshotsOnly(store, name)
    actor._incoming = Incoming(brings)
    return actor


def hosts(tmp_path, *names):
    """Hosts that know each other and have no golden clusters."""
    made = [
        actor_with(GoldenStore(tmp_path / name, limit_mib=100), lambda: None, name)
        for name in names
    ]
    for one in made:
        one._host.snapshot_lock.set_peers([other for other in made if other is not one])
    return made


def cut_off():
    raise InfrastructureError("bert didn't answer within 60 s")


@pytest.mark.parametrize("brings", [cut_off, lambda: None])
def test_what_no_other_host_gives_is_the_askers_to_make(store, brings):
    actor = actor_with(store, brings)
    assert actor.lookup({}, None, "one").yours
    assert not actor.lookup({}, None, "two").yours
    actor.unlock(KEY, "one")
    assert actor.lookup({}, None, "two").yours


def test_what_another_host_has_is_brought_and_nobody_makes_it(store):
    actor = actor_with(store, lambda: golden_sample.add(store))
    offer = actor.lookup({}, None, "one")
    assert offer.golden is not None and not offer.yours


def test_who_only_looks_has_nothing_brought(store):
    offer = actor_with(store, lambda: golden_sample.add(store)).lookup({}, None, None)
    assert offer.golden is None and not offer.yours


def test_while_one_host_makes_it_no_other_does(tmp_path):
    anna, bert = hosts(tmp_path, "anna", "bert")
    assert bert.lookup({}, None, "one").yours
    assert not anna.lookup({}, None, "two").yours
    bert._host.snapshot_lock.release_all_of("one")
    assert anna.lookup({}, None, "two").yours
    assert not bert.lookup({}, None, "one").yours


def test_of_hosts_that_ask_at_once_one_makes_it(tmp_path):
    every = hosts(tmp_path, "anna", "bert", "carl")
    with ThreadPoolExecutor() as threads:
        asked = [threads.submit(one.lookup, {}, None, "maker") for one in every]
        makers = [one.result().yours for one in asked]
    assert makers.count(True) <= 1
    while not any(makers):  # the first by name has seen the claim of another that was given up
        makers = [one.lookup({}, None, "maker").yours for one in every]
    assert makers.count(True) == 1
