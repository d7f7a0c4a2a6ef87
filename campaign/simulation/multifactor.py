"""Priorities by many factors, as schedulers.policy.Multifactor says. Compiled.

`factors_of` makes the numbers of all jobs, `shares_of` (`campaign.simulation.fair_share`) the tree
that they count use in. Then, all times in ns since the workload's start:

- `enter(factors, tree, rules, job, now)` when a job is submitted: its first priority;
- `factors.eligible[job] = now` when what a job depends on lets it start (`factors_of` takes all for
  eligible from their submission on; a job that isn't yet has NOT_YET);
- `recalculate(factors, tree, rules, active, count, begun, now)` every `period_s` of the policy from
  the scheduler's start on (not the workload's): all of the queue's priorities, fair share included;
- `leave(factors, tree, rules, job, begun, now)` when a job has ended and gives its slots back.

A job's priority stands in `factors.priority`, the highest goes first; whoever has equal ones goes
by submission. Between recalculations no priority changes. `factors.held[job]` is what a job counts
for in fair share while it runs: its slots, times the usage factor of its quality of service; a
scheduler that gives a job more slots than it asked for writes them there before it starts.

As Slurm 24.11 does it (priority_multifactor.c); nice values, priorities of associations and of
sites, and weights of single resources are unknown to the model.
"""

from typing import NamedTuple

import numpy as np

from campaign.core.cluster import ClusterModel
from campaign.simulation.compiled import lean
from campaign.simulation.engine import HORIZON_NS, NS
from campaign.simulation.event_queue import Jobs, Times
from campaign.simulation.fair_share import (
    TREE,
    Numbers,
    Places,
    Shares,
    SharingRules,
    count_use,
    factor_of,
    fade,
    rank,
    use_since,
)
from campaign.simulation.people import Community, Ownership, Sizes
from schedulers.policy import Multifactor

NOT_YET = HORIZON_NS
"""When a job may start that waits for others."""
LEAST = 1
MOST = 2**32 - 1
"""The bounds of a priority: 0 stands for jobs that are held."""
LEAST_FACTOR = 1
"""Factors of partitions are against the highest of them, but at least against this."""


class Factors(NamedTuple):
    """What makes the priorities of jobs; those arrays have a row per job.

    `age` is a weight, for `max_age` seconds; `fair` that of fair share. `size`, `partition` and
    `qos` are factors times weights.
    """

    age: float
    max_age: int
    fair: float
    rising: bool
    association: Places
    held: Numbers
    eligible: Times
    size: Numbers
    partition: Numbers
    qos: Numbers
    priority: Times


def factors_of(
    wanted: Multifactor,
    model: ClusterModel,
    people: Community,
    owners: Ownership,
    sizes: Sizes,
    submitted: Times,
) -> Factors:
    """Return the factors of jobs; those that are refused have some too, which mean nothing."""
    queues = np.array([each.priority_factor for each in model.partitions] or [1], np.float64)
    if not wanted.plain_partition:
        queues /= max(LEAST_FACTOR, queues.max())
    ranks = np.array([each.priority for each in people.qos], np.float64)
    if not wanted.plain_qos and ranks.max() > 0:
        ranks /= ranks.max()
    used = np.array([each.usage_factor for each in people.qos], np.float64)
    return Factors(
        age=float(wanted.age),
        max_age=int(wanted.max_age_s),
        fair=float(wanted.fair_share.weight),
        rising=wanted.rising,
        association=owners.association,
        held=sizes.slots * used[owners.qos],
        eligible=submitted.copy(),
        size=wanted.size * _size_factors(wanted, model, sizes),
        partition=queues[owners.partition] * wanted.partition,
        qos=ranks[owners.qos] * wanted.qos,
        priority=np.zeros(submitted.size, np.int64),
    )


def _size_factors(wanted: Multifactor, model: ClusterModel, sizes: Sizes) -> Numbers:
    nodes = sum(group.nodes for group in model.groups)
    slots = sum(group.nodes * group.slots for group in model.groups)
    if wanted.size_by_time:
        share = np.maximum(sizes.nodes * slots / nodes, sizes.slots) / sizes.limit_min / slots
        found = 1 - share if wanted.favor_small else share
    elif wanted.favor_small:
        left = np.maximum(nodes - sizes.nodes, 0) / nodes
        found = (left + (slots - sizes.slots) / slots) / 2
    else:
        found = (sizes.nodes / nodes + sizes.slots / slots) / 2
    factors: Numbers = np.clip(found, 0.0, 1.0)
    return factors


@lean
def enter(factors: Factors, tree: Shares, rules: SharingRules, job: int, now: int) -> None:
    """Give a job that was just submitted its first priority."""
    factors.priority[job] = _priority(factors, tree, rules, job, now)


@lean
def recalculate(
    factors: Factors,
    tree: Shares,
    rules: SharingRules,
    active: Jobs,
    count: int,
    begun: Times,
    now: int,
) -> None:
    """Count use until now, and give all waiting jobs their priorities anew.

    The first `count` of `active` are the jobs that wait or run, in the order of submission; those
    that wait have a negative time in `begun`.
    """
    fair = factors.fair > 0
    if fair:
        fade(tree, rules, now // NS)
    # Most have been running since before the last time.
    period = use_since(tree, rules, tree.since[0], now // NS)
    if fair and rules.kind == TREE:
        for index in range(count):
            _count_running(factors, tree, rules, active[index], begun, now, period)
        rank(tree)
    for index in range(count):
        job = active[index]
        if begun[job] < 0:
            priority = _priority(factors, tree, rules, job, now)
            if priority > factors.priority[job] or not factors.rising:
                factors.priority[job] = priority
        elif fair and rules.kind != TREE:
            _count_running(factors, tree, rules, job, begun, now, period)
    tree.since[0] = now // NS


@lean
def leave(
    factors: Factors, tree: Shares, rules: SharingRules, job: int, begun: Times, now: int
) -> None:
    """Count what a job has used that has just ended."""
    if factors.fair > 0:
        period = use_since(tree, rules, tree.since[0], now // NS)
        _count_running(factors, tree, rules, job, begun, now, period)


@lean
def _count_running(
    factors: Factors,
    tree: Shares,
    rules: SharingRules,
    job: int,
    begun: Times,
    now: int,
    period: float,
) -> None:
    """Count the use of a running job; `period` is that of a slot since the last time."""
    if begun[job] >= 0:
        since = begun[job] // NS
        used = period if since <= tree.since[0] else use_since(tree, rules, since, now // NS)
        count_use(tree, factors.association[job], used * factors.held[job])


@lean
def _priority(factors: Factors, tree: Shares, rules: SharingRules, job: int, now: int) -> int:
    age = 0.0
    waited = now // NS - factors.eligible[job] // NS
    if waited > 0:
        age = min(1.0, waited / factors.max_age)
    share = factor_of(tree, rules, factors.association[job]) if factors.fair > 0 else 0.0
    # The sum is cut to a whole number: its terms are added in the order in which Slurm does.
    total = factors.age * age + factors.fair * share
    total += factors.size[job]
    total += factors.partition[job]
    total += factors.qos[job]
    return min(MOST, int(max(total, LEAST)))
