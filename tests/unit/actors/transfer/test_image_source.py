"""Bundles and golden clusters on their way to another host: whole or not there, gone on with,
refused when damaged."""

import pytest

from actors.snapshots.snapshot import GoldenDamaged
from actors.snapshots.store import GoldenStore
from actors.transfer import chunks
from actors.transfer.chunks import Piece, TransferFailed
from actors.transfer.image_source import Arrivals, Shelf
from campaign.core.errors import ImageError, InfrastructureError
from tests.unit.actors.snapshots import golden_sample
from tests.unit.campaign.images.test_store import add as add_image

# The driver's image store, a fixture.
from tests.unit.campaign.images.test_store import store  # noqa: F401


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(chunks, "PIECE", 100_000)


@pytest.fixture
def there(tmp_path):
    """The golden store of the host that has them."""
    return GoldenStore(tmp_path / "there", 100)


@pytest.fixture
def here(tmp_path):
    return GoldenStore(tmp_path / "here" / "golden", 100)


@pytest.fixture
def arrivals(tmp_path, here):
    return Arrivals(tmp_path / "here", here)


class Breaking:
    """A source whose host is gone after so many pieces."""

    def __init__(self, shelf, pieces):
        self.name = shelf.name
        self._shelf = shelf
        self.left = pieces
        self.sent = []

    def parcel(self, kind, key):
        return self._shelf.parcel(kind, key)

    def piece(self, kind, key, file, offset):
        if not self.left:
            raise InfrastructureError("the host was lost")
        self.left -= 1
        self.sent.append((file, offset))
        return self._shelf.piece(kind, key, file, offset)


class Lying(Breaking):
    """A source whose pieces are altered on their way."""

    def piece(self, kind, key, file, offset):
        piece = super().piece(kind, key, file, offset)
        return Piece(piece.size, piece.digest, b"x" * piece.size)


def hide(bundle):
    """Move a bundle to where a host can't see it, as on another machine; the shelf that still has
    it."""
    away = bundle.path.rename(bundle.path.parents[1] / "away")
    return Shelf("driver", [type(bundle)(away, bundle.manifest)])


def test_a_bundle_within_reach_is_not_brought(store, arrivals, tmp_path):  # noqa: F811
    bundle = add_image(store)
    assert arrivals.image(bundle, []) == bundle and not (tmp_path / "here" / "images").exists()


def test_a_bundle_arrives_once(store, arrivals):  # noqa: F811
    bundle = add_image(store, content=b"k" * 250_000)
    source = Breaking(hide(bundle), 1000)
    brought = arrivals.image(bundle, [source])
    assert brought.manifest == bundle.manifest and brought.path != bundle.path
    assert brought.kernel.read_bytes() == b"k" * 250_000 + b"kernel"
    sent = len(source.sent)
    assert arrivals.image(bundle, [source]) == brought and len(source.sent) == sent


def test_a_transfer_that_broke_off_is_gone_on_with_and_never_half_visible(
    store,  # noqa: F811
    arrivals,
    tmp_path,
):
    bundle = add_image(store, content=b"k" * 250_000)
    shelf = hide(bundle)
    first = Breaking(shelf, 4)
    with pytest.raises(TransferFailed, match="can't be brought") as failed:
        arrivals.image(bundle, [first])
    assert "driver: the host was lost" in str(failed.value)
    assert not list((tmp_path / "here").glob("images/[!.]*"))
    rest = Breaking(shelf, 1000)
    arrivals.image(bundle, [rest])
    assert not set(first.sent) & set(rest.sent)


def test_where_one_source_is_lost_another_goes_on(store, arrivals):  # noqa: F811
    bundle = add_image(store, content=b"k" * 250_000)
    shelf = hide(bundle)
    lost = Breaking(shelf, 2)
    other = Breaking(shelf, 1000)
    arrivals.image(bundle, [lost, other])
    assert lost.sent and not set(lost.sent) & set(other.sent)


def test_pieces_that_are_altered_on_the_way_are_refused(store, arrivals):  # noqa: F811
    bundle = add_image(store)
    with pytest.raises(TransferFailed, match="can't be brought") as failed:
        arrivals.image(bundle, [Lying(hide(bundle), 1000)])
    assert "arrive damaged" in str(failed.value)


def test_a_bundle_that_is_another_at_its_source_is_refused_and_asked_for_anew(store, arrivals):  # noqa: F811
    bundle = add_image(store)
    shelf = hide(bundle)
    kernel = bundle.path.parents[1] / "away" / "kernel"
    sound = kernel.read_bytes()
    kernel.write_bytes(sound[::-1])
    with pytest.raises(ImageError):
        arrivals.image(bundle, [shelf])
    kernel.write_bytes(sound)
    assert arrivals.image(bundle, [shelf]).hash == bundle.hash


def test_a_golden_cluster_is_brought_with_its_holes(there, here, arrivals):
    golden = golden_sample.add(there)
    brought = arrivals.golden(golden.recipe, [Shelf("empty", (), here), Shelf("there", (), there)])
    assert brought.seal == golden.seal and brought.identity == golden.identity
    assert here.find(golden.recipe).ram("n1").read_bytes() == golden.ram("n1").read_bytes()
    assert brought.disk_use <= golden.disk_use
    assert here.find(golden.recipe).folder.stat().st_mode & 0o077 == 0
    assert arrivals.golden(golden_sample.recipe("b"), [Shelf("there", (), there)]) is None


class Away:
    """A host that doesn't answer any more."""

    name = "away"

    def parcel(self, kind, key):
        raise InfrastructureError("away didn't answer within 60 s")


def test_a_golden_cluster_is_brought_though_another_host_is_away(there, here, arrivals):
    golden = golden_sample.add(there)
    assert arrivals.golden(golden.recipe, [Away()]) is None
    assert arrivals.golden(golden.recipe, [Away(), Shelf("there", (), there)]).seal == golden.seal


def test_a_golden_cluster_that_is_damaged_at_its_source_is_refused(there, here, arrivals):
    golden = golden_sample.add(there)
    golden_sample.flip(golden.ram("head"), 10)
    with pytest.raises(GoldenDamaged):
        arrivals.golden(golden.recipe, [Shelf("there", (), there)])
    assert here.find(golden.recipe) is None


@pytest.mark.parametrize("file", ["../secret", "/etc/passwd", ".lock", "other"])
def test_only_the_files_of_what_is_there_are_given(there, file):
    golden = golden_sample.add(there)
    with pytest.raises(TransferFailed):
        Shelf("there", (), there).piece("golden", golden.key, file, 0)
    assert Shelf("there", (), there).parcel("golden", "../" + golden.key) is None


def test_a_source_cannot_name_files_elsewhere(arrivals, there):
    class Evil(Breaking):
        def parcel(self, kind, key):
            return chunks.Parcel({"../../outside": 3})

    golden = golden_sample.add(there)
    with pytest.raises(TransferFailed) as failed:
        arrivals.golden(golden.recipe, [Evil(Shelf("there", (), there), 10)])
    assert "can't be the name" in str(failed.value)
