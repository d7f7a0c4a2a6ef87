"""Two schedules beside each other: how long jobs waited, how much was in use, what was queued."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa

from campaign.analysis.front.resampling import Floats
from campaign.report.chart_model import Axis, Chart, Curve, Tone, unit_of_time
from campaign.report.facts import percent
from campaign.report.workload_picture import duration

BINS = 180
"""Into so many parts the time is cut; of each, the mean is drawn."""
SHORTEST_WAIT_S = 1.0
"""Shorter waits are drawn as this long, where the axis is logarithmic."""
MOST_STEPS = 400


@dataclass(frozen=True)
class TrialSchedule:
    """A trial's schedule: its jobs that ran, as arrays; times in seconds."""

    name: str
    tone: Tone
    slots: int
    width: Floats
    submit: Floats
    start: Floats
    end: Floats

    @classmethod
    def of(cls, name: str, tone: Tone, jobs: pa.Table, slots: int) -> Self | None:
        """Return the schedule of a jobs table on so many slots (0: unknown); None if none ran."""
        names = ("width", "submit_ns", "start_ns", "end_ns")
        table = jobs.select(names).drop_null()
        if not table.num_rows:
            return None
        width, submit, start, end = (
            table.column(one).to_numpy().astype(np.float64) for one in names
        )
        times = (one / 1e9 for one in (submit, start, end))
        return cls(name, tone, slots, width, *times)

    @property
    def wait(self) -> Floats:
        """How long each job waited (s); never less than nothing."""
        return np.maximum(self.start - self.submit, 0.0)

    def used(self, edges: Floats) -> Floats:
        """Return the mean number of slots in use between neighbouring `edges`."""
        return _mean_level(self.start, self.end, self.width, edges)

    def queued(self, edges: Floats) -> Floats:
        """Return the mean number of slots that waiting jobs asked for between `edges`."""
        return _mean_level(self.submit, self.start, self.width, edges)


def over_time(schedules: Sequence[TrialSchedule]) -> list[Chart]:
    """Return the charts of schedules beside each other; none where there is no schedule."""
    if not schedules:
        return []
    end = max(float(one.end.max()) for one in schedules)
    edges = np.linspace(0.0, end or 1.0, BINS + 1)
    unit, size = unit_of_time(end)
    across = Axis(f"Time since the workload began ({unit})", 0.0, float(edges[-1]) / size)
    places = edges / size
    return [
        waits_chart(schedules),
        *_used_chart(schedules, edges, places, across),
        _queue_chart(schedules, edges, places, across),
    ]


def waits_chart(schedules: Sequence[TrialSchedule]) -> Chart:
    """Return the distribution of waits: which share of the jobs waited no longer than each time."""
    longest = max(float(one.wait.max()) for one in schedules)
    log = longest > 100 * SHORTEST_WAIT_S
    low = SHORTEST_WAIT_S if log else 0.0
    axis = Axis("Wait", low, (longest or 1.0) * 1.03, log=log, times=True)
    if not log:
        axis = Axis("Wait (s)", low, axis.high)
    said = "; ".join(
        f"{one.name}: half of the jobs waited up to {duration(float(np.median(one.wait)))}, 95 % "
        f"up to {duration(float(np.quantile(one.wait, 0.95)))}"
        for one in schedules
    )
    return Chart(
        "waits",
        f"Distribution of waits. {said}.",
        axis,
        Axis("Jobs that waited no longer (%)", 0.0, 100.0),
        curves=tuple(
            Curve(one.name, one.tone, tuple(_distribution(one.wait, axis))) for one in schedules
        ),
    )


def _distribution(waits: Floats, axis: Axis) -> Iterator[tuple[float, float]]:
    ordered = np.sort(np.maximum(waits, axis.low))
    count = len(ordered)
    ranks = np.unique(np.linspace(0, count - 1, min(count, MOST_STEPS)).round().astype(int))
    yield axis.low, 0.0
    for rank in ranks:
        yield float(ordered[rank]), 100 * (int(rank) + 1) / count
    yield axis.high, 100.0


def _used_chart(
    schedules: Sequence[TrialSchedule], edges: Floats, places: Floats, across: Axis
) -> Iterator[Chart]:
    if not all(one.slots for one in schedules):
        return
    shares = [one.used(edges) / one.slots for one in schedules]
    said = "; ".join(
        f"{one.name}: {percent(float(share.mean()))} on average"
        for one, share in zip(schedules, shares, strict=True)
    )
    yield Chart(
        "utilisation",
        f"Slots in use over time. {said}, until the last job of both has ended.",
        across,
        Axis("Slots in use (%)", 0.0, 103.0),
        curves=tuple(
            _curve(one, 100 * share, places) for one, share in zip(schedules, shares, strict=True)
        ),
    )


def _queue_chart(
    schedules: Sequence[TrialSchedule], edges: Floats, places: Floats, across: Axis
) -> Chart:
    levels = [one.queued(edges) for one in schedules]
    said = "; ".join(
        f"{one.name}: {level.max():.0f} slots at most"
        for one, level in zip(schedules, levels, strict=True)
    )
    peak = max(float(level.max()) for level in levels) or 1.0
    return Chart(
        "queue",
        f"Slots that waiting jobs asked for over time. {said}.",
        across,
        Axis("Slots waited for", 0.0, 1.05 * peak),
        curves=tuple(
            _curve(one, level, places) for one, level in zip(schedules, levels, strict=True)
        ),
    )


def _curve(schedule: TrialSchedule, levels: Floats, places: Floats) -> Curve:
    points = [(float(at), float(level)) for at, level in zip(places[:-1], levels, strict=True)]
    last = float(places[-1]), points[-1][1]
    return Curve(schedule.name, schedule.tone, (*points, last))


def _mean_level(begin: Floats, end: Floats, height: Floats, edges: Floats) -> Floats:
    """Return the mean of a sum of steps between neighbouring edges: each is `height` high."""
    at = np.concatenate([begin, end])
    by = np.concatenate([height, -height])
    order = np.argsort(at, kind="stable")
    moments = at[order]
    levels = np.concatenate([[0.0], np.cumsum(by[order])])
    # The area below the steps up to each moment, and from there up to each edge.
    areas = np.concatenate([[0.0], np.cumsum(np.diff(moments) * levels[1:-1])])
    before = np.searchsorted(moments, edges, side="right")
    last = np.maximum(before - 1, 0)
    rest = np.where(before > 0, (edges - moments[last]) * levels[before], 0.0)
    area = np.where(before > 0, areas[last] + rest, 0.0)
    return np.asarray(np.diff(area) / np.diff(edges))
