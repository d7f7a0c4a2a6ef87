"""A slow simulator of the ideal policies that is plain to read, and the random workloads that it is
asked about.

Nothing is kept that can be worked out anew. Times are whole seconds. Beside the starts it gives
what a policy promised on the way, and that no node was ever given more than it has is asserted at
each step.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa
from hypothesis import strategies as st

from campaign.core.jobs import WORKLOAD_SCHEMA
from campaign.simulation.engine import Delays, Nodes
from schedulers.policy import Policy

Free = list[int]
"""Free slots by node."""


class Request(NamedTuple):
    """A job: submission, slots, how long they are really held, how long the scheduler expects them
    to be."""

    submit: int
    width: int
    hold: int
    limit: int


@st.composite
def clusters(
    draw: st.DrawFn, *, counts: Sequence[int] = range(1, 9), slots: Sequence[int] = range(1, 5)
) -> Nodes:
    """Small clusters."""
    return Nodes(draw(st.sampled_from(counts)), draw(st.sampled_from(slots)))


@st.composite
def workloads(
    draw: st.DrawFn, nodes: Nodes, *, exact: bool = False
) -> list[tuple[int, int, int, int]]:
    """Jobs (submission, width, run time, requested time) for a cluster, by order of submission;
    many times are equal.

    `exact`: all have asked for what they run.
    """
    jobs = []
    now = 0
    for _ in range(draw(st.integers(1, 12))):
        now += draw(st.sampled_from([0, 0, 1, 2, 5, 9]))
        run = draw(st.integers(1, 9))
        more = 0 if exact else draw(st.sampled_from([0, 0, 1, 4, 9]))
        jobs.append((now, draw(st.integers(1, nodes.count * nodes.slots)), run, run + more))
    return jobs


def requests(jobs: Iterable[Sequence[int]], policy: Policy, delays: Delays) -> list[Request]:
    """What an ideal policy gets to see of jobs: submitted one after the other, and held for what
    machines take too."""
    seen: list[Request] = []
    idle = 0  # when the submitter has time again
    for submit, width, run, limit in jobs:
        idle = max(idle, submit) + int(delays.submit_s)
        unit = int(policy.limit_unit_s)
        longest = (max(1, -(-limit // unit)) * unit if unit else limit) + int(policy.grace_s)
        around = int(delays.launch_s + delays.release_s)
        seen.append(
            Request(
                idle, width, min(run + int(delays.overrun_s), longest) + around, longest + around
            )
        )
    return seen


def table(requests: Iterable[Sequence[float]]) -> pa.Table:
    """A workload (WORKLOAD_SCHEMA) of (submission, width, run time, requested time)."""
    columns = list(zip(*requests, strict=True)) or [()] * 4
    number = range(len(columns[0]))
    return pa.table(
        [number, *columns, [0] * len(number)],
        ["job_id", "arrival_s", "width", "runtime_s", "requested_s", "user"],
    ).cast(WORKLOAD_SCHEMA)


def place(
    free: Free, width: int, slots: int, rule: str = "first", *, even: bool = False
) -> dict[int, int] | None:
    """The job's slots by node, on as few nodes as can hold it; None where it doesn't fit.

    One node is chosen by the rule; several are those with most free slots, filled in their order,
    one slot at least. With `even`, they give the same number of slots each.
    """
    count = -(-width // slots)
    if count == 1:
        wanted = {
            "first": lambda node: 0,
            "least_loaded": lambda node: -free[node],
            "pack": lambda node: free[node],
        }
        able = sorted((node for node in range(len(free)) if free[node] >= width), key=wanted[rule])
        return {able[0]: width} if able else None
    chosen = sorted(sorted(range(len(free)), key=lambda node: -free[node])[:count])
    if even:
        each = -(-width // count)
        return dict.fromkeys(chosen, each) if all(free[node] >= each for node in chosen) else None
    if min(free[node] for node in chosen) == 0 or sum(free[node] for node in chosen) < width:
        return None
    given: dict[int, int] = {}
    for others, node in zip(range(count - 1, -1, -1), chosen, strict=True):
        given[node] = min(free[node], width - sum(given.values()) - others)
    return given


class Held(NamedTuple):
    """Slots by node that a job has, or is promised, in a span of time."""

    begin: int
    end: int
    where: dict[int, int]


def free_at(time: int, total: Free, held: Iterable[Held]) -> Free:
    """What is free at one moment."""
    free = list(total)
    for one in held:
        if one.begin <= time < one.end:
            for node, slots in one.where.items():
                free[node] -= slots
    assert min(free) >= 0, "a node was given more than it has"
    return free


def reference(jobs: Sequence[Request], nodes: Nodes, policy: Policy, **more: Any) -> "Reference":
    """The reference's run of jobs; nodes of one slot, which are all alike, are one node with all
    slots."""
    total = [nodes.count] if nodes.slots == 1 else [nodes.slots] * nodes.count
    chosen = {"rule": policy.placement, "even": policy.even}
    chosen |= {"depth": policy.depth or len(jobs) + 1, "reservations": policy.reservations}
    return Reference(jobs, total, max(total), policy.reserve, **chosen, **more).run()


@dataclass
class Reference:
    """Runs jobs, by order of submission, on nodes that have `total` slots, `slots` each at most.

    `rank(job, now)` is what the queue is sorted by, lowest first. `promised` are the reservations
    that each job had under conservative backfilling, `shadows` the times by which it would start
    while it was the first that waited under EASY: one for each event. `depth` jobs are looked at
    while they wait, and the first `reservations` of them planned where that many are.
    """

    jobs: Sequence[Request]
    total: Free
    slots: int
    reserve: str
    rule: str = "first"
    even: bool = False
    depth: int = 10**9
    reservations: int = 0
    rank: Callable[[int, int], float] | None = None
    queue: list[int] = field(default_factory=list)
    running: dict[int, Held] = field(default_factory=dict)
    plans: dict[int, Held] = field(default_factory=dict)
    start: dict[int, int] = field(default_factory=dict)
    where: dict[int, list[int]] = field(default_factory=dict)
    promised: dict[int, list[int]] = field(default_factory=dict)
    shadows: dict[int, list[int]] = field(default_factory=dict)
    plan: tuple[int, int, Free] | None = (
        None  # EASY's: for which job, the shadow time, what is spare then
    )

    def run(self) -> "Reference":
        to_come = list(range(len(self.jobs)))
        while to_come or self.running or self.queue:
            now = min(
                [self.jobs[job].submit for job in to_come[:1]]
                + [self._really_over(job) for job in self.running]
                + [plan.begin for plan in self.plans.values()]
            )
            over = [
                self.running.pop(job) for job in list(self.running) if self._really_over(job) == now
            ]
            early = any(held.end > now for held in over)
            while to_come and self.jobs[to_come[0]].submit == now:
                self.queue.append(to_come.pop(0))
            if self.rank:
                self.queue.sort(key=lambda job: (self.rank(job, now), job))
            if self.reserve == "all":
                self._conservative(now, early)
            elif self.reserve == "some":
                self._replanned(now)
            else:
                self._in_order(now)
                if self.reserve in ("first", "first_brief"):
                    self._easy(now, anew=bool(over or self.rank))
                elif self.reserve == "skip":
                    self._whatever_fits(now)
        return self

    def _really_over(self, job: int) -> int:
        return self.start[job] + self.jobs[job].hold

    def _free(self, now: int) -> Free:
        return free_at(now, self.total, self.running.values())

    def _begin(self, job: int, now: int, where: dict[int, int]) -> None:
        self.queue.remove(job)
        self.start[job] = now
        self.where[job] = sorted(where)
        self.running[job] = Held(now, now + self.jobs[job].limit, where)
        assert min(self._after(now, set())) >= 0

    def _after(self, now: int, without: set[int]) -> Free:
        """What is free now beside the running jobs, except some: jobs of no time count too."""
        free = list(self.total)
        for job in self.running.keys() - without:
            for node, slots in self.running[job].where.items():
                free[node] -= slots
        return free

    def _place(self, free: Free, job: int) -> dict[int, int] | None:
        return place(free, self.jobs[job].width, self.slots, self.rule, even=self.even)

    def _in_order(self, now: int) -> None:
        while self.queue and (where := self._place(self._after(now, set()), self.queue[0])):
            self._begin(self.queue[0], now, where)

    def _whatever_fits(self, now: int) -> None:
        for job in list(self.queue):
            if self.queue.index(job) >= self.depth:
                break
            if where := self._place(self._after(now, set()), job):
                self._begin(job, now, where)

    def _shadow(self, now: int, head: int) -> tuple[int, int, Free]:
        """When the head will fit if all run to their limits, and what it leaves free then."""
        for shadow in sorted({held.end for held in self.running.values()}):
            gone = {job for job, held in self.running.items() if held.end <= shadow}
            spare = self._after(now, gone)
            if where := self._place(spare, head):
                return (
                    head,
                    shadow,
                    [slots - where.get(node, 0) for node, slots in enumerate(spare)],
                )
        raise AssertionError("a job fits the empty cluster")

    def _easy(self, now: int, *, anew: bool) -> None:
        if not self.queue:
            return
        head = self.queue[0]
        fresh = self._shadow(now, head)
        self.shadows.setdefault(head, []).append(fresh[1])
        # Which nodes the head will get stays settled until something ends.
        if anew or self.plan is None or self.plan[0] != head:
            self.plan = fresh
        _, shadow, spare = self.plan
        for job in self.queue[1:]:
            if self.queue.index(job) >= self.depth:
                break
            free = self._after(now, set())
            if now + self.jobs[job].limit <= shadow:
                if where := self._place(free, job):
                    self._begin(job, now, where)
            elif self.reserve == "first_brief":
                continue
            elif where := self._place([min(pair) for pair in zip(free, spare, strict=True)], job):
                self._begin(job, now, where)
                for node, slots in where.items():
                    spare[node] -= slots

    def _conservative(self, now: int, early: bool) -> None:
        for job in list(self.queue):
            if early or job not in self.plans:
                self.plans.pop(job, None)
                self.plans[job] = self._earliest(now, job)
            self.promised.setdefault(job, []).append(self.plans[job].begin)
            if self.plans[job].begin == now:
                self._begin(job, now, self.plans.pop(job).where)

    def _replanned(self, now: int) -> None:
        for job in list(self.queue):
            if self.queue.index(job) >= self.depth:
                break
            found = self._earliest(now, job)
            if found.begin == now:
                self._begin(job, now, found.where)
            elif len(self.plans) < self.reservations:
                self.plans[job] = found
        self.plans.clear()

    def _earliest(self, now: int, job: int) -> Held:
        """The first time from which on the job fits until its limit, beside all that runs or is
        promised."""
        held = [*self.running.values(), *self.plans.values()]
        limit = self.jobs[job].limit
        for begin in sorted({now, *(one.end for one in held if one.end > now)}):
            changes = {one.begin for one in held if begin < one.begin < begin + limit}
            frees = [free_at(time, self.total, held) for time in {begin, *changes}]
            if where := self._place([min(slots) for slots in zip(*frees, strict=True)], job):
                return Held(begin, begin + limit, where)
        raise AssertionError("a job fits the empty cluster")
