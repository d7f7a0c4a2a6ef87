"""Gantt charts as SVG: a row per slot, grouped by node; above them, what was waiting."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle

import pyarrow as pa

from campaign.report import svg
from campaign.report.chart_model import unit_of_time
from campaign.report.design import JOB_TONES, picture_style

SECOND = 1_000_000_000
WIDTH = 960
LEFT = 64
RIGHT = 12
HEAD = 22
QUEUE = 40
GAP = 8
FOOT = 34
# pixels per slot, for few and for many slots
_TALL = 15.0
_LOW = 3.0
_ROOM = 900.0  # pixels that all rows together may take
_CHARACTERS = 120  # of a title, that a line holds
_MANY = 400  # bars beyond which none carries a label or a tool tip
MOST_BARS = 20_000  # on all nodes together, beyond which a chart is a grey area and megabytes long
_COLUMNS = ("job_id", "width", "nodes", "submit_ns", "start_ns", "end_ns", "exit_code")

Box = tuple[float, float, float, float]
"""The upper left corner, the width and the height of what is drawn of a job."""


@dataclass(frozen=True)
class Bar:
    """A job's stay on `slots` (rows) of one node; times in seconds."""

    job: int
    node: str
    slots: tuple[int, ...]
    submit: float
    start: float
    end: float
    failed: bool


@dataclass(frozen=True)
class Gantt:
    """The content of a chart: bars on nodes of so many slots, and the queue.

    The queue's steps are moments in seconds, with the slots that waited from then on.
    """

    bars: tuple[Bar, ...]
    slots: dict[str, int]
    queue: tuple[tuple[float, int], ...]

    @cached_property
    def end(self) -> float:
        """Seconds from the workload's start to the last event."""
        return (
            max([bar.end for bar in self.bars] + [at for at, _ in self.queue], default=0.0) or 1.0
        )


def chartable(jobs: pa.Table) -> bool:
    """Return whether a chart of the jobs table can be drawn and read.

    That takes some jobs that are known to have run somewhere, and not too many of them.
    """
    entries = jobs.column("nodes").combine_chunks()
    return 0 < jobs.num_rows <= MOST_BARS and 0 < len(entries.flatten()) <= MOST_BARS


def gantt_svg(
    jobs: pa.Table,
    nodes: Sequence[str] = (),
    slots_per_node: int = 0,
    title: str = "Gantt chart",
    *,
    alone: bool = True,
) -> str:
    """Draw a jobs table as an SVG that stands `alone`, or as one for a page with our style.

    `nodes` and `slots_per_node` describe the cluster, so that unused nodes and slots show; without
    them, those that the jobs used are drawn. Which slot of its node a job had isn't measured: bars
    are put on the lowest free ones.
    """
    chart = layout(jobs, nodes, slots_per_node)
    # Rows of large clusters get lower, so that a chart stays a page high.
    slot_height = max(_LOW, min(_TALL, _ROOM / max(1, sum(chart.slots.values()))))
    tops = _tops(chart.slots, slot_height)
    bottom = HEAD + QUEUE + GAP + sum(chart.slots.values()) * slot_height
    bottom += GAP * max(0, len(chart.slots) - 1)
    parts = [
        *([svg.rect(0, 0, WIDTH, round(bottom + FOOT), css="paper")] if alone else []),
        svg.text(LEFT, 14, _cut(title), css="name"),
        *_axis(chart, bottom),
        *_queue(chart),
        *_rows(chart, tops, slot_height),
        # Waits come before bars, which cover them: a wait is seen only where the slot was free.
        _waits(chart, tops, slot_height),
        *_bars(chart, tops, slot_height),
    ]
    return svg.document(
        parts,
        width=WIDTH,
        height=round(bottom + FOOT),
        title=title,
        css="chart gantt",
        style=picture_style() if alone else "",
    )


def _cut(title: str) -> str:
    """Return as much of a title as a line holds; a screen reader has all of it."""
    return title if len(title) <= _CHARACTERS else f"{title[: _CHARACTERS - 1]}…"


