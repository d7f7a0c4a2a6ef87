"""Limits of accounts, users and qualities of service on jobs. Compiled.

`limits_of` makes them of a cluster's people. A job is counted twice:

- `submit(limits, job)` when it is submitted returns 0, or the reason why it is refused; a job that
  isn't counts as submitted until `withdraw(limits, job)` at its end. One that is queued again
  after that counts by `submit_again(limits, job)`.
- `blocked_by(limits, job, nodes, place, count)` returns 0, or the reason why it may not start now
  on `count` nodes, which stand in `nodes` from `place` on. With 0, which nodes doesn't matter yet:
  limits on nodes are left out. With NO_NODES, none were found: all that it wants count as new.
  `hold(..)` when it starts and `release(..)` when it has ended take nodes alike.

A job that `barred[job]` names a reason for never starts: it wants more than one job may have, and
waits for good. `in_words` says any reason. `wants[job]` is what a job counts for; a scheduler that
gives it more than it asked for (whole nodes) writes that there before it starts.

As Slurm 24.11 does it (acct_policy.c). A limit of the partition's quality of service goes before
that of the job's own, and both before those of its account, each kind of limit by itself. So many
jobs running, and so much in use, hold a job back. So many submitted refuse it. What one job may
have at most holds it back for good, but refuses it where a quality of service says deny_on_limit;
so does then what all may have together, if the job alone wants more. A node counts once, however
many jobs of somebody run on it. A held job keeps none behind it from starting, but with
assoc_limit_stop.
"""

from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from campaign.core.cluster import ClusterModel, Qos
from campaign.schema.cluster import JobLimits, SharedLimits
from campaign.simulation.compiled import lean
from campaign.simulation.people import NOBODY, Community, Member, Ownership, Sizes

Numbers = NDArray[np.int64]
JOBS, SLOTS, NODES, GPUS, MEMORY, SUBMITTED, TIME = range(7)
WHAT = ("running jobs", "slots", "nodes", "GPUs", "memory", "submitted jobs", "time")
SHARED = ("max_jobs", "max_slots", "max_nodes", "max_gpus", "max_memory_mib", "max_submitted")
"""The fields of SharedLimits, in that order."""
OF_JOB = {SLOTS: "max_slots", NODES: "max_nodes", GPUS: "max_gpus", MEMORY: "max_memory_mib"}
SCOPES = (
    "all jobs of a quality of service",
    "an account's jobs of a quality of service",
    "a user's jobs of a quality of service",
    "all jobs of an account or a user in it",
    "a job of a quality of service",
    "a job of an account or a user in it",
)
IN_ALL, PER_ACCOUNT, PER_USER, OF_MEMBER, JOB_OF_QOS, JOB_OF_MEMBER = range(len(SCOPES))
OF_QOS = {IN_ALL: "in_all", PER_ACCOUNT: "per_account", PER_USER: "per_user"}
"""The fields of Qos that have such limits."""
NO_NODES = -1
NO_ACCOUNT = 1
NO_QOS = 2
REFUSALS = {
    NO_ACCOUNT: "its user isn't in its account",
    NO_QOS: "it may not have its quality of service",
}
FIRST = 3
"""The first reason that is a limit's."""


class Limits(NamedTuple):
    """What holds jobs back.

    Jobs of one `kind` have the same checks, `check[kind]` to `check[kind + 1]`: that `counter` has
    at most `most` of `resource` in use. They count in the counters `counted[counts[kind]]` to
    `counted[counts[kind + 1]]`. `used` has a row for each counter and a column for each resource up
    to SUBMITTED. `row` is that of `busy` which counts the jobs on each node, NOBODY where nodes
    don't matter.
    """

    kind: Numbers
    check: Numbers
    counter: Numbers
    resource: Numbers
    most: Numbers
    reason: Numbers
    counts: Numbers
    counted: Numbers
    used: Numbers
    row: Numbers
    busy: NDArray[np.int32]
    wants: Numbers
    refused: Numbers
    barred: Numbers


def in_words(reason: int) -> str:
    """Return what a reason means."""
    if reason < FIRST:
        return REFUSALS[reason]
    scope, what = divmod(reason - FIRST, len(WHAT))
    return f"limit on {WHAT[what]} of {SCOPES[scope]}"


