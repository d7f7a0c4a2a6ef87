"""Hosts' actors without Ray: a golden cluster is brought from another host, or made on one of
them."""

from pathlib import Path

import pytest

from actors.hosts.host_actor import HostActor
from actors.snapshots.registry import Goldens
from actors.snapshots.store import GoldenStore
from campaign.core.errors import InfrastructureError
from tests.unit.actors.snapshots import golden_sample


class Offering:
    """A host as far as its golden clusters go."""

    def __init__(self, store):
        self.goldens = Goldens(store)
        self.disclaim = self.goldens.disclaim
        self.confirm = self.goldens.confirm
        self.stage = self.goldens.stage

    def golden(self, ingredients, shape, maker):
        return self.goldens.offer(golden_sample.recipe("a"), maker)


class Arriving:
    """What another host has: nothing, or a golden cluster; or it is cut off."""

    def __init__(self, brings):
        self.brings = brings

    def golden(self, recipe, peers):
        return self.brings()


@pytest.fixture
def store(tmp_path):
    return GoldenStore(Path(tmp_path), limit_mib=100)


def actor_with(store, brings, name="anna"):
    actor = HostActor()
    actor._name = actor.name = name
    actor._host = Offering(store)
    actor._arrivals = Arriving(brings)
    return actor


def hosts(tmp_path, *names):
    """Hosts that know each other and have no golden clusters."""
    made = [
        actor_with(GoldenStore(tmp_path / name, limit_mib=100), lambda: None, name)
        for name in names
    ]
    for one in made:
        one._peers = [other for other in made if other is not one]
    return made


def cut_off():
    raise InfrastructureError("bert didn't answer within 60 s")


@pytest.mark.parametrize("brings", [cut_off, lambda: None])
def test_what_no_other_host_gives_is_the_askers_to_make(store, brings):
    actor = actor_with(store, brings)
    assert actor.golden({}, None, "one").yours
    assert not actor.golden({}, None, "two").yours


def test_what_another_host_has_is_brought_and_nobody_makes_it(store):
    actor = actor_with(store, lambda: golden_sample.add(store))
    offer = actor.golden({}, None, "one")
    assert offer.golden is not None and not offer.yours


def test_who_only_looks_has_nothing_brought(store):
    offer = actor_with(store, lambda: golden_sample.add(store)).golden({}, None, None)
    assert offer.golden is None and not offer.yours


def test_while_one_host_makes_it_no_other_does(tmp_path):
    anna, bert = hosts(tmp_path, "anna", "bert")
    assert bert.golden({}, None, "one").yours
    assert not anna.golden({}, None, "two").yours
    bert._host.goldens.forsake("one")
    assert anna.golden({}, None, "two").yours
    assert not bert.golden({}, None, "one").yours


def test_of_hosts_that_claim_it_at_once_the_first_by_name_makes_it(tmp_path):
    anna, bert = hosts(tmp_path, "anna", "bert")
    recipe = golden_sample.recipe("a")
    anna._host.goldens.offer(recipe, "one")  # it is about to ask bert
    assert not bert.golden({}, None, "two").yours
    anna._host.disclaim(recipe)
    bert._host.goldens.offer(recipe, "two")  # it is about to ask anna
    assert anna.golden({}, None, "one").yours
