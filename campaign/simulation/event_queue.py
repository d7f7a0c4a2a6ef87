"""Jobs sorted by the time of something, then by number. Compiled.

A queue is a pair of arrays, times and jobs, of which the first `size` places count. It serves where
all of it is read in order; where only the first counts, `heapq` does.
"""

import numpy as np
from numpy.typing import NDArray

from campaign.simulation.compiled import ONE, lean
from campaign.simulation.shifting import shift

Times = NDArray[np.int64]
Jobs = NDArray[np.int64]


@lean
def place_of(times: Times, jobs: Jobs, size: int, time: int, job: int) -> int:
    """Return where (time, job) stands, or would stand, in a queue of `size`."""
    low = 0
    high = size
    while low < high:
        middle = (low + high) // 2
        if times[middle] < time or (times[middle] == time and jobs[middle] < job):
            low = middle + 1
        else:
            high = middle
    return low


@lean
def insert(times: Times, jobs: Jobs, size: int, time: int, job: int) -> None:
    """Put (time, job) into a queue of `size`."""
    at = place_of(times, jobs, size, time, job)
    shift(times, at, size, ONE)
    shift(jobs, at, size, ONE)
    times[at] = time
    jobs[at] = job


@lean
def remove(times: Times, jobs: Jobs, size: int, time: int, job: int) -> None:
    """Take (time, job), which is there, out of a queue of `size`."""
    at = place_of(times, jobs, size, time, job)
    shift(times, at + 1, size, -ONE)
    shift(jobs, at + 1, size, -ONE)
