"""A workload's picture, four panels of bars: characters for a terminal, an SVG, or a page."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from campaign.core.jobs import Workload
from campaign.core.printable import printable
from campaign.report import svg
from campaign.report.design import LIGHT, picture_style
from campaign.report.facts import number
from campaign.workloads.statistics import (
    BINS,
    DAY,
    DECADE_BINS,
    HOUR,
    MINUTE,
    Histogram,
    Statistics,
    step_of,
)

UNITS = {"s": 1.0, "min": MINUTE, "h": HOUR, "d": DAY}
# lines of a panel's field, characters left of it and between two panels
ROWS = 5
MARGIN = 9
GAP = 2
BLOCKS = " ▁▂▃▄▅▆▇█"
_DECADES = (*(10.0**power for power in range(-6, 1)), 10.0)
_NAMED = (*_DECADES, MINUTE, 10 * MINUTE, HOUR, 10 * HOUR, *(DAY * 10**power for power in range(4)))


@dataclass(frozen=True)
class Panel:
    """A panel of bars of equal width.

    `up` names what their heights count, `across` the axis below them. `marks` label places along
    this axis, from 0 (left end) to 1; `ends` are the ends of the axis in few characters. `level` is
    a height to compare with, and its name. Without bars, `instead` says why. `least_step` is the
    shortest distance of labels that makes sense along the bars.
    """

    title: str
    up: str
    across: str
    heights: tuple[float, ...]
    marks: tuple[tuple[float, str], ...]
    ends: tuple[str, str]
    level: tuple[float, str] | None = None
    instead: str = ""
    least_step: float = 1.0


def panels(known: Statistics) -> tuple[Panel, Panel, Panel, Panel]:
    """Return the panels: arrivals and offered load over time, jobs by width, jobs by run time."""
    return _arrivals(known), _loads(known), _widths(known.widths), _runtimes(known.runtimes)


def duration(seconds: float) -> str:
    """Return a time in three digits and its largest unit that isn't below 1: 90 s is 1.5 min."""
    unit = next((name for name, size in reversed(UNITS.items()) if seconds >= size), "s")
    return f"{number(float(f'{seconds / UNITS[unit]:.3g}'))} {unit}"


def sparkline(heights: Sequence[float], highest: float = 0.0) -> str:
    """Return heights from 0 up as a character each; every height above 0 can be seen.

    A full character is the highest of them, or `highest` where that is more.
    """
    peak = max([highest, *heights]) or 1
    return "".join(BLOCKS[math.ceil(height / peak * (len(BLOCKS) - 1))] for height in heights)


def characters(known: Statistics) -> str:
    """Draw the panels in 80 columns.

    Those over time stand below each other, the other two side by side.
    """
    arrivals, loads, widths, runtimes = panels(known)
    pairs = zip(_lines(widths, DECADE_BINS), _lines(runtimes, DECADE_BINS), strict=True)
    beside = (f"{left:<{MARGIN + DECADE_BINS + GAP}}{right}" for left, right in pairs)
    lines = [*_lines(arrivals, BINS), "", *_lines(loads, BINS), "", *beside]
    return "\n".join(line.rstrip() for line in lines)


def _arrivals(known: Statistics) -> Panel:
    edges = known.arrivals.edges
    marks, unit = _time_marks(edges[-1])
    return Panel(
        title="Arrivals",
        up=f"jobs per {_each(edges)}",
        across=f"time since the first arrival ({unit})",
        heights=known.arrivals.heights,
        marks=marks,
        ends=("0", duration(edges[-1])),
    )


def _loads(known: Statistics) -> Panel:
    edges = known.arrivals.edges
    marks, unit = _time_marks(edges[-1])
    return Panel(
        title="Offered load",
        up=f"share of {known.slots:,} slots, per {_each(edges)}",
        across=f"time since the first arrival ({unit})",
        heights=known.loads.heights if known.loads else (),
        marks=marks,
        ends=("0", duration(edges[-1])),
        level=None if known.load is None else (known.load, f"overall {number(known.load)}"),
        instead="all jobs arrive at once",
        least_step=0.0,
    )


