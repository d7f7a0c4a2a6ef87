"""The image store: a folder of bundles named by their hash, verified on use, complete or absent."""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from actors.hypervisor.process import boot_id
from campaign.core import files
from campaign.core.errors import ImageError
from campaign.images.bundles import manifest as manifests
from campaign.images.bundles import tools
from campaign.images.bundles.manifest import PARTS, Bundle, FileFact, ImageManifest

_MAKING = ".making-"
_VERIFIED = ".verified"
_LOCK = ".lock"


class MissingImageError(ImageError):
    """The store has no such bundle."""


class DamagedImageError(ImageError):
    """A bundle's file is gone or isn't what the manifest says."""

    retryable = True


class Store:
    """Bundles below one folder (made when first written to). Safe for several processes at once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def bundles(self) -> list[Bundle]:
        """Return all bundles, newest first. Folders without a readable manifest are left out."""
        found = []
        # Folders in the making begin with a dot.
        for path in self.path.glob(f"[!.]*/{manifests.MANIFEST}"):
            with contextlib.suppress(ImageError, OSError):
                found.append((path.stat().st_mtime_ns, manifests.read(path.parent)))
        return [bundle for _, bundle in sorted(found, key=lambda pair: pair[0], reverse=True)]

    def get(self, wanted: str) -> Bundle:
        """Return the bundle with this hash, this unique start of a hash, or this name (the newest).

        Raises MissingImageError if there is none, or if the start of a hash fits several.
        """
        bundles = self.bundles()
        named = [bundle for bundle in bundles if bundle.manifest.name == wanted]
        if named:
            return named[0]
        hashed = [bundle for bundle in bundles if wanted and bundle.hash.startswith(wanted)]
        if len(hashed) == 1:
            return hashed[0]
        raise _missing(wanted, hashed or bundles, self.path, ambiguous=bool(hashed))

    def verify(self, bundle: Bundle, *, deep: bool = False) -> None:
        """Check that every file is what the manifest says.

        Files that were hashed before and haven't been touched since (size, times, inode) aren't
        hashed again during one boot, so this is cheap enough for every use; `deep` hashes all of
        them. Raises
        DamagedImageError, which names the first file that is another one.
        """
        known = {} if deep else self._read_verified(bundle)
        seen = {}
        for name in PARTS:
            # Taken before the file is hashed, so that a change meanwhile is seen next time.
            seen[name] = _identity(bundle.path / name)
            if seen[name] != known.get(name):
                _check(bundle, name)
        if seen != known:
            self._write_verified(bundle, seen)

    @contextlib.contextmanager
    def making(self) -> Iterator[Path]:
        """Yield a new folder on the store's disk to build a bundle in; it is removed afterwards."""
        self.path.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=_MAKING, dir=self.path))
        try:
            # Held while the bundle is made, by which `gc` tells it from what a killed build left.
            with files.exclusive_lock(folder / _LOCK):
                yield folder
        finally:
            tools.remove_tree(folder)

    def put(self, made: Bundle) -> Bundle:
        """Move the folder `made` (from `making`) into the store; return the bundle there.

        That is one rename, so that nobody sees half of a bundle. A bundle of the same hash that is
        already there stays if it is sound and has the same manifest, and is replaced otherwise.
        """
        target = self.path / f"{made.manifest.name}-{made.hash[:16]}"
        with self._locked():
            if target.exists() and not self._sound(target, made.manifest):
                self._discard(target)
            if target.exists():
                # It is the newest of its name again, which `get` and `gc` go by.
                (target / manifests.MANIFEST).touch()
            else:
                (made.path / _LOCK).unlink(missing_ok=True)
                # mkdtemp's folders are for their owner alone, but QEMU may run as another user.
                made.path.chmod(0o755)
                with tools.disk_errors(self.path):
                    # On the disk before it has its name: a bundle is whole after a power cut too.
                    files.make_durable(made.path)
                    made.path.rename(target)
                    files.flush(self.path)
        bundle = manifests.read(target)
        self.verify(bundle)
        return bundle

    def remove(self, bundle: Bundle) -> None:
        """Remove `bundle`; nodes that run from it keep their open files."""
        with self._locked():
            self._discard(bundle.path)
        self._verified_path(bundle).unlink(missing_ok=True)

    def gc(self, keep: Collection[str]) -> list[Bundle]:
        """Remove the bundles whose full hash isn't in `keep`; return them.

        The folders that killed builds left are removed as well.
        """
        removed = [bundle for bundle in self.bundles() if bundle.hash not in keep]
        for bundle in removed:
            self.remove(bundle)
        for folder in self.path.glob(f"{_MAKING}*"):
            if not files.in_use(folder / _LOCK):
                tools.remove_tree(folder)
        return removed

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.mkdir(parents=True, exist_ok=True)
        with files.exclusive_lock(self.path / _LOCK):
            yield

    def _sound(self, folder: Path, wanted: ImageManifest) -> bool:
        try:
            found = manifests.read(folder)
            self.verify(found, deep=True)
        except ImageError:
            return False
        # The hash is that of the files alone: what is said of them may differ.
        return found.manifest == wanted

    def _discard(self, folder: Path) -> None:
        """Remove a bundle: rename it away first, so that a reader sees all of it or nothing."""
        with contextlib.suppress(FileNotFoundError):
            hidden = Path(tempfile.mkdtemp(prefix=_MAKING, dir=self.path))
            folder.rename(hidden / "discarded")
            shutil.rmtree(hidden)

    def _verified_path(self, bundle: Bundle) -> Path:
        return self.path / _VERIFIED / f"{bundle.hash}.json"

    def _read_verified(self, bundle: Bundle) -> dict[str, dict[str, int]]:
        try:
            note = json.loads(self._verified_path(bundle).read_text())
        except (OSError, ValueError):
            return {}
        # After a power cut a file may have lost its content, and kept its size and times.
        valid = isinstance(note, dict) and note.get("boot") == boot_id()
        return note.get("files", {}) if valid else {}

    def _write_verified(self, bundle: Bundle, seen: dict[str, dict[str, int]]) -> None:
        """Note which files have been verified.

        A store that can't be written to does without: it is verified by hashing each time.
        """
        path = self._verified_path(bundle)
        with contextlib.suppress(OSError):
            path.parent.mkdir(exist_ok=True)
            # It counts within this boot only, so it needn't survive a power cut.
            note = {"boot": boot_id(), "files": seen}
            files.write_atomically(path, json.dumps(note), durable=False)


