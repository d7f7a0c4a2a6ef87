"""What a cluster or its jobs may ask of a scheduler, piece by piece: who can't do one says so."""

from collections.abc import Collection, Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

from campaign.schema.cluster import JobLimits, SharedLimits
from campaign.schema.model import ClusterSettings
from campaign.schema.settings import Settings
from campaign.schema.workload import WorkloadSettings


class Lever(StrEnum):
    """A piece of the cluster and job model; its value says it in words."""

    UNLIKE_NODES = "nodes with unlike slots"
    MEMORY = "memory of nodes and jobs"
    GPUS = "GPUs"
    FEATURES = "features of nodes"
    PARTITIONS = "partitions"
    PARTITION_LIMITS = "limits of partitions"
    PARTITION_PRIORITY = "priorities of partitions"
    PARTITION_FACTORS = "priority factors of partitions"
    PARTITION_ACCESS = "partitions that aren't everybody's"
    PARTITION_QOS = "a partition's own quality of service"
    PREEMPTION = "preemption"
    USERS = "jobs submitted by their users"
    ACCOUNTS = "accounts and shares"
    ACCOUNT_TREES = "accounts within accounts"
    ACCOUNT_SIZES = "slots, GPUs and memory of an account in all"
    USER_SHARES = "shares of users"
    QOS = "qualities of service"
    QOS_LIMITS = "limits, flags and usage factors of qualities of service"
    QOS_ACCESS = "qualities of service that aren't everybody's"
    LIMITS = "limits of accounts and users"
    RESERVATIONS = "reservations"
    NODE_EVENTS = "nodes that fail or are drained"
    NODE_COUNTS = "the number of nodes that a job asks for"
    EXCLUSIVE = "jobs with nodes for themselves"
    DEPENDENCIES = "dependencies between jobs"
    THINK_TIME = "users who submit a job some time after their last one has ended"
    ARRAYS = "job arrays"


OF_USERS = frozenset({Lever.THINK_TIME})
"""What users do and no scheduler is told of: simulated users alone do it."""
TRAITS: dict[Lever, tuple[str, ...]] = {
    Lever.MEMORY: ("memory_per_slot_mib", "memory_per_node_mib"),
    Lever.GPUS: ("gpus", "gpu_type"),
    Lever.FEATURES: ("features",),
    Lever.PARTITIONS: ("partition",),
    Lever.USERS: ("user_name",),
    Lever.ACCOUNTS: ("account",),
    Lever.QOS: ("qos",),
    Lever.RESERVATIONS: ("reservation",),
    Lever.NODE_COUNTS: ("nodes",),
    Lever.EXCLUSIVE: ("exclusive",),
    Lever.DEPENDENCIES: ("after", "after_kind"),
    Lever.THINK_TIME: ("after", "after_kind", "think_s"),
    Lever.ARRAYS: ("array", "array_limit"),
}
"""The traits of jobs (`campaign.core.jobs.TRAITS_SCHEMA`) that act where a lever does."""


class LeverInUse(NamedTuple):
    """A lever that settings pull: the setting, and its value."""

    lever: Lever
    path: str
    value: object


def levers_in_use(cluster: ClusterSettings, workload: WorkloadSettings) -> Iterator[LeverInUse]:
    """Yield each lever that these settings pull, with every setting that does."""
    yield from _of_groups(cluster)
    yield from _of_partitions(cluster)
    yield from _of_people(cluster)
    yield from _of_qos(cluster)
    for name, reservation in cluster.reservations.items():
        yield LeverInUse(Lever.RESERVATIONS, f"cluster.reservations.{name}", reservation.duration_s)
    if cluster.events:
        yield LeverInUse(Lever.NODE_EVENTS, "cluster.events", len(cluster.events))
    for wish in workload.obey:
        yield LeverInUse(WISHES[wish], "workload.obey", wish)


WISHES = {
    "nodes": Lever.NODE_COUNTS,
    "exclusive": Lever.EXCLUSIVE,
    "dependencies": Lever.DEPENDENCIES,
    "think_time": Lever.THINK_TIME,
    "arrays": Lever.ARRAYS,
}
"""The levers that a workload's settings pull, by what `workload.obey` calls them."""


def obeyed_traits(levers: Iterable[Lever]) -> frozenset[str]:
    """Return the traits of jobs that act where these levers do."""
    return frozenset(trait for lever in levers for trait in TRAITS.get(lever, ()))