def limits_of(
    model: ClusterModel, people: Community, owners: Ownership, sizes: Sizes, nodes: int
) -> Limits:
    """Return the limits of jobs on a cluster of so many nodes, of which none runs yet."""
    queues = {each.name: place for place, each in enumerate(people.qos)}
    of_queues = [queues.get(each.qos or "", NOBODY) for each in model.partitions]
    of_partition = np.array([*of_queues, NOBODY])[owners.partition]
    whose = np.stack([owners.association, owners.qos, of_partition], axis=1)
    kinds, kind = np.unique(whose, axis=0, return_inverse=True)
    kind = kind.reshape(-1)
    wants = np.stack([np.ones_like(sizes.slots), *_amounts(sizes)], axis=1).astype(np.int64)
    refused = np.zeros(kind.size, np.int64)
    barred = np.zeros(kind.size, np.int64)
    counters = _Counters(people)
    checks: list[list[_Check]] = []
    of_kinds: list[tuple[int, list[Qos]]] = []
    order = np.argsort(kind, kind="stable")
    ends = np.searchsorted(kind[order], np.arange(1, len(kinds) + 1))
    for (association, own, queue), jobs in zip(
        kinds.tolist(), np.split(order, ends)[:-1], strict=True
    ):
        if NOBODY in (association, own):
            refused[jobs] = NO_ACCOUNT if association == NOBODY else NO_QOS
            checks.append([])
            of_kinds.append((NOBODY, []))
            continue
        ranks = [people.qos[place] for place in dict.fromkeys((queue, own)) if place != NOBODY]
        checks.append(list(counters.checks(association, ranks)))
        of_kinds.append((association, ranks))
        strict = any("deny_on_limit" in each.flags for each in ranks)
        _bar(refused if strict else barred, jobs, people, association, ranks, wants, sizes)
        if strict:
            for each in checks[-1]:
                if SLOTS <= each.resource <= MEMORY:
                    _mark(refused, jobs, wants[jobs, each.resource] > each.most, each.reason)
    counted = [counters.counting(*one) for one in of_kinds]
    return _limits(kind, checks, counted, len(counters.places), (wants, refused, barred), nodes)


class _Check(NamedTuple):
    counter: int
    resource: int
    most: int
    reason: int


class _Counters:
    """Numbers what is counted for somebody: qualities of service, users and accounts of them."""

    def __init__(self, people: Community) -> None:
        self._people = people
        self.places: dict[tuple[int, str, str], int] = {}

    def checks(self, association: int, ranks: list[Qos]) -> Iterator[_Check]:
        """Yield what is checked of jobs of the association; the first of `ranks` goes first."""
        for resource, field in enumerate(SHARED):
            in_all = self._of_qos(IN_ALL, association, ranks, resource, field)
            if in_all:
                yield in_all
            for scope in (PER_ACCOUNT, PER_USER):
                if found := self._of_qos(scope, association, ranks, resource, field):
                    yield found
            if not in_all:
                yield from self._of_members(association, resource, field)

    def counting(self, association: int, ranks: list[Qos]) -> list[int]:
        """Return all counters in which a job counts, whether or not they are checked for it."""
        keys = [(OF_MEMBER, str(place), "") for place in self._people.above(association)]
        for each in ranks:
            member = self._people.associations[association]
            keys += [(scope, each.name, _whose(scope, member)) for scope in OF_QOS]
        return [self.places[key] for key in keys if key in self.places]

    def _of_qos(
        self, scope: int, association: int, ranks: list[Qos], resource: int, field: str
    ) -> _Check | None:
        member = self._people.associations[association]
        for each in ranks:
            limits: SharedLimits = getattr(each, OF_QOS[scope])
            if (most := getattr(limits, field)) is not None:
                return self._check((scope, each.name, _whose(scope, member)), resource, most)
        return None

    def _of_members(self, association: int, resource: int, field: str) -> Iterator[_Check]:
        for place in self._people.above(association):
            most = getattr(self._people.associations[place].in_all, field)
            if most is not None:
                yield self._check((OF_MEMBER, str(place), ""), resource, most)

    def _check(self, key: tuple[int, str, str], resource: int, most: int) -> _Check:
        counter = self.places.setdefault(key, len(self.places))
        return _Check(counter, resource, most, reason_of(key[0], resource))


def _whose(scope: int, member: Member) -> str:
    """Return for whom jobs of a quality of service are counted: an account, a user, or all."""
    return {IN_ALL: "", PER_ACCOUNT: member.account, PER_USER: member.user or ""}[scope]


def reason_of(scope: int, what: int) -> int:
    """Return the reason that a limit of this scope on this is."""
    return FIRST + scope * len(WHAT) + what


def _amounts(sizes: Sizes) -> tuple[Numbers, ...]:
    return sizes.slots, sizes.nodes, sizes.gpus, sizes.memory


def _bar(
    into: Numbers,
    jobs: Numbers,
    people: Community,
    association: int,
    ranks: list[Qos],
    wants: Numbers,
    sizes: Sizes,
) -> None:
    """Write down which of these jobs want more than one job may have."""
    of_member = people.per_job(association)

    def most(name: str) -> tuple[float | None, int]:
        limits: Iterator[JobLimits] = (each.per_job for each in ranks)
        of_qos = next(
            (value for each in limits if (value := getattr(each, name)) is not None), None
        )
        if of_qos is not None:
            return of_qos, JOB_OF_QOS
        return getattr(of_member, name), JOB_OF_MEMBER

    for what, name in OF_JOB.items():
        limit, scope = most(name)
        if limit is not None:
            _mark(into, jobs, wants[jobs, what] > limit, reason_of(scope, what))
    longest_s, scope = most("max_time_s")
    if longest_s is not None:
        # Slurm counts limits in whole minutes, as it does those of jobs.
        too_long = sizes.limit_min[jobs] > np.ceil(longest_s / 60)
        _mark(into, jobs, too_long, reason_of(scope, TIME))


