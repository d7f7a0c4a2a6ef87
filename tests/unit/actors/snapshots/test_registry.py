"""A host's golden clusters: one maker at a time, memory that nobody loses, and what is held."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from actors.snapshots.lock import SnapshotLock
from actors.snapshots.registry import SnapshotRegistry
from actors.snapshots.snapshot import GoldenDamaged, GoldenError, SnapshotKey
from actors.snapshots.store import GoldenStore

KEY = SnapshotKey({"image": "a"})
OTHER = SnapshotKey({"image": "b"})


@pytest.fixture
def store(tmp_path):
    return GoldenStore(tmp_path / "golden", limit_mib=100)


@pytest.fixture
def goldens(store):
    made = SnapshotRegistry(store, SnapshotLock("here"))
    yield made
    made.close()


def write(memory, node, content):
    with memory[node].path.open("r+b") as file:
        file.write(content)


def make(goldens, key=KEY, cluster="c"):
    memory = goldens.record(cluster, key, ["head", "n1"], memory_mib=1)
    write(memory, "head", b"the head's memory")
    golden = goldens.save(
        cluster, ["head", "n1"], {"key": b"k"}, lambda node, path: path.write_bytes(node.encode())
    )
    goldens.forget(cluster)
    return golden


def test_only_one_makes_what_is_missing_until_it_unlocks_it(goldens):
    assert goldens.lookup(KEY, "one").yours
    assert not goldens.lookup(KEY, "one").yours
    assert goldens.lookup(OTHER, "one").yours
    goldens.lock.release(KEY.digest, "one")
    assert goldens.lookup(KEY, "one").yours


def test_who_only_looks_is_not_asked_to_make_what_is_missing(goldens):
    assert not goldens.lookup(KEY, None).yours
    assert goldens.lookup(KEY, "one").yours


def test_what_a_dead_maker_was_at_is_anothers_to_make(goldens):
    assert goldens.lookup(KEY, "one").yours
    assert goldens.lookup(OTHER, "two").yours
    goldens.lock.release_all_of("one")
    assert goldens.lookup(KEY, "two").yours
    assert not goldens.lookup(OTHER, "three").yours


def test_what_was_recorded_is_kept_with_its_memory_and_devices(goldens):
    golden = make(goldens)
    assert golden.ram("head").read_bytes().rstrip(b"\0") == b"the head's memory"
    assert golden.ram("n1").stat().st_size == 2**20
    assert golden.state("n1").read_bytes() == b"n1"
    offer = goldens.lookup(KEY, "one")
    assert (offer.golden.identity, offer.yours) == ({"key": b"k"}, False)


def test_memory_is_given_back_when_a_recording_is_forgotten(goldens):
    before = len(list(Path("/proc/self/fd").iterdir()))
    memory = goldens.record("c", KEY, ["head", "n1", "n2"], memory_mib=1)
    assert all(one.path.stat().st_size == 2**20 and one.use == "record" for one in memory.values())
    goldens.forget("c")
    goldens.forget("c")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_what_is_offered_is_not_evicted_while_the_host_lives(tmp_path, store, goldens):
    make(goldens)
    goldens.lookup(KEY, "one")
    tight = SnapshotRegistry(GoldenStore(tmp_path / "golden", limit_mib=0), SnapshotLock("here"))
    make(tight, OTHER)
    tight.close()
    assert store.find(KEY) is not None
    goldens.close()
    tight = SnapshotRegistry(GoldenStore(tmp_path / "golden", limit_mib=0), SnapshotLock("here"))
    make(tight, SnapshotKey({"image": "c"}))
    assert store.find(KEY) is None
    tight.close()


def test_what_is_fetched_is_held_and_nobody_makes_it(tmp_path, store, goldens):
    def fetch(key):
        other = SnapshotRegistry(store, SnapshotLock("there"))
        return make(other, key)

    offer = goldens.lookup(KEY, "one", fetch)
    assert offer.golden == store.find(KEY) and not offer.yours
    assert goldens.lock.state(KEY.digest) == "free"


def test_what_was_made_while_the_lock_was_awaited_is_not_made_again(store, goldens):
    class Late:
        """Another host that finishes the golden cluster, here too, just as it is asked."""

        name = "zeno"

        def lock_state(self, key):
            make(SnapshotRegistry(store, SnapshotLock("zeno")))
            return "free"

    goldens.lock.set_peers([Late()])
    offer = goldens.lookup(KEY, "one")
    assert offer.golden is not None and not offer.yours
    assert goldens.lock.state(KEY.digest) == "free"


def test_an_error_leaves_nobody_with_the_lock(goldens):
    def fetch(key):
        raise GoldenDamaged("it came damaged")

    with pytest.raises(GoldenDamaged):
        goldens.lookup(KEY, "one", fetch)
    assert goldens.lock.state(KEY.digest) == "free"


def test_a_cluster_may_be_released_while_it_is_saved(goldens, tmp_path):
    """Its descriptors' numbers are those of other files by then, which must not be copied."""
    memory = goldens.record("c", KEY, ["head"], memory_mib=1)
    write(memory, "head", b"the head's memory")
    foreign = tmp_path / "foreign"
    foreign.write_bytes(b"foreign".ljust(2**20))
    opened = []

    def release_and_save(node, path):
        goldens.forget("c")
        opened.extend(foreign.open("rb") for _ in range(8))
        path.write_bytes(b"devices")

    golden = goldens.save("c", ["head"], {}, release_and_save)
    for file in opened:
        file.close()
    assert golden.ram("head").read_bytes().rstrip(b"\0") == b"the head's memory"


def test_what_was_released_before_cannot_be_saved(goldens):
    goldens.record("c", KEY, ["head"], memory_mib=1)
    goldens.forget("c")
    with pytest.raises(GoldenError, match="was released before it was saved"):
        goldens.save("c", ["head"], {}, lambda node, path: None)


def test_recordings_may_come_and_go_in_several_threads_while_it_closes(goldens):
    before = len(list(Path("/proc/self/fd").iterdir()))

    def record_and_forget(number):
        for again in range(50):
            goldens.record(f"c{number}-{again}", KEY, ["head"], memory_mib=1)
            goldens.forget(f"c{number}-{again}")

    with ThreadPoolExecutor(8) as threads:
        working = [threads.submit(record_and_forget, number) for number in range(7)]
        closing = threads.submit(lambda: [goldens.close() for _ in range(500)])
        for one in (*working, closing):
            one.result()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_damage_is_reported_once_and_discarded(goldens):
    golden = make(goldens)
    with golden.ram("head").open("r+b") as file:
        file.write(b"T")
    with pytest.raises(GoldenDamaged, match=r"head\.ram"):
        goldens.lookup(KEY, "one")
    assert goldens.lookup(KEY, "one").yours
