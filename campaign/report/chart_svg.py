"""Charts as SVG: inside a page, which gives them its tones, or in a file of their own."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from campaign.report import svg
from campaign.report.chart_frame import (
    BROAD,
    CHARACTER,
    NARROW,
    Frame,
    corners_of,
    legend,
    symbol,
)
from campaign.report.chart_model import Chart, Mark, Points, Share, ShareChart, Tone
from campaign.report.design import picture_style
from campaign.report.facts import percent

FIELD = 300
"""Pixels that the field of a chart is high."""
SIZES: dict[Tone, float] = {"front": 6.5, "chosen": 6.5, "other": 4.0, "baseline": 6.5}
ROW = 22
Box = tuple[float, float, float, float]


def inside_page(chart: Chart | ShareChart, field: float = FIELD) -> str:
    """Return a chart twice: as broad as a page, and as narrow as a phone; one of them is shown."""
    broad = _drawn(chart, BROAD, field, css="chart broad")
    return broad + _drawn(chart, NARROW, field, css="chart narrow")


def alone(chart: Chart | ShareChart, width: float = BROAD) -> str:
    """Return a chart as a document of its own."""
    return _drawn(chart, width, FIELD, css="chart", style=picture_style())


def _drawn(
    chart: Chart | ShareChart, width: float, field: float, *, css: str, style: str = ""
) -> str:
    if isinstance(chart, ShareChart):
        return _shares(chart, width, css, style)
    frame = Frame.around(chart, width, field)
    parts = [
        *([svg.rect(0, 0, width, frame.height, css="paper")] if style else []),
        *legend(chart, width),
        *frame.axes(),
        *_level(chart, frame),
        *_curves(chart, frame),
        *_points(chart, frame, links=not style),
    ]
    linked = not style and any(one.href for series in chart.points for one in series.marks)
    return svg.document(
        parts,
        width=width,
        height=frame.height,
        title=chart.title,
        css=css,
        style=style,
        role="group" if linked else "img",
    )


def _level(chart: Chart, frame: Frame) -> Iterator[str]:
    if chart.level:
        _, y = frame.at(frame.x.low, chart.level[0])
        yield svg.line(frame.left, y, frame.right, y, css="level")


def _curves(chart: Chart, frame: Frame) -> Iterator[str]:
    for curve in chart.curves:
        corners = [frame.at(*corner) for corner in corners_of(curve.points)]
        yield svg.polyline(corners, css=f"curve {curve.tone}")


def _points(chart: Chart, frame: Frame, *, links: bool) -> Iterator[str]:
    for series in chart.points:
        if series.stairs:
            yield svg.polyline(_stairs(series, frame), css="stairs")
        for mark in series.marks:
            yield from _intervals(mark, frame, f"interval {series.tone}")
        for mark in series.marks:
            x, y = frame.at(mark.x, mark.y)
            drawn = symbol(x, y, SIZES[series.tone], mark.symbol, f"point {series.tone}")
            reached = series.tone != "other"
            yield svg.link(drawn, mark.href, mark.tip, reached=reached) if links else drawn
    yield from _labels(chart, frame)


def _intervals(mark: Mark, frame: Frame, css: str) -> Iterator[str]:
    x, y = frame.at(mark.x, mark.y)
    if mark.across:
        low, high = (frame.at(end, mark.y)[0] for end in mark.across)
        yield svg.line(low, y, high, y, css=css)
    if mark.up:
        low, high = (frame.at(mark.x, end)[1] for end in mark.up)
        yield svg.line(x, low, x, high, css=css)


def _stairs(series: Points, frame: Frame) -> list[tuple[float, float]]:
    """Return the staircase through the marks, which come in the order of the first objective."""
    corners: list[tuple[float, float]] = []
    for mark in series.marks:
        x, y = frame.at(mark.x, mark.y)
        if corners:
            corners.append((x, corners[-1][1]))
        corners.append((x, y))
    return corners


def _labels(chart: Chart, frame: Frame) -> Iterator[str]:
    """Yield the marks' labels, each where it covers neither a mark of note nor another label.

    A place without any other mark is taken first. A label that finds no place is left out: the mark
    tells it under the mouse.
    """
    boxes = {
        tone: [
            _box_around(*frame.at(mark.x, mark.y), SIZES[tone])
            for series in chart.points
            if series.tone == tone
            for mark in series.marks
        ]
        for tone in SIZES
    }
    others = boxes.pop("other")
    taken = [box for found in boxes.values() for box in found]
    for series in chart.points:
        for mark in series.marks:
            if not mark.label:
                continue
            place = _free(mark, frame, [*taken, *others]) or _free(mark, frame, taken)
            if place:
                taken.append(place.box)
                yield svg.text(place.x, place.y, mark.label, anchor=place.anchor, css="ink")


class _Place(NamedTuple):
    """Where a label stands, and what it covers."""

    x: float
    y: float
    anchor: str
    box: Box


def _box_around(x: float, y: float, size: float) -> Box:
    return x - size, y - size, x + size, y + size


def _free(mark: Mark, frame: Frame, taken: Sequence[Box]) -> _Place | None:
    x, y = frame.at(mark.x, mark.y)
    wide = CHARACTER * len(mark.label)
    for across, down in ((10, -6), (10, 15), (-10, -6), (-10, 15), (12, 4), (-12, 4)):
        anchor = "start" if across > 0 else "end"
        left = x + across - (wide if across < 0 else 0)
        box = left, y + down - 10, left + wide, y + down + 2
        within = box[0] > frame.left and box[2] < frame.width and box[1] > frame.top - 8
        if within and box[3] < frame.bottom and not any(_over(box, one) for one in taken):
            return _Place(x + across, y + down, anchor, box)
    return None


def _over(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _shares(chart: ShareChart, width: float, css: str, style: str) -> str:
    parts: list[str] = []
    top = 4.0
    for heading, shares in chart.groups:
        parts.append(svg.text(0, top + 14, heading, css="name"))
        for row, share in enumerate(shares, 1):
            parts += _bar(share, width, top + ROW * row)
        top += ROW * (len(shares) + 1.4)
    if style:
        parts.insert(0, svg.rect(0, 0, width, top, css="paper"))
    return svg.document(parts, width=width, height=top, title=chart.title, css=css, style=style)


def _bar(share: Share, width: float, level: float) -> Iterator[str]:
    names = min(230.0, width * 0.36)
    longest = int(names / CHARACTER) - 1
    span = width - names - 56
    name = share.name if len(share.name) <= longest else f"{share.name[: longest - 1]}…"
    low, high = (names + span * end for end in (share.low, share.high))
    middle = level + ROW / 2
    yield svg.text(names - 8, level + 15, name, anchor="end")
    yield svg.rect(names, level + 4, span * share.value, ROW - 8, css="share")
    yield svg.line(low, middle, high, middle, css="whisker")
    for end in (low, high):
        yield svg.line(end, middle - 4, end, middle + 4, css="whisker")
    right = max(high, names + span * share.value)
    yield svg.text(right + 6, level + 15, percent(share.value), css="ink")
