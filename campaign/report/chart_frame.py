"""The frame of a drawn chart: its field, its axes with their ticks and labels, its legend."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from campaign.report import svg
from campaign.report.chart_model import Axis, Chart, Curve, Points, Tone

CHARACTER = 6.4
"""About how wide a character of 12 pixels is."""
SYMBOLS = 6
BROAD = 860
NARROW = 360
_LINE = 20
_ABOVE = 8


@dataclass(frozen=True)
class Frame:
    """Where a chart's field is in a picture of `width` times `height` pixels."""

    x: Axis
    y: Axis
    width: float
    height: float
    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def around(cls, chart: Chart, width: float, field: float) -> "Frame":
        """Return the frame of a chart, with a field so many pixels high."""
        labels = (label for _, label in chart.y.ticks(_most(field, 45)))
        left = 34 + CHARACTER * max(map(len, labels), default=1)
        top = _ABOVE + _LINE * len(_rows(chart, width))
        return cls(chart.x, chart.y, width, top + field + 46, left, top, width - 14, top + field)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the pixels of a pair of values."""
        return (
            self.left + (self.right - self.left) * self.x.place(x),
            self.bottom - (self.bottom - self.top) * self.y.place(y),
        )

    def axes(self) -> Iterator[str]:
        """Yield the grid, the ticks and the labels of both axes."""
        for value, label in self.y.ticks(_most(self.bottom - self.top, 45)):
            _, level = self.at(self.x.low, value)
            yield svg.line(self.left, level, self.right, level, css="grid")
            yield svg.text(self.left - 7, level + 4, label, css="tick", anchor="end")
        for value, label in self.x.ticks(_most(self.right - self.left, 75)):
            across, _ = self.at(value, self.y.low)
            yield svg.line(across, self.bottom, across, self.bottom + 4, css="axis")
            yield svg.text(across, self.bottom + 17, label, css="tick", anchor="middle")
        yield svg.line(self.left, self.bottom, self.right, self.bottom, css="axis")
        middle = (self.left + self.right) / 2
        below = _fitting(self.x.label, 2 * min(middle, self.width - middle))
        yield svg.text(middle, self.bottom + 36, below, anchor="middle")
        middle = (self.top + self.bottom) / 2
        up = _fitting(self.y.label, 2 * min(middle, self.height - middle))
        yield svg.text(14, middle, up, anchor="middle", turned=True)


def legend(chart: Chart, width: float) -> Iterator[str]:
    """Yield the look and the name of each series, in as many lines as they need."""
    for row, entries in enumerate(_rows(chart, width)):
        x = 16.0
        y = _ABOVE + _LINE * row + 6
        for entry in entries:
            yield _key(entry, x, y)
            yield svg.text(x + 28, y + 4, entry.name)
            x += _wide(entry)


def symbol(x: float, y: float, size: float, kind: int, css: str) -> str:
    """Return the mark of a point; `kind` counts through symbols that lightness can't confuse."""
    if kind == 0:
        return svg.circle(x, y, size, css=css)
    corners = {
        1: ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
        2: ((0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)),
        3: ((0, -1.2), (1.15, 0.85), (-1.15, 0.85)),
        4: ((0, 1.2), (1.15, -0.85), (-1.15, -0.85)),
        5: ((-0.6, -1.1), (0.6, -1.1), (1.2, 0), (0.6, 1.1), (-0.6, 1.1), (-1.2, 0)),
    }[kind % SYMBOLS or 1]
    return svg.polyline([(x + size * a, y + size * b) for a, b in corners], css=css, closed=True)


@dataclass(frozen=True)
class _LegendEntry:
    name: str
    tone: Tone
    drawn: str
    symbol: int = 0


def _entries(chart: Chart) -> Iterator[_LegendEntry]:
    for series in (*chart.points, *chart.curves):
        if isinstance(series, Points) and series.marks:
            yield _LegendEntry(series.name, series.tone, "point")
        elif isinstance(series, Curve) and series.name:
            yield _LegendEntry(series.name, series.tone, "curve")
    if chart.level:
        yield _LegendEntry(chart.level[1], "baseline", "level")
    for index, name in enumerate(chart.symbols):
        yield _LegendEntry(name, "other", "point", index)


def _rows(chart: Chart, width: float) -> list[list[_LegendEntry]]:
    rows: list[list[_LegendEntry]] = [[]]
    left = width - 20
    for entry in _entries(chart):
        if rows[-1] and left < _wide(entry):
            rows.append([])
            left = width - 20
        rows[-1].append(entry)
        left -= _wide(entry)
    return [row for row in rows if row]


def _wide(entry: _LegendEntry) -> float:
    return 46 + CHARACTER * len(entry.name)


def _key(entry: _LegendEntry, x: float, y: float) -> str:
    if entry.drawn == "point":
        return symbol(x + 12, y, 5, entry.symbol, f"point {entry.tone}")
    css = "level" if entry.drawn == "level" else f"curve {entry.tone}"
    return svg.line(x, y, x + 22, y, css=css)


def _fitting(label: str, pixels: float) -> str:
    """Return as much of a label as fits: without what stands behind its comma, or cut."""
    if CHARACTER * len(label) <= pixels:
        return label
    short = label.rpartition(", ")[0] or label
    most = int(pixels / CHARACTER)
    return short if len(short) <= most else f"{short[: most - 1]}…"


def _most(pixels: float, each: float) -> int:
    return max(2, int(pixels / each))


def corners_of(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the corners of a curve that keeps each value until the next."""
    corners: list[tuple[float, float]] = []
    for at, value in points:
        if corners and value != corners[-1][1]:
            corners.append((at, corners[-1][1]))
            corners.append((at, value))
        elif not corners:
            corners.append((at, value))
    if points and corners[-1][0] != points[-1][0]:
        corners.append((points[-1][0], corners[-1][1]))
    return corners
