"""The image store: a folder of bundles named by their hash, verified on use, and never seen
half-made."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from campaign.core import files
from campaign.core.errors import ImageError
from campaign.images.bundles import manifest as manifests
from campaign.images.bundles import tools
from campaign.images.bundles.manifest import PARTS, Bundle, FileFact

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
        """All bundles, newest first. Folders without a readable manifest are left out."""
        found = []
        for path in self.path.glob(f"[!.]*/{manifests.MANIFEST}"):
            with contextlib.suppress(ImageError, OSError):
                found.append((path.stat().st_mtime_ns, manifests.read(path.parent)))
        return [bundle for _, bundle in sorted(found, key=lambda pair: pair[0], reverse=True)]

    def get(self, wanted: str) -> Bundle:
        """The bundle with this hash, this unique start of a hash, or the newest one of this name.

        MissingImageError if there is none, or if the start of a hash fits several.
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
        """Make sure that every file is what the manifest says; DamagedImageError names the first
        that isn't.

        Files that were hashed before and haven't been touched since (size, times, inode) aren't
        hashed again, so this is cheap enough for every use; `deep` hashes all of them.
        """
        known = {} if deep else self._read_verified(bundle)
        seen = {}
        for name in PARTS:
            seen[name] = _identity(bundle.path / name)
            if seen[name] != known.get(name):
                _check(bundle, name)
        if seen != known:
            self._write_verified(bundle, seen)

    @contextlib.contextmanager
    def making(self) -> Iterator[Path]:
        """A new folder to build a bundle in, on the store's disk; it is gone afterwards, whatever
        happens."""
        self.path.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=_MAKING, dir=self.path))
        try:
            with files.lock(folder / _LOCK):
                yield folder
        finally:
            tools.remove_tree(folder)

    def put(self, made: Bundle) -> Bundle:
        """Move the folder `made` (from `making`) into the store by renaming, and return the bundle
        at its new place.

        A bundle of the same hash that is already there stays if it is sound, and is replaced if it
        is damaged.
        """
        target = self.path / f"{made.manifest.name}-{made.hash[:16]}"
        with self._locked():
            if target.exists() and not self._sound(target):
                self._discard(target)
            if target.exists():
                (target / manifests.MANIFEST).touch()
            else:
                (made.path / _LOCK).unlink(missing_ok=True)
                made.path.chmod(0o755)
                made.path.rename(target)
        bundle = manifests.read(target)
        self.verify(bundle)
        return bundle

    def remove(self, bundle: Bundle) -> None:
        """Remove `bundle`; nodes that run from it keep their open files."""
        with self._locked():
            self._discard(bundle.path)
        self._verified_path(bundle).unlink(missing_ok=True)

    def gc(self, keep: Collection[str]) -> list[Bundle]:
        """Remove the bundles whose full hash isn't in `keep`, and what killed builds left; the
        bundles removed."""
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
        with files.lock(self.path / _LOCK):
            yield

    def _sound(self, folder: Path) -> bool:
        try:
            self.verify(manifests.read(folder), deep=True)
        except ImageError:
            return False
        return True

    def _discard(self, folder: Path) -> None:
        """First out of sight by one rename, then removed: a reader sees all of a bundle or
        nothing."""
        with contextlib.suppress(FileNotFoundError):
            hidden = Path(tempfile.mkdtemp(prefix=_MAKING, dir=self.path))
            folder.rename(hidden / "discarded")
            shutil.rmtree(hidden)

    def _verified_path(self, bundle: Bundle) -> Path:
        return self.path / _VERIFIED / f"{bundle.hash}.json"

    def _read_verified(self, bundle: Bundle) -> dict[str, dict[str, int]]:
        try:
            known = json.loads(self._verified_path(bundle).read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def _write_verified(self, bundle: Bundle, seen: dict[str, dict[str, int]]) -> None:
        """Best effort: a store that can't be written to is verified by hashing each time."""
        path = self._verified_path(bundle)
        with contextlib.suppress(OSError):
            path.parent.mkdir(exist_ok=True)
            draft = path.with_suffix(f".{os.getpid()}")
            draft.write_text(json.dumps(seen))
            draft.replace(path)


def _identity(path: Path) -> dict[str, int]:
    """`files.identity` of the file at `path`; empty if there is none."""
    try:
        return files.identity(path.stat())
    except FileNotFoundError:
        return {}


def _check(bundle: Bundle, name: str) -> None:
    path = bundle.path / name
    expected = bundle.manifest.files[name]
    mend = f"build it again: python -m campaign image build {bundle.manifest.name}"
    try:
        found = FileFact.of(path)
    except OSError as error:
        raise DamagedImageError(f"image file {path} can't be read", str(error), mend) from error
    if found != expected:
        raise DamagedImageError(
            f"image file {path} is damaged", f"expected {expected}\nfound    {found}", mend
        )


def _missing(
    wanted: str, candidates: list[Bundle], path: Path, *, ambiguous: bool
) -> MissingImageError:
    reason = "fits more than one" if ambiguous else "is not in the image store"
    there = (
        "\n".join(f"{bundle.manifest.name} {bundle.hash}" for bundle in candidates)
        or "the store is empty"
    )
    mend = (
        "give more of the hash"
        if ambiguous
        else f"python -m campaign image build {_buildable(wanted)}"
    )
    return MissingImageError(f"image {wanted!r} {reason} {path}", there, mend)


def _buildable(wanted: str) -> str:
    """The name to build when `wanted` may also be a hash, which can't be built by name."""
    is_hash = all(character in "0123456789abcdef" for character in wanted)
    return "slurm" if is_hash else wanted
