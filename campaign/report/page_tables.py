"""The tables of a report's page, read off the page itself: none can be missing or differ."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "\N{RIGHTWARDS ARROW}": r"$\rightarrow$",
    "\N{DOWNWARDS ARROW}": r"$\downarrow$",
    "\N{UPWARDS ARROW}": r"$\uparrow$",
    "\N{CHECK MARK}": r"$\checkmark$",
    "\N{BALLOT X}": r"$\times$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{ALMOST EQUAL TO}": r"$\approx$",
    "\N{LESS-THAN OR EQUAL TO}": r"$\leq$",
    "\N{GREATER-THAN OR EQUAL TO}": r"$\geq$",
    "\N{EN DASH}": "--",
    "\N{HORIZONTAL ELLIPSIS}": r"\dots{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}
_BREAKS = ("br", "summary", "code")
_HIDDEN = ("pre", "script", "style")


@dataclass
class PageTable:
    """A table of a page: its name, its rows of heads, and its rows, all of them text."""

    name: str
    heads: list[list[str]] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    numbers: list[bool] = field(default_factory=list)
    """Which columns stand to the right."""


def tables_of(page: str) -> list[PageTable]:
    """Return the tables of a page that have a name."""
    reader = _TableReader()
    reader.feed(page)
    reader.close()
    return [table for table in reader.tables if table.rows]


def as_csv(table: PageTable) -> str:
    """Return a table as RFC 4180 has it; the lines of a cell are parted by semicolons."""
    target = io.StringIO()
    writer = csv.writer(target)
    writer.writerows([*table.heads, *table.rows])
    return target.getvalue()


def as_latex(table: PageTable) -> str:
    r"""Return a table for LaTeX with the packages booktabs and amssymb, to be \input."""
    wide = max(map(len, (*table.heads, *table.rows)))
    right = [*table.numbers, *[False] * wide][:wide]
    columns = "".join("r" if number else "l" for number in right)
    lines = [
        f"% {table.name}: needs \\usepackage{{booktabs,amssymb}}",
        f"\\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
        r"\toprule",
        *(_line(row, wide) for row in table.heads),
        *([r"\midrule"] if table.heads else []),
        *(_line(row, wide) for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _line(row: Sequence[str], wide: int) -> str:
    cells = [*row, *[""] * (wide - len(row))]
    return " & ".join(map(_escaped, cells)) + r" \\"


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(sign, sign) for sign in text)


class _TableReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tables: list[PageTable] = []
        self._table: PageTable | None = None
        self._row: list[str] | None = None
        self._cell: list[str] | None = None
        self._span = 1
        self._head = False
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = dict(attrs)
        if tag == "table":
            self._table = PageTable(str(own["data-name"])) if own.get("data-name") else None
            self.tables += [self._table] if self._table else []
        elif tag in ("thead", "tbody", "tfoot"):
            self._head = tag == "thead"
        elif tag == "tr":
            self._row = []
        elif tag in ("td", "th") and self._row is not None:
            self._cell = []
            self._span = int(own.get("colspan") or 1)
            self._align("n" in (own.get("class") or "").split())
        elif tag in _BREAKS or "sub" in (own.get("class") or "").split():
            self._add("\n")
        self._hidden += tag in _HIDDEN

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in _HIDDEN
        if tag in ("td", "th") and self._row is not None and self._cell is not None:
            self._row += [_folded("".join(self._cell)), *[""] * (self._span - 1)]
            self._cell = None
        elif tag == "tr" and self._row is not None:
            if self._table and self._row:
                (self._table.heads if self._head else self._table.rows).append(self._row)
            self._row = None

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._add(re.sub(r"\s+", " ", data))

    def _add(self, text: str) -> None:
        if self._cell is not None:
            self._cell.append(text)

    def _align(self, number: bool) -> None:
        if self._table and self._row is not None:
            numbers = self._table.numbers
            if len(self._row) >= len(numbers):
                numbers += [False] * (len(self._row) - len(numbers)) + [number]


def _folded(text: str) -> str:
    return "; ".join(_lines(text))


def _lines(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        if stripped := " ".join(line.split()):
            yield stripped
