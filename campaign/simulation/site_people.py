"""What accounts and qualities of service have to say of a job: priority, and limits. Compiled.

It puts `multifactor`, `fair_share` and `limits` to use. Without `Crowd.ranks`, priorities are those
of `work.QueueOrder`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from campaign.simulation.beats import SECOND
from campaign.simulation.compiled import ZERO, compiled, lean
from campaign.simulation.fair_share import Shares, SharingRules
from campaign.simulation.limits import (
    SLOTS,
    Limits,
    blocked_by,
    hold,
    release,
    submit,
    submit_again,
    withdraw,
)
from campaign.simulation.multifactor import NOT_YET, Factors, enter, leave, recalculate
from campaign.simulation.site_arrays import QUEUED, RANKED, RUNNING, Ints, Live, Site
from campaign.simulation.site_reasons import LIMITS
from campaign.simulation.work import QueueOrder


class Crowd(NamedTuple):
    """Who shares the cluster.

    `share` is what doesn't change of each job's priority in the `order`. With `ranks`, priorities
    are made of `factors` instead, anew at `next_ranking[0]` and every `period` after that.
    `begun` is when each job began, -1 while it waits. `active` are the jobs that wait or run, in
    the order of submission: the first `actives[0]`, unless that is negative.
    """

    order: QueueOrder
    share: NDArray[np.float64]
    ranks: int
    period: int
    next_ranking: Ints
    begun: Ints
    active: Ints
    actives: Ints
    factors: Factors
    tree: Shares
    sharing: SharingRules
    limits: Limits


@lean
def let_in(live: Live, crowd: Crowd, job: int, now: int) -> bool:
    """Count a job that is submitted, with its first priority; return False if it is refused."""
    refused = submit(crowd.limits, job)
    if refused > 0:
        live.jobs.reason[job] = LIMITS + refused
        return False
    if crowd.ranks:
        enter(crowd.factors, crowd.tree, crowd.sharing, job, now)
        live.jobs.priority[job] = crowd.factors.priority[job]
        crowd.actives[0] = -1
    return True


@lean
def let_in_again(live: Live, crowd: Crowd, job: int, now: int) -> None:
    """Count a job that is queued again."""
    submit_again(crowd.limits, job)
    crowd.actives[0] = -1
    crowd.factors.eligible[job] = now
    if crowd.ranks:
        enter(crowd.factors, crowd.tree, crowd.sharing, job, now)
        live.jobs.priority[job] = crowd.factors.priority[job]


@lean
def held_back(site: Site, live: Live, crowd: Crowd, job: int, count: int) -> int:
    """Return the reason of the limit that holds the job back; 0 where none does.

    It would have the first `count` of its chosen nodes; 0 where none have been chosen yet.
    """
    if crowd.limits.counter.size == 0 and crowd.limits.barred[job] == 0:
        return ZERO
    reason = blocked_by(crowd.limits, job, live.places.nodes, site.jobs.place[job], count)
    return LIMITS + reason if reason > 0 else ZERO


@lean
def counted_in(site: Site, live: Live, crowd: Crowd, job: int, now: int) -> None:
    """Count the job, which begins, in all limits."""
    place = site.jobs.place[job]
    count = site.jobs.count[job]
    if site.jobs.alone[job]:
        # Whole nodes count as such.
        slots = ZERO
        for at in range(place, place + count):
            slots += live.places.amounts[at]
        crowd.factors.held[job] *= slots / crowd.limits.wants[job, SLOTS]
        crowd.limits.wants[job, SLOTS] = slots
    crowd.begun[job] = now
    hold(crowd.limits, job, live.places.nodes, place, count)


@lean
def counted_out(site: Site, live: Live, crowd: Crowd, job: int, now: int) -> None:
    """Count the job, which has ended, in no limit any more."""
    if crowd.ranks:
        leave(crowd.factors, crowd.tree, crowd.sharing, job, crowd.begun, now)
    crowd.begun[job] = -1
    crowd.actives[0] = -1
    release(crowd.limits, job, live.places.nodes, site.jobs.place[job], site.jobs.count[job])
    withdraw(crowd.limits, job)


@lean
def aging(crowd: Crowd, job: int, now: int, waits: bool) -> None:
    """Note whether the job waits for others, and from when on it could start."""
    if waits:
        crowd.factors.eligible[job] = NOT_YET
    elif crowd.factors.eligible[job] == NOT_YET:
        crowd.factors.eligible[job] = now


@lean
def ranked(site: Site, live: Live, crowd: Crowd, now: int) -> None:
    """Work out the priorities of the jobs that wait."""
    if crowd.ranks:
        while crowd.next_ranking[0] <= now:
            rank_next(live, crowd)
        return
    order = crowd.order
    if not order.dynamic:
        return
    if order.period > 0:
        now -= now % order.period
    for index in range(live.state[QUEUED]):
        job = live.queue[index]
        age = min(1.0, max(0, now - live.jobs.submit[job]) / order.max_age)
        _give(live, job, int(order.age * age + crowd.share[job]))


@lean
def rank_next(live: Live, crowd: Crowd) -> int:
    """Work out all priorities at the next time for it; return that time.

    Use is counted in whole seconds, whenever in a second that is.
    """
    waiting = live.state[QUEUED]
    if crowd.actives[0] < 0:
        crowd.actives[0] = _gathered(crowd.active, live.queue, waiting, live.limit_jobs, live.state)
    time = crowd.next_ranking[0]
    recalculate(
        crowd.factors,
        crowd.tree,
        crowd.sharing,
        crowd.active,
        crowd.actives[0],
        crowd.begun,
        time - time % SECOND,
    )
    crowd.next_ranking[0] += crowd.period
    for index in range(waiting):
        job = live.queue[index]
        _give(live, job, crowd.factors.priority[job])
    return time


@lean
def _give(live: Live, job: int, priority: int) -> None:
    """Give a job of the queue its priority; note where that is another one."""
    if live.jobs.priority[job] != priority:
        live.jobs.priority[job] = priority
        live.state[RANKED] = 1


@compiled
def _gathered(active: Ints, queue: Ints, waiting: int, running: Ints, state: Ints) -> int:
    """Gather the jobs that wait or run, in the order of submission; return their number."""
    count = waiting + state[RUNNING]
    active[:waiting] = queue[:waiting]
    active[waiting:count] = running[: state[RUNNING]]
    active[:count].sort()
    return count
