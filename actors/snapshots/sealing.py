"""The files of a golden cluster: sealing a draft of them, verifying them, and reading them."""

import base64
import contextlib
import errno
import fcntl
import os
import signal
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

from actors.hypervisor.process import boot_id
from actors.snapshots import snapshot, sparse
from actors.snapshots.snapshot import (
    MANIFEST,
    Content,
    Golden,
    GoldenError,
    GoldenManifest,
    SnapshotKey,
    damaged,
)
from campaign.core import files

_VERIFIED = "verified.json"
# Twice the coarsest clock tick that file systems stamp files with.
_CLOCK_GRAIN_S = 0.02
_BLOCK_UNIT = 512  # bytes; of st_blocks

FileIdentity = dict[str, int]
_Result = TypeVar("_Result")


class _Verified(BaseModel):
    """`verified.json`: which files of a golden cluster were found sound during this boot.

    It is trusted across processes: who could forge it could as well put forged files into the
    folder, which is ours alone. A copied folder has other inodes, a program can't set a change time
    back, and a crash or a rollback of the machine gives another boot.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    boot: str
    seal: str
    files: dict[str, FileIdentity]


def seal(
    folder: Path, key: SnapshotKey, nodes: Sequence[str], identity: Mapping[str, bytes]
) -> None:
    """Make the files of `nodes` in `folder` ours and sparse, and write their manifest last.

    Raises GoldenError if one is missing or still open for writing somewhere, OSError if the disk
    fails.
    """
    paths = [folder / name for name in snapshot.file_names(nodes)]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise GoldenError(f"the draft {folder} of a golden cluster lacks {', '.join(missing)}")
    _each(_tidy, paths)
    # After tidying, which opens the files for writing itself, and before reading, so that what is
    # hashed can't change any more.
    _each(_require_no_writer, paths)
    read = _each(_read, paths)
    encoded = {name: base64.b64encode(secret) for name, secret in identity.items()}
    contents = {path.name: content for path, (content, _) in read.items()}
    manifest = GoldenManifest(
        parts=dict(key.inputs), nodes=tuple(nodes), files=contents, identity=encoded
    )
    _remember(folder, manifest, {path.name: seen for path, (_, seen) in read.items()})
    snapshot.write(folder / MANIFEST, manifest)


def tidy(folder: Path) -> None:
    """Make the files of the golden cluster in `folder` ours alone and their zeros holes."""
    _each(_tidy, [folder / name for name in read_manifest(folder).files])


def load(folder: Path) -> Golden:
    """Return the golden cluster in `folder`, by its manifest alone; GoldenDamaged if it is bad."""
    return _golden(folder, read_manifest(folder))


def verify(folder: Path, key: SnapshotKey) -> Golden:
    """Return the golden cluster of `key` in `folder`, with every byte checked.

    What was checked during this boot and hasn't been touched since isn't read again. Raises
    GoldenDamaged if any of it isn't what the manifest says.
    """
    manifest = read_manifest(folder)
    if manifest.key.digest != key.digest:
        raise damaged(folder / MANIFEST, "has another key", snapshot.differences(key, manifest.key))
    known = _known(folder, manifest)
    seen = {
        name: _identity_of(folder / name, content.size) for name, content in manifest.files.items()
    }
    touched = [name for name, identity in seen.items() if identity != known.get(name)]
    if touched:
        seen.update(_check(folder, manifest, touched))
        _remember(folder, manifest, seen)
    return _golden(folder, manifest)


def read_manifest(folder: Path) -> GoldenManifest:
    """Return the manifest in `folder`; GoldenDamaged if one of them isn't plain, ours and whole."""
    path = folder / MANIFEST
    try:
        _require_ours(folder, folder.lstat(), stat.S_ISDIR)
        _require_ours(path, path.lstat(), stat.S_ISREG)
        return snapshot.parse(path, path.read_bytes())
    except OSError as error:
        raise damaged(path, "can't be read", str(error)) from error


def disk_use(folder: Path) -> int:
    """Return the bytes that the files in `folder` take; FileNotFoundError without a folder."""
    total = 0
    for path in folder.iterdir():
        # Another process's draft of its record may be gone by now.
        with contextlib.suppress(FileNotFoundError):
            total += path.lstat().st_blocks * _BLOCK_UNIT
    return total


def read_all(golden: Golden, nodes: Iterable[str] | None = None) -> int:
    """Read the files of `nodes` (of all, if None) once, and return the bytes read.

    Any restore that reads its files takes at least as long.
    """
    total = 0
    for path in golden.files(nodes):
        with _opened(path) as descriptor:
            total += sparse.read(descriptor)
    return total


