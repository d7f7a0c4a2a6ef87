"""Where the actors on a host write their logs, and how those files are read from elsewhere.

Each life of an actor has a file of its own, `<state dir>/logs/<campaign>/<actor>-<start>.jsonl`,
and further ones where it grows large. They stay there until the driver has brought them home (see
`log_collector`), or for KEPT_S.
"""

import contextlib
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from actors.hosts.ray_session import keep_token_secret
from campaign.core import log

LOGS = "logs"
CHUNK_BYTES = 1 << 20
KEPT_S = 30 * 24 * 3600.0
"""Logs that nobody has brought home are removed after that time."""

_NAME = re.compile(r"(host|cluster)-[A-Za-z0-9._+-]+\.jsonl")
# Nothing closes it: the log stays open until the process ends.
_LIFE = contextlib.ExitStack()


@dataclass(frozen=True)
class LogPlace:
    """The folder of one campaign's logs on one host; a `log_collector.LogSource` on that host.

    `state_dir` is the host's as it is set; a "~" in it is the home folder there.
    """

    state_dir: str
    campaign: str

    @property
    def folder(self) -> Path:
        """The folder, as a path on this machine."""
        return Path(self.state_dir).expanduser().absolute() / LOGS / self.campaign

    def begin(self, actor: str) -> None:
        """Write all that this process logs to a file of its own, from now to its end.

        A folder that can't be written costs the log, never the work.
        """
        keep_token_secret()
        started = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        # With the process's number, since two lives may begin in the same second.
        name = re.sub(r"[^A-Za-z0-9._+-]", "_", f"{actor}-{started}-{os.getpid()}")
        with contextlib.suppress(OSError):
            path = self.folder / f"{name}.jsonl"
            _LIFE.enter_context(log.to_file(path, segment_bytes=log.SEGMENT_BYTES))

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each log of the campaign's actors on this host, by its file name."""
        found = {}
        for path in sorted(self.folder.glob("*.jsonl")):
            # Between the listing and this look, a log may be removed.
            with contextlib.suppress(FileNotFoundError):
                found[path.name] = path.stat().st_size
        return found

    def chunk(self, name: str, offset: int) -> bytes:
        """Return at most CHUNK_BYTES of a log from `offset` on; empty at its end, or without it.

        Raises ValueError for a name that no log of an actor has.
        """
        check_name(name)
        try:
            with (self.folder / name).open("rb") as file:
                file.seek(offset)
                return file.read(CHUNK_BYTES)
        except FileNotFoundError:
            return b""

    def remove(self, sizes: Mapping[str, int]) -> None:
        """Remove the logs that have exactly these sizes still, so that nothing new is lost."""
        for name, size in sizes.items():
            check_name(name)
            path = self.folder / name
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_size == size:
                    path.unlink()
        with contextlib.suppress(OSError):  # logs that weren't brought home stay
            self.folder.rmdir()


def check_name(name: str) -> None:
    """Raise ValueError unless an actor's log may be called `name`: it comes from other machines."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of an actor's log")


def sweep_logs(state_dir: Path, now: float) -> None:
    """Remove the logs that were last written more than KEPT_S before `now` (Unix seconds)."""
    for path in (state_dir / LOGS).glob("*/*.jsonl"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < now - KEPT_S:
                path.unlink()
                path.parent.rmdir()  # fails while there are others
