"""How commands print: JSON for programs, a table for people."""

import argparse
import re
import shutil
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from campaign.core.printable import json_text, printable


def add_json(parser: argparse.ArgumentParser) -> None:
    """Declare `--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON, for other programs")


def print_json(value: Any) -> None:
    """Print `value` as JSON; times by ISO 8601, paths and the like as text."""
    print(json_text(value, indent=1, default=_as_text))


def say(text: str = "", *, flush: bool = False) -> None:
    """Print `text`, which may quote what comes from elsewhere, so that a terminal only shows it."""
    print(printable(text), flush=flush)


def _as_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return lines whose columns are aligned: text to the left, numbers to the right."""
    cells = [heads, *([printable(cell, lines=False) for cell in row] for row in rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(heads))]
    right = [bool(rows) and all(_numeric(row[at]) for row in rows) for at in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if to_the_right else cell.ljust(width)
            for cell, width, to_the_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    )


def fitted_table(heads: Sequence[str], rows: Sequence[Sequence[str]], columns: int | None) -> str:
    """Return the table where it fits into the columns; else a block for each row.

    A block has a line for each cell that isn't empty, so that a terminal breaks none but the long.
    Where there are no `columns`, as in a pipe, everything fits.
    """
    whole = table(heads, rows)
    if columns is None or all(len(line) <= columns for line in whole.splitlines()):
        return whole
    wide = max(map(len, heads))
    blocks = (
        "\n".join(
            f"{head:<{wide}}  {printable(cell, lines=False)}"
            for head, cell in zip(heads, row, strict=True)
            if cell
        )
        for row in rows
    )
    return "\n\n".join(blocks)


def terminal_columns() -> int | None:
    """Return how many columns the terminal has that is printed on; None if there is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _numeric(text: str) -> bool:
    return re.fullmatch(r"[\d.,/]+", text) is not None
