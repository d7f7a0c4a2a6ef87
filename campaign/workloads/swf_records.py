"""What a line of a trace in the Standard Workload Format is: a job, a part of one, or withdrawn.

A preempted job has a line for each partial execution (status 2: to be continued; 3 and 4: the last
one) and one that sums them up; only the latter is a job. A job that was withdrawn while it waited
(status 5, no run time) never needed a slot. Format: Feitelson, "The Standard Workload Format".
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from campaign.workloads.columns import LARGEST_NUMBER, Columns, taken
from campaign.workloads.traces import NO_VALUE

PARTIAL_EXECUTIONS = (2, 3, 4)
CANCELLED = 5
STATUS = "status"
PRECEDING = "preceding"
NAMES_SHOWN = 20  # names of a column that a note holds
USERS = "users"
USER = 11
GROUP = 12
QUEUE = 14
PARTITION = 15
NAMED = {USER: USERS, GROUP: "groups", 13: "applications", QUEUE: "queues", PARTITION: "partitions"}
"""Columns that may hold names, by their place in a line, and what these are names of."""
NUMBER = re.compile(rb"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
NAME = re.compile(r"(?!(?:nan|inf|infinity)$)[^\W\d_][\w.@:+/-]{0,99}", re.IGNORECASE)
FIRST_WORD = -(2.0**40)  # stands for the first name of a column until names are numbered
WITHDRAWN = "jobs withdrawn before they started left out"
PARTS = "partial executions left out, for the whole jobs have lines of their own"
MERGED = "partial executions without a line of the whole job put together"


def jobs_among(lines: Columns, counts: dict[str, int]) -> Columns:
    """Return the jobs among the lines of a trace; `counts` gets what was not a job, by sentence.

    `lines` have the names of WORKLOAD_SCHEMA, STATUS and any others, which the jobs have too.
    """
    status = lines[STATUS]
    withdrawn = (status == CANCELLED) & (lines["runtime_s"] <= 0)
    counts[WITHDRAWN] = int(withdrawn.sum())
    return _whole(taken(lines, ~withdrawn) if withdrawn.any() else lines, counts)


def _whole(lines: Columns, counts: dict[str, int]) -> Columns:
    """Return a line for each job: its own, or one made of its partial executions."""
    partial = np.isin(lines[STATUS], PARTIAL_EXECUTIONS)
    number = lines["job_id"]
    known = partial & (number >= 0)  # an unknown number ties nothing together
    summed_up = known & np.isin(number, number[~partial])
    alone = known & ~summed_up
    counts[PARTS] = int(summed_up.sum())
    _, first, job, parts = np.unique(
        number[alone], return_index=True, return_inverse=True, return_counts=True
    )
    counts[MERGED] = int(parts[parts > 1].sum())
    if not counts[PARTS] and not counts[MERGED]:
        return lines
    places = np.flatnonzero(alone)[first]
    lines = dict(lines)
    for name, combine in (("arrival_s", np.minimum), ("width", np.maximum)):
        lines[name] = _combined(lines[name], alone, job, places, combine)
    runtime = lines["runtime_s"].copy()
    runtime[places] = np.bincount(job, np.maximum(runtime[alone], 0), minlength=places.size)
    lines["runtime_s"] = runtime
    kept = ~summed_up & ~alone
    kept[places] = True
    return taken(lines, kept)


def _combined(
    column: NDArray[np.float64],
    alone: NDArray[np.bool_],
    job: NDArray[np.intp],
    places: NDArray[np.intp],
    combine: np.ufunc,
) -> NDArray[np.float64]:
    """Return the column with the combined value of each job's parts at the job's place."""
    column = column.copy()
    values = column[places]
    combine.at(values, job, column[alone])
    column[places] = values
    return column


@dataclass
class Words:
    """Names in columns for which the format has numbers; `lines` have at least one.

    `names` are those that the header tells, by the place of the column and the number.
    """

    lines: int = 0
    names: dict[tuple[int, float], str] = field(default_factory=dict)
    _names: dict[str, dict[str, int]] = field(default_factory=dict)
    _lists: dict[str, dict[float, str]] = field(default_factory=dict)
    _offset: int = 1

    def numbers(self, fields: Sequence[bytes]) -> list[float]:
        """Return the numbers of a line with names in columns for them.

        No numbers if it has names elsewhere. A name becomes a number that `numbered` and `name`
        understand.
        """
        row = []
        names = []
        for place, each in enumerate(fields):
            text = each.decode("utf-8", errors="replace")
            if NUMBER.fullmatch(each):
                row.append(float(each))
            elif place in NAMED and NAME.fullmatch(text):
                names.append((place, text))
                row.append(float(NO_VALUE))
            else:
                return []
        self.lines += 1
        for place, name in names:
            known = self._names.setdefault(NAMED[place], {})
            found = known.setdefault(name, len(known))
            row[place] = FIRST_WORD - found
        return row

    def name(self, place: int, number: float) -> str | None:
        """Return the name that a number in a column of names has; None for an unknown one."""
        if number <= FIRST_WORD:
            return self._listed(NAMED[place]).get(FIRST_WORD - number)
        known = 0 <= number < LARGEST_NUMBER
        return self.names.get((place, number), f"{number:.15g}") if known else None

    def _listed(self, column: str) -> dict[float, str]:
        listed = self._lists.setdefault(column, {})
        names = self._names.get(column, {})
        if len(listed) < len(names):
            listed.update((float(place), name) for name, place in names.items())
        return listed

    def numbered(self, users: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the users' numbers, those with a name after those that have a number.

        Where a user has a name, `users` has FIRST_WORD less the name's place.
        """
        if USERS not in self._names:
            return users
        named = users <= FIRST_WORD
        self._offset = int(users.max(initial=0)) + 1
        for name, number in self._names[USERS].items():
            self.names[USER, float(self._offset + number)] = name
        return np.where(named, FIRST_WORD - users + self._offset, users)

    def notes(self) -> dict[str, str]:
        """Return what the names of each column are, in words."""
        found = {}
        for column, names in self._names.items():
            shown = list(names)[:NAMES_SHOWN]
            if column == USERS:
                shown = [f"{name} is {self._offset + names[name]}" for name in shown]
            more = len(names) - len(shown)
            rest = f" and {more} more" if more else ""
            found[f"names of {column}"] = ", ".join(shown) + rest
        return found
