"""Bundles and golden clusters on their way to another host: whole or absent, resumed, verified."""

import hashlib
import shutil

import pytest

from actors.snapshots.snapshot import GoldenDamaged
from actors.snapshots.store import GoldenStore
from actors.transfer import chunks
from actors.transfer.chunks import Chunk, TransferFailed
from actors.transfer.image_source import ImageSource, Incoming
from campaign.core.errors import ImageError, InfrastructureError
from campaign.images.bundles import manifest as manifests
from tests.unit.actors.snapshots import golden_sample
from tests.unit.campaign.images.test_store import add as add_image

# The driver's image store, a fixture.
from tests.unit.campaign.images.test_store import store  # noqa: F401

ZEROS = hashlib.sha256(bytes(100_000)).hexdigest()


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 100_000)


@pytest.fixture
def there(tmp_path):
    """The golden store of the host that has them."""
    return GoldenStore(tmp_path / "there", 100)


@pytest.fixture
def here(tmp_path):
    return GoldenStore(tmp_path / "here" / "golden", 100)


@pytest.fixture
def incoming(tmp_path, here):
    return Incoming(tmp_path / "here", here)


class Breaking:
    """A source whose host is gone after so many chunks."""

    def __init__(self, source, chunks):
        self.name = source.name
        self._source = source
        self.left = chunks
        self.sent = []

    def manifest(self, kind, key):
        return self._source.manifest(kind, key)

    def chunk(self, kind, key, file, offset):
        if not self.left:
            raise InfrastructureError("the host was lost")
        self.left -= 1
        self.sent.append((file, offset))
        return self._source.chunk(kind, key, file, offset)


class Lying(Breaking):
    """A source whose chunks are altered on their way."""

    def chunk(self, kind, key, file, offset):
        chunk = super().chunk(kind, key, file, offset)
        return Chunk(chunk.size, chunk.digest, b"x" * chunk.size)


def hide(bundle):
    """Move a bundle to where a host can't see it; return the source that still has it."""
    away = bundle.path.rename(bundle.path.parents[1] / "away")
    return ImageSource("driver", [type(bundle)(away, bundle.manifest)])


def test_a_bundle_within_reach_is_not_brought(store, incoming, tmp_path):  # noqa: F811
    bundle = add_image(store)
    assert incoming.image(bundle, []) == bundle and not (tmp_path / "here" / "images").exists()


def test_a_bundle_arrives_once(store, incoming):  # noqa: F811
    bundle = add_image(store, content=b"k" * 250_000)
    source = Breaking(hide(bundle), 1000)
    brought = incoming.image(bundle, [source])
    assert brought.manifest == bundle.manifest and brought.path != bundle.path
    assert brought.kernel.read_bytes() == b"k" * 250_000 + b"kernel"
    sent = len(source.sent)
    assert incoming.image(bundle, [source]) == brought and len(source.sent) == sent


def test_a_transfer_that_broke_off_is_resumed_and_never_half_visible(
    store,  # noqa: F811
    incoming,
    tmp_path,
):
    bundle = add_image(store, content=b"k" * 250_000)
    source = hide(bundle)
    first = Breaking(source, 4)
    with pytest.raises(TransferFailed, match="can't be brought") as failed:
        incoming.image(bundle, [first])
    assert "driver: the host was lost" in str(failed.value)
    assert not list((tmp_path / "here").glob("images/[!.]*"))
    rest = Breaking(source, 1000)
    incoming.image(bundle, [rest])
    assert not set(first.sent) & set(rest.sent)


def test_where_one_source_is_lost_another_goes_on(store, incoming):  # noqa: F811
    bundle = add_image(store, content=b"k" * 250_000)
    source = hide(bundle)
    lost = Breaking(source, 2)
    other = Breaking(source, 1000)
    incoming.image(bundle, [lost, other])
    assert lost.sent and not set(lost.sent) & set(other.sent)


def test_chunks_that_are_altered_on_the_way_are_refused(store, incoming):  # noqa: F811
    bundle = add_image(store)
    with pytest.raises(TransferFailed, match="can't be brought") as failed:
        incoming.image(bundle, [Lying(hide(bundle), 1000)])
    assert "checksum mismatch after 3 attempts" in str(failed.value)


