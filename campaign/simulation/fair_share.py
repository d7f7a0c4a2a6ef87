"""Fair share: what accounts and users had of the cluster against their shares of it. Compiled.

`shares_of` makes a tree of people (`campaign.simulation.people`) and the rules by which it counts,
of schedulers.policy.FairShare. Times are whole seconds here, as priorities count them. At each
recalculation of priorities, in this order:

1. `fade(tree, rules, now)`: forgets use where it is time to, and lets it fade since the last one.
2. `count_use(..)` for each running job, in the order of submission: its use since the last one.
3. For the fair tree, `rank(tree)`; else `factor_of` finds a user's use when it is first asked.
4. `tree.since[0] = now`.

A job that ends is counted at once, from `since` to its end. `factor_of` tells the factor of a job's
association (0..1) at any time. `campaign.simulation.multifactor` does all of this.

As Slurm 24.11 does it (priority_multifactor.c, fair_tree.c, assoc_mgr.c): under classic fair share
the use of accounts is looked at before it fades and running jobs are counted, that of users at the
first of their waiting jobs. Equal accounts of the fair tree aren't merged: the users of the second
begin at the rank of the last user of the first.
"""

from math import inf, log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from campaign.simulation.compiled import lean
from campaign.simulation.people import Community
from schedulers.policy import FairShare

Numbers = NDArray[np.float64]
Places = NDArray[np.int32]
Times = NDArray[np.int64]
TREE = 0
CLASSIC = 1
OBLIVIOUS = 2
KINDS = {"tree": TREE, "classic": CLASSIC, "oblivious": OBLIVIOUS}
UNKNOWN = -1.0
"""Use that nobody has asked for since the last recalculation."""
SLOPE = 5.0
"""How much an account's use counts against that of those in it, under OBLIVIOUS."""
TRACE = float(np.finfo(np.float64).tiny)
LOG_2 = 0.693
"""The logarithm of 2, to as many places as it is counted with."""

CALENDAR = np.datetime64("2030-01-01")
"""The day on which a workload begins: as it does for a guest in virtual time."""
SUNDAY = np.datetime64("2030-01-06")
DAY_S = 86_400


class Shares(NamedTuple):
    """The associations, the top one first, by their places among people.

    `person` marks users. Those below association i are `child[begin[i]:begin[i + 1]]`, and next to
    each other share `siblings` shares. `level` is one's share among its siblings, `whole` of the
    cluster. `usage` is the slot seconds that it had, faded; `part` what that was of the top one's,
    and `effective` what counts of it, when last looked at. `factor` is the fair tree's. `since` has
    until when running jobs are counted (s), and how often use was forgotten. `ranked` are the
    children as they were last ranked, by what they were `served`; the rest is room for that.
    """

    parent: Places
    person: NDArray[np.bool_]
    begin: Places
    child: Places
    siblings: Numbers
    level: Numbers
    whole: Numbers
    usage: Numbers
    part: Numbers
    effective: Numbers
    factor: Numbers
    since: Times
    ranked: Places
    served: Numbers
    tied: NDArray[np.bool_]
    stack: Places


class SharingRules(NamedTuple):
    """How use counts: the kind, what is left of it after a second, and when it is forgotten (s)."""

    kind: int
    fading: float
    damping: float
    resets: Times


def shares_of(
    people: Community, wanted: FairShare, begun_s: int = 0
) -> tuple[Shares, SharingRules]:
    """Return the tree of people who had nothing yet, and its rules.

    The scheduler counts from `begun_s` on, seconds after the workload's start.
    """
    rows = people.associations
    parent = np.array([one.parent for one in rows], np.int32)
    shares = np.array([one.shares for one in rows], np.float64)
    below = np.bincount(parent[1:], shares[1:], len(rows)).astype(np.float64)
    siblings = below[np.maximum(parent, 0)]
    level = np.divide(shares, siblings, out=np.zeros_like(shares), where=siblings > 0)
    level[0] = 1.0
    whole = level.copy()
    for place, above in enumerate(parent[1:], start=1):
        whole[place] *= whole[above]
    child = np.argsort(parent[1:], kind="stable").astype(np.int32) + 1
    begin = np.searchsorted(parent[child], np.arange(len(rows) + 1)).astype(np.int32)
    nothing = np.zeros(len(rows))
    tree = Shares(
        parent,
        np.array([one.user is not None for one in rows]),
        begin,
        child.astype(np.int32),
        siblings,
        level,
        whole,
        usage=nothing.copy(),
        part=nothing.copy(),
        effective=np.full(len(rows), UNKNOWN),
        factor=nothing.copy(),
        since=np.array([begun_s, 0], np.int64),
        ranked=child.copy(),
        served=nothing.copy(),
        tied=np.zeros(len(rows), np.bool_),
        stack=np.zeros(len(rows), np.int32),
    )
    rules = SharingRules(
        KINDS[wanted.kind],
        1 - LOG_2 / wanted.half_life_s if wanted.half_life_s else 1.0,
        float(wanted.damping),
        _resets(wanted.forgotten),
    )
    fade(tree, rules, begun_s)
    if rules.kind == TREE:
        rank(tree)
    return tree, rules


def _resets(forgotten: str) -> Times:
    """Return when all use is forgotten (s), as if the workload began at CALENDAR; weeks begin on
    Sundays."""
    days = np.arange(CALENDAR, CALENDAR + np.timedelta64(146 * 365, "D"))[1:]
    months = days.astype("datetime64[M]")
    first = days == months.astype("datetime64[D]")
    of_year = months.astype(np.int64) % 12
    chosen = {
        "never": days[:0],
        "daily": days,
        "weekly": days[(days - SUNDAY).astype(np.int64) % 7 == 0],
        "monthly": days[first],
        "quarterly": days[first & (of_year % 3 == 0)],
        "yearly": days[first & (of_year == 0)],
    }[forgotten]
    return (chosen - CALENDAR).astype(np.int64) * DAY_S


