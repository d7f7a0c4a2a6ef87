"""Gantt charts as SVG: a row per slot, grouped by node; above them, what was waiting."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from itertools import cycle

import pyarrow as pa

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
_MANY = 2_000  # jobs beyond which bars carry no label and no tool tip
TONES = ("#33658a", "#5b8e7d", "#6f8fa6", "#2f4858", "#7d8c5c", "#6c8ead")
FAILED = "#d55e00"  # Okabe-Ito vermilion: told from the others without seeing red or green
MOST_BARS = 20_000  # on all nodes together, beyond which a chart is a grey area and megabytes long
_COLUMNS = ("job_id", "width", "nodes", "submit_ns", "start_ns", "end_ns", "exit_code")


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
class Chart:
    """What a chart shows: bars on nodes of so many slots, and the steps (time, slots waiting) of
    the queue."""

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
    """Whether a chart of the jobs table can be drawn and read: some jobs are known to have run
    somewhere, and not too many."""
    entries = jobs.column("nodes").combine_chunks()
    return 0 < jobs.num_rows <= MOST_BARS and 0 < len(entries.flatten()) <= MOST_BARS


def gantt_svg(
    jobs: pa.Table, nodes: Sequence[str] = (), slots_per_node: int = 0, title: str = "Gantt chart"
) -> str:
    """Draw a jobs table as a standalone SVG.

    `nodes` and `slots_per_node` are the cluster's, so that unused ones show; without them, those
    the jobs used are drawn. Which slot of its node a job had isn't measured: bars are put on the
    lowest ones free.
    """
    chart = layout(jobs, nodes, slots_per_node)
    tall = max(_LOW, min(_TALL, _ROOM / max(1, sum(chart.slots.values()))))
    tops = _tops(chart.slots, tall)
    bottom = (
        HEAD + QUEUE + GAP + sum(chart.slots.values()) * tall + GAP * max(0, len(chart.slots) - 1)
    )
    parts = [
        *_axis(chart, bottom),
        *_queue(chart),
        *_rows(chart, tops, tall),
        *_waits(chart, tops, tall),
        *_bars(chart, tops, tall),
    ]
    return _svg(title, bottom + FOOT, parts)


def layout(jobs: pa.Table, nodes: Sequence[str] = (), slots_per_node: int = 0) -> Chart:
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
    order = [*nodes, *sorted(set(lanes) - set(nodes), key=_natural)]
    return Chart(tuple(bars), {node: max(1, len(lanes[node])) for node in order}, _waiting(rows))


def _shares(width: int, nodes: Sequence[str]) -> list[tuple[str, int]]:
    """How many slots a job of `width` takes on each of its nodes: as even as can be."""
    each, more = divmod(width, len(nodes))
    return [(node, max(1, each + (index < more))) for index, node in enumerate(nodes)]


def _take(lanes: list[float], share: int, start: float, end: float, limit: int) -> tuple[int, ...]:
    """Occupy the lowest free lanes until `end`; add lanes up to `limit` (0: any number), then
    overlap the soonest."""
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
    """The steps of the number of slots that submitted jobs were waiting for."""
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


def _tops(slots: dict[str, int], tall: float) -> dict[str, float]:
    tops = {}
    top = float(HEAD + QUEUE + GAP)
    for node, count in slots.items():
        tops[node] = top
        top += count * tall + GAP
    return tops


def _x(chart: Chart, at: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * max(0.0, at) / chart.end


def _axis(chart: Chart, bottom: float) -> list[str]:
    parts = []
    for tick in _ticks(chart.end):
        x = _x(chart, tick)
        parts.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{HEAD}" y2="{bottom:.1f}"/>'
        )
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{bottom + 15:.1f}" '
            f'text-anchor="middle">{tick:g}</text>'
        )
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text class="tick" x="{middle}" y="{bottom + 30:.1f}" text-anchor="middle">seconds</text>'
    )
    return parts


def _ticks(end: float) -> list[float]:
    rough = end / 8
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [step * index for index in range(int(end / step) + 1)]


def _queue(chart: Chart) -> list[str]:
    peak = max((level for _, level in chart.queue), default=0)
    base = HEAD + QUEUE
    label = f'<text class="node" x="{LEFT - 8}" y="{base - 12}" text-anchor="end">waiting</text>'
    if not peak:
        return [label]
    path = [f"M{LEFT} {base}"]
    last = float(base)
    for at, level in chart.queue:
        y = base - (QUEUE - 4) * level / peak
        path.append(f"L{_x(chart, at):.1f} {last:.1f}V{y:.1f}")
        last = y
    path.append(f"H{_x(chart, chart.end):.1f}V{base}Z")
    most = f'<text class="tick" x="{LEFT - 8}" y="{base}" text-anchor="end">peak {peak}</text>'
    return [f'<path class="queue" d="{"".join(path)}"/>', label, most]


def _rows(chart: Chart, tops: dict[str, float], tall: float) -> list[str]:
    parts = []
    for node, count in chart.slots.items():
        top = tops[node]
        high = count * tall
        parts.append(
            f'<rect class="row" x="{LEFT}" y="{top:.1f}" width="{WIDTH - LEFT - RIGHT}" '
            f'height="{high:.1f}"/>'
        )
        middle = top + high / 2 + 4
        parts.append(
            f'<text class="node" x="{LEFT - 8}" y="{middle:.1f}" '
            f'text-anchor="end">{escape(node)}</text>'
        )
    return parts


def _waits(chart: Chart, tops: dict[str, float], tall: float) -> list[str]:
    """A faint line from submission to start, under the bars: it shows where a slot stood free
    meanwhile."""
    path = []
    for bar in chart.bars:
        y = tops[bar.node] + (bar.slots[0] + 0.5) * tall
        path.append(f"M{_x(chart, bar.submit):.1f} {y:.1f}H{_x(chart, bar.start):.1f}")
    return [f'<path class="wait" d="{"".join(path)}"/>'] if path else []


def _bars(chart: Chart, tops: dict[str, float], tall: float) -> list[str]:
    few = len(chart.bars) <= _MANY
    tones = dict(zip(sorted({bar.job for bar in chart.bars}), cycle(TONES), strict=False))
    parts = []
    for bar in chart.bars:
        x = _x(chart, bar.start)
        wide = max(0.6, _x(chart, bar.end) - _x(chart, bar.start))
        fill = FAILED if bar.failed else tones[bar.job]
        for first, count in _runs(bar.slots):
            y = tops[bar.node] + first * tall
            high = count * tall
            box = (
                f'x="{x:.1f}" y="{y + 0.5:.1f}" width="{wide:.1f}" height="{high - 1:.1f}" '
                f'fill="{fill}"'
            )
            tip = f"<title>{escape(_tip(bar))}</title>" if few else ""
            parts.append(f'<rect class="job" {box}>{tip}</rect>')
            if few and wide > 22 and high > 10:
                middle = f'x="{x + wide / 2:.1f}" y="{y + high / 2 + 3.5:.1f}"'
                parts.append(f'<text class="label" {middle} text-anchor="middle">{bar.job}</text>')
    return parts


def _runs(slots: Sequence[int]) -> list[tuple[int, int]]:
    """Neighbouring slots joined: (first, count)."""
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


def _svg(title: str, height: float, parts: Sequence[str]) -> str:
    style = (
        "text{font:11px "
        "system-ui,sans-serif;fill:#333}.node{font-weight:600}.tick{fill:#666}.grid{stroke:#ddd}"
        ".row{fill:#f3f4f6}.queue{fill:#c9a227;fill-opacity:.3}.wait{stroke:#888;stroke-opacity:.45;fill:none}"
        ".job{stroke:#fff;stroke-width:.8}.label{fill:#fff;font-size:10px;pointer-events:none}"
    )
    name = escape(title)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="gantt" viewBox="0 0 {WIDTH} '
        f'{height:.0f}" role="img" '
        f'aria-label="{name}"><title>{name}</title><style>{style}</style>'
        f'<text class="node" x="{LEFT}" y="14">{name}</text>{"".join(parts)}</svg>'
    )