def _mark(into: Numbers, jobs: Numbers, chosen: NDArray[np.bool_], reason: int) -> None:
    """Note the reason for those of the jobs that are chosen and have none yet."""
    found = jobs[chosen]
    into[found] = np.where(into[found] == 0, reason, into[found])


def _limits(
    kind: Numbers,
    checks: list[list[_Check]],
    counted: list[list[int]],
    counters: int,
    of_jobs: tuple[Numbers, Numbers, Numbers],
    nodes: int,
) -> Limits:
    flat = np.array([each for some in checks for each in some], np.int64).reshape(-1, 4)
    row = np.full(counters, NOBODY, np.int64)
    by_node = np.unique(flat[flat[:, 1] == NODES, 0])
    row[by_node] = np.arange(by_node.size)
    counter, resource, most, reason = (np.ascontiguousarray(column) for column in flat.T)
    wants, refused, barred = of_jobs
    return Limits(
        kind=kind.astype(np.int64),
        check=_offsets(checks),
        counter=counter,
        resource=resource,
        most=most,
        reason=reason,
        counts=_offsets(counted),
        counted=np.array([each for some in counted for each in some], np.int64),
        used=np.zeros((counters, len(SHARED)), np.int64),
        row=row,
        busy=np.zeros((by_node.size, nodes), np.int32),
        wants=wants,
        refused=refused,
        barred=barred,
    )


def _offsets(lists: "list[list[_Check]] | list[list[int]]") -> Numbers:
    return np.array(list(accumulate(map(len, lists), initial=0)), np.int64)


@lean
def submit(limits: Limits, job: int) -> int:
    """Count the job as submitted, and return 0; or return the reason why it is refused."""
    if limits.refused[job] > 0:
        return limits.refused[job]
    kind = limits.kind[job]
    for index in range(limits.check[kind], limits.check[kind + 1]):
        used = limits.used[limits.counter[index], SUBMITTED]
        if limits.resource[index] == SUBMITTED and used >= limits.most[index]:
            return limits.reason[index]
    submit_again(limits, job)
    return limits.refused[job]


@lean
def submit_again(limits: Limits, job: int) -> None:
    """Count the job as submitted, whatever the limits: it was let in already."""
    kind = limits.kind[job]
    for index in range(limits.counts[kind], limits.counts[kind + 1]):
        limits.used[limits.counted[index], SUBMITTED] += 1


@lean
def withdraw(limits: Limits, job: int) -> None:
    """Count the job as submitted no longer."""
    kind = limits.kind[job]
    for index in range(limits.counts[kind], limits.counts[kind + 1]):
        limits.used[limits.counted[index], SUBMITTED] -= 1


@lean
def blocked_by(limits: Limits, job: int, nodes: Numbers, place: int, count: int) -> int:
    """Return 0 if the job may start on these nodes now, or the reason why it may not."""
    if limits.barred[job] > 0:
        return limits.barred[job]
    kind = limits.kind[job]
    for index in range(limits.check[kind], limits.check[kind + 1]):
        what = limits.resource[index]
        if what == SUBMITTED or (what == NODES and count == 0):
            continue
        counter = limits.counter[index]
        wanted = limits.wants[job, what]
        if what == NODES and count > 0:
            wanted = _new_nodes(limits, counter, nodes, place, count)
        if wanted > 0 and limits.used[counter, what] + wanted > limits.most[index]:
            return limits.reason[index]
    return limits.barred[job]


@lean
def hold(limits: Limits, job: int, nodes: Numbers, place: int, count: int) -> None:
    """Count the job, which starts on these nodes, in all that limits it."""
    _count(limits, job, nodes, place, count, 1)


@lean
def release(limits: Limits, job: int, nodes: Numbers, place: int, count: int) -> None:
    """Count the job, which has ended on these nodes, no longer."""
    _count(limits, job, nodes, place, count, -1)


@lean
def _new_nodes(limits: Limits, counter: int, nodes: Numbers, place: int, count: int) -> int:
    """Return on how many of the nodes none of the counter's jobs runs."""
    row = limits.row[counter]
    new = 0
    for index in range(place, place + count):
        new += limits.busy[row, nodes[index]] == 0
    return new


@lean
def _count(limits: Limits, job: int, nodes: Numbers, place: int, count: int, sign: int) -> None:
    kind = limits.kind[job]
    for index in range(limits.counts[kind], limits.counts[kind + 1]):
        counter = limits.counted[index]
        for what in range(SUBMITTED):
            if what != NODES:
                limits.used[counter, what] += sign * limits.wants[job, what]
        row = limits.row[counter]
        if row == NOBODY:
            continue
        for at in range(place, place + count):
            if sign > 0:
                limits.used[counter, NODES] += limits.busy[row, nodes[at]] == 0
            limits.busy[row, nodes[at]] += sign
            if sign < 0:
                limits.used[counter, NODES] -= limits.busy[row, nodes[at]] == 0