def _widths(widths: Histogram) -> Panel:
    tops = widths.edges[1:]
    bars = len(widths.heights)
    every = math.ceil(bars / (10 if tops[-1] < 1e4 else 6))  # as many labels as have room
    return Panel(
        title="Width",
        up="jobs",
        across="slots",
        heights=widths.heights,
        marks=tuple(
            ((bar + 0.5) / bars, f"{'≤ ' * (bar > 1)}{number(tops[bar])}")
            for bar in range(0, bars, every)
        ),
        ends=("1", f"{number(tops[-1])} slots"),
    )


def _runtimes(runtimes: Histogram) -> Panel:
    edges = runtimes.edges
    return Panel(
        title="Run time",
        up="jobs",
        across="run time (logarithmic)",
        heights=runtimes.heights,
        marks=_log_marks(edges[0], edges[-1]),
        ends=(duration(edges[0]), duration(edges[-1])),
    )


def _each(edges: Sequence[float]) -> str:
    """Return the bin width as text for an axis label, e.g. 'min' in 'jobs per min'."""
    return duration(edges[1] - edges[0]).removeprefix("1 ")


def _time_marks(end: float) -> tuple[tuple[tuple[float, str], ...], str]:
    """Return round places between 0 and `end` s, and their unit."""
    unit = next((name for name, size in reversed(UNITS.items()) if end >= 3 * size), "s")
    step = step_of(end, most=8)
    count = int(end / step + 1e-9)
    return tuple(
        (step * one / end, number(step * one / UNITS[unit])) for one in range(count + 1)
    ), unit


