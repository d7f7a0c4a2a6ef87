"""What is printed for the columns that there are: a table, or its rows below one another."""

import re
from collections.abc import Callable, Iterator

from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

UNBOUNDED = 10_000


class Fitted:
    """A table where it fits; else a block for each row, with a line for each of its cells.

    No figure is broken in two that way, however narrow the terminal is. Lines of a cell are parts
    of one word, but those of a column that is aligned to the right: these are figures.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """Yield the table or the blocks."""
        freely = options.update(max_width=UNBOUNDED)
        if Measurement.get(console, freely, self._table).maximum <= options.max_width:
            yield self._table
            return
        columns = self._table.columns
        heads = [_head(column.header) for column in columns]
        wide = max(map(len, heads))
        for row in zip(*(column.cells for column in columns), strict=True):
            yield Text("")
            for column, head, cell in zip(columns, heads, row, strict=True):
                value = _joined(cell, ", " if column.justify == "right" else "")
                yield Text(f"{head:<{wide}}  ", style="dim").append(value, style=column.style)
        yield Text(f"\n{self._table.caption}\n" if self._table.caption else "", style="italic")


class Drawn:
    """A picture in characters, drawn for the columns that there are."""

    def __init__(self, draw: Callable[[int], str]) -> None:
        self._draw = draw

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """Yield the picture."""
        yield Text(self._draw(options.max_width))


def _joined(cell: RenderableType, between: str) -> str:
    return between.join(str(cell).splitlines())


def _head(cell: RenderableType) -> str:
    """Return a heading in one line; the arrow that says where better is stands apart."""
    return re.sub("(?=[\u2191\u2193])", " ", _joined(cell, ""))