def layout(jobs: pa.Table, nodes: Sequence[str] = (), slots_per_node: int = 0) -> Gantt:
    """Put each job that ran on slots of its nodes, in order of start."""
    rows = list(zip(*(jobs.column(name).to_pylist() for name in _COLUMNS), strict=True))
    ran = sorted(
        (row for row in rows if row[4] is not None and row[5] is not None and row[2]),
        key=lambda row: row[4],
    )
    lanes: dict[str, list[float]] = {node: [-math.inf] * slots_per_node for node in nodes}
    bars = []
    for job, width, used, submit, start, end, code in ran:
        for node, share in _shares(width, used):
            slots = _take(
                lanes.setdefault(node, [-math.inf] * slots_per_node),
                share,
                start,
                end,
                slots_per_node,
            )
            waited = (submit if submit is not None else start) / SECOND
            bars.append(Bar(job, node, slots, waited, start / SECOND, end / SECOND, bool(code)))
    # Nodes that nobody named are drawn as well: their jobs must not vanish.
    order = [*nodes, *sorted(set(lanes) - set(nodes), key=_natural)]
    return Gantt(tuple(bars), {node: max(1, len(lanes[node])) for node in order}, _waiting(rows))


def _shares(width: int, nodes: Sequence[str]) -> list[tuple[str, int]]:
    """Return how many slots a job of `width` takes on each of its nodes: as even as possible."""
    each, more = divmod(width, len(nodes))
    return [(node, max(1, each + (index < more))) for index, node in enumerate(nodes)]


def _take(lanes: list[float], share: int, start: float, end: float, limit: int) -> tuple[int, ...]:
    """Occupy the lowest free lanes until `end`.

    Lanes are added up to `limit` (0: any number); then those that are free soonest are shared.
    """
    free = [index for index, busy in enumerate(lanes) if busy <= start][:share]
    while len(free) < share and (not limit or len(lanes) < limit):
        free.append(len(lanes))
        lanes.append(-math.inf)
    if len(free) < share:
        rest = sorted(set(range(len(lanes))) - set(free), key=lambda index: lanes[index])
        free += rest[: share - len(free)]
    for index in free:
        lanes[index] = max(lanes[index], end)
    return tuple(sorted(free))


def _waiting(rows: Sequence[Sequence[int | None]]) -> tuple[tuple[float, int], ...]:
    """Return the steps of the number of slots that submitted jobs were waiting for."""
    changes: dict[int, int] = {}
    for _, width, _, submit, start, _, _ in rows:
        if submit is not None and width is not None:
            changes[submit] = changes.get(submit, 0) + width
            if start is not None:
                changes[start] = changes.get(start, 0) - width
    level = 0
    steps = []
    for at in sorted(changes):
        level += changes[at]
        steps.append((at / SECOND, max(0, level)))
    return tuple(steps)


def _natural(name: str) -> tuple[str, int]:
    digits = "".join(filter(str.isdigit, name))
    return name.rstrip("0123456789"), int(digits or 0)


def _tops(slots: dict[str, int], slot_height: float) -> dict[str, float]:
    tops = {}
    top = float(HEAD + QUEUE + GAP)
    for node, count in slots.items():
        tops[node] = top
        top += count * slot_height + GAP
    return tops


