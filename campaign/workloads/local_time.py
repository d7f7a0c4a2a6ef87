"""The local time at which jobs of a trace arrived, by what its header says of clock and zone."""

from datetime import UTC, datetime, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from campaign.core.jobs import HEADER, Workload
from campaign.workloads.traces import STARTED
from campaign.workloads.transform import LOAD_SET, TIMES_SCALED

ZONE = f"{HEADER}TimeZoneString"
HOUR = 3600
FROM_MONDAY = 3 * 86_400
"""Seconds from a Monday to the Thursday on which Unix time begins."""
LATEST = 4_102_444_800.0  # the year 2100: a later clock is a mistake of the header's


class LocalTimes(NamedTuple):
    """When jobs arrived, in seconds since some Monday at 0:00.

    `clock` says whose Mondays these are; empty if the first arrival itself is taken for one.
    """

    seconds: NDArray[np.float64]
    clock: str


def local_times(workload: Workload) -> LocalTimes:
    """Return the local times of the arrivals, as far as the trace's header tells.

    It needs a UnixStartTime, and times that were neither scaled nor stretched: those of a model, or
    of a changed trace, are no times of day. Without a known TimeZoneString, they are of UTC.
    """
    arrival: NDArray[np.float64] = workload.table.column("arrival_s").to_numpy()
    since = arrival - arrival[0]
    notes = workload.notes
    if STARTED not in notes or notes.keys() & {TIMES_SCALED, LOAD_SET}:
        return LocalTimes(since, "")
    began = float(notes[STARTED])
    if not 0 < began + since[-1] < LATEST:
        return LocalTimes(since, "")
    zone, name = _zone(notes.get(ZONE, ""))
    return LocalTimes(_local(began + since, zone) + FROM_MONDAY, name)


def _zone(name: str) -> tuple[tzinfo, str]:
    words = name.split()
    try:
        return (ZoneInfo(words[0]), words[0]) if words else (UTC, "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC, f"UTC, since the zone {words[0]} isn't known here"


def _local(unix: NDArray[np.float64], zone: tzinfo) -> NDArray[np.float64]:
    """Return Unix times by the clock of the zone. Its offset is that of each hour."""
    hours, of_job = np.unique((unix // HOUR).astype(np.int64), return_inverse=True)
    offsets = np.zeros(hours.size)
    for place, hour in enumerate(hours.tolist()):
        offset = datetime.fromtimestamp(hour * HOUR, zone).utcoffset()
        offsets[place] = offset.total_seconds() if offset else 0.0
    return np.asarray(unix + offsets[of_job])