def drop_cache(golden: Golden, nodes: Iterable[str] | None = None) -> None:
    """Write the files of `nodes` (of all, if None) to the disk, and drop them from the page cache.

    Pages that are mapped now stay.
    """
    for path in golden.files(nodes):
        with _opened(path) as descriptor:
            # The kernel drops only pages that are on the disk already.
            os.fdatasync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _tidy(path: Path) -> None:
    """Make the file ours alone (libvirt may have written it) and its zeros holes."""
    with _opened(path, os.O_RDWR) as descriptor:
        if os.fstat(descriptor).st_uid != os.geteuid():
            os.fchown(descriptor, os.geteuid(), os.getegid())
        os.fchmod(descriptor, 0o600)
        sparse.punch(descriptor)


def _require_no_writer(path: Path) -> None:
    """Raise GoldenError if anything has the file open for writing.

    Writes to mapped memory needn't change a file's times, so nothing else would tell. The kernel
    grants a read lease only on a file without writers. Some file systems know no leases; there the
    caller's promise must do.
    """
    with _opened(path) as descriptor:
        # SIGURG is ignored by default, unlike SIGIO, if a writer comes just now.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except BlockingIOError as error:
            fix = "End the nodes of a golden cluster before it is put into the store."
            raise GoldenError(f"{path} is still open for writing", str(error), fix) from error
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
        else:
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def _identity_of(path: Path, size: int) -> FileIdentity:
    """Return the identity of a file, unread; GoldenDamaged unless it is ours and of this size."""
    try:
        # lstat and not stat: a link in a file's place must not pass for the file.
        status = path.lstat()
    except OSError as error:
        raise damaged(path, "can't be read", str(error)) from error
    _require_ours(path, status, stat.S_ISREG)
    if status.st_size != size:
        what = "was truncated" if status.st_size < size else "has grown"
        raise damaged(path, what, f"expected {size} bytes\nfound    {status.st_size} bytes")
    return files.identity(status)


def _check(folder: Path, manifest: GoldenManifest, names: Sequence[str]) -> dict[str, FileIdentity]:
    """Read these files and return their identities; GoldenDamaged if one was altered."""
    seen = {}
    for path, (found, identity) in _each(_read_again, [folder / name for name in names]).items():
        expected = manifest.files[path.name]
        if found != expected:
            raise damaged(path, "was altered", f"expected {expected}\nfound    {found}")
        seen[path.name] = identity
    return seen


def _read_again(path: Path) -> tuple[Content, FileIdentity]:
    try:
        return _read(path)
    except OSError as error:
        raise damaged(path, "can't be read", str(error)) from error


def _read(path: Path) -> tuple[Content, FileIdentity]:
    """Return a file's content, and the identity that it keeps while it has this content."""
    with _opened(path) as descriptor:
        age = time.time() - os.fstat(descriptor).st_ctime
        if 0 <= age < _CLOCK_GRAIN_S:  # another change could get the same change time
            time.sleep(_CLOCK_GRAIN_S - age)
        status = os.fstat(descriptor)
        return Content(digest=sparse.digest(descriptor), size=status.st_size), files.identity(
            status
        )


@contextmanager
def _opened(path: Path, mode: int = os.O_RDONLY) -> Iterator[int]:
    # O_NOFOLLOW for the same reason as lstat in `_identity_of`: no link may stand for a file.
    descriptor = os.open(path, mode | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _each(work: Callable[[Path], _Result], paths: Sequence[Path]) -> dict[Path, _Result]:
    # In threads: reading and hashing release the interpreter's lock.
    with ThreadPoolExecutor(min(len(paths), os.cpu_count() or 1)) as workers:
        return dict(zip(paths, workers.map(work, paths), strict=True))


def _require_ours(path: Path, status: os.stat_result, is_kind: Callable[[int], bool]) -> None:
    if not is_kind(status.st_mode):
        raise damaged(path, "isn't a plain file or folder", stat.filemode(status.st_mode))
    if status.st_uid != os.geteuid():
        raise damaged(path, f"belongs to user {status.st_uid}, not to us ({os.geteuid()})")


def _golden(folder: Path, manifest: GoldenManifest) -> Golden:
    return Golden(
        folder=folder,
        key=manifest.key,
        nodes=manifest.nodes,
        identity=manifest.identity,
        seal=manifest.seal,
        size=sum(content.size for content in manifest.files.values()),
        disk_use=disk_use(folder),
    )


def _known(folder: Path, manifest: GoldenManifest) -> dict[str, FileIdentity]:
    """Return the identities of the files that were verified before during this boot."""
    try:
        record = _Verified.model_validate_json((folder / _VERIFIED).read_bytes())
    except (OSError, ValueError):
        return {}
    return record.files if (record.boot, record.seal) == (boot_id(), manifest.seal) else {}


def _remember(folder: Path, manifest: GoldenManifest, seen: Mapping[str, FileIdentity]) -> None:
    """Best effort: files that can't be remembered are read again next time."""
    record = _Verified(boot=boot_id(), seal=manifest.seal, files=dict(seen))
    with contextlib.suppress(OSError):
        # It counts within this boot only, so it needn't survive a power cut.
        files.write_atomically(
            folder / _VERIFIED, record.model_dump_json(), mode=0o600, durable=False
        )