def _x(chart: Gantt, at: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * max(0.0, at) / chart.end


def _axis(chart: Gantt, bottom: float) -> Iterator[str]:
    unit, unit_s = unit_of_time(chart.end)
    for tick in _ticks(chart.end / unit_s):
        x = _x(chart, tick * unit_s)
        yield svg.line(x, HEAD, x, bottom, css="grid")
        yield svg.text(x, bottom + 15, f"{tick:g}", css="tick", anchor="middle")
    middle = (LEFT + WIDTH - RIGHT) / 2
    yield svg.text(middle, bottom + 30, unit, css="tick", anchor="middle")


def _ticks(end: float) -> list[float]:
    # About eight ticks, at round numbers.
    rough = end / 8
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [step * index for index in range(int(end / step) + 1)]


def _queue(chart: Gantt) -> Iterator[str]:
    """Draw the slots waited for as an area of steps above the rows."""
    base = HEAD + QUEUE
    peak = max((level for _, level in chart.queue), default=0)
    yield svg.text(LEFT - 8, base - 12, "waiting", css="name", anchor="end")
    if not peak:
        return
    points = [(float(LEFT), float(base))]
    for at, level in chart.queue:
        x = _x(chart, at)
        points += [(x, points[-1][1]), (x, base - (QUEUE - 4) * level / peak)]
    end = _x(chart, chart.end)
    points += [(end, points[-1][1]), (end, base)]
    yield svg.polyline(points, css="queue", closed=True)
    yield svg.text(LEFT - 8, base, f"peak {peak}", css="tick", anchor="end")


def _rows(chart: Gantt, tops: dict[str, float], slot_height: float) -> Iterator[str]:
    for node, count in chart.slots.items():
        height = count * slot_height
        yield svg.rect(LEFT, tops[node], WIDTH - LEFT - RIGHT, height, css="row")
        yield svg.text(LEFT - 8, tops[node] + height / 2 + 4, node, css="name", anchor="end")


def _waits(chart: Gantt, tops: dict[str, float], slot_height: float) -> str:
    """Draw each job's wait as a faint line under the bars: it shows slots left free meanwhile."""
    waits = []
    for bar in chart.bars:
        y = tops[bar.node] + (bar.slots[0] + 0.5) * slot_height
        waits.append([(_x(chart, bar.submit), y), (_x(chart, bar.start), y)])
    return svg.lines(waits, css="wait")


def _bars(chart: Gantt, tops: dict[str, float], slot_height: float) -> Iterator[str]:
    # Neighbouring job ids differ in tone, and a job has one tone on all its nodes.
    tones = dict(
        zip(sorted({bar.job for bar in chart.bars}), cycle(range(JOB_TONES)), strict=False)
    )
    few = len(chart.bars) <= _MANY
    # Many bars are one path for each look, which takes a tenth of the bytes.
    paths: dict[str, list[list[tuple[float, float]]]] = {}
    for bar in chart.bars:
        css = "job failed" if bar.failed else f"job job{tones[bar.job]}"
        for box in _boxes(chart, bar, tops, slot_height):
            if few:
                yield from _labelled(bar, box, css)
            else:
                paths.setdefault(css, []).append(_corners(box))
    for css, boxes in paths.items():
        yield svg.lines(boxes, css=css, closed=True)


def _boxes(chart: Gantt, bar: Bar, tops: dict[str, float], slot_height: float) -> Iterator[Box]:
    x = _x(chart, bar.start)
    width = max(0.6, _x(chart, bar.end) - x)  # the shortest job is seen, too
    for first, count in _runs(bar.slots):
        y = tops[bar.node] + first * slot_height
        yield x, y + 0.5, width, count * slot_height - 1


def _labelled(bar: Bar, box: Box, css: str) -> Iterator[str]:
    x, y, width, height = box
    yield svg.rect(x, y, width, height, css=css, tip=_tip(bar))
    if width > 22 and height > 9:
        yield svg.text(
            x + width / 2, y + height / 2 + 3.5, str(bar.job), css="label", anchor="middle"
        )


def _corners(box: Box) -> list[tuple[float, float]]:
    x, y, width, height = box
    return [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]


def _runs(slots: Sequence[int]) -> list[tuple[int, int]]:
    """Return neighbouring slots joined: (first, count)."""
    runs: list[tuple[int, int]] = []
    for slot in slots:
        if runs and runs[-1][0] + runs[-1][1] == slot:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((slot, 1))
    return runs


def _tip(bar: Bar) -> str:
    end = "failed" if bar.failed else "ended"
    wait = bar.start - bar.submit
    return (
        f"job {bar.job} on {bar.node}: waited {wait:.2f} s, ran {bar.end - bar.start:.2f} s, "
        f"{end} at {bar.end:.2f} s"
    )
