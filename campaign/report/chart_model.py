"""What a chart shows, apart from how it is drawn: axes, series, and what is said of them."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from campaign.report.facts import number
from campaign.report.workload_picture import duration

Tone = Literal["front", "other", "baseline", "chosen"]
"""What a series is, which decides its look everywhere."""
LOG_FROM = 10.0
"""From this ratio of the greatest to the least value on, an axis is logarithmic."""
_SPARE = 0.04
"""The part of an axis that stays free beside the outermost values."""
_TIMES = (0.001, 0.01, 0.1, 1, 10, 60, 600, 3600, 36_000, 86_400, 864_000, 8_640_000)
_UNITS = (("days", 259_200.0, 86_400.0), ("hours", 10_800.0, 3600.0), ("minutes", 300.0, 60.0))


def unit_of_time(end_s: float) -> tuple[str, float]:
    """Return the unit in which a time axis up to `end_s` seconds is read best, and its seconds."""
    return next(((name, size) for name, least, size in _UNITS if end_s >= least), ("seconds", 1.0))


@dataclass(frozen=True)
class Axis:
    """An axis from `low` to `high`; `times` are seconds on it that are told in their own units."""

    label: str
    low: float
    high: float
    log: bool = False
    times: bool = False

    @classmethod
    def around(cls, label: str, values: Iterable[float]) -> Self:
        """Return an axis around values: logarithmic where they are over more than a decade."""
        known = list(values)
        low = min(known, default=0.0)
        high = max(known, default=1.0)
        if low > 0 and high / low >= LOG_FROM:
            spare = (high / low) ** _SPARE
            return cls(label, low / spare, high * spare, log=True)
        spare = ((high - low) or abs(high) or 1.0) * _SPARE
        # An axis that nearly begins at 0 does so.
        begins = 0.0 if 0 <= low < 0.15 * high else low - spare
        return cls(label, begins, high + spare)

    def place(self, value: float) -> float:
        """Return where a value is: 0 at the axis' lower end, 1 at the upper one."""
        if not self.log:
            return (value - self.low) / ((self.high - self.low) or 1.0)
        inside = max(value, self.low)
        return math.log(inside / self.low) / (math.log(self.high / self.low) or 1.0)

    def ticks(self, most: int) -> list[tuple[float, str]]:
        """Return round values on the axis, at most so many, each with its label."""
        if self.times and self.log:
            found = [one for one in _TIMES if self.low <= one <= self.high]
            return [(float(one), duration(one)) for one in _thinned(found, most)]
        values = self._decades(most) if self.log else list(_round(self.low, self.high, most))
        return [(value, number(value)) for value in values]

    def _decades(self, most: int) -> list[float]:
        first, last = (math.floor(math.log10(end)) for end in (self.low, self.high))
        powers = [10.0**power for power in range(first, last + 1)]
        for factors in ((1, 2, 5), (1, 3), (1,)):
            values = [factor * power for power in powers for factor in factors]
            inside = [value for value in values if self.low <= value <= self.high]
            if len(inside) <= most:
                return inside
        return _thinned(inside, most)


@dataclass(frozen=True)
class Mark:
    """A point of a chart, with a label beside it, a text under the mouse and where it leads.

    `symbol` counts through the symbols of schedulers; `across` and `up` are the ends of intervals.
    """

    x: float
    y: float
    label: str = ""
    tip: str = ""
    href: str = ""
    symbol: int = 0
    across: tuple[float, float] | None = None
    up: tuple[float, float] | None = None


@dataclass(frozen=True)
class Points:
    """A series of marks; `stairs`: joined by the staircase that bounds what they dominate."""

    name: str
    tone: Tone
    marks: tuple[Mark, ...]
    stairs: bool = False


@dataclass(frozen=True)
class Curve:
    """A series that keeps each value until the next one."""

    name: str
    tone: Tone
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Chart:
    """A chart of points and curves; `level` is a height to compare with, and its name.

    `name` is that of its file, `title` what a screen reader says. `symbols` are the schedulers that
    the marks' symbols stand for.
    """

    name: str
    title: str
    x: Axis
    y: Axis
    points: tuple[Points, ...] = ()
    curves: tuple[Curve, ...] = ()
    level: tuple[float, str] | None = None
    symbols: tuple[str, ...] = ()


@dataclass(frozen=True)
class Share:
    """A bar from 0: its name, its value, and the ends of its interval; all of them shares."""

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ShareChart:
    """Groups of bars, each group below its heading."""

    name: str
    title: str
    groups: tuple[tuple[str, tuple[Share, ...]], ...]


def _round(low: float, high: float, most: int) -> Iterator[float]:
    rough = (high - low) / max(1, most) or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    for index in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1):
        yield round(index * step, 12)


def _thinned(values: Sequence[float], most: int) -> list[float]:
    return list(values[:: math.ceil(len(values) / max(1, most))]) if values else []
