"""Tables as sacctmgr prints them with -P or -p."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from campaign.core.errors import ConfigError


def table_rows(file: Path, lines: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row of a `-P` or `-p` table with its line number; ConfigError for a ragged one."""
    head: list[str] | None = None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        cells = line.split("|")
        if head is None:
            head = cells
        elif len(cells) != len(head):
            raise ConfigError(
                f"{file}, line {number}: {len(cells)} columns, and {len(head)} names of them",
                resolution="Write the file by sacctmgr -P.",
            )
        else:
            yield number, {name: cell for name, cell in zip(head, cells, strict=True) if name}