def test_a_bundle_that_is_another_at_its_source_is_refused_and_asked_for_anew(store, incoming):  # noqa: F811
    bundle = add_image(store)
    source = hide(bundle)
    kernel = bundle.path.parents[1] / "away" / "kernel"
    sound = kernel.read_bytes()
    kernel.write_bytes(sound[::-1])
    with pytest.raises(ImageError):
        incoming.image(bundle, [source])
    kernel.write_bytes(sound)
    assert incoming.image(bundle, [source]).hash == bundle.hash


class Posing(Breaking):
    """A source that gives another image, or golden cluster, under the key that it is asked for."""

    def __init__(self, source, key):
        super().__init__(source, 1000)
        self._key = key

    def manifest(self, kind, key):
        return self._source.manifest(kind, self._key)

    def chunk(self, kind, key, file, offset):
        return super().chunk(kind, self._key, file, offset)


def away_from(store, tmp_path, name, **content):  # noqa: F811
    """A bundle that is only at `name`: (bundle, source)."""
    bundle = add_image(store, **content)
    away = bundle.path.rename(tmp_path / name)
    return bundle, ImageSource(name, [type(bundle)(away, bundle.manifest)])


@pytest.mark.parametrize("content", [b"other ", b"a longer one "])
def test_another_image_than_the_one_asked_for_is_refused(store, incoming, tmp_path, content):  # noqa: F811
    wanted, sound = away_from(store, tmp_path, "sound", content=b"kernel")
    other, source = away_from(store, tmp_path, "other", content=content)
    with pytest.raises((ImageError, TransferFailed), match=r"is another one|can't be brought"):
        incoming.image(wanted, [Posing(source, other.hash)])
    assert not list((tmp_path / "here").glob("images/[!.]*"))
    assert incoming.image(wanted, [sound]).manifest == wanted.manifest


@pytest.mark.parametrize(
    "change", [{"facts": {"unit": "evil.service"}}, {"packages": {"bash": "6"}}, {"name": "other"}]
)
def test_an_image_of_the_same_bytes_with_another_manifest_is_refused(
    store,  # noqa: F811
    incoming,
    tmp_path,
    change,
):
    wanted = add_image(store)
    sound = hide(wanted)
    folder = shutil.copytree(tmp_path / "away", tmp_path / "forged")
    forged = manifests.write(folder, wanted.manifest.model_copy(update=change))
    assert forged.hash == wanted.hash
    with pytest.raises(ImageError, match=f"its {next(iter(change))} differs"):
        incoming.image(wanted, [ImageSource("evil", [forged])])
    assert not list((tmp_path / "here").glob("images/[!.]*"))
    assert incoming.image(wanted, [sound]).manifest == wanted.manifest


def test_an_image_whose_manifest_was_another_is_brought_again(store, incoming, tmp_path):  # noqa: F811
    older = add_image(store)
    source = hide(older)
    incoming.image(older, [source])
    newer = older.manifest.model_copy(update={"facts": {"unit": "y.service"}})
    bundle = manifests.write(tmp_path / "away", newer)
    assert incoming.image(bundle, [ImageSource("driver", [bundle])]).manifest == newer


def test_another_golden_cluster_than_the_one_asked_for_is_refused(there, here, incoming):
    golden = golden_sample.add(there, "b")
    wanted = golden_sample.key("a")
    with pytest.raises(GoldenDamaged, match="another key"):
        incoming.golden(wanted, [Posing(ImageSource("there", (), there), golden.digest)])
    assert here.find(wanted) is None and here.find(golden.key) is None


def test_a_golden_cluster_brings_no_file_that_is_none_of_its_own(there, here, incoming):
    class Adding(Breaking):
        def manifest(self, kind, key):
            files = self._source.manifest(kind, key).files
            return chunks.TransferManifest({**files, "verified.json": 10})

    golden = golden_sample.add(there)
    with pytest.raises(TransferFailed) as failed:
        incoming.golden(golden.key, [Adding(ImageSource("there", (), there), 1000)])
    assert "no file of a golden cluster" in str(failed.value)


@pytest.mark.parametrize("size", [2**60, -1])
def test_a_golden_cluster_of_an_absurd_size_is_refused_before_a_byte_of_it_comes(
    there, incoming, size
):
    class Boasting(Breaking):
        asked = 0

        def manifest(self, kind, key):
            return chunks.TransferManifest({"n1.ram": size, "manifest.json": 10})

        def chunk(self, kind, key, file, offset):
            type(self).asked += 1
            return chunks.Chunk(chunks.CHUNK_BYTES, ZEROS, b"")

    golden = golden_sample.add(there)
    with pytest.raises(TransferFailed) as failed:
        incoming.golden(golden.key, [Boasting(ImageSource("there", (), there), 1)])
    assert "more than this machine's memory" in str(failed.value) and Boasting.asked == 0


