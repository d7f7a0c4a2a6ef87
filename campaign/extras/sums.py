"""The folder's SHA256SUMS: what each file has to be, and where we brought it from.

The latter stands in comments, which sha256sum(1) skips. So whoever writes the list anew by
sha256sum says that the files are his own.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from campaign.core.files import write_atomically
from campaign.images.debian.third_party import SUMS

_LINE = re.compile(r"([0-9a-f]{64}) [ *](?:\./)?(\S.*)")
_ORIGIN = re.compile(r"# (\S+) is (\S+)")


@dataclass
class Sums:
    """SHA-256 and, for what we brought, the source of files by their names."""

    digests: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    other: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return what the folder's list says; nothing where there is none."""
        sums = cls()
        try:
            text = (folder / SUMS).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return sums
        for line in text.splitlines():
            if listed := _LINE.fullmatch(line):
                sums.digests[listed[2]] = listed[1]
            elif origin := _ORIGIN.fullmatch(line):
                sums.sources[origin[1]] = origin[2]
            else:
                sums.other.append(line)
        return sums

    def put(self, name: str, digest: str, source: str) -> None:
        """List a file that was brought."""
        self.digests[name] = digest
        self.sources[name] = source

    def write(self, folder: Path) -> None:
        """Write the list, with all that it said of other files."""
        origins = [f"# {name} is {source}" for name, source in sorted(self.sources.items())]
        digests = [f"{digest}  {name}" for name, digest in sorted(self.digests.items())]
        lines = [*self.other, *origins, *digests]
        write_atomically(folder / SUMS, "".join(f"{line}\n" for line in lines))
