"""Reads files of runs from below the store's folder of artifacts, and follows no link."""

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from campaign.tracking.refused_request import RefusedRequest
from campaign.tracking.store import ARTIFACTS, DATABASE

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A FIFO must not be waited for, hence O_NONBLOCK; it changes nothing for a regular file.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class ArtifactReader:
    """Reads the artifacts of the runs in the MLflow store of the folder `mlruns`.

    MLflow itself would follow links, and read wherever a run's record says that its artifacts are.
    Here each part of a path is opened below the one before, and a link is refused at that moment,
    so it can't be put in place between a check and the use. RefusedRequest is raised for all that
    is not a file or folder below `mlruns`/artifacts.
    """

    def __init__(self, mlruns: Path) -> None:
        """Keep the folder's place; the folder need not exist yet."""
        self._given = mlruns.expanduser().absolute() / ARTIFACTS
        self._root = mlruns.expanduser().resolve() / ARTIFACTS
        self._database = mlruns.expanduser().resolve() / DATABASE

    def open_file(self, run: str, path: str) -> BinaryIO:
        """Open the regular file at the relative `path` of the run with this id."""
        parts = [*self._parts_of(run), *_parts(path)]
        folder = self._folder(parts[:-1])
        try:
            descriptor = os.open(parts[-1], _FILE, dir_fd=folder)
        except OSError:
            raise _missing(path) from None
        finally:
            os.close(folder)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise _missing(path)
        return os.fdopen(descriptor, "rb")

    def list_folder(self, run: str, path: str) -> dict[str, Any]:
        """Return what MLflow's interface answers for the folder at `path` ("" is the run's own).

        `root_uri` is where the run's artifacts are. Each of `files` has its `path`, `is_dir`, and
        `file_size` in bytes where it is a file. Links are left out.
        """
        inside = _parts(path)
        own = self._parts_of(run)
        try:
            folder = self._folder([*own, *inside])
        except RefusedRequest:
            if inside:
                raise
            return {"root_uri": str(self._root.joinpath(*own)), "files": []}  # nothing logged yet
        try:
            with os.scandir(folder) as entries:
                found = [_entry(entry, inside) for entry in entries if not entry.is_symlink()]
        finally:
            os.close(folder)
        files = sorted(found, key=lambda one: str(one["path"]))
        return {"root_uri": str(self._root.joinpath(*own)), "files": files}

    def _parts_of(self, run: str) -> list[str]:
        uri = self._uri(run)
        split = urlsplit(uri)
        if split.scheme not in ("", "file") or split.netloc not in ("", "localhost"):
            raise _elsewhere()
        where = Path(unquote(split.path) if split.scheme else uri)
        if not where.is_absolute():
            parts = _parts(uri)
            if parts[:1] != [ARTIFACTS] or len(parts) == 1:
                raise _elsewhere()
            return parts[1:]
        for root in (self._root, self._given):
            if where.is_relative_to(root) and where != root:
                return _parts(str(where.relative_to(root)))
        raise _elsewhere()

    def _uri(self, run: str) -> str:
        query = "SELECT artifact_uri FROM runs WHERE run_uuid = ?"
        try:
            with closing(sqlite3.connect(f"{self._database.as_uri()}?mode=ro", uri=True)) as store:
                row = store.execute(query, (run,)).fetchone()
        except sqlite3.Error as error:
            raise RefusedRequest(500, f"The store can't be read: {error}.") from None
        if row is None:
            raise RefusedRequest(404, "There is no such run.")
        return str(row[0])

    def _folder(self, parts: list[str]) -> int:
        # The root may be reached by links of the user's own, what is below it may not.
        try:
            folder = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            raise _missing(ARTIFACTS) from None
        for part in parts:
            try:
                below = os.open(part, _FOLDER, dir_fd=folder)
            except OSError:
                raise _missing("/".join(parts)) from None
            finally:
                os.close(folder)
            folder = below
        return folder


def _parts(path: str) -> list[str]:
    parts = path.split("/") if path else []
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise RefusedRequest(403, "A path of an artifact is relative, and has no '.' or '..'.")
    return parts


def _entry(entry: os.DirEntry[str], folder: list[str]) -> dict[str, Any]:
    path = "/".join([*folder, entry.name])
    if entry.is_dir(follow_symlinks=False):
        return {"path": path, "is_dir": True}
    return {"path": path, "is_dir": False, "file_size": entry.stat(follow_symlinks=False).st_size}


def _missing(path: str) -> RefusedRequest:
    return RefusedRequest(404, f"There is no such file or folder among the artifacts: {path}")


def _elsewhere() -> RefusedRequest:
    return RefusedRequest(403, "The run's artifacts are not in this store's folder of artifacts.")
