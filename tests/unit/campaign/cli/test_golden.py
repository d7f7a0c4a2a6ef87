"""`golden list`, `golden clear`, and what `clean` sweeps of golden clusters, on a store of small
ones."""

import json
import os

import pytest

from actors.hosts import ray_folder, state_dir
from actors.hypervisor.reaper import Reaped
from actors.snapshots.snapshot import SnapshotKey
from actors.snapshots.store import GoldenStore
from campaign import __main__ as surrounding
from tests.unit.actors.snapshots.golden_sample import NODES, fill, flip

PARTS = {
    "image": "9f2c1e77ab0d4c5e" + 48 * "0",
    "scheduler": "slurm",
    "nodes": "1",
    "memory_mib": "512",
}


@pytest.fixture
def store(tmp_path):
    return GoldenStore(tmp_path / "state" / "golden", 100)


@pytest.fixture
def hosts(tmp_path):
    """The override that puts the host's state into the test's folder."""
    return f"hosts.local.state_dir={tmp_path}/state"


def add(store, used, **changes):
    """A golden cluster that was last used at `used`, in Unix seconds."""
    with store.making(SnapshotKey({**PARTS, **changes})) as draft:
        fill(draft)
        golden = store.put(draft, NODES, {})
    os.utime(golden.folder / ".lock", (used, used))
    return golden


def said(capsys, *arguments):
    assert surrounding.main(arguments) == 0
    return capsys.readouterr().out.splitlines()


def test_the_list_says_what_each_was_made_from_and_its_use(store, hosts, capsys):
    older = add(store, 1e9)
    newer = add(store, 1.5e9, scheduler="flux")
    with store.hold(older):
        first, second, total = said(capsys, "golden", "list", hosts)
    assert (
        first.startswith(newer.digest[:16])
        and "flux" in first
        and "in use" not in first
        and "used 2017-07-1" in first
    )
    assert (
        second.startswith(older.digest[:16])
        and "in use now" in second
        and "used 2001-09-" in second
    )
    for part in ("slurm", "2 nodes of 512 MiB", "image 9f2c1e77ab0d4c5e "):
        assert part in second
    assert total.startswith(f"{store.path}: 2 in all, ") and total.endswith("of 8192 MiB")


def test_a_damaged_one_is_listed_and_cleared(store, hosts, capsys):
    golden = add(store, 1e9)
    flip(golden.folder / "manifest.json", 40)
    assert "its manifest can't be read" in said(capsys, "golden", "list", hosts)[0]
    assert said(capsys, "golden", "clear", hosts)[0].startswith(f"removed {golden.digest[:16]}")
    assert not golden.folder.exists()


def test_clear_keeps_what_is_in_use_and_says_so(store, hosts, capsys):
    held = add(store, 1e9)
    other = add(store, 1e9, scheduler="flux")
    with store.hold(held):
        lines = said(capsys, "golden", "clear", hosts)
        assert held.folder.exists() and not other.folder.exists()
    assert sorted(line[:24] for line in lines[:2]) == [
        f"kept    {held.digest[:16]}",
        f"removed {other.digest[:16]}",
    ]
    assert lines[2] == f"{store.path}: 1 removed, 1 kept because campaigns use them now"
    assert said(capsys, "golden", "clear", hosts)[-1].startswith(f"{store.path}: 1 removed, 0 kept")
    assert not held.folder.exists()


def test_a_store_that_was_never_used_is_empty_and_stays_unmade(store, hosts, capsys):
    assert said(capsys, "golden", "list", hosts) == [f"{store.path}: 0 in all, 0 of 8192 MiB"]
    assert said(capsys, "golden", "clear", hosts)[0].startswith(f"{store.path}: 0 removed, 0 kept")
    assert not store.path.exists()


def test_hosts_that_share_a_folder_are_listed_once(store, capsys):
    add(store, 1e9)
    state = store.path.parent
    lines = said(
        capsys, "golden", "list", f"hosts={{a: {{state_dir: {state}}}, b: {{state_dir: {state}}}}}"
    )
    assert len(lines) == 2


def test_clean_sweeps_what_killed_makers_left(store, hosts, capsys, monkeypatch):
    monkeypatch.setattr(state_dir, "sweep", lambda *_, **__: Reaped((), (), (), ()))
    monkeypatch.setattr(ray_folder, "sweep", tuple)
    golden = add(store, 1e9)
    (store.path / ".making-dead").mkdir()
    assert said(capsys, "clean", hosts)[1:] == ["local: removed 1 half-made golden cluster"]
    assert golden.folder.exists() and not (store.path / ".making-dead").exists()
    assert len(said(capsys, "clean", hosts)) == 1


def test_the_list_as_json_has_the_same(store, hosts, capsys):
    golden = add(store, 1e9)
    (found,) = json.loads("\n".join(said(capsys, "golden", "list", "--json", hosts)))
    (only,) = found["golden"]
    assert found["store"] == str(store.path) and found["limit_bytes"] == 8192 << 20
    assert only["key"] == golden.key.digest and only["made_from"]["scheduler"] == "slurm"
    assert only["used"] == "2001-09-09T01:46:40+00:00" and only["in_use"] is False
