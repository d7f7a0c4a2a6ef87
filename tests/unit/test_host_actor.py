"""A host's actor without Ray: a golden cluster that can't be brought from another host is made here."""

from pathlib import Path

import pytest

from actors.golden_store import GoldenStore
from actors.goldens import Goldens
from actors.host_actor import HostActor
from campaign.errors import InfrastructureError
from tests.unit import golden_sample


class Offering:
    """A host as far as its golden clusters go."""

    def __init__(self, store):
        self.goldens = Goldens(store)
        self.disclaim = self.goldens.disclaim

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


def actor_with(store, brings):
    actor = HostActor()
    actor._host, actor._arrivals = Offering(store), Arriving(brings)
    return actor


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
