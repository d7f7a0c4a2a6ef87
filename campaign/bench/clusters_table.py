"""The measurements of clusters as tables, as JSON and as a picture: numbers in, text out."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from campaign.bench.spread import Ratio, Spread, ratio, spread
from campaign.core.phases import UNTIL_READY, Phase
from campaign.report import svg
from campaign.report.design import DARK, LIGHT

ANSIBLE = "ansible"
SSH = "ssh"
RESTORED = "restored"
MOVED = "moved"
UNCACHED = "uncached"
ROWS = {
    ANSIBLE: "(a) cold boot, Ansible playbook",
    SSH: "(b) cold boot, our bootstrap",
    RESTORED: "(c) restored",
    MOVED: "(c+) restored, moved to other settings",
    UNCACHED: "(c) restored, files not cached",
}
"""The ways to a cluster, in the table's order."""
ONE_NODE = "memory.one_node"
WAY = tuple(phase for phase in UNTIL_READY if phase not in (Phase.GOLDEN, Phase.FALLBACK))
"""The phases of the way to the first finished job."""
_TONES = [phase.tone for phase in WAY]


@dataclass(frozen=True)
class ClusterSample:
    """One cluster, from its request to the end of a job across all its nodes, and its end.

    All times are seconds. `restore_s` is the whole of `Host.restore`; `memory_s` the part of it
    from the first node's loading to the last one's end; both None for a booted cluster. `loads_s`
    are the nodes' loadings one by one. `load` is the machine's load average (1 minute) before.
    """

    row: str
    phases: Mapping[Phase, float]
    torn_down_s: float
    load: float
    restore_s: float | None = None
    memory_s: float | None = None
    loads_s: Sequence[float] = ()

    @property
    def seconds(self) -> float:
        """From the request to "a job across all nodes has finished"."""
        return sum(self.phases.values())


@dataclass(frozen=True)
class ReadTimes:
    """The seconds in which one thread read all state files, from the page cache and from disk."""

    cached_s: float
    disk_s: float


@dataclass(frozen=True)
class ClusterMeasurements:
    """All that one run measured.

    `making_s` is the time from the request of the golden cluster to its being in the store;
    `read_bytes` what the floor reads; `facts` say on what it was measured.
    """

    facts: Mapping[str, Any]
    making_s: float
    read_bytes: int
    samples: Sequence[ClusterSample]
    floors: Sequence[ReadTimes]


def spreads(measured: ClusterMeasurements) -> dict[str, Spread]:
    """Return every row of the table by its name, in order; rows without a sample are left out."""
    series = {name: [one.seconds for one in _of(measured, name)] for name in ROWS}
    for name in (RESTORED, UNCACHED):
        chosen = _of(measured, name)
        series[f"restore.{name}"] = [one.restore_s for one in chosen if one.restore_s is not None]
        series[f"memory.{name}"] = [one.memory_s for one in chosen if one.memory_s is not None]
    series[ONE_NODE] = [seconds for one in _of(measured, RESTORED) for seconds in one.loads_s]
    series["floor.cached"] = [one.cached_s for one in measured.floors]
    series["floor.disk"] = [one.disk_s for one in measured.floors]
    series["torn_down"] = [one.torn_down_s for one in measured.samples]
    return {name: spread(values) for name, values in series.items() if values}


def ratios(measured: ClusterMeasurements) -> list[Ratio]:
    """Return the ratios that answer the benchmark's questions, where their parts were measured."""
    pairs = {
        "(a) / (c)": (ANSIBLE, RESTORED),
        "(b) / (c)": (SSH, RESTORED),
        "memory in place / bare read, both from the page cache": (
            f"memory.{RESTORED}",
            "floor.cached",
        ),
        "whole restore / bare read, both from the page cache": (
            f"restore.{RESTORED}",
            "floor.cached",
        ),
        "memory in place / bare read, both from disk": (f"memory.{UNCACHED}", "floor.disk"),
    }
    known = spreads(measured)
    return [
        ratio(what, known[a], known[b])
        for what, (a, b) in pairs.items()
        if a in known and b in known
    ]


def as_json(measured: ClusterMeasurements) -> str:
    """Return everything: facts, the tables' figures, and every single sample."""
    content = {
        "facts": measured.facts,
        "making_s": measured.making_s,
        "read_bytes": measured.read_bytes,
        "spreads": {name: asdict(one) for name, one in spreads(measured).items()},
        "ratios": [asdict(one) for one in ratios(measured)],
        "samples": [{"seconds": one.seconds, **asdict(one)} for one in measured.samples],
        "floors": [asdict(one) for one in measured.floors],
    }
    return json.dumps(content, indent=1) + "\n"


def as_text(measured: ClusterMeasurements) -> str:
    """Return the tables as people read them in a terminal."""
    return "\n".join(line.rstrip() for line in _lines(measured)) + "\n"


def _of(measured: ClusterMeasurements, row: str) -> list[ClusterSample]:
    return [one for one in measured.samples if one.row == row]


def _labels(measured: ClusterMeasurements) -> dict[str, str]:
    """Return the rows of the second table: restoring and reading by themselves."""
    return {
        f"memory.{RESTORED}": "memory in place, files cached",
        ONE_NODE: "one node's memory in place, files cached",
        f"restore.{RESTORED}": "whole restore, files cached",
        f"memory.{UNCACHED}": "memory in place, files not cached",
        f"restore.{UNCACHED}": "whole restore, files not cached",
        "floor.cached": f"bare read of {measured.read_bytes >> 20} MiB, page cache",
        "floor.disk": f"bare read of {measured.read_bytes >> 20} MiB, disk",
    }


