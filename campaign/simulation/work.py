"""The jobs of a simulation, those that run, and the queue's order. Compiled."""

import heapq
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from campaign.simulation.compiled import compiled, lean
from campaign.simulation.engine import HORIZON_NS
from campaign.simulation.event_queue import Jobs, Times, insert, remove
from campaign.simulation.nodes import Slots, choose

NOWHERE: Any = np.int64(-1)
NEVER: Any = np.int64(HORIZON_NS)
"""The time (ns) of all that is beyond the horizon: no time is later, and no job ends then."""
GO_ON: Any = np.int64(0)
TOLD_TO_END: Any = np.int64(1)
TOO_FAR: Any = np.int64(2)
"""The values of `Work.halt`: nothing, a signal, and a job that would end at NEVER."""


class Work(NamedTuple):
    """Jobs by order of submission; ns and slots.

    A job's slots are held for `hold`; the scheduler expects `limit`. It is on `spread` nodes, which
    stand in `nodes` and `amounts` from `place` on; of several, each gives it at least `each` slots.
    `share` is the part of its priority that doesn't change, `rank` all of it when the queue was
    last sorted. `start` is NOWHERE until decided. All loops end soon, with jobs left undecided,
    once `halt[0]` is not GO_ON.
    """

    submit: Times
    width: NDArray[np.int32]
    spread: NDArray[np.int32]
    each: NDArray[np.int32]
    hold: Times
    limit: Times
    share: NDArray[np.float64]
    rank: NDArray[np.int64]
    place: Times
    nodes: Slots
    amounts: Slots
    start: Times
    halt: NDArray[np.int64]


class QueueOrder(NamedTuple):
    """The queue's order (schedulers.policy.Priority), times in ns.

    `dynamic` is 0 where it is the order of submission.
    """

    dynamic: int
    age: float
    max_age: float
    period: int


class Running(NamedTuple):
    """The `size[0]` running jobs, in two orders.

    `ends` is a heap of (time at which the job's slots are free, job); `limit_times` and
    `limit_jobs` are sorted by the time at which the job will have reached its limit.
    """

    ends: list[tuple[int, int]]
    limit_times: Times
    limit_jobs: Jobs
    size: Times


@compiled
def none_running(work: Work, free: Slots) -> Running:
    """Return room for as many jobs as can run at once."""
    room = min(work.submit.size, total(free)) + 1
    return Running(
        [(NEVER, NEVER) for _ in range(0)],  # empty, but of a type that Numba can tell
        np.empty(room, np.int64),
        np.empty(room, np.int64),
        np.zeros(1, np.int64),
    )


@lean
def after(time: int, duration: int) -> int:
    """Return `time` + `duration`, or NEVER where that is later; both are at most NEVER."""
    return time + min(duration, NEVER - time)


@compiled
def total(free: Slots) -> int:
    """Return the free slots of all nodes together."""
    slots = 0
    for node in range(free.size):
        slots += free[node]
    return slots


@compiled
def picked(work: Work, free: Slots, job: int, rule: int) -> bool:
    """Choose the job's nodes among `free`; return False if it doesn't fit."""
    return choose(
        free,
        work.width[job],
        work.spread[job],
        work.each[job],
        rule,
        work.nodes,
        work.amounts,
        work.place[job],
    )


@compiled
def take(work: Work, free: Slots, job: int) -> None:
    """Take the job's slots on its chosen nodes from `free`."""
    for index in range(work.place[job], work.place[job] + work.spread[job]):
        free[work.nodes[index]] -= work.amounts[index]


@compiled
def give(work: Work, free: Slots, job: int) -> None:
    """Give the job's slots on its chosen nodes back to `free`."""
    for index in range(work.place[job], work.place[job] + work.spread[job]):
        free[work.nodes[index]] += work.amounts[index]


@compiled
def begin(work: Work, free: Slots, running: Running, job: int, now: int) -> None:
    """Let a job have its chosen nodes from now on."""
    end = after(now, work.hold[job])
    if end >= NEVER:
        work.halt[0] = TOO_FAR
    work.start[job] = now
    take(work, free, job)
    size = running.size[0]
    heapq.heappush(running.ends, (end, job))
    insert(running.limit_times, running.limit_jobs, size, after(now, work.limit[job]), job)
    running.size[0] = size + 1


@compiled
def finish(work: Work, free: Slots, running: Running) -> int:
    """Give back the slots of the job that ends first, and return the job."""
    job = heapq.heappop(running.ends)[1]
    size = running.size[0]
    until = after(work.start[job], work.limit[job])
    remove(running.limit_times, running.limit_jobs, size, until, job)
    running.size[0] = size - 1
    give(work, free, job)
    return job


@compiled
def arrive(work: Work, queue: Jobs, last: int, arrived: int, now: int) -> tuple[int, int]:
    """Put the jobs submitted by `now` at the queue's end; return its new end, and how many came."""
    while arrived < work.submit.size and work.submit[arrived] <= now:
        queue[last] = arrived
        last += 1
        arrived += 1
    return last, arrived


@lean
def sort_queue(work: Work, queue: Jobs, first: int, last: int, now: int, order: QueueOrder) -> None:
    """Sort the queue's places `first` to `last` (excluded) by priority, highest first.

    Jobs of equal priority stand in the order of their submission. Priorities are cut to whole
    numbers, as Slurm's priority/multifactor does.
    """
    if order.period > 0:
        now -= now % order.period
    for index in range(first, last):
        work.rank[queue[index]] = _priority(work, queue[index], now, order)
    # Ages grow alike: the queue is nearly in order already.
    for index in range(first + 1, last):
        if work.halt[0] != GO_ON:
            break
        job = queue[index]
        at = index
        while at > first and _before(work, job, queue[at - 1]):
            queue[at] = queue[at - 1]
            at -= 1
        queue[at] = job


@lean
def _priority(work: Work, job: int, now: int, order: QueueOrder) -> int:
    age = min(1.0, max(0, now - work.submit[job]) / order.max_age)
    return int(order.age * age + work.share[job])


@lean
def _before(work: Work, job: int, other: int) -> bool:
    if work.rank[job] != work.rank[other]:
        return work.rank[job] > work.rank[other]
    return job < other
