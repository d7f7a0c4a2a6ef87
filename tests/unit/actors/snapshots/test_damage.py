"""Golden clusters that were damaged, swapped, copied or touched: what is noticed, and what is
verified only once."""

import json
import os
import pickle
import shutil
import time
from pathlib import Path

import pytest

from actors.snapshots import sealing, sparse
from actors.snapshots.snapshot import MANIFEST, GoldenDamaged
from actors.snapshots.sparse import BLOCK
from actors.snapshots.store import GoldenStore
from tests.unit.actors.snapshots.golden_sample import SECRET, add, flip, key

CLOCK_REALTIME_COARSE = 5  # linux/time.h; the clock that stamps files


@pytest.fixture
def store(tmp_path):
    return GoldenStore(tmp_path / "golden", limit_mib=100)


@pytest.fixture
def digested(monkeypatch):
    """The names of the files that are hashed from here on."""
    hashed = []
    digest = sparse.digest

    def note(descriptor):
        hashed.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        return digest(descriptor)

    monkeypatch.setattr(sparse, "digest", note)
    return hashed


def swap(golden):
    one = golden.ram("head")
    other = golden.ram("n1")
    free = golden.folder / "free"
    one.rename(free)
    other.rename(one)
    free.rename(other)


def resize(path, by):
    os.truncate(path, path.stat().st_size + by)


def replace_by_link(path):
    copy = path.parent.parent / "elsewhere"
    path.rename(copy)
    path.symlink_to(copy)


def edit(golden, change):
    path = golden.folder / MANIFEST
    fields = json.loads(path.read_text())
    change(fields["golden"])
    path.write_text(json.dumps(fields))


DAMAGE = {
    "first byte of memory": ("head.ram was altered", lambda golden: flip(golden.ram("head"), 0)),
    "last byte of memory's data": (
        "n1.ram was altered",
        lambda golden: flip(golden.ram("n1"), 6 * BLOCK - 1),
    ),
    "a byte in a hole": (
        "n1.ram was altered",
        lambda golden: flip(golden.ram("n1"), 4 * BLOCK + 77),
    ),
    "last byte of memory": ("n1.ram was altered", lambda golden: flip(golden.ram("n1"), -1)),
    "a byte of state": ("n1.state was altered", lambda golden: flip(golden.state("n1"), 3)),
    "memory truncated": ("n1.ram was truncated", lambda golden: resize(golden.ram("n1"), -1)),
    "state emptied": (
        "head.state was truncated",
        lambda golden: os.truncate(golden.state("head"), 0),
    ),
    "memory extended": ("n1.ram has grown", lambda golden: resize(golden.ram("n1"), 1)),
    "memory missing": ("n1.ram can't be read", lambda golden: golden.ram("n1").unlink()),
    "state is a folder": (
        "n1.state isn't",
        lambda golden: (golden.state("n1").unlink(), golden.state("n1").mkdir()),
    ),
    "memory elsewhere": (
        "n1.ram isn't a plain file",
        lambda golden: replace_by_link(golden.ram("n1")),
    ),
    "two nodes' files swapped": ("ram was altered", swap),
    "manifest missing": (
        "manifest.json can't be read",
        lambda golden: (golden.folder / MANIFEST).unlink(),
    ),
    "manifest torn": (
        "isn't a whole manifest",
        lambda golden: resize(golden.folder / MANIFEST, -20),
    ),
    "manifest emptied": (
        "isn't a whole manifest",
        lambda golden: os.truncate(golden.folder / MANIFEST, 0),
    ),
    "manifest of another kind": (
        "isn't a whole manifest",
        lambda golden: (golden.folder / MANIFEST).write_text("[]"),
    ),
    "manifest is binary": (
        "isn't a whole",
        lambda golden: (golden.folder / MANIFEST).write_bytes(b"\xff\xfe\0"),
    ),
    "nodes in another order": (
        "manifest.json was altered",
        lambda golden: edit(golden, lambda body: body["nodes"].reverse()),
    ),
    "another key": (
        "manifest.json was altered",
        lambda golden: edit(golden, lambda body: body["identity"].update(client="QUJD")),
    ),
    "other inputs": (
        "manifest.json was altered",
        lambda golden: edit(golden, lambda body: body["parts"].update(image="b")),
    ),
    "a path for a node": (
        "isn't a whole manifest",
        lambda golden: edit(golden, lambda body: body["nodes"].append("../x")),
    ),
}