@lean
def fade(tree: Shares, rules: SharingRules, now: int) -> None:
    """Forget use whose time has come, look at that of accounts, and let it fade until `now`."""
    done = tree.since[1]
    if done < rules.resets.size and now >= rules.resets[done]:
        tree.usage[:] = 0.0
        tree.since[1] = np.searchsorted(rules.resets, now, "right")
    if rules.kind != TREE:
        tree.effective[0] = 1.0
        for one in range(1, tree.parent.size):
            if tree.person[one]:
                tree.effective[one] = UNKNOWN
            else:
                _look_at(tree, rules, one)
    passed = now - tree.since[0]
    if passed > 0:
        # Slurm leaves a trace of all use, however long ago.
        left = max(rules.fading**passed, TRACE)
        for one in range(tree.usage.size):
            tree.usage[one] *= left


@lean
def use_since(tree: Shares, rules: SharingRules, begun: int, until: int) -> float:
    """Return what counts of the use of a slot since the last time, or since a job has `begun`."""
    passed = max(0, until - max(begun, tree.since[0]))
    return passed * rules.fading**passed


@lean
def count_use(tree: Shares, one: int, used: float) -> None:
    """Count what a job of the association has used, there and in the accounts above."""
    while one >= 0:
        tree.usage[one] += used
        one = tree.parent[one]


@lean
def factor_of(tree: Shares, rules: SharingRules, one: int) -> float:
    """Return the factor of jobs of the association: 1 is the most, 0 the least."""
    if rules.kind == TREE:
        return tree.factor[one]
    if tree.effective[one] == UNKNOWN:
        _look_at(tree, rules, one)
    if tree.whole[one] <= 0:
        return 0.0
    return 2.0 ** -((tree.effective[one] / tree.whole[one]) / rules.damping)


@lean
def _look_at(tree: Shares, rules: SharingRules, one: int) -> None:
    """Find what counts of the association's use, after that of the account above."""
    everything = tree.usage[0]
    part = min(1.0, tree.usage[one] / everything) if everything > 0 else 0.0
    tree.part[one] = part
    above = tree.parent[one]
    if above == 0:
        tree.effective[one] = part
    elif rules.kind == OBLIVIOUS:
        tree.effective[one] = _oblivious(tree, one, above)
    elif tree.siblings[one] == 0:
        tree.effective[one] = tree.effective[above]
    else:
        tree.effective[one] = part + (tree.effective[above] - part) * tree.level[one]


@lean
def _oblivious(tree: Shares, one: int, above: int) -> float:
    """Return the use that counts where the depth of the tree shall not."""
    part = tree.part[one]
    over = tree.effective[above]
    if tree.whole[one] == 0 or tree.whole[above] == 0 or over == 0 or part == 0:
        return part
    of_parent = over / tree.whole[above]
    of_all = 0.0
    for index in range(tree.begin[above], tree.begin[above + 1]):
        of_all += tree.part[tree.child[index]]
    of_level = part / tree.whole[one] / (of_all / tree.whole[above])
    power = 1.0
    if log(of_parent) * log(of_level) < 0:
        power = 1 / (1 + (SLOPE * log(of_parent)) ** 2)
    return of_parent * of_level**power * tree.whole[one]


@lean
def rank(tree: Shares) -> None:
    """Rank all users by the fair tree: first by their accounts, then in these.

    Siblings are ordered by their share against their use of what their account had.
    """
    people = 0
    for one in range(tree.parent.size):
        people += tree.person[one]
    tree.tied[0] = False
    size = _push(tree, 0, 0)
    shared = people
    alone = people
    while size > 0:
        size -= 1
        one = tree.stack[size]
        if tree.person[one]:
            if not tree.tied[one]:
                shared = alone
            tree.factor[one] = shared / people
            alone -= 1
        else:
            size = _push(tree, size, one)


@lean
def _push(tree: Shares, size: int, above: int) -> int:
    """Put those below an account on the stack, the best one last; return its new size."""
    first = tree.begin[above]
    last = tree.begin[above + 1]
    for index in range(first, last):
        one = tree.ranked[index]
        tree.served[one] = -_deserved(tree, one, above)
    _put_in_order(tree, first, last)
    for index in range(first, last):
        one = tree.ranked[index]
        if index == first:
            tree.tied[one] = tree.tied[above]
        else:
            tree.tied[one] = tree.served[one] == tree.served[tree.ranked[index - 1]]
        tree.stack[size + last - 1 - index] = one
    return size + last - first


@lean
def _put_in_order(tree: Shares, first: int, last: int) -> None:
    """Put siblings in order, who mostly are since the last time: best ones first, by number."""
    ranked = tree.ranked
    served = tree.served
    for index in range(first + 1, last):
        one = ranked[index]
        at = index
        while at > first:
            other = ranked[at - 1]
            if served[other] < served[one] or (served[other] == served[one] and other < one):
                break
            ranked[at] = other
            at -= 1
        ranked[at] = one


@lean
def _deserved(tree: Shares, one: int, above: int) -> float:
    """Return the share of one's level against the part of its use: above 1, it had too little."""
    if tree.level[one] == 0:
        return 0.0
    had = tree.usage[one] / tree.usage[above] if tree.usage[above] > 0 else 0.0
    return tree.level[one] / had if had > 0 else inf