def _log_marks(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """Return well-known times between two times in s; the ends where there are too few."""
    inside = [one for one in _NAMED if low <= one <= high]
    if len(inside) < 4:
        inside = sorted(
            factor * one for one in _NAMED for factor in (1, 2) if low <= factor * one <= high
        )
    places = inside[:: math.ceil(len(inside) / 9)] if len(inside) > 1 else [low, high]
    return tuple((math.log(one / low) / math.log(high / low), duration(one)) for one in places)


def _lines(panel: Panel, columns: int) -> Iterator[str]:
    """Yield a panel in ROWS + 3 lines: its title, the field, the axis and its ends."""
    yield f"{panel.title} ({panel.up})"
    each = max(1, columns // max(1, len(panel.heights)))
    wide = each * len(panel.heights) or columns
    peak = max(panel.heights, default=0) or 1
    # Rounded up, so that a single job among a million still shows.
    eighths = [math.ceil(height / peak * ROWS * 8) for height in panel.heights]
    for row in reversed(range(ROWS)):
        label = number(peak) if panel.heights and row == ROWS - 1 else ""
        field = "".join(BLOCKS[min(8, max(0, full - 8 * row))] * each for full in eighths)
        said = panel.instead if row == ROWS // 2 and not panel.heights else field
        yield f"{label:>{MARGIN - 2}} |{said}"
    yield f"{0:>{MARGIN - 2}} +{'-' * wide}"
    left, right = panel.ends
    yield f"{'':>{MARGIN}}{left}{right:>{max(wide - len(left), len(right) + 1)}}"


WIDTH = 960
HEAD = 62
FOOT = 26
_PANEL = (WIDTH // 2, 264)
# room in a panel around its field, in pixels
_LEFT = 82
_RIGHT = 26
_TOP = 34
_BELOW = 48
_STYLE = (
    f".workload .head{{font-size:17px;font-weight:600;fill:{LIGHT['ink']}}}"
    f".workload .bar{{fill:{LIGHT['front']}}}.workload .small{{font-size:11px}}"
    f".workload .said{{font-size:11px;fill:{LIGHT['baseline']}}}"
)
"""What these pictures have beside the look of all pictures."""


def workload_svg(workload: Workload, known: Statistics) -> str:
    """Return the four panels as a standalone SVG, with the workload's name, figures and hash."""
    height = HEAD + 2 * _PANEL[1] + FOOT
    name = _cut(printable(workload.name, lines=False), 80)
    parts = [
        svg.rect(0, 0, WIDTH, height, css="paper"),
        svg.text(16, 28, name, css="head"),
        svg.text(16, 48, _facts(known), css="small"),
    ]
    for index, panel in enumerate(panels(known)):
        across = index % 2 * _PANEL[0]
        down = HEAD + index // 2 * _PANEL[1]
        parts.append(svg.group(_drawn(panel), x=across, y=down))
    parts.append(svg.text(16, height - 10, f"SHA-256 of the jobs: {workload.hash}", css="small"))
    title = f"Workload {name}"
    picture = svg.document(
        parts,
        width=WIDTH,
        height=height,
        title=title,
        css="chart workload",
        style=picture_style() + _STYLE,
    )
    return f"{picture}\n"


def workload_page(workload: Workload, known: Statistics) -> str:
    """Return the SVG in an HTML page of its own."""
    title = escape(printable(workload.name, lines=False))
    style = (
        f"<style>body{{margin:2em auto;max-width:{WIDTH}px}}"
        "svg{max-width:100%;height:auto}</style>"
    )
    head = f'<head><meta charset="utf-8"><title>{title}</title>{style}</head>'
    picture = workload_svg(workload, known)
    return f'<!doctype html>\n<html lang="en">{head}\n<body>\n{picture}</body></html>\n'


def _facts(known: Statistics) -> str:
    load = "arriving all at once" if known.load is None else f"offered load {number(known.load)}"
    users = f" of {known.users:,} user{'s' * (known.users != 1)}" if known.users else ""
    jobs = f"{known.jobs:,} job{'s' * (known.jobs != 1)}{users}"
    return f"{jobs} within {duration(known.span_s)}, {load}, on {known.slots:,} slots"


def _drawn(panel: Panel) -> Iterator[str]:
    """Draw a panel from its upper left corner."""
    yield svg.text(_LEFT, _TOP - 14, panel.title, css="name")
    if panel.heights:
        yield from _field(panel)
    else:
        middle = (_LEFT + _PANEL[0]) / 2
        yield svg.text(middle, _PANEL[1] / 2, panel.instead, css="small", anchor="middle")
    base = _PANEL[1] - _BELOW
    right = _PANEL[0] - _RIGHT
    yield svg.line(_LEFT, base, right, base, css="axis")
    for place, label in panel.marks:
        x = _LEFT + (right - _LEFT) * place
        yield svg.line(x, base, x, base + 4, css="axis")
        yield svg.text(x, base + 17, label, css="tick", anchor="middle")
    yield svg.text((_LEFT + right) / 2, base + 35, panel.across, anchor="middle")
    yield svg.text(16, (_TOP + base) / 2, panel.up, anchor="middle", turned=True)


def _field(panel: Panel) -> Iterator[str]:
    """Draw bars on a grid whose lowest line is 0, and the level to compare them with."""
    base = _PANEL[1] - _BELOW
    right = _PANEL[0] - _RIGHT
    level, said = panel.level or (0.0, "")
    highest = max(*panel.heights, level)
    step = max(_round_step(highest / 5), panel.least_step)
    steps = math.ceil(highest / step - 1e-9)
    scale = (base - _TOP) / (step * steps)
    for tick in range(steps + 1):
        y = base - tick * step * scale
        yield svg.line(_LEFT, y, right, y, css="grid")
        label = number(round(tick * step, 12))
        yield svg.text(_LEFT - 7, y + 4, label, css="tick", anchor="end")
    each = (right - _LEFT) / len(panel.heights)
    for index, height in enumerate(panel.heights):
        if height > 0:
            tall = max(0.8, height * scale)  # a single job among a million is seen
            x = _LEFT + index * each + 0.5
            yield svg.rect(x, base - tall, max(0.5, each - 1), tall, css="bar")
    if panel.level:
        y = base - level * scale
        yield svg.line(_LEFT, y, right, y, css="level")
        yield svg.text(right, _TOP - 14, f"- - {said}", css="said", anchor="end")


def _round_step(least: float) -> float:
    """Return the smallest 1, 2 or 5 times a power of ten that is at least `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10, 20) if factor * power >= least)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
