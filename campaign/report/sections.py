"""Sections of sentences and tables, as reports on a terminal and pages have them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """A table of text; the first column is to the left."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """A heading, and sentences and tables below it."""

    heading: str
    body: tuple[str | Table, ...]


def lines(heading: str, written: Iterable[Section]) -> Iterator[str]:
    """Yield the sections as lines of text, below `heading`."""
    yield heading
    for section in written:
        yield ""
        yield section.heading
        for part in section.body:
            yield from (
                f"  {line}" for line in ([part] if isinstance(part, str) else _aligned(part))
            )


def _aligned(table: Table) -> Iterator[str]:
    """Yield a table's rows in columns: the first to the left, the others to the right."""
    cells = [table.head, *table.rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for first, *others in cells:
        padded = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        yield "  ".join((first.ljust(widths[0]), *padded)).rstrip()
