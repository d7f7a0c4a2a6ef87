"""A host's golden clusters: one maker at a time, memory that nobody loses or keeps, and what is
held stays."""

from pathlib import Path

import pytest

from actors.snapshots.registry import Goldens
from actors.snapshots.snapshot import GoldenDamaged, Recipe
from actors.snapshots.store import GoldenStore

RECIPE = Recipe({"image": "a"})
OTHER = Recipe({"image": "b"})


@pytest.fixture
def store(tmp_path):
    return GoldenStore(tmp_path / "golden", limit_mib=100)


@pytest.fixture
def goldens(store):
    made = Goldens(store)
    yield made
    made.close()


def write(memory, node, content):
    with memory[node].path.open("r+b") as file:
        file.write(content)


def make(goldens, recipe=RECIPE, cluster="c"):
    memory = goldens.record(cluster, recipe, ["head", "n1"], memory_mib=1)
    write(memory, "head", b"the head's memory")
    golden = goldens.keep(
        cluster, ["head", "n1"], {"key": b"k"}, lambda node, path: path.write_bytes(node.encode())
    )
    goldens.forget(cluster)
    return golden


def test_only_one_makes_what_is_missing_until_it_disclaims(goldens):
    assert goldens.offer(RECIPE, "one").yours
    assert not goldens.offer(RECIPE, "one").yours
    assert goldens.offer(OTHER, "one").yours
    goldens.disclaim(RECIPE)
    assert goldens.offer(RECIPE, "one").yours


def test_who_only_looks_is_not_asked_to_make_what_is_missing(goldens):
    assert not goldens.offer(RECIPE, None).yours
    assert goldens.offer(RECIPE, "one").yours


def test_what_a_dead_maker_was_at_is_anothers_to_make(goldens):
    assert goldens.offer(RECIPE, "one").yours
    assert goldens.offer(OTHER, "two").yours
    goldens.forsake("one")
    assert goldens.offer(RECIPE, "two").yours
    assert not goldens.offer(OTHER, "three").yours


def test_what_was_recorded_is_kept_with_its_memory_and_devices(goldens):
    golden = make(goldens)
    assert golden.ram("head").read_bytes().rstrip(b"\0") == b"the head's memory"
    assert golden.ram("n1").stat().st_size == 2**20
    assert golden.state("n1").read_bytes() == b"n1"
    offer = goldens.offer(RECIPE, "one")
    assert (offer.golden.identity, offer.yours) == ({"key": b"k"}, False)


def test_memory_is_given_back_when_a_recording_is_forgotten(goldens):
    before = len(list(Path("/proc/self/fd").iterdir()))
    memory = goldens.record("c", RECIPE, ["head", "n1", "n2"], memory_mib=1)
    assert all(one.path.stat().st_size == 2**20 and one.use == "record" for one in memory.values())
    goldens.forget("c")
    goldens.forget("c")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_what_is_offered_is_not_evicted_while_the_host_lives(tmp_path, store, goldens):
    make(goldens)
    goldens.offer(RECIPE, "one")
    tight = Goldens(GoldenStore(tmp_path / "golden", limit_mib=0))
    make(tight, OTHER)
    tight.close()
    assert store.find(RECIPE) is not None
    goldens.close()
    tight = Goldens(GoldenStore(tmp_path / "golden", limit_mib=0))
    make(tight, Recipe({"image": "c"}))
    assert store.find(RECIPE) is None
    tight.close()


def test_damage_is_reported_once_and_discarded(goldens):
    golden = make(goldens)
    with golden.ram("head").open("r+b") as file:
        file.write(b"T")
    with pytest.raises(GoldenDamaged, match=r"head\.ram"):
        goldens.offer(RECIPE, "one")
    assert goldens.offer(RECIPE, "one").yours
