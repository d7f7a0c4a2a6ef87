"""A site's cluster and jobs, as compiled loops want them: from a topology and a workload."""

from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from campaign.core.cluster import ClusterModel, Partition
from campaign.core.jobs import JobTraits, Workload
from campaign.simulation.engine import HORIZON_NS, NS
from campaign.simulation.site_arrays import (
    ENDS,
    FAILS,
    JOB,
    NOBODY,
    STARTS,
    SUCCEEDS,
    USAGE,
    Flags,
    Ints,
    Records,
    records,
)
from campaign.simulation.site_features import meets
from campaign.simulation.site_reasons import PARTITION_ACCESS, PARTITION_NODES, PARTITION_TIME
from campaign.simulation.site_setting import standing_of
from schedulers.base import Node, Topology
from schedulers.fitting import fewest_nodes

if TYPE_CHECKING:
    from campaign.core.jobs import Job

PLENTY = 2**40
"""Memory (MiB) of a node where none is set aside for jobs."""
MINUTE_S = 60
KINDS = {"afterok": SUCCEEDS, "aftercorr": SUCCEEDS, "afternotok": FAILS, "after": STARTS}
"""What a job waits for, by the kind of its dependency; for the end where it is another one."""


@dataclass(frozen=True)
class Wish:
    """What one job asks for, as far as others may ask for the same."""

    width: int
    traits: JobTraits


@dataclass(frozen=True)
class Footprint:
    """What it comes to: nodes, memory for a slot or a node, and the row of the nodes' kinds."""

    count: int
    slot_memory: int
    node_memory: int
    kind: int
    partition: int


def totals(topology: Topology, *, memory: bool) -> Records:
    """Return what the compute nodes have; with `memory`, it is set aside for jobs."""
    nodes = topology.compute
    return records(
        USAGE,
        len(nodes),
        slots=[node.slots for node in nodes],
        memory=[node.memory_mib if memory else PLENTY for node in nodes],
        gpus=[node.gpus for node in nodes],
    )


def partitions_of(topology: Topology) -> tuple[Flags, Ints]:
    """Return flags of the partitions' nodes, and their tiers; of all nodes where there are none."""
    model = topology.model
    rows = [_members(partition, topology) for partition in model.partitions]
    return (
        np.array(rows or [[True] * len(topology.compute)], np.bool_),
        np.array([each.priority_tier for each in model.partitions] or [1], np.int64),
    )


