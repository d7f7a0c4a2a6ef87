"""What accounts had of a cluster against the shares that they were promised."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from campaign.schema.cluster import AccountSettings

Array = NDArray[np.float64]
Counts = NDArray[np.int64]
BLOCK = 2**20
"""Numbers that one step of the computation holds in each of its tables."""


class AccountJobs(NamedTuple):
    """Jobs of accounts as columns: whose they are (a whole number), slots, and times (s)."""

    account: Array
    width: Array
    submit: Array
    start: Array
    end: Array


class AccountUse(NamedTuple):
    """Slot seconds of each account while jobs waited: what it had, and what it was owed."""

    had: Array
    owed: Array

    @property
    def error(self) -> float:
        """The part of all slot seconds that went to others than they were owed to (0..1)."""
        whole = float(self.had.sum())
        return float(np.abs(self.had - self.owed).sum()) / (2 * whole) if whole > 0 else 0.0


class _Moments(NamedTuple):
    """Consecutive moments: the first one's number, and the slots per moment and account.

    `asked` are those of jobs that run or wait, `held` those of jobs that run.
    """

    first: int
    asked: Array
    held: Array


def promised_shares(accounts: Mapping[str, AccountSettings]) -> dict[str, float]:
    """Return the share of the whole that each account without accounts below it was promised.

    An account's shares are against its siblings', and of what its parent was promised.
    """
    above = {account.parent for account in accounts.values()}
    siblings: dict[str | None, int] = {}
    for account in accounts.values():
        siblings[account.parent] = siblings.get(account.parent, 0) + account.shares

    def promised(name: str) -> float:
        account = accounts[name]
        own = account.shares / (siblings[account.parent] or 1)
        parent = account.parent
        return own * (promised(parent) if parent is not None and parent in accounts else 1.0)

    return {name: promised(name) for name in accounts if name not in above}


def use_while_waiting(jobs: AccountJobs, shares: Array) -> AccountUse:
    """Return what accounts had and were owed while at least one of these jobs waited.

    The account of a job is its place in `shares`. At each moment, the slots that the jobs hold are
    owed to the accounts by weighted max-min fairness (`fair_division`): by their shares, but to
    none more than its jobs that run or wait ask for.
    """
    # Clocks may disagree by more than a job waited.
    times = (np.minimum(jobs.submit, jobs.start), jobs.start, jobs.end)
    at, place = np.unique(np.concatenate(times), return_inverse=True)
    lasted = np.append(np.diff(at), 0.0)
    had = np.zeros(shares.size)
    owed = np.zeros(shares.size)
    for first, asked, held in _moments(jobs, place, shares.size):
        seconds = lasted[first : first + len(asked)]
        waited = asked.sum(axis=1) > held.sum(axis=1)
        fair = fair_division(held[waited].sum(axis=1), asked[waited], shares)
        had += seconds[waited] @ held[waited]
        owed += seconds[waited] @ fair
    return AccountUse(had, owed)


def _moments(jobs: AccountJobs, place: Counts, accounts: int) -> Iterator[_Moments]:
    """Yield all moments in blocks; `place` are those of submissions, then starts, then ends."""
    size = max(1, BLOCK // accounts)
    none = np.zeros_like(jobs.width)
    # A submission adds to what is asked for, a start to what is held, an end takes from both.
    changes = (
        np.concatenate([jobs.width, none, -jobs.width]),
        np.concatenate([none, jobs.width, -jobs.width]),
    )
    owner = np.tile(jobs.account.astype(np.int64), 3)
    order = np.argsort(place, kind="stable")
    moments = int(place.max(initial=-1)) + 1
    bounds = np.searchsorted(place[order], np.arange(0, moments + size, size))
    sums = np.zeros((2, accounts))
    for block, first in enumerate(range(0, moments, size)):
        rows = order[bounds[block] : bounds[block + 1]]
        count = min(size, moments - first)
        cell = (place[rows] - first) * accounts + owner[rows]
        tables = [
            before + np.cumsum(_table(cell, change[rows], count, accounts), axis=0)
            for before, change in zip(sums, changes, strict=True)
        ]
        sums = np.stack([table[-1] for table in tables])
        yield _Moments(first, *tables)


def _table(cell: Counts, change: Array, moments: int, accounts: int) -> Array:
    sums = np.bincount(cell, change, moments * accounts).astype(np.float64)
    return sums.reshape(moments, accounts)


def fair_division(amount: Array, wants: Array, shares: Array) -> Array:
    """Return how each row's `amount` is divided by weighted max-min fairness.

    `wants` has a row for each amount and a column for each of `shares`. Nobody gets more than it
    wants; what it leaves goes to the others by their shares. Whoever has a share of 0 gets what the
    others leave. The division is that of Bertsekas and Gallager 1992, "Data Networks", section
    6.5.2, with weights: found by taking those first who want least for their share.
    """
    paid = shares > 0
    given = np.zeros_like(wants)
    given[:, paid] = _filled(amount, wants[:, paid], shares[paid])
    left = np.clip(amount - given.sum(axis=1), 0.0, None)
    rest = int((~paid).sum())
    if rest:
        given[:, ~paid] = _filled(left, wants[:, ~paid], np.ones(rest))
    return given


def _filled(amount: Array, wants: Array, weights: Array) -> Array:
    if not weights.size:
        return np.zeros_like(wants)
    ratio = wants / weights
    order = np.argsort(ratio, axis=1)
    sorted_wants = np.take_along_axis(wants, order, axis=1)
    sorted_weights = weights[order]
    # If those before it get all that they want, each one finds this level for its share.
    before = np.cumsum(sorted_wants, axis=1) - sorted_wants
    weight_left = np.cumsum(sorted_weights[:, ::-1], axis=1)[:, ::-1]
    level = (amount[:, None] - before) / weight_left
    short = np.take_along_axis(ratio, order, axis=1) > level
    first = np.where(short.any(axis=1), short.argmax(axis=1), weights.size - 1)
    found = np.take_along_axis(level, first[:, None], axis=1)
    return np.minimum(wants, np.clip(found, 0.0, None) * weights)
