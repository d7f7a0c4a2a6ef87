"""The image store: what it finds, what it notices, and what it never shows."""

import os
import pickle
import shutil
from pathlib import Path

import pytest

from campaign.images.bundles import manifest as manifests
from campaign.images.bundles.manifest import PARTS, FileFact, ImageManifest, content_hash
from campaign.images.bundles.store import DamagedImageError, MissingImageError, Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "images")


def add(store, name="slurm", content=b"kernel", cmdline="quiet"):
    """A small bundle, made and stored as a builder does it."""
    with store.making() as folder:
        for part in PARTS:
            (folder / part).write_bytes(content + part.encode())
        files = {part: FileFact.of(folder / part) for part in PARTS}
        facts = ImageManifest(
            name=name,
            builder="debian",
            hash=content_hash(files, cmdline),
            kernel_cmdline=cmdline,
            kernel_version="6.12",
            files=files,
            packages={"bash": "5.2"},
            facts={"unit": "x.service"},
        )
        return store.put(manifests.write(folder, facts))


def age(bundle, seconds):
    """Date a bundle back, so that 'newest' doesn't hang on the clock's grain."""
    path = bundle.path / manifests.MANIFEST
    moment = path.stat().st_mtime - seconds
    os.utime(path, (moment, moment))


def test_a_bundle_is_found_by_name_hash_and_unique_prefix(store):
    bundle = add(store)
    assert store.get("slurm") == store.get(bundle.hash) == store.get(bundle.hash[:8]) == bundle
    assert bundle.kernel.read_bytes() == b"kernelkernel"


def test_a_name_means_the_newest_bundle_of_that_name(store):
    old = add(store, content=b"old")
    new = add(store, content=b"new")
    age(old, 100)
    assert store.get("slurm") == new
    age(new, 200)
    assert store.get("slurm") == old


def test_a_missing_image_is_reported_with_what_there_is_and_the_command(store):
    bundle = add(store)
    with pytest.raises(MissingImageError) as failure:
        store.get("flux")
    assert "flux" in failure.value.brief
    assert bundle.hash in failure.value.details
    assert "image build flux" in failure.value.resolution


def test_an_ambiguous_prefix_is_refused(store):
    hashes = {
        add(store, content=b"%d" % number).hash for number in range(17)
    }  # 17 hashes, 16 first digits
    first = next(
        digit for digit in "0123456789abcdef" if sum(name.startswith(digit) for name in hashes) > 1
    )
    with pytest.raises(MissingImageError, match="more than one"):
        store.get(first)


def test_the_hash_names_files_and_command_line(store):
    assert add(store).hash == add(store).hash
    assert (
        len({add(store).hash, add(store, content=b"x").hash, add(store, cmdline="debug").hash}) == 3
    )


@pytest.mark.parametrize("part", PARTS)
def test_a_changed_file_is_noticed_after_a_good_verification(store, part):
    bundle = add(store)
    store.verify(bundle)
    path = bundle.path / part
    before = path.stat()
    path.write_bytes(b"X" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # same size, same date
    with pytest.raises(DamagedImageError) as failure:
        store.verify(bundle)
    assert str(path) in failure.value.brief
    assert bundle.manifest.files[part].sha256 in failure.value.details
    assert FileFact.of(path).sha256 in failure.value.details
    assert failure.value.resolution.endswith("hpc-campaign image build slurm")
    assert isinstance(pickle.loads(pickle.dumps(failure.value)), DamagedImageError)


def test_a_removed_file_is_noticed(store):
    bundle = add(store)
    bundle.root.unlink()
    with pytest.raises(DamagedImageError, match=r"root\.erofs"):
        store.verify(bundle)


def test_verifying_an_untouched_bundle_reads_no_file(store, monkeypatch):
    bundle = add(store)
    monkeypatch.setattr(FileFact, "of", lambda path: pytest.fail(f"{path} was read"))
    store.verify(bundle)


def test_deep_verification_reads_every_file(store, monkeypatch):
    bundle = add(store)
    read = []
    monkeypatch.setattr(
        FileFact, "of", lambda path: read.append(path.name) or bundle.manifest.files[path.name]
    )
    store.verify(bundle, deep=True)
    assert sorted(read) == sorted(PARTS)


def test_a_torn_note_of_a_verification_is_no_verification(store):
    bundle = add(store)
    note = next(store.path.glob(".verified/*.json"))
    note.write_text("{")
    bundle.kernel.write_bytes(b"damaged")
    with pytest.raises(DamagedImageError):
        store.verify(bundle)


def test_a_verification_counts_within_one_boot(store, monkeypatch):
    """After a power cut a file may be empty, or zeros, with its size and times as they were."""
    bundle = add(store)
    read = []
    monkeypatch.setattr(
        FileFact, "of", lambda path: read.append(path.name) or bundle.manifest.files[path.name]
    )
    store.verify(bundle)
    assert read == []
    monkeypatch.setattr("campaign.images.bundles.store.boot_id", lambda: "the next boot")
    store.verify(bundle)
    assert sorted(read) == sorted(PARTS)


def test_a_bundle_is_on_the_disk_before_it_has_its_name(store, monkeypatch):
    flushed = []
    rename = Path.rename
    monkeypatch.setattr(
        os, "fsync", lambda fd: flushed.append(Path(f"/proc/self/fd/{fd}").readlink().name)
    )

    def renamed(path, target):
        assert {*PARTS, "manifest.json"} <= set(flushed)
        flushed.clear()
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", renamed)
    add(store)
    assert flushed == [store.path.name]


def test_building_again_mends_a_damaged_bundle(store):
    bundle = add(store)
    bundle.kernel.write_bytes(b"damaged")
    store.verify(add(store), deep=True)
    assert store.bundles() == [bundle]


def test_a_bundle_is_not_seen_while_it_is_made_and_leaves_nothing_when_that_fails(store):
    with pytest.raises(RuntimeError), store.making() as folder:
        (folder / manifests.MANIFEST).write_text("{}")
        assert store.bundles() == []
        raise RuntimeError
    assert not folder.exists()


def test_a_manifest_that_contradicts_itself_is_not_a_bundle(store):
    bundle = add(store)
    path = bundle.path / manifests.MANIFEST
    path.write_text(path.read_text().replace('"quiet"', '"loud"'))
    assert store.bundles() == []
    with pytest.raises(MissingImageError):
        store.get(bundle.hash)


def test_gc_removes_what_is_not_kept_and_what_killed_builds_left(store):
    kept = add(store, content=b"a")
    unused = add(store, content=b"b")
    left = store.path / ".making-killed"
    left.mkdir()
    (left / "root.erofs").write_text("half")
    with store.making() as living:
        assert store.gc(keep=[kept.hash]) == [unused]
        assert living.exists()
    assert store.bundles() == [kept]
    assert not left.exists()
    assert not unused.path.exists()


def test_an_empty_store_is_no_error(store):
    assert store.bundles() == []
    assert store.gc(keep=[]) == []
    with pytest.raises(MissingImageError, match="slurm"):
        store.get("slurm")


def test_a_bundle_can_be_copied_to_another_store_by_its_folder(store, tmp_path):
    bundle = add(store)
    other = Store(tmp_path / "other")
    with other.making() as folder:
        shutil.copytree(bundle.path, folder, dirs_exist_ok=True)
        copy = other.put(manifests.read(folder))
    assert copy.manifest == bundle.manifest