class Columns:
    """Makes the columns of jobs; what many of them ask for is worked out once."""

    def __init__(self, workload: Workload, topology: Topology, *, memory: bool) -> None:
        self._topology = topology
        self.model = topology.model
        self._memory = memory
        self._places = {each.name: at for at, each in enumerate(self.model.partitions)}
        self._default = self.model.default_partition
        self._kinds: dict[tuple[object, ...], int] = {}
        self._asked: dict[Wish, Footprint] = {}
        self.rows: list[Flags] = []
        self.jobs = list(workload.jobs())
        self.asked = [self._of(job) for job in self.jobs]

    @property
    def kinds(self) -> Flags:
        """A row of flags for each kind of nodes."""
        return np.array(self.rows, np.bool_).reshape(-1, len(self._topology.compute))

    def ints(self, name: str) -> Ints:
        """Return a column of what jobs ask for, by its name in Footprint."""
        return np.array([getattr(each, name) for each in self.asked], np.int64)

    def alone(self) -> Flags:
        """Tell which jobs have their nodes for themselves."""
        partitions = self.model.partitions
        return np.array(
            [
                bool(job.traits.exclusive)
                or bool(partitions and partitions[each.partition].exclusive)
                for job, each in zip(self.jobs, self.asked, strict=True)
            ],
            np.bool_,
        )

    def barred(self, limits_s: Ints) -> Ints:
        """Tell by which reason a job's partition never lets it start; 0 for all others."""
        if not self.model.partitions:
            return np.zeros(len(self.jobs), np.int64)
        return np.array(
            [
                _barred(self.model.partitions[asked.partition], self.model, job, asked, limit)
                for job, asked, limit in zip(self.jobs, self.asked, limits_s.tolist(), strict=True)
            ],
            np.int64,
        )

    def _of(self, job: "Job") -> Footprint:
        ask = Wish(
            job.width, replace(job.traits, after=None, think_s=None, user_name=None, array=None)
        )
        if ask not in self._asked:
            self._asked[ask] = self._work_out(job)
        return self._asked[ask]

    def _work_out(self, job: "Job") -> Footprint:
        traits = job.traits
        name = traits.partition or (self._default.name if self._default else "")
        slot_memory = 0 if traits.memory_per_node_mib else ceil(traits.memory_per_slot_mib or 0)
        if self._memory and not (slot_memory or traits.memory_per_node_mib):
            # Slurm's DefMemPerCPU: a slot comes with its share of it.
            nodes = self._topology.compute
            slot_memory = min(node.memory_mib // node.slots for node in nodes) or 1
        node_memory = ceil(traits.memory_per_node_mib or 0)
        needed = max(slot_memory, node_memory)
        kind_of = traits.gpu_type if traits.gpus else None
        return Footprint(
            count=fewest_nodes(job, self._topology),
            slot_memory=slot_memory if self._memory else 0,
            node_memory=node_memory if self._memory else 0,
            kind=self._kind(name, traits.features, kind_of, needed),
            partition=self._places.get(name, 0),
        )

    def _kind(self, name: str, features: str | None, gpu: str | None, memory: int) -> int:
        key = (name, features, gpu, memory)
        if key not in self._kinds:
            partition = self.model.partition(name) if name else None
            members = _members(partition, self._topology)
            nodes = self._topology.compute
            row = [
                member and _can_hold(node, features, gpu, memory)
                for member, node in zip(members, nodes, strict=True)
            ]
            self._kinds[key] = len(self.rows)
            self.rows.append(np.array(row, np.bool_))
        return self._kinds[key]


def dependencies(jobs: "list[Job]") -> tuple[Ints, Ints, Ints]:
    """Return from where on each job's others stand in a list, that list, and what it waits for."""
    place = {job.job_id: at for at, job in enumerate(jobs)}
    begins = [0]
    others: list[int] = []
    kinds = []
    for job in jobs:
        # A job can only name one that was submitted before it.
        named = (place.get(number, NOBODY) for number in job.traits.after or ())
        others += [at for at in named if at != NOBODY and at < place[job.job_id]]
        begins.append(len(others))
        kinds.append(int(KINDS.get(job.traits.after_kind or "", ENDS)))
    return np.array(begins, np.int64), np.array(others, np.int64), np.array(kinds, np.int64)


def followers_of(jobs: "list[Job]", after: Ints, others: Ints) -> tuple[Ints, Ints, Ints]:
    """Return how long after others each job is submitted, in ns (NOBODY for one that comes by
    itself), from where on the jobs that are submitted so after it stand in a list, and that list.
    """
    known = [job.traits.think_s for job in jobs]
    think = np.array([NOBODY if one is None else min(one * NS, HORIZON_NS) for one in known])
    think = np.where(np.diff(after) > 0, think, NOBODY).astype(np.int64)
    job = np.repeat(np.arange(len(jobs)), np.diff(after))
    closed = think[job] >= 0
    order = np.argsort(others[closed], kind="stable")
    counts = np.bincount(others[closed], minlength=len(jobs))
    begins = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return think, begins, job[closed][order].astype(np.int64)


def arrays_of(jobs: "list[Job]") -> tuple[Ints, Ints]:
    """Return the number of each job's array, and how many of its tasks may run at once."""
    numbers: dict[int, int] = {}
    array = [
        NOBODY if job.traits.array is None else numbers.setdefault(job.traits.array, len(numbers))
        for job in jobs
    ]
    at_once = [job.traits.array_limit or 0 for job in jobs]
    return np.array(array, np.int64), np.array(at_once, np.int64)


class SiteJobs(NamedTuple):
    """A workload's jobs on a cluster: their table, the list of the jobs that others depend on, that
    of jobs that are submitted some time after others, and a row of flags for each kind of nodes.

    `plain` says that none of them asks for more than slots.
    """

    table: Records
    others: Ints
    followers: Ints
    kinds: Flags
    plain: bool

    @property
    def none(self) -> "SiteJobs":
        """The same without the jobs themselves."""
        return self._replace(
            table=self.table[:0], others=self.others[:0], followers=self.followers[:0]
        )


def jobs_of(
    workload: Workload, topology: Topology, times: tuple[Ints, Ints, Flags], *, memory: bool
) -> SiteJobs:
    """Return the jobs of a workload.

    `times` are their limits, how long they run, and whether they are ended by their limits. With
    `memory`, it is set aside for jobs.
    """
    columns = Columns(workload, topology, memory=memory)
    jobs = columns.jobs
    limit, ran, timed_out = times
    count = columns.ints("count")
    after, others, kinds = dependencies(jobs)
    think, followed, followers = followers_of(jobs, after, others)
    array, at_once = arrays_of(jobs)
    ranks = [job.traits.qos for job in jobs]
    standing = standing_of(columns.model, columns.ints("partition"), ranks)
    names = [job.traits.user_name or "root" for job in jobs]
    users = {name: at for at, name in enumerate(dict.fromkeys(names))}
    reservations = {each.name: at for at, each in enumerate(columns.model.reservations)}
    table = records(
        JOB,
        len(jobs),
        width=[job.width for job in jobs],
        count=count,
        slot_memory=columns.ints("slot_memory"),
        node_memory=columns.ints("node_memory"),
        gpus=[job.traits.gpus or 0 for job in jobs],
        kind=columns.ints("kind"),
        part=columns.ints("partition"),
        alone=columns.alone(),
        limit=np.minimum(limit, HORIZON_NS),
        ran=ran,
        timed_out=timed_out,
        reservation=[reservations.get(job.traits.reservation or "", NOBODY) for job in jobs],
        user=[users[name] for name in names],
        account=np.full(len(jobs), NOBODY),
        standing=standing,
        barred=columns.barred(limit // NS),
        after=after[:-1],
        after_end=after[1:],
        after_kind=kinds,
        array=array,
        at_once=at_once,
        place=np.cumsum(count) - count,
        think=think,
        followed=followed[:-1],
        followed_end=followed[1:],
    )
    more = ("gpus", "slot_memory", "node_memory", "alone")
    plain = not any(table[name].any() for name in more)
    return SiteJobs(table, others, followers, columns.kinds, plain)


def _members(partition: Partition | None, topology: Topology) -> list[bool]:
    groups = partition.groups if partition else ()
    return [not groups or node.group in groups for node in topology.compute]


def _can_hold(node: Node, features: str | None, gpu: str | None, memory: int) -> bool:
    if features and not meets(features, node.features):
        return False
    return (gpu is None or node.gpu_type == gpu) and memory <= node.memory_mib


def _barred(
    partition: Partition, model: ClusterModel, job: "Job", asked: Footprint, limit_s: int
) -> int:
    qos = next((each for each in model.qos if each.name == job.traits.qos), None)
    flags = qos.flags if qos else ()
    most_s = partition.max_time_s
    # Slurm counts both in whole minutes.
    longer = most_s is not None and limit_s > ceil(most_s / MINUTE_S) * MINUTE_S
    if longer and "partition_time_limit" not in flags:
        return int(PARTITION_TIME)
    if "partition_max_nodes" not in flags and asked.count > (partition.max_nodes or asked.count):
        return int(PARTITION_NODES)
    if "partition_min_nodes" not in flags and asked.count < (partition.min_nodes or 0):
        return int(PARTITION_NODES)
    access = (
        (partition.allow_accounts, job.traits.account),
        (partition.allow_qos, job.traits.qos),
    )
    closed = any(allowed and name not in allowed for allowed, name in access)
    return int(PARTITION_ACCESS) if closed else 0
