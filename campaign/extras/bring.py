"""Brings all third-party files of one image into a folder, and lists them in its SHA256SUMS."""

import hashlib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from campaign.core.errors import ImageError
from campaign.core.files import exclusive_lock, storage_errors, write_atomically
from campaign.extras.archive import archive_of
from campaign.extras.download import Downloads, Stated, Watch
from campaign.extras.registry import Registry
from campaign.extras.sums import Sums
from campaign.extras.table import FILES, ArchiveOfFiles, InContainerImage, Released, Row
from campaign.images.bundles.manifest import FileFact
from campaign.images.debian import builder
from campaign.images.debian.third_party import SUMS

_HASH = re.compile(r"[0-9a-f]{64}")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class There:
    """What is to be said of a file that is there: why it is kept, or why it is brought again."""

    kept: bool
    why: str


def bring(image: str, folder: Path, downloads: Downloads, watch: Watch) -> None:
    """Bring the third-party files of `image` into `folder`, those that aren't there as they should.

    Each file is listed in SHA256SUMS when it is complete, so an interrupted call is gone on
    with by the next one. Logs a line for each file. Raises ImageError for an image whose files
    can't be brought and where one can't be had, and StorageError.
    """
    rows = _rows(image)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(folder / ".lock"):
        for name, row in rows.items():
            _bring_one(name, row, folder, downloads, watch)


def _rows(image: str) -> Mapping[str, Row]:
    """Return what can be brought; ImageError says why nothing can."""
    wanted = builder.spec(image).extras  # an unknown image is an error
    if image in FILES:
        return FILES[image]
    if not wanted:
        raise ImageError(f"image {image} needs no files of yours", "", "Build it as it is.")
    raise ImageError(
        f"image {image} needs what has to be built, which can't be brought",
        "\n".join(f"{one.file}: {one.what}" for one in wanted),
        "docs/schedulers.md has each command that builds it.",
    )


def _bring_one(name: str, row: Row, folder: Path, downloads: Downloads, watch: Watch) -> None:
    path = folder / name
    with storage_errors(folder / SUMS):
        sums = Sums.read(folder)
    digest = FileFact.of(path).sha256 if path.is_file() else None
    there = _look(name, row, digest, sums)
    if there and there.kept:
        _log.info("%s: %s", name, there.why)
        return
    if there:
        _log.info("%s: %s; bringing it again", name, there.why)
    watch.begin(name)
    try:
        _download(row, path, digest, downloads, watch)
    finally:
        watch.end()
    fact = FileFact.of(path)
    sums.put(name, fact.sha256, row.source)
    with storage_errors(folder / SUMS):
        sums.write(folder)
    _log.info("%s: %.1f MiB, sha256 %s, of %s", name, fact.size / 2**20, fact.sha256, row.source)


def _download(row: Row, path: Path, digest: str | None, downloads: Downloads, watch: Watch) -> None:
    """Bring a file to `path`, where one with this digest may be."""
    if isinstance(row, Released):
        stated = _stated(row, downloads)
        if digest != stated.sha256:
            downloads.bring(row.source, path, stated, watch)
    elif isinstance(row, InContainerImage):
        Registry(downloads, row).take_out(path, watch)
    else:
        _make_archive(row, path, downloads, watch)


def _look(name: str, row: Row, digest: str | None, sums: Sums) -> There | None:
    """Say how a file is that is there with this digest; None where there is none."""
    if digest is None:
        return None
    listed = sums.digests.get(name)
    source = sums.sources.get(name)
    if listed is None:
        return There(kept=False, why=f"there, but {SUMS} doesn't list it")
    if listed != digest:
        return There(kept=False, why=f"there, but not what {SUMS} says (damaged or changed)")
    if source is None:
        return There(kept=True, why=f"yours, as {SUMS} has it: kept (remove it to have it brought)")
    if source != row.source:
        return There(kept=False, why=f"there, but another version ({source})")
    return There(kept=True, why=f"there and right, of {source}")


def _stated(row: Released, downloads: Downloads) -> Stated:
    """Ask what the publisher states of a release's file."""
    url = f"{row.source}.sha256"
    said = downloads.text(url).decode(errors="replace").split()
    if not said or not _HASH.fullmatch(said[0]):
        raise ImageError(
            f"{downloads.address(url)} states no SHA-256",
            " ".join(said)[:200],
            "If this is a mirror, look at what it sends.",
        )
    return Stated(said[0], downloads.address(url))


def _make_archive(row: ArchiveOfFiles, path: Path, downloads: Downloads, watch: Watch) -> None:
    files = {}
    for file in row.files:
        url = f"{row.base}/{row.repository}/{row.commit}/{file}"
        files[Path(file).name] = downloads.text(url)
        watch.at(sum(map(len, files.values())), None)
    made = archive_of(files)
    digest = hashlib.sha256(made).hexdigest()
    if digest != row.sha256:
        raise ImageError(
            f"the files for {path.name} are not those of {row.source}",
            f"sha256 of their archive  {digest}\nit should be             {row.sha256}",
            "Nothing of it was kept. If a proxy or mirror stands between, look at what it sends.",
        )
    with storage_errors(path):
        write_atomically(path, made)