def _identity(path: Path) -> dict[str, int]:
    """Return `files.identity` of the file at `path`; empty if there is none."""
    try:
        return files.identity(path.stat())
    except FileNotFoundError:
        return {}


def _check(bundle: Bundle, name: str) -> None:
    path = bundle.path / name
    expected = bundle.manifest.files[name]
    resolution = f"Build it again: hpc-campaign image build {bundle.manifest.name}"
    try:
        found = FileFact.of(path)
    except OSError as error:
        raise DamagedImageError(
            f"image file {path} can't be read", str(error), resolution
        ) from error
    if found != expected:
        raise DamagedImageError(
            f"image file {path} is damaged", f"expected {expected}\nfound    {found}", resolution
        )


def _missing(
    wanted: str, candidates: list[Bundle], path: Path, *, ambiguous: bool
) -> MissingImageError:
    reason = "fits more than one" if ambiguous else "is not in the image store"
    there = (
        "\n".join(f"{bundle.manifest.name} {bundle.hash}" for bundle in candidates)
        or "the store is empty"
    )
    resolution = (
        "Give more of the hash."
        if ambiguous
        else f"Build it: hpc-campaign image build {_buildable(wanted)}"
    )
    return MissingImageError(f"image {wanted!r} {reason} {path}", there, resolution)


def _buildable(wanted: str) -> str:
    """Return the image to build for `wanted`, which may be a hash: those can't be built by name."""
    is_hash = all(character in "0123456789abcdef" for character in wanted)
    return "slurm" if is_hash else wanted
