"""Whose jobs are: the tree of accounts and users, and each job's place in it.

An *association* is an account, or a user in an account (`Member`). At the top of the tree stands
one account, whose only user administers the cluster; he has a share of it as accounts have.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from campaign.core.cluster import NO_JOB_LIMITS, NO_LIMITS, ClusterModel, Qos
from campaign.core.jobs import Workload
from campaign.schema.cluster import JobLimits, SharedLimits

TOP = "root"
"""The account at the top, and its user."""
OTHERS = "others"
"""The account of users who have none."""
UNASKED = Qos("normal")
"""The quality of service that jobs have where nobody says another."""
NOBODY = -1
Indices = NDArray[np.int32]


@dataclass(frozen=True)
class Member:
    """An account, or a user in it; `parent` is the place of what it is below, NOBODY at the top."""

    account: str
    user: str | None
    parent: int
    shares: int = 1
    per_job: JobLimits = NO_JOB_LIMITS
    in_all: SharedLimits = NO_LIMITS
    qos: tuple[str, ...] = ()


@dataclass(frozen=True)
class Community:
    """Associations and qualities of service, by their places.

    Parents come before their children, and all that is below one follows it at once; siblings are
    sorted by name, users before accounts. The first quality of service is UNASKED.
    """

    associations: tuple[Member, ...]
    qos: tuple[Qos, ...]

    def above(self, place: int) -> list[int]:
        """Return the places from this association up to the top one."""
        found = []
        while place != NOBODY:
            found.append(place)
            place = self.associations[place].parent
        return found

    def granted(self, place: int) -> tuple[str, ...]:
        """Return which qualities of service it may have: its own, else those above; () for all."""
        lists = (self.associations[one].qos for one in self.above(place))
        return next(filter(None, lists), ())

    def per_job(self, place: int) -> JobLimits:
        """Return the limits of its jobs, each its own or the nearest one above."""
        found = NO_JOB_LIMITS
        for one in self.above(place):
            own = self.associations[one].per_job
            missing = {name: each for name, each in vars(own).items() if vars(found)[name] is None}
            found = found.model_copy(update=missing)
        return found


class Ownership(NamedTuple):
    """Whose each job is: places of its association, quality of service and partition.

    NOBODY stands for an association or a quality of service that the job may not have: the
    scheduler refuses such a job. It stands for the partition where there are none.
    """

    association: Indices
    qos: Indices
    partition: Indices


class Sizes(NamedTuple):
    """What jobs ask for, a row each: slots, nodes, time limits (min), GPUs, and memory (MiB)."""

    slots: NDArray[np.int64]
    nodes: NDArray[np.int64]
    limit_min: NDArray[np.int64]
    gpus: NDArray[np.int64]
    memory: NDArray[np.int64]


def people_of(model: ClusterModel) -> Community:
    """Return the people of a cluster."""
    paths = {TOP: "/"}
    below: dict[str, tuple[str, Member]] = {}
    accounts = {account.name: account for account in model.accounts}

    def path(name: str) -> str:
        if name not in paths:
            parent = accounts[name].parent if name in accounts else None
            paths[name] = f"{path(parent or TOP)}{name}/"
        return paths[name]

    for account in model.accounts:
        limits = (account.per_job, account.in_all, account.qos)
        one = Member(account.name, None, NOBODY, account.shares, *limits)
        below[path(account.name)] = (path(account.parent or TOP), one)
    for user in model.users:
        for own in user.accounts or (OTHERS,):
            if own not in paths:
                below[path(own)] = ("/", Member(own, None, NOBODY))
            one = Member(own, user.name, NOBODY, user.shares, user.per_job, user.in_all)
            below[f"{path(own)}0-{user.name}/"] = (path(own), replace(one, qos=user.qos))
    below[f"/0-{TOP}/"] = ("/", Member(TOP, TOP, NOBODY))
    order = ["/", *sorted(below)]
    places = {name: place for place, name in enumerate(order)}
    rows = (replace(below[name][1], parent=places[below[name][0]]) for name in order[1:])
    qos = {UNASKED.name: UNASKED} | {each.name: each for each in model.qos}
    return Community((Member(TOP, None, NOBODY), *rows), tuple(qos.values()))


def ownership(people: Community, model: ClusterModel, workload: Workload) -> Ownership:
    """Return whose the jobs of a workload are, by those of their traits that are obeyed."""
    finder = _Finder(people, model)
    columns = [_codes(workload, name) for name in ("user_name", "account", "qos", "partition")]
    sizes = [len(names) for names, _ in columns]
    keys = np.ravel_multi_index([codes for _, codes in columns], sizes)
    kinds, kind_of = np.unique(keys, return_inverse=True)
    values = [
        finder.find(*(names[at] for (names, _), at in zip(columns, places, strict=True)))
        for places in zip(*np.unravel_index(kinds, sizes), strict=True)
    ]
    table = np.array(values, np.int32).reshape(-1, 3)[kind_of.reshape(-1)]
    return Ownership(*(np.ascontiguousarray(table[:, column]) for column in range(3)))


class _Finder:
    """Finds the places of what jobs name."""

    def __init__(self, people: Community, model: ClusterModel) -> None:
        self._people = people
        self._places: dict[tuple[str, str], int] = {}
        self._default: dict[str, str] = {TOP: TOP}
        for place, one in enumerate(people.associations):
            if one.user is not None:
                self._places[one.account, one.user] = place
        for user in model.users:
            self._default[user.name] = (user.accounts or (OTHERS,))[0]
        self._qos = {each.name: place for place, each in enumerate(people.qos)}
        self._partitions = {each.name: place for place, each in enumerate(model.partitions)}
        default = model.default_partition
        self._partition = self._partitions[default.name] if default else NOBODY

    def find(
        self, user: str | None, account: str | None, qos: str | None, partition: str | None
    ) -> tuple[int, int, int]:
        user = user or TOP
        own = self._places.get((account or self._default.get(user, OTHERS), user), NOBODY)
        queue = self._partitions.get(partition, NOBODY) if partition else self._partition
        if own == NOBODY:
            return own, NOBODY, queue
        granted = self._people.granted(own)
        wanted = qos or (granted[0] if granted else UNASKED.name)
        allowed = wanted in self._qos and (not granted or wanted in granted)
        return own, self._qos[wanted] if allowed else NOBODY, queue


def _codes(workload: Workload, name: str) -> tuple[list[str | None], NDArray[np.int64]]:
    """Return the different values of a trait, the last of them None, and each job's."""
    if name not in workload.obeyed or name not in workload.traits.column_names:
        return [None], np.zeros(len(workload), np.int64)
    column = workload.traits.column(name).cast(pa.string()).combine_chunks().dictionary_encode()
    names = column.dictionary.to_pylist()
    codes = column.indices.fill_null(len(names)).to_numpy(zero_copy_only=False)
    return [*names, None], codes.astype(np.int64)
