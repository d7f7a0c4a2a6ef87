"""The logs of a campaign's actors in its results folder; they are brought there from all hosts."""

import errno
import os
from pathlib import Path

from campaign.core import files, log


class CollectedLogs:
    """The logs in `folder`, a file for each life of an actor.

    `campaign` names the campaign on hosts. A log is as it was on its host up to its `size`, so what
    comes later is appended, also when a campaign is resumed.
    """

    def __init__(self, folder: Path, name: str, identity: str) -> None:
        """Make `campaign` of the campaign's name and of what tells it from others named alike."""
        self.campaign = f"{name}-{identity[:8]}"
        self._folder = folder

    def size(self, name: str) -> int:
        """Return how many bytes of a log are here; 0 if there is none of that name."""
        try:
            return (self._folder / name).stat().st_size
        except FileNotFoundError:
            return 0

    def append(self, name: str, data: bytes) -> None:
        """Append to a log, which only the user may read; OSError where that can't be done.

        The last bytes of the disk are left to the ledger and the results, as `log.RESERVED_BYTES`
        says.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        if not files.has_room(self._folder, log.RESERVED_BYTES + len(data)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._folder / name))
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        with os.fdopen(os.open(self._folder / name, flags, 0o600), "wb") as file:
            file.write(data)
