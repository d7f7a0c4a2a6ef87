"""What a machine gives to others and takes from them: image bundles and golden clusters."""

import contextlib
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from actors.hypervisor.capacity import memory_total_mib
from actors.snapshots import sealing, snapshot
from actors.snapshots.snapshot import Golden, GoldenError, SnapshotKey
from actors.snapshots.store import GoldenStore
from actors.transfer.chunks import (
    Chunk,
    Kind,
    Source,
    TransferFailed,
    TransferManifest,
    manifest_of,
    read_chunk,
    receive,
)
from campaign.core import files
from campaign.core.errors import CampaignError, ImageError
from campaign.images.bundles import manifest as manifests
from campaign.images.bundles.manifest import PARTS, Bundle, ImageManifest
from campaign.images.bundles.store import Store

KEPT_S = 7 * 24 * 3600.0
"""How long a transfer that was broken off is worth keeping."""

MANIFEST_BYTES = 4 * 2**20
"""No manifest is larger, neither of a bundle nor of a golden cluster."""

_KEY = re.compile(r"[0-9a-f]{64}")
_GOLDEN_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*\.(ram|state)")
_LOCK = ".lock"


class ImageSource:
    """The bundles and golden clusters that this machine has to give: a `chunks.Source`.

    A bundle's key is its hash, a golden cluster's is `SnapshotKey.digest`.
    """

    def __init__(
        self, name: str, bundles: Iterable[Bundle] = (), store: GoldenStore | None = None
    ) -> None:
        self.name = name
        self._bundles = {bundle.hash: bundle.path for bundle in bundles}
        self._store = store

    def manifest(self, kind: Kind, key: str) -> TransferManifest | None:
        """Return the manifest of a bundle or golden cluster; None if it isn't here."""
        found = self._find(kind, key)
        return manifest_of(*found) if found else None

    def chunk(self, kind: Kind, key: str, file: str, offset: int) -> Chunk:
        """Return the chunk of a file at `offset`; TransferFailed if there is none to read."""
        found = self._find(kind, key)
        if found is None or file not in found[1]:
            raise TransferFailed(f"{self.name} has no {file} of the {kind} {key[:16]}")
        try:
            return read_chunk(found[0], file, offset)
        except OSError as error:
            raise TransferFailed(
                f"{file} of the {kind} {key[:16]} can't be read", str(error)
            ) from None

    def _find(self, kind: Kind, key: str) -> tuple[Path, Sequence[str]] | None:
        # The manifest comes last, as where they are made: with it, all is there.
        if kind == "image" and key in self._bundles:
            return self._bundles[key], (*PARTS, manifests.MANIFEST)
        # A key that is no digest could be a path that leads out of the store.
        if kind == "golden" and self._store and _KEY.fullmatch(key):
            with contextlib.suppress(GoldenError):
                golden = sealing.load(self._store.path / key)
                return golden.folder, (*snapshot.file_names(golden.nodes), snapshot.MANIFEST)
        return None


