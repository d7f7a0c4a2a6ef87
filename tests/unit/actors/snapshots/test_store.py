"""The store of golden clusters: what it hands out, what it notices, what it evicts, and what it
never leaves behind."""

import base64
import errno
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from actors.snapshots import sparse
from actors.snapshots.sealing import drop_cache, read_all
from actors.snapshots.snapshot import (
    MANIFEST,
    GoldenDamaged,
    GoldenError,
    GoldenGone,
    GoldenStoreFull,
    SnapshotKey,
)
from actors.snapshots.sparse import BLOCK
from actors.snapshots.store import GoldenStore
from tests.unit.actors.snapshots.golden_sample import NODES, SECRET, add, fill, flip, key

ROOT = Path(__file__).parents[4]


@pytest.fixture
def store(tmp_path):
    return GoldenStore(tmp_path / "golden", limit_mib=100)


def names(store):
    return {entry.golden.key.inputs["image"] for entry in store.entries()}


def python(code, *arguments):
    """The command that runs `code` with a store of 100 MiB at the first argument."""
    prelude = """
        import sys
        from pathlib import Path
        from actors.snapshots.snapshot import SnapshotKey
        from actors.snapshots.store import GoldenStore
        store = GoldenStore(Path(sys.argv[1]), limit_mib=100)
    """
    return [
        sys.executable,
        "-c",
        textwrap.dedent(prelude) + textwrap.dedent(code),
        *map(str, arguments),
    ]


def start(command):
    """A real process of this project; its input and output are pipes."""
    return subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_what_is_put_is_found_again_whole(store):
    made = add(store)
    found = store.find(key())
    assert found == made
    assert found.nodes == NODES
    assert found.digest == key().digest
    assert found.identity == {"client": SECRET}
    assert found.ram("n1").read_bytes()[:10] == b"1" * 10
    assert found.state("head").read_bytes() == b"state of head"
    assert found.size == sum(path.stat().st_size for path in found.files())
    assert [path.name for path in found.files(["n1"])] == ["n1.ram", "n1.state"]


def test_nothing_is_found_in_an_empty_store_nor_for_another_recipe(store):
    assert store.find(key()) is None
    assert not store.path.exists()
    add(store)
    assert store.find(key("b")) is None


def test_a_key_stands_for_all_parts_and_not_for_their_order():
    one = SnapshotKey({"image": "a", "nodes": "2"})
    assert one.digest == SnapshotKey({"nodes": "2", "image": "a"}).digest
    others = [
        {"image": "a", "nodes": "3"},
        {"image": "a"},
        {"image": "a", "nodes": "2", "qemu": ""},
        {"imagea": "nodes2"},
    ]
    assert len({one.digest, *(SnapshotKey(parts).digest for parts in others)}) == 5


def test_memory_becomes_sparse_and_is_told_so(store):
    golden = add(store)
    assert golden.size >= 2 * 10 * BLOCK
    assert 2 * 5 * BLOCK <= golden.disk_use < 2 * 6 * BLOCK + 40_000


