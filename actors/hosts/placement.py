"""Decides which host a trial's cluster goes to, by what is reserved there. Pure: no effects.

The driver decides by what it has placed itself, without asking hosts; a host has the last word when
the cluster takes its slot there. A host on which trial after trial fails is taken out of service;
the last one never is, since people learn anyway when attempt after attempt fails.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from actors.hypervisor.capacity import Resources

Needs = Mapping[str, Resources]
"""Resources of a cluster, keyed by acceleration: emulated nodes need more memory than others."""


def shares(nodes: int, hosts: int) -> list[int]:
    """Return how many of a cluster's nodes, the head included, each of its hosts gets."""
    return [len(range(first, nodes, hosts)) for first in range(hosts)]


@dataclass(frozen=True)
class _Placed:
    """The hosts of a trial's cluster, as rows, and what it occupies on each."""

    hosts: tuple[int, ...]
    occupies: tuple[NDArray[np.int64], ...]


class Placement:
    """Reservations of trials on hosts. `max_failures` in a row take a host out of service.

    Hosts are rows of a few arrays: a thousand of them are searched in microseconds.
    """

    def __init__(self, max_failures: int = 3) -> None:
        self._max_failures = max_failures
        self._rows: dict[str, int] = {}  # by the host's name
        self._kinds: list[str] = []
        self._kind = np.zeros(0, dtype=np.intp)
        self._total = self._free = np.zeros((0, len(astuple(Resources()))), dtype=np.int64)
        self._failures = np.zeros(0, dtype=np.int64)  # in a row
        self._serves = np.zeros(0, dtype=np.bool_)
        self._why_out: dict[str, str] = {}
        self._placed: dict[int, _Placed] = {}  # by trial
        self._failed_on: dict[int, set[int]] = {}

    def add(self, host: str, total: Resources, kind: str = "") -> None:
        """Take a host into service, also again; what is reserved there stays reserved."""
        vector = np.array([astuple(total)], dtype=np.int64)
        if kind not in self._kinds:
            self._kinds.append(kind)
        if host not in self._rows:
            self._rows[host] = len(self._rows)
            self._kind = np.append(self._kind, self._kinds.index(kind))
            self._total = np.vstack([self._total, vector])
            self._free = np.vstack([self._free, vector])
            self._failures = np.append(self._failures, 0)
            self._serves = np.append(self._serves, True)
        row = self._rows[host]
        # Only the difference is added, since what is reserved stays reserved.
        self._free[row] += vector[0] - self._total[row]
        self._total[row] = vector[0]
        self._failures[row] = 0
        self._serves[row] = True
        self._why_out.pop(host, None)

    def take_out(self, host: str, why: str) -> None:
        """Give a host no more trials; those that it has stay until they are released."""
        self._serves[self._rows[host]] = False
        self._why_out[host] = why

    @property
    def hosts(self) -> list[str]:
        """All hosts, in service or not."""
        return list(self._rows)

    @property
    def out_of_service(self) -> Mapping[str, str]:
        """The hosts that get no trials, with the reasons."""
        return dict(self._why_out)

    def reserved(self, host: str) -> Resources:
        """Return what is reserved on a host."""
        row = self._rows[host]
        return Resources(
            **dict(
                zip(
                    Resources.__dataclass_fields__,
                    map(int, self._total[row] - self._free[row]),
                    strict=True,
                )
            )
        )

    def room(self, needs: Needs) -> int:
        """Return on how many hosts such a cluster fits now."""
        return int(self._fits(self._wanted(needs)).sum())

    def place(
        self, trial: int, needs: Needs, *, preferred: Sequence[Collection[str]] = ()
    ) -> str | None:
        """Reserve room for the trial's cluster on a host, and name it; None if it fits on none.

        Hosts on which this trial has failed come last, then those that failed others. Among equals,
        those in the first of the `preferred` collections come first, then those in the second, and
        so on; then those with the most memory left, in the order in which they joined.
        """
        placed = self.place_over(trial, [needs], preferred=preferred)
        return placed[0] if placed else None

    def place_over(
        self, trial: int, parts: Sequence[Needs], *, preferred: Sequence[Collection[str]] = ()
    ) -> tuple[str, ...]:
        """Do as `place` does for a cluster in parts, each on a host of its own.

        Returns an empty tuple, and reserves nothing, if one of the parts fits nowhere.
        """
        rows: list[int] = []
        occupied = []
        for needs in parts:
            wanted = self._wanted(needs)
            row = self._best(trial, self._fits(wanted), taken=rows, preferred=preferred)
            if row is None:
                return ()
            rows.append(row)
            # A view would keep the table of all hosts in memory for as long as the trial runs.
            occupied.append(wanted[row].copy())
        for row, occupies in zip(rows, occupied, strict=True):
            self._free[row] -= occupies
        self._placed[trial] = _Placed(tuple(rows), tuple(occupied))
        return tuple(map(self._name, rows))

    def release(self, trial: int, *, failed: bool) -> str:
        """Give back the room of a trial that has ended, and count its failure.

        Returns a message if a host is taken out of service by that, else an empty string.
        """
        placed = self._placed.pop(trial)
        for row, occupies in zip(placed.hosts, placed.occupies, strict=True):
            self._free[row] += occupies
        rows = list(placed.hosts)
        if not failed:
            self._failures[rows] = 0
            self._failed_on.pop(trial, None)
            return ""
        self._failures[rows] += 1
        self._failed_on.setdefault(trial, set()).update(rows)
        return "; ".join(filter(None, map(self._judge, rows)))

    def _judge(self, row: int) -> str:
        """Take a host out of service that has failed too often, unless it is the last one.

        Returns a message then, else an empty string.
        """
        if (
            self._failures[row] < self._max_failures
            or not self._serves[row]
            or self._serves.sum() == 1
        ):
            return ""
        why = f"{self._failures[row]} trials in a row failed there"
        self.take_out(self._name(row), why)
        return f"host {self._name(row)} gets no more trials: {why}"

    def _best(
        self,
        trial: int,
        fits: NDArray[np.bool_],
        *,
        taken: Sequence[int],
        preferred: Sequence[Collection[str]],
    ) -> int | None:
        """Return the row of the best host of those that fit and aren't taken."""
        fitting = np.flatnonzero(fits)
        fitting = fitting[~np.isin(fitting, taken)]
        if not fitting.size:
            return None
        failed_before = np.isin(fitting, list(self._failed_on.get(trial, ())))
        others = [
            ~np.isin(fitting, [self._rows[one] for one in some if one in self._rows])
            for some in preferred
        ]
        # Column 0 is memory_mib, the first field of `Resources`.
        memory_left = self._free[fitting, 0]
        keys = (
            fitting,
            -memory_left,
            *reversed(others),
            self._failures[fitting],
            failed_before,
        )  # the last decides first
        return int(fitting[np.lexsort(keys)[0]])

    def trials_on(self, host: str) -> list[int]:
        """Return the trials whose clusters are on a host."""
        row = self._rows[host]
        return [trial for trial, placed in self._placed.items() if row in placed.hosts]

    def _name(self, row: int) -> str:
        # Rows are numbered in the order in which hosts were added.
        return list(self._rows)[row]

    def _wanted(self, needs: Needs) -> NDArray[np.int64]:
        """Return what such a cluster occupies on each host, a row each."""
        # Worked out once for each kind of acceleration, then spread over the hosts by their kinds.
        return np.array([astuple(needs[kind]) for kind in self._kinds], dtype=np.int64)[self._kind]

    def _fits(self, wanted: NDArray[np.int64]) -> NDArray[np.bool_]:
        fits: NDArray[np.bool_] = (self._free >= wanted).all(axis=1) & self._serves
        return fits