def _of_groups(cluster: ClusterSettings) -> Iterator[LeverInUse]:
    groups = cluster.groups
    if len({group.slots for group in groups.values()}) > 1:
        sizes = {name: group.slots for name, group in groups.items()}
        yield LeverInUse(Lever.UNLIKE_NODES, "cluster.groups", sizes)
    for name, group in groups.items():
        path = f"cluster.groups.{name}"
        if group.memory_mib is not None:
            yield LeverInUse(Lever.MEMORY, f"{path}.memory_mib", group.memory_mib)
        if group.gpus:
            yield LeverInUse(Lever.GPUS, f"{path}.gpus", group.gpus)
        if group.features:
            yield LeverInUse(Lever.FEATURES, f"{path}.features", group.features)


def _of_partitions(cluster: ClusterSettings) -> Iterator[LeverInUse]:
    for name, partition in cluster.partitions.items():
        path = f"cluster.partitions.{name}"
        yield LeverInUse(Lever.PARTITIONS, path, name)
        for lever, fields in _OF_PARTITIONS.items():
            yield from _changed(partition, fields, path, lever)


_OF_PARTITIONS = {
    Lever.PARTITION_LIMITS: ("max_time_s", "default_time_s", "max_nodes", "min_nodes"),
    Lever.PARTITION_PRIORITY: ("priority_tier",),
    Lever.PARTITION_FACTORS: ("priority_factor",),
    Lever.PARTITION_ACCESS: ("allow_accounts", "allow_qos"),
    Lever.PARTITION_QOS: ("qos",),
    Lever.EXCLUSIVE: ("exclusive",),
    Lever.PREEMPTION: ("preempt",),
}


def _of_people(cluster: ClusterSettings) -> Iterator[LeverInUse]:
    if cluster.submit_as == "users":
        yield LeverInUse(Lever.USERS, "cluster.submit_as", cluster.submit_as)
    for name in cluster.accounts:
        yield LeverInUse(Lever.ACCOUNTS, f"cluster.accounts.{name}", name)
    # Accounts are users', so jobs are too.
    for name in cluster.accounts:
        yield LeverInUse(Lever.USERS, f"cluster.accounts.{name}", name)
    for name in cluster.users:
        yield LeverInUse(Lever.USERS, f"cluster.users.{name}", name)
    for kind, people in (("accounts", cluster.accounts), ("users", cluster.users)):
        for name, one in people.items():
            path = f"cluster.{kind}.{name}"
            yield from _limits(one.per_job, f"{path}.per_job")
            yield from _limits(one.in_all, f"{path}.in_all", _SIZES if kind == "accounts" else ())
            if one.qos:
                yield LeverInUse(Lever.QOS, f"{path}.qos", one.qos)
                yield LeverInUse(Lever.QOS_ACCESS, f"{path}.qos", one.qos)
    for name, account in cluster.accounts.items():
        yield from _changed(account, ("parent",), f"cluster.accounts.{name}", Lever.ACCOUNT_TREES)
    for name, user in cluster.users.items():
        yield from _changed(user, ("shares",), f"cluster.users.{name}", Lever.USER_SHARES)


_SIZES = ("max_slots", "max_gpus", "max_memory_mib")


def _of_qos(cluster: ClusterSettings) -> Iterator[LeverInUse]:
    for name, qos in cluster.qos.items():
        path = f"cluster.qos.{name}"
        yield LeverInUse(Lever.QOS, path, name)
        for scope in ("per_job", "per_user", "per_account", "in_all"):
            limits = getattr(qos, scope)
            yield from _limits(limits, f"{path}.{scope}", lever=Lever.QOS_LIMITS)
        yield from _changed(qos, ("usage_factor", "flags"), path, Lever.QOS_LIMITS)
        if qos.preempts:
            yield LeverInUse(Lever.PREEMPTION, f"{path}.preempts", qos.preempts)


def _limits(
    limits: JobLimits | SharedLimits,
    path: str,
    sizes: Collection[str] = (),
    lever: Lever = Lever.LIMITS,
) -> Iterator[LeverInUse]:
    for name, value in limits:
        if value is not None:
            own = Lever.ACCOUNT_SIZES if name in sizes else lever
            yield LeverInUse(own, f"{path}.{name}", value)


def _changed(
    settings: Settings, fields: Iterable[str], path: str, lever: Lever
) -> Iterator[LeverInUse]:
    """Yield the lever for each of the fields that isn't at its default."""
    for field in fields:
        value = getattr(settings, field)
        if value != type(settings).model_fields[field].get_default(call_default_factory=True):
            yield LeverInUse(lever, f"{path}.{field}", value)