def _lines(measured: ClusterMeasurements) -> Iterator[str]:
    known = spreads(measured)
    yield from (
        f"{name}: {value}"
        for name, value in measured.facts.items()
        if not isinstance(value, Mapping)
    )
    yield ""
    yield _heading("seconds from request to first job finished", "/ (c)")
    base = known[RESTORED].median if RESTORED in known else None
    for name, label in ROWS.items():
        if name in known:
            yield _row(label, known[name], base)
    yield f"\n{'of which, medians':<46}" + "".join(f"{name:>11}" for name in (*WAY, "torn down"))
    for name, label in ROWS.items():
        if name in known:
            parts = [
                *medians(measured, name).values(),
                median(one.torn_down_s for one in _of(measured, name)),
            ]
            yield f"{label:<46}" + "".join(f"{value:11.2f}" for value in parts)
    yield "\n" + _heading("restoring, and the physical floor: seconds", "/ floor")
    floor = known["floor.cached"].median if "floor.cached" in known else None
    for name, label in _labels(measured).items():
        if name in known:
            yield _row(label, known[name], None if name == ONE_NODE else floor, digits=3)
    yield f"\nonce: the golden cluster, booted, joined and saved: {measured.making_s:.1f} s\n"
    for one in ratios(measured):
        yield f"{one.what}: {one.value:.2f} ({one.low:.2f} .. {one.high:.2f})"


def _row(label: str, one: Spread, base: float | None, digits: int = 2) -> str:
    ratio = f"{one.median / base:8.2f}" if base else ""
    spread = "".join(f"{value:8.{digits}f}" for value in (one.median, one.min, one.max))
    return f"{label:<46}{spread}{one.n:4d}{ratio}"


def _heading(label: str, ratio: str) -> str:
    return f"{label:<46}{'median':>8}{'min':>8}{'max':>8}{'n':>4}{ratio:>8}"


def medians(measured: ClusterMeasurements, row: str) -> dict[Phase, float]:
    """Return the median of each phase of a row; they need not add up to the whole's median."""
    return {
        phase: median(one.phases.get(phase, 0.0) for one in _of(measured, row)) for phase in WAY
    }


@dataclass(frozen=True)
class _Bar:
    label: str
    parts: Sequence[float]  # one per tone of _TONES, or a single one
    total: float


_WIDTH = 920
_LEFT = 300
_RIGHT = 90
_STEP = 30
_THICK = 18
_STYLE = (
    f"text{{font:13px system-ui,-apple-system,'Segoe UI',sans-serif;fill:{LIGHT['ink']}}}"
    f".paper{{fill:{LIGHT['paper']}}}.title{{font-weight:600}}.axis{{stroke:{LIGHT['other']}}}"
    "@media (prefers-color-scheme:dark)"
    f"{{text{{fill:{DARK['ink']}}}.paper{{fill:{DARK['paper']}}}}}"
)


def as_svg(measured: ClusterMeasurements) -> str:
    """Return the medians as bars, in a picture of its own that suits a light and a dark page."""
    known = spreads(measured)
    ways = [
        _Bar(ROWS[name], tuple(medians(measured, name).values()), known[name].median)
        for name in _in(known, ROWS)
    ]
    labels = _labels(measured)
    parts = [
        _Bar(labels[name], (known[name].median,), known[name].median) for name in _in(known, labels)
    ]
    second = 100 + len(ways) * _STEP
    height = second + 50 + len(parts) * _STEP
    drawn = [
        svg.rect(0, 0, _WIDTH, height, css="paper"),
        svg.text(16, 26, "Seconds from request to first job finished (medians)", css="title"),
        *_legend(46),
        *_panel(ways, 64),
        svg.text(
            16,
            second,
            "Restoring alone, and the physical floor (medians, another scale)",
            css="title",
        ),
        *_panel(parts, second + 18),
    ]
    title = "From a request to the first job finished: booted and restored clusters"
    return svg.document(drawn, width=_WIDTH, height=height, title=title, style=_STYLE) + "\n"


def _in(known: Mapping[str, Spread], names: Iterable[str]) -> list[str]:
    return [name for name in names if name in known]


def _legend(y: int) -> Iterator[str]:
    x = 16
    for phase in WAY:
        yield svg.rect(x, y - 10, 12, 12, fill=phase.tone)
        yield svg.text(x + 18, y, phase.label)
        x += 40 + 7 * len(phase.label)


def _panel(bars: Sequence[_Bar], top: int) -> Iterator[str]:
    """Draw bars below each other, on a scale of their own whose zero is the line at the left."""
    longest = max((max(bar.total, sum(bar.parts)) for bar in bars), default=0.0) or 1.0
    scale = (_WIDTH - _LEFT - _RIGHT) / longest
    for index, bar in enumerate(bars):
        y = top + index * _STEP
        x = float(_LEFT)
        yield svg.text(_LEFT - 8, y + 14, bar.label, anchor="end")
        tones = _TONES if len(bar.parts) > 1 else _TONES[1:]
        for seconds, tone in zip(bar.parts, tones, strict=False):
            yield svg.rect(x, y, seconds * scale, _THICK, fill=tone)
            x += seconds * scale
        yield svg.text(x + 6, y + 14, f"{bar.total:.3g} s")
    yield svg.line(_LEFT, top - 4, _LEFT, top + len(bars) * _STEP - 6, css="axis")