@pytest.mark.parametrize("size", [2**36, 0, -1])
def test_a_chunk_of_an_absurd_size_is_refused_before_room_is_made_for_it(
    store,  # noqa: F811
    incoming,
    size,
):
    class Boasting(Breaking):
        def chunk(self, kind, key, file, offset):
            return chunks.Chunk(size, ZEROS, b"")

    bundle = add_image(store)
    with pytest.raises(TransferFailed):
        incoming.image(bundle, [Boasting(hide(bundle), 1)])


def test_a_link_where_a_file_is_to_come_is_not_followed(tmp_path):
    class Giving:
        name = "giving"

        def manifest(self, kind, key):
            return chunks.TransferManifest({"kernel": 3})

        def chunk(self, kind, key, file, offset):
            return chunks.Chunk(3, hashlib.sha256(b"new").hexdigest(), b"new")

    target = tmp_path / "target"
    target.write_text("")
    (tmp_path / "incoming").mkdir()
    (tmp_path / "incoming/kernel").symlink_to(target)
    with pytest.raises(TransferFailed):
        chunks.receive("image", "0", tmp_path / "incoming", [Giving()], accept=lambda offered: None)
    assert target.read_text() == ""


def test_a_golden_cluster_is_brought_with_its_holes(there, here, incoming):
    golden = golden_sample.add(there)
    brought = incoming.golden(
        golden.key, [ImageSource("empty", (), here), ImageSource("there", (), there)]
    )
    assert brought.seal == golden.seal and brought.identity == golden.identity
    assert here.find(golden.key).ram("n1").read_bytes() == golden.ram("n1").read_bytes()
    assert brought.disk_use <= golden.disk_use
    assert here.find(golden.key).folder.stat().st_mode & 0o077 == 0
    assert incoming.golden(golden_sample.key("b"), [ImageSource("there", (), there)]) is None


class Away:
    """A host that doesn't answer any more."""

    name = "away"

    def manifest(self, kind, key):
        raise InfrastructureError("away didn't answer within 60 s")


def test_a_golden_cluster_is_brought_though_another_host_is_away(there, here, incoming):
    golden = golden_sample.add(there)
    assert incoming.golden(golden.key, [Away()]) is None
    assert (
        incoming.golden(golden.key, [Away(), ImageSource("there", (), there)]).seal == golden.seal
    )


def test_a_golden_cluster_that_is_damaged_at_its_source_is_refused(there, here, incoming):
    golden = golden_sample.add(there)
    golden_sample.flip(golden.ram("head"), 10)
    with pytest.raises(GoldenDamaged):
        incoming.golden(golden.key, [ImageSource("there", (), there)])
    assert here.find(golden.key) is None


@pytest.mark.parametrize("file", ["../secret", "/etc/passwd", ".lock", "other"])
def test_only_the_files_of_what_is_there_are_given(there, file):
    golden = golden_sample.add(there)
    with pytest.raises(TransferFailed):
        ImageSource("there", (), there).chunk("golden", golden.digest, file, 0)
    assert ImageSource("there", (), there).manifest("golden", "../" + golden.digest) is None


def test_a_source_cannot_name_files_elsewhere(incoming, there):
    class Evil(Breaking):
        def manifest(self, kind, key):
            return chunks.TransferManifest({"../../outside": 3})

    golden = golden_sample.add(there)
    with pytest.raises(TransferFailed) as failed:
        incoming.golden(golden.key, [Evil(ImageSource("there", (), there), 10)])
    assert "no file of a golden cluster" in str(failed.value)


@pytest.mark.parametrize("name", ["../../outside", "/etc/x", ".hidden", ""])
def test_a_transfer_takes_plain_names_only(tmp_path, name):
    class Evil:
        name = "evil"

        def manifest(self, kind, key):
            return chunks.TransferManifest({name: 3})

        def chunk(self, kind, key, file, offset):
            raise AssertionError("it was asked for")

    with pytest.raises(TransferFailed) as failed:
        chunks.receive("image", "0", tmp_path, [Evil()], accept=lambda offered: None)
    assert "can't be the name" in str(failed.value)
