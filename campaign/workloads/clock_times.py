"""From the clock on the wall to Unix time, the hour that daylight saving repeats included.

A time that a clock shows twice is told by other times of its job: how long it ran, that it started
no sooner than it was submitted, and that jobs are numbered in the order of their submission.
"""

from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from campaign.core.errors import ConfigError

Times = NDArray[np.float64]
Mask = NDArray[np.bool_]
DAY_S = 86_400
STEP_S = 900
"""Clocks change at full quarters of an hour."""
TOLERANCE_S = 60.0
"""How far a job's run time and its start and end may be apart: suspended jobs, rounded seconds."""
EARLIEST_S = -62_135_510_400.0  # 0001-01-02
LATEST_S = 253_402_128_000.0  # 9999-12-30
LAST_DATE_S = 7_258_118_400.0  # the year 2200
EPOCH = datetime(1970, 1, 1)
UNCLEAR = "times in the hour that the clock repeats taken for the first"
SKIPPED = "times that the clock skips taken for an hour later"
TIMES_TOLD = "clock"
CLOCK_OF_UTC = "taken for that of UTC, since the log names no zone (workload.time_zone)"


def zone_of(name: str | None) -> ZoneInfo | None:
    """Return the time zone of this name; None for no name. ConfigError for an unknown one."""
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(
            f"workload.time_zone = {name!r}: no time zone of that name is known here",
            resolution="Write it as the IANA database does (Europe/Paris), and install tzdata "
            "where there is none.",
        ) from None


class Moments(NamedTuple):
    """Unix times: `first` and `second` differ where the clock shows a time twice."""

    first: Times
    second: Times

    @property
    def unclear(self) -> Mask:
        """Tell which are shown twice."""
        return np.asarray(self.second > self.first)


def moments(wall: Times, naive: Mask, zone: ZoneInfo | None) -> tuple[Moments, int]:
    """Return the Unix times of what clocks show, and how many of them the clock skips.

    `wall` has Unix times, those that are `naive` as if the clock were that of UTC.
    """
    known = naive & (wall > EARLIEST_S) & (wall < LATEST_S)
    if zone is None or not known.any():
        return Moments(wall, wall), 0
    steps, of_time = np.unique((wall[known] // STEP_S).astype(np.int64), return_inverse=True)
    offsets = np.array([_offsets(int(step) * STEP_S, zone) for step in steps])[of_time]
    skipped = offsets[:, 0] < offsets[:, 1]
    # In a gap, the offset before it moves the time behind the gap.
    second = np.where(skipped, offsets[:, 0], offsets[:, 1])
    found = Moments(wall.copy(), wall.copy())
    found.first[known] = wall[known] - offsets[:, 0]
    found.second[known] = wall[known] - second
    return found, int(skipped.sum())


def _offsets(wall: int, zone: ZoneInfo) -> tuple[float, float]:
    shown = (EPOCH + timedelta(seconds=wall)).replace(tzinfo=zone)
    both = (shown.replace(fold=fold).utcoffset() or timedelta() for fold in (0, 1))
    first, second = (offset.total_seconds() for offset in both)
    return first, second


class JobTimes(NamedTuple):
    """When jobs were submitted, started and ended, in Unix time; NaN where unknown."""

    submit: Times
    start: Times
    end: Times
    unclear: int


def resolved(
    submit: Moments, start: Moments, end: Moments, elapsed: Times, numbers: Times
) -> JobTimes:
    """Return one time for each of these; `unclear` jobs have one that nothing told."""
    if not (submit.unclear | start.unclear | end.unclear).any():
        return JobTimes(submit.first, start.first, end.first, 0)
    start, end = _by_elapsed(start, end, elapsed)
    submit = _by_number(submit, numbers)
    # Of what a job did later, only what is certain tells.
    began = np.where(start.unclear, np.inf, start.first)
    submit = Moments(submit.first, np.where(submit.second > began, submit.first, submit.second))
    told = np.where(submit.unclear, -np.inf, submit.first)
    start = Moments(np.where(start.first < told, start.second, start.first), start.second)
    begun = np.where(start.unclear, -np.inf, start.first)
    end = Moments(np.where(end.first < begun, end.second, end.first), end.second)
    unclear = submit.unclear | start.unclear | end.unclear
    return JobTimes(submit.first, start.first, end.first, int(unclear.sum()))


def _by_elapsed(start: Moments, end: Moments, elapsed: Times) -> tuple[Moments, Moments]:
    """Return starts and ends, those told that fit the run time in one way only."""
    fits = [
        (begin, finish, np.abs(finish - begin - elapsed) <= TOLERANCE_S)
        for begin in start
        for finish in end
    ]
    starts = []
    ends = []
    for place in (0, 1):
        starts.append(np.any([fit & (begin == start[place]) for begin, _, fit in fits], axis=0))
        ends.append(np.any([fit & (finish == end[place]) for _, finish, fit in fits], axis=0))
    return _told(start, *starts), _told(end, *ends)


def _told(moment: Moments, first: Mask, second: Mask) -> Moments:
    return Moments(
        np.where(second & ~first, moment.second, moment.first),
        np.where(first & ~second, moment.first, moment.second),
    )


def _by_number(submit: Moments, numbers: Times) -> Moments:
    """Return submissions, those told that stand before or after the one turn back of the clock."""
    first = submit.first.copy()
    second = submit.second.copy()
    rows = np.flatnonzero(submit.unclear)
    rows = rows[np.argsort(first[rows], kind="stable")]
    turns = np.cumsum(np.diff(first[rows], prepend=first[rows][:1]) > DAY_S)
    for turn in np.unique(turns):
        here = rows[turns == turn]
        here = here[np.argsort(numbers[here], kind="stable")]
        back = np.flatnonzero(np.diff(submit.first[here]) < -1)
        if back.size == 1:
            before = here[: back[0] + 1]
            after = here[back[0] + 1 :]
            second[before] = first[before]
            first[after] = second[after]
    return Moments(first, second)


def is_a_date(seconds: float) -> bool:
    """Return whether a Unix time is a date of this age, rather than a count from some zero."""
    return 0 < seconds < LAST_DATE_S
