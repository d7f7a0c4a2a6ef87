"""Values of one kind in short: their median and ends, and the ratio of two such medians."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Spread:
    """`n` values of one kind: their median and their ends."""

    median: float
    min: float
    max: float
    n: int


@dataclass(frozen=True)
class Ratio:
    """The ratio of two medians (`value`), and of their least favourable ends (`low`, `high`)."""

    what: str
    value: float
    low: float
    high: float


def spread(values: Iterable[float]) -> Spread:
    """Return the spread of at least one value; ValueError for none."""
    found = sorted(values)
    if not found:
        raise ValueError("there is no spread of no values")
    return Spread(median(found), found[0], found[-1], len(found))


def ratio(what: str, one: Spread, other: Spread) -> Ratio:
    """Return the ratio of `one` to `other`."""
    return Ratio(what, one.median / other.median, low=one.min / other.max, high=one.max / other.min)
