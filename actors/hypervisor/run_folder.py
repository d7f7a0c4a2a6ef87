"""The folder of one node on its host: lease, credentials, console log, exchange.

Its lease is in it before anything else, so that it can always be cleaned up.
"""

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from campaign.core import files

RUN_FOLDERS = "nodes"
"""The folder of the run folders of a host's nodes, below its state folder."""
DEVICES_SUFFIX = "-devices"
"""Ends the name of a folder whose lease alone counts, by the devices that it names."""
_LEASE = "lease.json"
_LINKS = "links"
_UNFINISHED = ".unfinished"  # suffix of a folder whose making was interrupted


@dataclass(frozen=True)
class RunFolder:
    """The files of the domain that has the folder's name."""

    path: Path

    @property
    def console_log(self) -> Path:
        """The file of the node's serial console."""
        return self.path / "console.log"

    @property
    def exchange(self) -> Path:
        """The file that a guest in virtual time gets its task by, and gives its result."""
        return self.path / "exchange"

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

    @property
    def of_node(self) -> bool:
        """True if it is a domain's, and not that of a cluster's network or devices."""
        return not self.links and not self.path.name.endswith(DEVICES_SUFFIX)

    def lease(self) -> Lease:
        """Return the lease that covers the folder; InvalidLease if there is none to be read."""
        try:
            raw = (self.path / _LEASE).read_text(encoding="utf-8")
            fields = json.loads(raw)
        except (OSError, ValueError) as error:
            raise InvalidLease(f"{self.path} has no readable lease", str(error)) from error
        if not isinstance(fields, dict):
            raise InvalidLease(f"the lease of {self.path} isn't a JSON object", raw)
        return Lease.from_fields(fields)

    def renew(self, lease: Lease) -> None:
        """Replace the lease in one step."""
        _write_lease(self.path, lease)

    def remove(self) -> None:
        """Remove the folder and the links that it answers for; harmless if it is gone."""
        # The links come first: only the folder knows their names.
        overlay.remove(self.links)
        # Another process may be removing the same folder, so errors count only where something is
        # left.
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
    fill: Callable[[RunFolder], None] = lambda _: None,
) -> RunFolder:
    """Make the folder of the domain `name`, readable by us alone.

    It appears with its lease in it or not at all. With `links`, it answers for network links of
    those names, which are made afterwards. `fill` puts more into it before it appears. Raises
    NodeNameTaken if there is one, and DiskFull or another NodeStartFailed if it can't be written;
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
                    "Remove what earlier runs left: hpc-campaign clean",
                )
            try:
                _fill(draft, lease, credentials, links)
                fill(RunFolder(draft))
                draft.rename(folder)
            # A failing `fill` may raise anything.
            except BaseException:
                shutil.rmtree(draft, ignore_errors=True)
                raise
    except OSError as error:
        raise _explain(error, folder) from error
    return RunFolder(folder)


def all_folders(run_root: Path) -> list[RunFolder]:
    """Return the finished folders below `run_root`, sorted by name."""
    if not run_root.is_dir():
        return []
    return [
        RunFolder(one)
        for one in sorted(run_root.iterdir())
        if (one / _LEASE).is_file() and one.suffix != _UNFINISHED
    ]


def remove_unfinished(run_root: Path) -> list[Path]:
    """Remove and return what a killed `create` left."""
    # Nobody makes a folder while we have the lock, so all drafts are leftovers.
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
    with files.exclusive_lock(run_root / ".lock"):
        yield


def _fill(
    draft: Path, lease: Lease, credentials: Mapping[str, bytes], links: Sequence[str]
) -> None:
    # A killed `create` of the same name may have left a draft.
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
    # A power cut ends the domain too, so the lease needn't survive it.
    content = json.dumps(lease.fields())
    files.write_atomically(folder / _LEASE, content, mode=0o600, durable=False)


def _write_private(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)


def _explain(error: OSError, folder: Path) -> NodeStartFailed:
    kind = {errno.ENOSPC: DiskFull, errno.EDQUOT: DiskFull, errno.EACCES: FileUnusable}.get(
        error.errno or 0, NodeStartFailed
    )
    fix = "Free some space there (df -h shows it)." if kind is DiskFull else ""
    return kind(f"the run folder {folder} can't be written", str(error), fix)