class Incoming:
    """Brings bundles and golden clusters to a host, each once.

    `state_dir` is the host's state folder, `store` the store of its golden clusters.
    """

    def __init__(self, state_dir: Path, store: GoldenStore) -> None:
        self._folder = state_dir / "arrivals"
        self._images = Store(state_dir / "images")
        self._goldens = store

    def image(self, bundle: Bundle, sources: Sequence[Source]) -> Bundle:
        """Return the same bundle as this host sees it: where it is, or brought from a source.

        Its manifest is the same too, since plans are made from what the manifest says. Raises
        TransferFailed if it can't be brought, ImageError if what has come isn't the bundle.
        """
        if (there := _verified(Store(bundle.path.parent), bundle)) is not None:
            return there
        with self._receiving(bundle.hash) as folder:
            if (there := _verified(self._images, bundle)) is not None:
                return there
            receive("image", bundle.hash, folder, sources, accept=_files_of(bundle))
            try:
                made = manifests.read(folder)
                _require_same(made.manifest, bundle.manifest)
                return self._images.put(made)
            except ImageError:
                shutil.rmtree(folder, ignore_errors=True)
                raise

    def golden(self, key: SnapshotKey, sources: Sequence[Source]) -> Golden | None:
        """Bring the golden cluster of `key` from a source that has it; None if none has.

        Raises GoldenError or TransferFailed if it can't be brought whole.
        """
        having = [source for source in sources if _has(source, key.digest)]
        if not having:
            return None
        with self._receiving(key.digest) as folder:
            receive("golden", key.digest, folder, having, accept=_golden_files)
            try:
                return self._goldens.adopt(folder, key)
            except GoldenError:
                shutil.rmtree(folder, ignore_errors=True)
                raise

    def sweep(self) -> None:
        """Remove transfers that were broken off long ago and never resumed."""
        for folder in self._folder.glob("[0-9a-f]*"):
            if not files.in_use(self._folder / f"{_LOCK}-{folder.name}"):
                with contextlib.suppress(OSError):
                    if time.time() - folder.stat().st_mtime > KEPT_S:
                        shutil.rmtree(folder)

    @contextlib.contextmanager
    def _receiving(self, key: str) -> Iterator[Path]:
        """Yield the folder in which it is put together, this process's alone meanwhile."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with files.exclusive_lock(self._folder / f"{_LOCK}-{key}"):
            yield self._folder / key


def _has(source: Source, key: str) -> bool:
    # A host that is unreachable has nothing to give.
    with contextlib.suppress(CampaignError, OSError):
        return source.manifest("golden", key) is not None
    return False


def _verified(store: Store, wanted: Bundle) -> Bundle | None:
    with contextlib.suppress(ImageError, OSError):
        bundle = store.get(wanted.hash)
        if bundle.manifest == wanted.manifest:
            store.verify(bundle)
            return bundle
    return None


def _files_of(bundle: Bundle) -> Callable[[TransferManifest], None]:
    """Return what refuses other files than the bundle's, or files of other sizes, untransferred."""
    sizes = {name: fact.size for name, fact in bundle.manifest.files.items()}

    def accept(offered: TransferManifest) -> None:
        manifest = offered.files.get(manifests.MANIFEST, 0)
        if offered.files != {**sizes, manifests.MANIFEST: manifest} or manifest > MANIFEST_BYTES:
            raise TransferFailed(
                f"what is offered as image {bundle.hash[:16]} is another one",
                f"wanted  {sizes}\noffered {dict(offered.files)}",
            )

    return accept


def _golden_files(offered: TransferManifest) -> None:
    """Raise TransferFailed if a golden cluster can't have these files."""
    for name, size in offered.files.items():
        if name == snapshot.MANIFEST and size <= MANIFEST_BYTES:
            continue
        if not _GOLDEN_FILE.fullmatch(name):
            raise TransferFailed(f"{name!r} ({size} bytes) is no file of a golden cluster")
    # Zeros cost their sender nothing, so that without a limit a transfer might never end. What is
    # larger than this machine's memory could not run here.
    total = sum(offered.files.values())
    if min(offered.files.values(), default=0) < 0 or total > memory_total_mib() * 2**20:
        raise TransferFailed(
            f"a golden cluster of {total} bytes is more than this machine's memory",
            "\n".join(f"{name}: {size} bytes" for name, size in offered.files.items()),
        )


def _require_same(made: ImageManifest, wanted: ImageManifest) -> None:
    """Raise ImageError, which names what differs, unless both describe the same bundle."""
    have = made.model_dump(mode="json")
    want = wanted.model_dump(mode="json")
    differing = [name for name in want if have[name] != want[name]]
    if differing:
        raise ImageError(
            f"what was sent as image {wanted.hash[:16]} is another one: its "
            f"{', '.join(differing)} differ" + ("s" if len(differing) == 1 else ""),
            "\n".join(f"{name}: wanted {want[name]}, sent {have[name]}" for name in differing),
            "Check the host that sent it: `hpc-campaign image verify` there.",
        )
