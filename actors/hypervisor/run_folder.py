"""The folder of one node on its host: lease, credentials, console log. It says whose it is before
it holds anything."""

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from actors.hypervisor import overlay
from actors.hypervisor.errors import (
    DiskFull,
    FileUnusable,
    InvalidLease,
    InvalidNodeSpec,
    NodeNameTaken,
    NodeStartFailed,
)
from actors.hypervisor.lease import Lease

RUN_FOLDERS = "nodes"
"""Where the run folders of a host's nodes stand, below its state folder."""
_LEASE = "lease.json"
_LINKS = "links"
_UNFINISHED = ".unfinished"  # suffix of a folder whose making was interrupted


@dataclass(frozen=True)
class RunFolder:
    """The files of the domain that has the folder's name."""

    path: Path

    @property
    def console_log(self) -> Path:
        """Where the node's serial console goes."""
        return self.path / "console.log"

    @property
    def credentials(self) -> dict[str, Path]:
        """The credential files by credential name, as `NodeSpec` takes them."""
        folder = self.path / "credentials"
        return {file.name: file for file in sorted(folder.iterdir())} if folder.is_dir() else {}

    @property
    def links(self) -> tuple[str, ...]:
        """The network links that the folder answers for, by name."""
        try:
            return tuple((self.path / _LINKS).read_text(encoding="ascii").split())
        except FileNotFoundError:
            return ()

    def lease(self) -> Lease:
        """The lease that covers the folder; `InvalidLease` if it has none that can be read."""
        try:
            raw = (self.path / _LEASE).read_text(encoding="utf-8")
            fields = json.loads(raw)
        except (OSError, ValueError) as error:
            raise InvalidLease(f"{self.path} has no readable lease", str(error)) from error
        if not isinstance(fields, dict):
            raise InvalidLease(f"the lease of {self.path} is no JSON object", raw)
        return Lease.from_fields(fields)

    def renew(self, lease: Lease) -> None:
        """Put `lease` in the place of the old one, in one step."""
        _write_lease(self.path, lease)

    def remove(self) -> None:
        """Remove the folder and all in it, and the links that it answers for; harmless if it is
        gone."""
        overlay.remove(self.links)
        shutil.rmtree(self.path, ignore_errors=True)
        if self.path.exists():
            shutil.rmtree(self.path)  # says what is in the way


def create(
    run_root: Path,
    name: str,
    lease: Lease,
    credentials: Mapping[str, bytes],
    *,
    links: Sequence[str] = (),
) -> RunFolder:
    """Make the folder of the domain `name`, readable by us alone. It appears with its lease in it
    or not at all.

    With `links`, it answers for network links of those names, which are made afterwards.

    `NodeNameTaken` if there is one, `DiskFull` or another `NodeStartFailed` if it can't be written;
    nothing is left then.
    """
    for one in (name, *credentials):
        if one in ("", ".", "..") or Path(one).name != one:
            raise InvalidNodeSpec(
                f"{one!r} can't be the name of a run folder or of a credential in it"
            )
    folder = run_root / name
    draft = run_root / (name + _UNFINISHED)
    try:
        with locked(run_root):
            if folder.exists():
                raise NodeNameTaken(
                    f"the run folder {folder} exists already",
                    "",
                    "remove what earlier runs left: python -m campaign clean",
                )
            try:
                _fill(draft, lease, credentials, links)
                draft.rename(folder)
            except OSError:
                shutil.rmtree(draft, ignore_errors=True)
                raise
    except OSError as error:
        raise _explain(error, folder) from error
    return RunFolder(folder)


def all_folders(run_root: Path) -> list[RunFolder]:
    """The finished folders below `run_root`, sorted by name."""
    if not run_root.is_dir():
        return []
    return [
        RunFolder(one)
        for one in sorted(run_root.iterdir())
        if (one / _LEASE).is_file() and one.suffix != _UNFINISHED
    ]


def remove_unfinished(run_root: Path) -> list[Path]:
    """Remove what a killed `create` left. Under the lock nobody is at it, so all drafts are
    leftovers."""
    if not run_root.is_dir():
        return []
    with locked(run_root):
        drafts = [one for one in sorted(run_root.iterdir()) if one.suffix == _UNFINISHED]
        for draft in drafts:
            shutil.rmtree(draft, ignore_errors=True)
    return drafts


@contextmanager
def locked(run_root: Path) -> Iterator[None]:
    """Hold the lock of `run_root`; the kernel releases it with the process, however that ends."""
    run_root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (run_root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fill(
    draft: Path, lease: Lease, credentials: Mapping[str, bytes], links: Sequence[str]
) -> None:
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    _write_lease(draft, lease)
    (draft / "credentials").mkdir(mode=0o700)
    for name, content in credentials.items():
        _write_private(draft / "credentials" / name, content)
    _write_private(draft / "console.log", b"")
    if links:
        _write_private(draft / _LINKS, "\n".join(links).encode())


def _write_lease(folder: Path, lease: Lease) -> None:
    draft = folder / (_LEASE + _UNFINISHED)
    draft.unlink(missing_ok=True)
    _write_private(draft, json.dumps(lease.fields()).encode())
    draft.rename(folder / _LEASE)


def _write_private(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)


def _explain(error: OSError, folder: Path) -> NodeStartFailed:
    kind = {errno.ENOSPC: DiskFull, errno.EDQUOT: DiskFull, errno.EACCES: FileUnusable}.get(
        error.errno or 0, NodeStartFailed
    )
    cure = "make room there (df -h shows it)" if kind is DiskFull else ""
    return kind(f"the run folder {folder} can't be written", str(error), cure)
