"""A cluster beside its nodes, as adapters and the simulation get it: groups, partitions, people.

Plain values of what `campaign.schema.cluster` lets people set; that says what each field means.
Limits are the settings themselves: they hold nothing but numbers.
All times are seconds, those of reservations and events from the workload's start on. None and
empty tuples stand for "not set".
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from campaign.schema.cluster import (
    ClusterModelSettings,
    JobLimits,
    NodeState,
    PreemptMode,
    QosFlag,
    SharedLimits,
)
from campaign.schema.model import ClusterSettings
from campaign.schema.settings import Settings

FIRST_UID = 20_001
"""The number of the first user on the nodes, above all that an image or a site gives away."""
NO_JOB_LIMITS = JobLimits()
NO_LIMITS = SharedLimits()
T = TypeVar("T")


@dataclass(frozen=True)
class NodeGroup:
    """`nodes` equal compute nodes; `memory_mib` is None where it is that of their VMs."""

    name: str
    nodes: int
    slots: int
    memory_mib: int | None = None
    gpus: int = 0
    gpu_type: str | None = None
    features: tuple[str, ...] = ()


@dataclass(frozen=True)
class Partition:
    """A queue over the nodes of `groups`, of all groups where it names none."""

    name: str
    groups: tuple[str, ...] = ()
    default: bool = False
    max_time_s: float | None = None
    default_time_s: float | None = None
    max_nodes: int | None = None
    min_nodes: int | None = None
    priority_tier: int = 1
    priority_factor: int = 1
    allow_accounts: tuple[str, ...] = ()
    allow_qos: tuple[str, ...] = ()
    qos: str | None = None
    exclusive: bool = False
    preempt: PreemptMode = "off"


@dataclass(frozen=True)
class Account:
    """An account below `parent`, or at the top; `qos` begins with what its jobs have unasked."""

    name: str
    parent: str | None = None
    shares: int = 1
    per_job: JobLimits = NO_JOB_LIMITS
    in_all: SharedLimits = NO_LIMITS
    qos: tuple[str, ...] = ()


@dataclass(frozen=True)
class User:
    """A user with number `uid` on nodes; the first of `accounts` is that of jobs without one."""

    name: str
    uid: int
    accounts: tuple[str, ...] = ()
    shares: int = 1
    per_job: JobLimits = NO_JOB_LIMITS
    in_all: SharedLimits = NO_LIMITS
    qos: tuple[str, ...] = ()


@dataclass(frozen=True)
class Qos:
    """A quality of service; `preempt` is what becomes of its own jobs when they give way."""

    name: str
    priority: int = 0
    per_job: JobLimits = NO_JOB_LIMITS
    per_user: SharedLimits = NO_LIMITS
    per_account: SharedLimits = NO_LIMITS
    in_all: SharedLimits = NO_LIMITS
    preempts: tuple[str, ...] = ()
    preempt: PreemptMode = "off"
    usage_factor: float = 1.0
    flags: tuple[QosFlag, ...] = ()


@dataclass(frozen=True)
class Reservation:
    """Nodes that are kept from `start_s` on: `nodes` of them (all: None) of `group` (any: None)."""

    name: str
    start_s: float
    duration_s: float
    nodes: int | None = None
    group: str | None = None
    users: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    maintenance: bool = False


@dataclass(frozen=True)
class NodeEvent:
    """At `at_s` the node, or the first `count` nodes of the group (all: None), change."""

    at_s: float
    becomes: NodeState
    node: str | None = None
    group: str | None = None
    count: int | None = None


@dataclass(frozen=True)
class ClusterModel:
    """What a cluster is beside its nodes; `own_users` tells whether jobs are their users' own."""

    groups: tuple[NodeGroup, ...] = ()
    partitions: tuple[Partition, ...] = ()
    accounts: tuple[Account, ...] = ()
    users: tuple[User, ...] = ()
    qos: tuple[Qos, ...] = ()
    reservations: tuple[Reservation, ...] = ()
    events: tuple[NodeEvent, ...] = ()
    own_users: bool = False

    @property
    def default_partition(self) -> Partition | None:
        """The partition of jobs that name none: the one that says so, else the first."""
        chosen = (partition for partition in self.partitions if partition.default)
        return next(chosen, self.partitions[0] if self.partitions else None)

    def partition(self, name: str | None) -> Partition | None:
        """Return the partition called so; the default one for None, None for a stranger."""
        if name is None:
            return self.default_partition
        return next((each for each in self.partitions if each.name == name), None)

    def user(self, name: str) -> User | None:
        """Return the user called so, if there is one."""
        return next((user for user in self.users if user.name == name), None)

    def with_users(self, names: Iterable[str]) -> "ClusterModel":
        """Return the model with a user for each of `names` that it lacks, numbered on."""
        known = {user.name for user in self.users}
        lacking = [name for name in dict.fromkeys(names) if name not in known]
        first = FIRST_UID + len(self.users)
        added = (User(name, first + place) for place, name in enumerate(lacking))
        return replace(self, users=(*self.users, *added))


PLAIN = ClusterModel()
"""Equal nodes, and nothing beside them."""


def model_of(settings: ClusterSettings, nodes: int) -> ClusterModel:
    """Return the model of a cluster of `nodes` compute nodes by these settings."""
    sizes = settings.group_sizes(nodes)
    return ClusterModel(
        groups=tuple(_group(settings, name, count) for name, count in sizes.items()),
        partitions=_named(Partition, settings.partitions),
        accounts=_named(Account, settings.accounts),
        users=tuple(
            User(name=name, uid=FIRST_UID + place, **_fields(user))
            for place, (name, user) in enumerate(settings.users.items())
        ),
        qos=_named(Qos, settings.qos),
        reservations=_named(Reservation, settings.reservations),
        events=tuple(NodeEvent(**_fields(event)) for event in settings.events),
        own_users=settings.own_users,
    )


def model_parts(settings: ClusterSettings) -> dict[str, str]:
    """Return the settings of the model that aren't at their defaults, as text by their paths."""
    return {
        f"cluster.{name}": repr(getattr(settings, name))
        for name, field in ClusterModelSettings.model_fields.items()
        if getattr(settings, name) != field.get_default(call_default_factory=True)
    }


def _group(settings: ClusterSettings, name: str, count: int) -> NodeGroup:
    group = settings.groups[name]
    return NodeGroup(
        name,
        count,
        group.slots,
        group.memory_mib,
        group.gpus,
        group.gpu_type,
        tuple(group.features),
    )


def _named(kind: Callable[..., T], settings: Mapping[str, Settings]) -> tuple[T, ...]:
    # The fields of a setting and of its plain value have the same names.
    return tuple(kind(name=name, **_fields(each)) for name, each in settings.items())


def _fields(settings: Settings) -> dict[str, Any]:
    return {name: _plain(value) for name, value in settings}


def _plain(value: object) -> Any:
    return tuple(value) if isinstance(value, list) else value
