"""What a machine gives to others and takes from them: image bundles and golden clusters, each by
its key."""

import contextlib
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from actors.snapshots import sealing
from actors.snapshots import snapshot as goldens
from actors.snapshots.snapshot import Golden, GoldenError, Recipe
from actors.snapshots.store import GoldenStore
from actors.transfer.chunks import (
    Kind,
    Parcel,
    Piece,
    Source,
    TransferFailed,
    cut,
    parcel_of,
    receive,
)
from campaign.core import files
from campaign.core.errors import CampaignError, ImageError
from campaign.images.bundles import manifest as manifests
from campaign.images.bundles.manifest import PARTS, Bundle
from campaign.images.bundles.store import Store

_KEY = re.compile(r"[0-9a-f]{64}")
_KEPT_S = 7 * 24 * 3600.0  # how long something half arrived is worth keeping
_LOCK = ".lock"


class Shelf:
    """The bundles and the golden clusters that this machine has to give. It is a
    `parcels.Source`."""

    def __init__(
        self, name: str, bundles: Iterable[Bundle] = (), store: GoldenStore | None = None
    ) -> None:
        self.name = name
        self._bundles = {bundle.hash: bundle.path for bundle in bundles}
        self._store = store

    def parcel(self, kind: Kind, key: str) -> Parcel | None:
        found = self._find(kind, key)
        return parcel_of(*found) if found else None

    def piece(self, kind: Kind, key: str, file: str, offset: int) -> Piece:
        found = self._find(kind, key)
        if found is None or file not in found[1]:
            raise TransferFailed(f"{self.name} has no {file} of the {kind} {key[:16]}")
        try:
            return cut(found[0], file, offset)
        except OSError as error:
            raise TransferFailed(
                f"{file} of the {kind} {key[:16]} can't be read", str(error)
            ) from None

    def _find(self, kind: Kind, key: str) -> tuple[Path, Sequence[str]] | None:
        """The folder and its files; the manifest comes last, as where they are made."""
        if kind == "image" and key in self._bundles:
            return self._bundles[key], (*PARTS, manifests.MANIFEST)
        if kind == "golden" and self._store and _KEY.fullmatch(key):
            with contextlib.suppress(GoldenError):
                golden = sealing.load(self._store.path / key)
                return golden.folder, (*goldens.file_names(golden.nodes), goldens.MANIFEST)
        return None


class Arrivals:
    """Brings bundles and golden clusters to a host whose state folder is `state_dir`, each once."""

    def __init__(self, state_dir: Path, store: GoldenStore) -> None:
        self._folder = state_dir / "arrivals"
        self._images = Store(state_dir / "images")
        self._goldens = store

    def image(
        self,
        bundle: Bundle,
        sources: Sequence[Source],
        tell: Callable[[str], None] = lambda _: None,
    ) -> Bundle:
        """The same bundle as this host sees it: where it is, if that is within reach of this host;
        else brought here.

        TransferFailed where it can't be brought, ImageError where what arrived isn't the bundle.
        """
        if (there := _verified(Store(bundle.path.parent), bundle.hash)) is not None:
            return there
        with self._arriving(bundle.hash) as folder:
            if (there := _verified(self._images, bundle.hash)) is not None:
                return there
            receive("image", bundle.hash, folder, sources, tell)
            try:
                return self._images.put(manifests.read(folder))
            except ImageError:
                shutil.rmtree(folder, ignore_errors=True)
                raise

    def golden(self, recipe: Recipe, sources: Sequence[Source]) -> Golden | None:
        """The golden cluster of `recipe` from another host that has it; None if none has.

        GoldenError or TransferFailed where it can't be brought whole.
        """
        having = [source for source in sources if _has(source, recipe.key)]
        if not having:
            return None
        with self._arriving(recipe.key) as folder:
            receive("golden", recipe.key, folder, having)
            try:
                return self._goldens.adopt(folder, recipe)
            except GoldenError:
                shutil.rmtree(folder, ignore_errors=True)
                raise

    def sweep(self) -> None:
        """Remove what was broken off long ago and never gone on with."""
        for folder in self._folder.glob("[0-9a-f]*"):
            if not files.in_use(self._folder / f"{_LOCK}-{folder.name}"):
                with contextlib.suppress(OSError):
                    if time.time() - folder.stat().st_mtime > _KEPT_S:
                        shutil.rmtree(folder)

    @contextlib.contextmanager
    def _arriving(self, key: str) -> Iterator[Path]:
        """The folder in which it is put together, this process's alone meanwhile."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with files.lock(self._folder / f"{_LOCK}-{key}"):
            yield self._folder / key


def _has(source: Source, key: str) -> bool:
    """Whether a host says that it has a golden cluster; one that is away has none."""
    with contextlib.suppress(CampaignError, OSError):
        return source.parcel("golden", key) is not None
    return False


def _verified(store: Store, wanted: str) -> Bundle | None:
    with contextlib.suppress(ImageError, OSError):
        bundle = store.get(wanted)
        store.verify(bundle)
        return bundle
    return None
