"""Jobs by the time of something: sorted, or as a heap. Compiled.

Both are a pair of arrays, times and jobs, of which the first `size` places count. An agenda is
sorted by time, then job.
"""

import numpy as np
from numpy.typing import NDArray

from campaign.simulation.compiled import compiled

Times = NDArray[np.int64]
Jobs = NDArray[np.int64]


@compiled
def place_of(times: Times, jobs: Jobs, size: int, time: int, job: int) -> int:
    """Where (time, job) stands, or would stand, in an agenda."""
    low = 0
    high = size
    while low < high:
        middle = (low + high) // 2
        if times[middle] < time or (times[middle] == time and jobs[middle] < job):
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def insert(times: Times, jobs: Jobs, size: int, time: int, job: int) -> None:
    """Put (time, job) into an agenda of `size`."""
    at = place_of(times, jobs, size, time, job)
    for index in range(size, at, -1):
        times[index] = times[index - 1]
        jobs[index] = jobs[index - 1]
    times[at] = time
    jobs[at] = job


@compiled
def remove(times: Times, jobs: Jobs, size: int, time: int, job: int) -> None:
    """Take (time, job), which is there, out of an agenda of `size`."""
    for index in range(place_of(times, jobs, size, time, job), size - 1):
        times[index] = times[index + 1]
        jobs[index] = jobs[index + 1]


@compiled
def push(times: Times, jobs: Jobs, size: int, time: int, job: int) -> None:
    """Put (time, job) into a heap of `size`, whose first place holds the earliest."""
    at = size
    while at > 0:
        above = (at - 1) // 2
        if times[above] < time or (times[above] == time and jobs[above] < job):
            break
        times[at] = times[above]
        jobs[at] = jobs[above]
        at = above
    times[at] = time
    jobs[at] = job


@compiled
def pop(times: Times, jobs: Jobs, size: int) -> None:
    """Take the earliest out of a heap of `size`."""
    time = times[size - 1]
    job = jobs[size - 1]
    at = 0
    while True:
        below = 2 * at + 1
        if below >= size - 1:
            break
        right = below + 1
        if right < size - 1 and (
            times[right] < times[below]
            or (times[right] == times[below] and jobs[right] < jobs[below])
        ):
            below = right
        if time < times[below] or (time == times[below] and job < jobs[below]):
            break
        times[at] = times[below]
        jobs[at] = jobs[below]
        at = below
    times[at] = time
    jobs[at] = job
