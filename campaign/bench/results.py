"""What a benchmark leaves: a table to print, and files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class BenchmarkResults:
    """The `table` that people read, and the content of each file by its name."""

    table: str
    files: Mapping[str, bytes]

    @classmethod
    def of(cls, table: str, **files: str | bytes) -> "BenchmarkResults":
        """Return results with a file for each argument, whose name has a dot where that has `_`."""
        contents = {
            name.replace("_", "."): text.encode() if isinstance(text, str) else text
            for name, text in files.items()
        }
        return cls(table, contents)

    def write(self, folder: Path) -> None:
        """Write all files into `folder`, which is created if need be."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            folder.joinpath(name).write_bytes(content)