@pytest.mark.parametrize(("message", "damage"), DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_noticed_named_and_put_right_by_discarding(store, message, damage):
    golden = add(store)
    assert store.find(key()) == golden
    damage(golden)
    with pytest.raises(GoldenDamaged, match=message) as caught:
        store.find(key())
    assert str(golden.folder) in caught.value.brief
    assert "cold boot" in caught.value.resolution
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    store.discard(golden.digest)
    assert store.find(key()) is None
    assert add(store).identity == {"client": SECRET}


def test_a_folder_renamed_to_another_key_is_foreign(store):
    add(store).folder.rename(store.path / key("b").digest)
    with pytest.raises(GoldenDamaged, match="has another key") as caught:
        store.find(key("b"))
    assert "image: asked for 'b', found 'a'" in caught.value.details


def test_files_of_a_golden_cluster_under_another_ones_manifest_are_noticed(store):
    one = add(store, "a")
    other = add(store, "b", blocks=3)
    for path in one.files():
        shutil.copy2(path, other.folder / path.name)
    with pytest.raises(GoldenDamaged, match=r"head\.ram has grown"):
        store.find(key("b"))


def test_what_belongs_to_another_user_is_refused(store, monkeypatch):
    add(store)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(GoldenDamaged, match="belongs to user"):
        store.find(key())


def test_a_link_in_the_place_of_the_folder_is_refused_and_can_be_discarded(store, tmp_path):
    golden = add(store)
    elsewhere = tmp_path / "elsewhere"
    golden.folder.rename(elsewhere)
    golden.folder.symlink_to(elsewhere)
    with pytest.raises(GoldenDamaged, match="isn't a plain file or folder"):
        store.find(key())
    store.discard(golden.digest)
    assert store.find(key()) is None
    assert (elsewhere / MANIFEST).exists()


def test_a_copy_in_another_store_is_verified_anew_and_sound_whatever_its_holes(
    store, tmp_path, digested
):
    golden = add(store)
    other = GoldenStore(tmp_path / "other", limit_mib=100)
    shutil.copytree(golden.folder, other.path / golden.digest)
    copy = other.path / golden.digest / "n1.ram"
    copy.write_bytes(golden.ram("n1").read_bytes())
    assert copy.stat().st_blocks > golden.ram("n1").stat().st_blocks  # no hole is left
    digested.clear()
    assert other.find(key()).identity == golden.identity
    assert sorted(digested) == sorted(path.name for path in golden.files())
    flip(copy, 4 * BLOCK)
    with pytest.raises(GoldenDamaged, match=r"n1\.ram was altered"):
        other.find(key())


def test_untouched_files_are_verified_once_per_boot_for_all_processes(store, digested, monkeypatch):
    add(store)
    digested.clear()
    assert GoldenStore(store.path, 100).find(key())
    assert digested == []
    monkeypatch.setattr(sealing, "boot_id", lambda: "another boot")
    assert store.find(key())
    assert len(digested) == 4


def test_a_touched_file_alone_is_verified_again(store, digested):
    golden = add(store)
    digested.clear()
    golden.ram("n1").touch()
    assert store.find(key()) == golden
    assert store.find(key()) == golden
    assert digested == ["n1.ram"]


@pytest.mark.parametrize("record", [b"", b"[]", b'{"boot": 1}', b"\xff"])
def test_a_spoilt_record_of_verification_means_verifying(store, digested, record):
    golden = add(store)
    (golden.folder / "verified.json").write_bytes(record)
    digested.clear()
    assert store.find(key())
    assert len(digested) == 4


def test_damage_right_after_a_file_was_read_is_noticed(store):
    golden = add(store)
    for turn in range(8):
        golden.state("n1").touch()
        store.find(key())
        flip(golden.state("n1"), turn)
        with pytest.raises(GoldenDamaged):
            store.find(key())
        flip(golden.state("n1"), turn)


def test_no_file_is_read_while_another_change_could_get_the_same_change_time(store, monkeypatch):
    """The clock that stamps files ticks a few hundred times a second; a change within one tick must
    not hide."""
    digest = sparse.digest
    ages = []

    def note(descriptor):
        ages.append(time.time() - os.fstat(descriptor).st_ctime)
        return digest(descriptor)

    monkeypatch.setattr(sparse, "digest", note)
    golden = add(store)
    golden.state("n1").touch()
    store.find(key())
    tick = time.clock_getres(CLOCK_REALTIME_COARSE)
    assert len(ages) == 5
    assert min(ages) > tick
