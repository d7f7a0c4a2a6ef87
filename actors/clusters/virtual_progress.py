"""Says how far a guest in virtual time is, how fast its time passes, and when it will be done."""

from collections import deque

import pyarrow.compute as pc

from actors.clusters.standstill import virtual_text
from campaign.core.durations import duration_text
from campaign.core.jobs import Workload
from campaign.guest.exchange import GuestProgress

WINDOW_S = 60.0
"""The speed is that of so many last seconds,"""
LEAST_STEPS = 5
"""or of so many last steps of the guest's clock, if those took longer: a guest says how far it is
once in a minute of its own, which a slow one may take long for."""


def least_span_s(workload: Workload, slots: int) -> float:
    """Return the seconds that the workload takes at least on a cluster with so many slots.

    No job ends before its arrival and its run time have passed, and no slot does two things at
    once. Nothing but a scheduler's own delays is left out.
    """
    table = workload.table
    if not table.num_rows:
        return 0.0
    ends = pc.add(table.column("arrival_s"), table.column("runtime_s"))
    return max(float(pc.max(ends).as_py()), work_s(workload) / slots)


def work_s(workload: Workload) -> float:
    """Return the seconds of all jobs on all their slots together."""
    table = workload.table
    return float(pc.sum(pc.multiply(table.column("width"), table.column("runtime_s"))).as_py() or 0)


class VirtualProgress:
    """Observes a guest's progress, and words it. `least_s` is how long its workload takes at least.

    The speed is in virtual seconds for each real one, since it is what people wait for.
    """

    def __init__(self, least_s: float) -> None:
        self._least_s = least_s
        self._seen: deque[tuple[float, float]] = deque()  # (real, virtual) seconds
        self._in_workload = False

    def observe(self, progress: GuestProgress, now: float) -> str:
        """Return how far the guest is; `now` is in monotonic seconds."""
        virtual_s = progress.workload_s or progress.virtual_s
        if bool(progress.workload_s) != self._in_workload:
            # Another count of seconds, and another speed.
            self._in_workload = bool(progress.workload_s)
            self._seen.clear()
        if not self._seen or virtual_s > self._seen[-1][1]:
            self._seen.append((now, virtual_s))
        while len(self._seen) > LEAST_STEPS + 1 and now - self._seen[0][0] > WINDOW_S:
            self._seen.popleft()
        speed = self._speed(now)
        at = f" at {speed:.3g}x" if speed else ""
        if not progress.workload_s:
            waits = progress.waits_for or progress.phase
            return f"{waits}, virtual {virtual_text(virtual_s)}{at}"
        left = self._left(progress, speed)
        jobs = f"{progress.jobs_done} of {progress.jobs_total} jobs"
        return f"virtual {virtual_text(virtual_s)}{at}, {jobs}{left}"

    def _speed(self, now: float) -> float:
        begun, first = self._seen[0]
        stepped, last = self._seen[-1]
        if stepped <= begun:
            return 0.0
        step_s = (stepped - begun) / (len(self._seen) - 1)
        # How far it is between two steps, nobody knows; a step that is late counts.
        return (last - first) / (max(stepped, now - step_s) - begun)

    def _left(self, progress: GuestProgress, speed: float) -> str:
        """Return how much real time is left, in words; empty where nobody can tell."""
        ahead_s = self._least_s - progress.workload_s
        missing = progress.jobs_total - progress.jobs_done
        if ahead_s <= 0 and progress.jobs_done:
            # It takes longer than it must: then as long for each job as until now.
            ahead_s = progress.workload_s / progress.jobs_done * missing
        if speed <= 0 or ahead_s <= 0 or not missing:
            return ""
        return f", about {duration_text(ahead_s / speed)} left"
