"""Each trial's time as a column of phases."""

from collections.abc import Iterator, Sequence

from campaign.core.trials import TrialRecord
from campaign.report import svg
from campaign.report.chart_model import Axis
from campaign.report.facts import number
from campaign.report.times import phases_of

WIDTH = 720
LEFT = 56
RIGHT = 12
FIELD = 180
KEY = 190
"""Pixels that a phase takes in the legend."""
FOOT = 40
_LINE = 20


def phase_chart(records: Sequence[TrialRecord]) -> str:
    """Draw the trials beside each other, a path for each phase."""
    phases = phases_of(records)
    timed = [record for record in records if record.phases]
    if not timed:
        return ""
    rows = -(-len(phases) // (WIDTH // KEY))
    top = rows * _LINE + 10.0
    highest = max(sum(record.phases.values()) for record in timed) or 1.0
    axis = Axis("seconds", 0.0, highest)
    parts = [*_grid(axis, top), *_legend([(phase.label, phase.tone) for phase in phases])]
    stacked = dict.fromkeys((record.number for record in timed), 0.0)
    each = (WIDTH - LEFT - RIGHT) / len(timed)
    for phase in phases:
        boxes = []
        for index, record in enumerate(timed):
            below = stacked[record.number]
            stacked[record.number] = above = below + record.phases.get(phase, 0.0)
            if above > below:
                x = LEFT + index * each
                low, high = (top + FIELD * (1 - axis.place(one)) for one in (below, above))
                right = x + max(0.5, each - min(1.5, each / 5))
                boxes.append([(x, low), (right, low), (right, high), (x, high)])
        parts.append(svg.lines(boxes, closed=True, fill=phase.tone))
    numbers = [timed[0].number, timed[-1].number]
    base = top + FIELD
    parts.append(svg.text(LEFT, base + 16, f"trial {numbers[0]}", css="tick"))
    parts.append(
        svg.text(WIDTH - RIGHT, base + 16, f"trial {numbers[1]}", css="tick", anchor="end")
    )
    title = f"How long each phase of {len(timed)} trials took; the longest took {number(highest)} s"
    return svg.document(parts, width=WIDTH, height=base + FOOT - 16, title=title, css="chart")


def _grid(axis: Axis, top: float) -> Iterator[str]:
    for value, label in axis.ticks(5):
        level = top + FIELD * (1 - axis.place(value))
        yield svg.line(LEFT, level, WIDTH - RIGHT, level, css="grid")
        yield svg.text(LEFT - 6, level + 4, label, css="tick", anchor="end")
    yield svg.text(14, top + FIELD / 2, axis.label, anchor="middle", turned=True)


def _legend(entries: Sequence[tuple[str, str]]) -> Iterator[str]:
    for index, (label, tone) in enumerate(entries):
        x = LEFT + index % (WIDTH // KEY) * (KEY - 14)
        y = index // (WIDTH // KEY) * _LINE
        yield svg.rect(x, y, 12, 12, fill=tone)
        yield svg.text(x + 17, y + 11, label)