def test_secrets_are_for_the_owner_only_and_not_shown(store):
    store.path.mkdir(mode=0o755)
    golden = add(store)
    folders = [store.path, golden.folder]
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}
    files = [path for path in store.path.rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert "KEY" not in repr(golden)


def test_a_manifest_that_cant_be_read_is_described_without_its_secrets(store):
    manifest = add(store).folder / MANIFEST
    encoded = base64.b64encode(SECRET).decode()
    manifest.write_text(manifest.read_text().replace(encoded, encoded[:-1]))
    with pytest.raises(GoldenDamaged, match="isn't a whole manifest") as caught:
        store.find(key())
    assert "identity.client" in caught.value.details
    assert encoded[:8] not in str(caught.value) + str(caught.value.__cause__)


def test_a_sound_golden_cluster_stays_when_another_of_its_recipe_is_put(store):
    first = add(store, identity={"client": b"first"})
    assert add(store, identity={"client": b"second"}) == first
    assert store.find(key()).identity == {"client": b"first"}


def test_a_damaged_one_is_replaced_when_another_of_its_recipe_is_put(store):
    flip(add(store, identity={"client": b"first"}).ram("n1"), 5)
    add(store, identity={"client": b"second"})
    assert store.find(key()).identity == {"client": b"second"}


def test_a_draft_without_a_nodes_file_is_refused_and_leaves_nothing(store):
    with pytest.raises(GoldenError, match=r"lacks n1\.state"), store.making(key()) as draft:
        fill(draft)
        draft.state("n1").unlink()
        store.put(draft, NODES, {})
    assert store.find(key()) is None
    assert [path.name for path in store.path.iterdir()] == [".lock"]


WRITER = """
    import mmap
    with open(sys.argv[2], "r+b") as file:
        memory = mmap.mmap(file.fileno(), 0)
    print("mapped", flush=True)
    sys.stdin.read()
"""


def test_memory_that_a_process_still_maps_for_writing_is_refused(store):
    with store.making(key()) as draft:
        fill(draft)
        writer = start(python(WRITER, store.path, draft.ram("n1")))
        try:
            assert writer.stdout.readline() == "mapped\n"
            with pytest.raises(GoldenError, match=r"n1\.ram is still open for writing"):
                store.put(draft, NODES, {})
            writer.kill()
            writer.wait()
            assert store.put(draft, NODES, {}) == store.find(key())
        finally:
            writer.kill()
            writer.communicate()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_draft_that_isnt_put_is_gone_afterwards(store, error):
    with pytest.raises(error), store.making(key()) as draft:
        fill(draft)
        raise error
    assert [path.name for path in store.path.iterdir()] == [".lock"]


def test_the_least_recently_used_is_evicted(tmp_path):
    store = GoldenStore(tmp_path, limit_mib=4)
    for name in "abc":
        add(store, name, nodes=["n1"], blocks=18)  # 1.2 MiB each
    store.find(key("a"))
    assert [entry.golden.key.inputs["image"] for entry in store.entries()] == ["a", "c", "b"]
    add(store, "d", nodes=["n1"], blocks=18)
    assert names(store) == {"a", "c", "d"}
    assert sum(entry.disk_use for entry in store.entries()) <= store.limit


def test_the_one_just_put_stays_even_if_it_exceeds_the_limit(tmp_path):
    store = GoldenStore(tmp_path, limit_mib=0)
    add(store, "a")
    golden = add(store, "b")
    assert names(store) == {"b"}
    assert add(store, "b", identity={"client": b"second"}) == store.find(key("b")) == golden


def test_what_cant_be_read_any_more_is_listed_and_evicted_too(tmp_path):
    store = GoldenStore(tmp_path, limit_mib=0)
    (add(store, "a").folder / MANIFEST).unlink()
    assert [entry.golden for entry in store.entries()] == [None]
    add(store, "b")
    assert names(store) == {"b"}


HOLDER = """
    with store.hold(store.find(SnapshotKey({"image": "a", "nodes": "2"}))):
        print("held", flush=True)
        sys.stdin.read()
"""


def test_what_another_process_holds_isnt_evicted_until_it_lets_go_or_dies(tmp_path):
    store = GoldenStore(tmp_path, limit_mib=0)
    golden = add(store, "a")
    holder = start(python(HOLDER, store.path))
    try:
        assert holder.stdout.readline() == "held\n"
        add(store, "b")
        assert names(store) == {"a", "b"}
        assert {entry.digest: entry.held for entry in store.entries()}[golden.digest]
        holder.kill()
        holder.wait()
        add(store, "c")
        assert names(store) == {"c"}
    finally:
        holder.kill()
        holder.communicate()


def test_a_golden_cluster_just_put_isnt_evicted_while_its_making_goes_on(tmp_path):
    store = GoldenStore(tmp_path, limit_mib=0)
    with store.making(key("a")) as draft:
        fill(draft)
        golden = store.put(draft, NODES, {})
        with store.hold(golden):
            pass
        add(store, "b")
        assert names(store) == {"a", "b"}
    add(store, "c")
    assert names(store) == {"c"}


def test_holding_what_is_gone_or_replaced_says_so(store):
    golden = add(store)
    store.discard(golden.digest)
    with pytest.raises(GoldenGone), store.hold(golden):
        pass
    assert not golden.folder.exists()
    add(store, identity={"client": b"another"})
    with pytest.raises(GoldenGone, match="took its place"), store.hold(golden):
        pass


def test_what_is_discarded_while_it_is_verified_isnt_found_and_not_called_damaged(
    store, monkeypatch
):
    golden = add(store)
    digest = sparse.digest
    (golden.folder / "verified.json").unlink()

    def interrupted(descriptor):
        store.discard(golden.digest)
        return digest(descriptor)

    monkeypatch.setattr(sparse, "digest", interrupted)
    assert store.find(key()) is None


def test_mapped_memory_outlives_discarding(store):
    golden = add(store)
    with store.hold(golden), golden.ram("n1").open("rb") as mapped:
        store.discard(golden.digest)
        assert store.find(key()) is None
        assert len(mapped.read()) == 10 * BLOCK
    store.discard(golden.digest)
    assert [path.name for path in store.path.iterdir()] == [".lock"]


MAKER = """
    with store.making(SnapshotKey({"image": "a", "nodes": "2"})) as draft:
        draft.ram("n1").write_bytes(b"x" * 100_000)
        print(draft.folder, flush=True)
        sys.stdin.read()
"""


@pytest.mark.parametrize("sweep", ["sweep", "making"])
def test_what_a_killed_maker_left_is_swept_and_a_living_ones_draft_is_not(store, sweep):
    killed = start(python(MAKER, store.path))
    living = start(python(MAKER, store.path))
    try:
        left, kept = (Path(maker.stdout.readline().strip()) for maker in (killed, living))
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert left.exists()
        if sweep == "sweep":
            assert store.sweep() == 1
        else:
            add(store, "b")
        assert not left.exists()
        assert (kept / "n1.ram").exists()
        living.communicate("", timeout=20)
        assert living.returncode == 0
        assert not kept.exists()
    finally:
        for maker in (killed, living):
            maker.kill()
            maker.communicate()


def test_sweeping_a_store_that_isnt_there_makes_none(store):
    assert store.sweep() == 0
    assert not store.path.exists()


def test_too_little_room_is_said_before_anything_is_made(store):
    with (
        pytest.raises(GoldenStoreFull, match="is full") as caught,
        store.making(key(), room_mib=2**40),
    ):
        pytest.fail("it was made")
    assert "cold" in caught.value.resolution


def test_errors_of_others_pass_through_making(store):
    with pytest.raises(ConnectionResetError), store.making(key()):
        raise ConnectionResetError(errno.ECONNRESET, "a node went away")


FULL_DISK = """
    import os
    from actors.snapshots.snapshot import GoldenStoreFull
    made = SnapshotKey({"image": "a"})
    try:
        with store.making(made) as draft:
            draft.ram("n1").write_bytes(b"x" * 2**23)
    except GoldenStoreFull as error:
        print(error.brief)
    print(sorted(os.listdir(store.path)))
    try:
        with store.making(made) as draft:
            draft.ram("n1").write_bytes(b"x" * 2**20)
            draft.state("n1").write_bytes(b"state")
            with open(store.path.parent / "filler", "wb", buffering=0) as filler:
                try:
                    while filler.write(b"x" * 4096):
                        pass
                except OSError:
                    pass
            store.put(draft, ["n1"], {})
    except GoldenStoreFull as error:
        print(error.brief)
    print(sorted(os.listdir(store.path)), store.find(made))
"""


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path):
    namespace = ["unshare", "--mount"] + ([] if os.geteuid() == 0 else ["--map-root-user"])
    trial = [*namespace, "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)]
    if subprocess.run(trial, check=False, capture_output=True).returncode:
        pytest.skip("cannot run here: no mount namespace may be made; run it as root")
    inner = python(FULL_DISK, tmp_path / "golden")
    script = 'mount -t tmpfs -o size=4m tmpfs "$0" && exec "$@"'
    done = subprocess.run(
        [*namespace, "sh", "-c", script, str(tmp_path), *inner],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    first, after_first, second, after_second = done.stdout.splitlines()
    assert "is full: " in first
    assert "is full: 0 MiB free" in second
    assert after_first == "['.lock']"
    assert after_second == "['.lock'] None"


CROWD = """
    import random
    from actors.snapshots.snapshot import GoldenGone
    store.limit = 2**20
    dice = random.Random(sys.argv[2])
    seen = 0
    for turn in range(25):
        made = SnapshotKey({"image": dice.choice("abcd")})
        golden = store.find(made)
        if golden is None:
            with store.making(made) as draft:
                draft.ram("n1").write_bytes(made.digest[:1].encode() * 2**19 + bytes(2**18))
                draft.state("n1").write_bytes(b"state")
                golden = store.put(draft, ["n1"], {"of": made.digest.encode()})
        try:
            with store.hold(golden):
                assert golden.ram("n1").read_bytes()[:2**19] == made.digest[:1].encode() * 2**19
                assert golden.identity["of"] == made.digest.encode()
                seen += 1
        except GoldenGone:
            pass
    print(seen)
"""


def test_processes_that_make_find_hold_and_evict_at_once_dont_disturb_each_other(tmp_path):
    crowd = [start(python(CROWD, tmp_path / "golden", seed)) for seed in range(3)]
    outputs = [process.communicate(timeout=60)[0] for process in crowd]
    assert [process.returncode for process in crowd] == [0, 0, 0]
    assert all(int(output) > 0 for output in outputs)
    store = GoldenStore(tmp_path / "golden", limit_mib=1)
    assert not [path for path in store.path.iterdir() if path.name.startswith(".making-")]
    assert not any(entry.held for entry in store.entries())


def test_a_bare_read_reads_the_data_and_not_the_holes(store):
    golden = add(store)
    data = 5 * BLOCK + len("state of n1")
    assert read_all(golden, ["n1"]) == data
    drop_cache(golden)
    assert read_all(golden) == 2 * data + 2
