"""A workload in numbers: its distributions, its load, and how they go over time.

Everything is computed on columns: a million jobs take about a second.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from campaign.core.jobs import Workload
from campaign.workloads.local_time import local_times
from campaign.workloads.transform import offered_load

MINUTE = 60.0
HOUR = 3600.0
DAY = 86_400.0
WEEK = 604_800.0
# bars over time, and of run times, at most
BINS = 60
DECADE_BINS = 28
_DECADES = (0.25, 0.5, 1, 2, 5, 10, 20)  # lengths of a bar of run times
# spans from which a daily and a weekly cycle can be told from chance
CYCLE_FROM = 2 * DAY
WEEK_FROM = 2 * WEEK
SHORTEST_PART = 1.0  # s: divides nothing by 0, since each cycle is shown over two of its length
_CALENDAR = (
    *(1.0, 2.0, 5.0, 10.0, 15.0, 30.0),
    *(part * MINUTE for part in (1, 2, 5, 10, 15, 30)),
    *(part * HOUR for part in (1, 2, 3, 6, 12)),
    *(part * DAY for part in (1, 2, 7, 14, 28)),
)

Column = NDArray[np.float64]


@dataclass(frozen=True)
class Distribution:
    """One quantity over all jobs, in its own unit.

    `cv` is standard deviation / mean, None where the mean is 0. Quantiles are interpolated linearly
    between order statistics; the standard deviation is that of the population.
    """

    min: float
    p25: float
    median: float
    p75: float
    p95: float
    max: float
    mean: float
    cv: float | None


@dataclass(frozen=True)
class Histogram:
    """Bars side by side: bar i has `heights[i]` and reaches from `edges[i]` to `edges[i + 1]`."""

    edges: tuple[float, ...]
    heights: tuple[float, ...]


@dataclass(frozen=True)
class Statistics:
    """A workload in numbers, on a machine of `slots`.

    `distributions` by quantity: interarrival_s (none for a single job), width (slots), runtime_s,
    requested_s, accuracy (run time / requested time; both only of jobs whose requested time is
    known) and area (slot seconds). `users` are those
    that are known: 0 stands for an unknown one. `serial` and `powers_of_two` are shares of the
    jobs. `load` is None where the jobs arrive all at once. `arrivals` are jobs per bar, `loads`
    offered load per bar (none without a span), both over seconds since the first arrival. `widths`
    are jobs by width, each edge in the bar below it; `runtimes` jobs by run time in s, each edge in
    the bar above it. `day` and `week` are jobs per hour by hour of the day and by day of the week
    (Monday first), empty where the span is too short. `clock` says whose hours and days they are;
    where it is empty, both count from the first arrival.
    """

    jobs: int
    slots: int
    users: int
    span_s: float
    load: float | None
    serial: float
    powers_of_two: float
    distributions: dict[str, Distribution]
    arrivals: Histogram
    loads: Histogram | None
    widths: Histogram
    runtimes: Histogram
    day: tuple[float, ...]
    week: tuple[float, ...]
    clock: str = ""


def describe(workload: Workload, slots: int) -> Statistics:
    """Describe a workload of at least one job on a machine of `slots`.

    The load over time is `transform.offered_load` bar by bar: the area of the jobs that arrive in a
    bar, over slots x the bar's length. So the last bar, which the span may only begin, is rather
    low than wild.
    """
    arrival, runtime, requested = (
        _column(workload, name) for name in ("arrival_s", "runtime_s", "requested_s")
    )
    known = ~workload.is_guessed
    width = workload.table.column("width").to_numpy()
    area = width * runtime
    span = float(arrival[-1] - arrival[0])
    since = arrival - arrival[0]
    edges = _time_edges(span)
    local = local_times(workload)
    return Statistics(
        jobs=len(workload),
        slots=slots,
        users=int(np.count_nonzero(np.unique(workload.table.column("user").to_numpy()))),
        span_s=span,
        load=offered_load(workload.table, slots),
        serial=float((width == 1).mean()),
        powers_of_two=float((width & (width - 1) == 0).mean()),
        distributions=_distributions(
            interarrival_s=np.diff(arrival),
            width=width.astype(np.float64),
            runtime_s=runtime,
            requested_s=requested[known],
            accuracy=runtime[known] / requested[known],
            area=area,
        ),
        arrivals=_over(since, edges),
        loads=_over(since, edges, weights=area / (slots * (edges[1] - edges[0])))
        if span > 0
        else None,
        widths=_by_width(width),
        runtimes=_over(runtime, _decades(runtime)),
        day=_cycle(local.seconds, HOUR, 24) if span > CYCLE_FROM else (),
        week=_cycle(local.seconds, DAY, 7) if span > WEEK_FROM else (),
        clock=local.clock,
    )


def step_of(span_s: float, most: int = BINS) -> float:
    """Return the shortest customary unit of time (s) of which at most `most` cover `span_s`.

    1 s where there is no span.
    """
    least = span_s / most
    if least <= 0:
        return 1.0
    step = next((step for step in _CALENDAR if step >= least), None)
    if least <= 0.5 or step is None:
        unit = 1.0 if step else DAY
        power = 10.0 ** math.floor(math.log10(least / unit))
        step = unit * next(
            factor * power for factor in (1, 2, 5, 10, 20) if unit * factor * power >= least
        )
    return step


def _column(workload: Workload, name: str) -> Column:
    values: Column = workload.table.column(name).to_numpy()
    return values


def _distributions(**columns: Column) -> dict[str, Distribution]:
    return {name: _distribution(values) for name, values in columns.items() if values.size}


def _distribution(values: Column) -> Distribution:
    low, p25, median, p75, p95, high = np.quantile(values, (0, 0.25, 0.5, 0.75, 0.95, 1)).tolist()
    mean = float(values.mean())
    cv = round(float(values.std()) / mean, 12) if mean else None  # equal values differ by rounding
    return Distribution(low, p25, median, p75, p95, high, mean, cv)


def _time_edges(span_s: float) -> Column:
    step = step_of(span_s)
    return step * np.arange(max(1, math.ceil(span_s / step)) + 1, dtype=np.float64)


def _decades(values: Column) -> Column:
    """Return edges at equal distances on a logarithmic scale around all values.

    Powers of ten are among them.
    """
    low = math.log10(float(values.min()))
    high = math.log10(float(values.max()))
    near = 1e-9  # a value that is an edge but for rounding
    for step in _DECADES:
        first = math.floor(low / step + near)
        last = math.floor(high / step + near) + 1
        if last - first <= DECADE_BINS:
            break
    return 10.0 ** (step * np.arange(first, last + 1, dtype=np.float64))


def _over(values: Column, edges: Column, weights: Column | None = None) -> Histogram:
    """Return values by bar; what rounding puts beyond the ends is in the first and the last."""
    bars = edges.size - 1
    bar = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, bars - 1)
    return _histogram(edges, np.bincount(bar, weights, minlength=bars))


def _by_width(width: NDArray[np.int32]) -> Histogram:
    """Return jobs by width: 1, 2, 3..4, 5..8, and so on; bars below the narrowest are empty."""
    bar = np.frexp(width.astype(np.float64) - 1)[1]  # the bit length of width - 1
    counts = np.bincount(bar)
    return _histogram(np.concatenate([[0.0], 2.0 ** np.arange(counts.size)]), counts)


def _histogram(edges: Column, heights: ArrayLike) -> Histogram:
    return Histogram(tuple(edges.tolist()), tuple(np.asarray(heights, dtype=np.float64).tolist()))


def _cycle(seconds: Column, part_s: float, parts: int) -> tuple[float, ...]:
    """Return jobs per hour in each part of a cycle, over the time that the span spent in it.

    A cycle begins at each multiple of its length; `seconds` are ascending. A part that the span
    never met has no jobs either.
    """
    counts = np.bincount((seconds // part_s).astype(np.int64) % parts, minlength=parts)
    spent = _spent(float(seconds[-1]), part_s, parts) - _spent(float(seconds[0]), part_s, parts)
    return tuple((counts * HOUR / np.maximum(spent, SHORTEST_PART)).tolist())


def _spent(until: float, part_s: float, parts: int) -> Column:
    """Return the seconds that each part of a cycle had from 0 on."""
    whole, rest = divmod(until, part_s * parts)
    return np.asarray(whole * part_s + np.clip(rest - part_s * np.arange(parts), 0, part_s))
