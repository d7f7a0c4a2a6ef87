"""What a cluster may be beside so many equal nodes, in words that all schedulers share.

Each mapping is by a name of the user's. All times are seconds; those of reservations and events
count from the workload's start.
"""

from typing import Annotated, Literal

from pydantic import Field

from campaign.schema.devices import DEVICES_ALLOWED, DeviceCounts
from campaign.schema.searchable import Choices, Range, Searchable
from campaign.schema.settings import Scalar, Settings, setting

OBJECT_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,39}$"
"""The pattern of names of groups, partitions, accounts, users and the like."""
Name = Annotated[str, Field(pattern=OBJECT_NAME)]
PreemptMode = Literal["off", "requeue", "cancel", "suspend"]
"""What becomes of a running job whose slots a job of a higher rank wants."""
NodeState = Literal["down", "drain", "up"]
QosFlag = Literal[
    "deny_on_limit",
    "no_reserve",
    "no_decay",
    "partition_max_nodes",
    "partition_min_nodes",
    "partition_time_limit",
]
_NAMES = "list of names"


class GroupSettings(Settings):
    """So many equal compute nodes."""

    nodes: Searchable = setting(
        1,
        help="compute nodes of this group; one group's may be searched",
        allowed="[1 .. 1024], fixed, [low, high] or {choices: [..]}",
    )
    slots: int = setting(4, help="job slots of a node", unit="slots", ge=1, le=1024)
    memory_mib: int | None = setting(
        None,
        help="memory of a node that jobs may have, as its scheduler is told; where it isn't set, "
        "what a VM has",
        unit="MiB",
        ge=1,
        le=67_108_864,
    )
    gpus: int = setting(
        0, help="GPUs of a node, which count and have no device behind them", ge=0, le=1024
    )
    gpu_type: Name | None = setting(None, help="type of these GPUs")
    features: list[Name] = setting(
        factory=list, help="features that jobs may ask for", allowed=_NAMES
    )
    devices: DeviceCounts = setting(
        factory=dict,
        help="PCI devices that each node gets for itself, of those that its host has "
        "(hosts.NAME.devices)",
        allowed=DEVICES_ALLOWED,
    )
    networks: list[Name] | None = setting(
        None,
        help="further networks on which each node has a card, of cluster.networks; if not given, "
        "all of them",
        allowed=_NAMES,
    )


class PartitionSettings(Settings):
    """A queue with nodes of its own, which other partitions may share."""

    groups: list[Name] = setting(
        factory=list, help="groups of nodes; where none is named, all", allowed=_NAMES
    )
    default: bool = setting(
        False, help="jobs that name no partition go here; where none is set, to the first"
    )
    max_time_s: float | None = setting(None, help="longest time limit of a job", unit="s", ge=1)
    default_time_s: float | None = setting(
        None, help="time limit of a job that asks for none", unit="s", ge=1
    )
    max_nodes: int | None = setting(None, help="most nodes of a job", ge=1)
    min_nodes: int | None = setting(None, help="fewest nodes of a job", ge=1)
    priority_tier: int = setting(
        1, help="jobs of a higher tier are looked at before those of a lower one", ge=0, le=65_533
    )
    priority_factor: int = setting(
        1, help="what of a job's priority comes of its partition", ge=0, le=65_533
    )
    allow_accounts: list[Name] = setting(
        factory=list, help="accounts whose jobs may run here; where none is named, all"
    )
    allow_qos: list[Name] = setting(
        factory=list, help="qualities of service of such jobs; where none is named, all"
    )
    qos: Name | None = setting(
        None, help="quality of service whose limits hold for the partition as a whole"
    )
    exclusive: bool = setting(False, help="a job has its nodes for itself")
    preempt: PreemptMode = setting(
        "off", help="what becomes of its jobs when one of a higher tier wants their slots"
    )


class JobLimits(Settings):
    """What one job may ask for."""

    max_slots: int | None = setting(None, help="slots of a job", ge=1)
    max_nodes: int | None = setting(None, help="nodes of a job", ge=1)
    max_gpus: int | None = setting(None, help="GPUs of a job", ge=0)
    max_memory_mib: int | None = setting(None, help="memory of a job", unit="MiB", ge=1)
    max_time_s: float | None = setting(None, help="time limit of a job", unit="s", ge=1)


class SharedLimits(Settings):
    """What all jobs of somebody may have together."""

    max_jobs: int | None = setting(None, help="jobs that run at once", ge=0)
    max_submitted: int | None = setting(None, help="jobs that wait or run", ge=0)
    max_slots: int | None = setting(None, help="slots in use", ge=0)
    max_nodes: int | None = setting(None, help="nodes in use", ge=0)
    max_gpus: int | None = setting(None, help="GPUs in use", ge=0)
    max_memory_mib: int | None = setting(None, help="memory in use", unit="MiB", ge=0)


class ShareSettings(Settings):
    """What an account has, and a user in it."""

    shares: int = setting(
        1,
        help="the share, against those of others in the same account",
        ge=0,
        le=1_000_000_000,
    )
    per_job: JobLimits = JobLimits()
    in_all: SharedLimits = SharedLimits()
    qos: list[Name] = setting(
        factory=list,
        help="qualities of service that the jobs may have, the first is what they have unasked; "
        "where none is named, those of the account above",
        allowed=_NAMES,
    )


class AccountSettings(ShareSettings):
    """An account: who pays for jobs, and what share was promised to it."""

    parent: Name | None = setting(None, help="the account that it is a part of")


class UserSettings(ShareSettings):
    """A user, who submits the jobs that have this name, with these shares of each account."""

    accounts: list[Name] = setting(
        factory=list,
        help="accounts of the user, the first is that of jobs that name none",
        allowed=_NAMES,
    )


class QosSettings(Settings):
    """A quality of service: a rank of jobs, with limits of its own."""

    priority: int = setting(0, help="rank of its jobs", ge=0, le=4_294_967_293)
    per_job: JobLimits = JobLimits()
    per_user: SharedLimits = SharedLimits()
    per_account: SharedLimits = SharedLimits()
    in_all: SharedLimits = SharedLimits()
    preempts: list[Name] = setting(
        factory=list, help="qualities of service whose jobs give way to its own", allowed=_NAMES
    )
    preempt: PreemptMode = setting("off", help="what becomes of its own jobs that give way")
    usage_factor: float = setting(
        1.0, help="how much of what its jobs use counts in fair share", ge=0, le=1000
    )
    flags: list[QosFlag] = setting(
        factory=list,
        help="deny_on_limit: refuse jobs that could never run within the limits; no_reserve: "
        "backfill sets nothing aside for its jobs; partition_..: its jobs may exceed that limit of "
        "their partition",
    )


class ReservationSettings(Settings):
    """Nodes that are kept for some, for a time."""

    start_s: float = setting(
        0, help="when it begins, from the workload's start on", unit="s", ge=0, le=316_224_000
    )
    duration_s: float = setting(help="how long it lasts", unit="s", ge=60, le=316_224_000)
    nodes: int | None = setting(None, help="number of nodes; all of the group if not set", ge=1)
    group: Name | None = setting(None, help="group of these nodes; any if not set")
    users: list[Name] = setting(factory=list, help="users that may use it", allowed=_NAMES)
    accounts: list[Name] = setting(factory=list, help="accounts that may use it", allowed=_NAMES)
    maintenance: bool = setting(False, help="nobody's: for maintenance, over other reservations")


class EventSettings(Settings):
    """What happens to nodes while the workload runs."""

    at_s: float = setting(
        help="when it happens, from the workload's start on", unit="s", ge=0, le=316_224_000
    )
    node: str | None = setting(None, help="one node, by its name", pattern=r"^n[1-9][0-9]*$")
    group: Name | None = setting(None, help="a group, of which the first `count` nodes are meant")
    count: int | None = setting(None, help="number of nodes; all of the group if not set", ge=1)
    becomes: NodeState = setting(
        help="down: its jobs are lost; drain: its jobs end, and no other starts; up: used again"
    )


class ClusterModelSettings(Settings):
    """Groups of nodes, partitions, people, their rights, and what happens to nodes."""

    groups: dict[str, GroupSettings] = setting(
        factory=dict, help="groups of unlike compute nodes, instead of nodes and slots_per_node"
    )
    partitions: dict[str, PartitionSettings] = setting(factory=dict, help="partitions")
    accounts: dict[str, AccountSettings] = setting(factory=dict, help="accounts")
    users: dict[str, UserSettings] = setting(factory=dict, help="users")
    qos: dict[str, QosSettings] = setting(factory=dict, help="qualities of service")
    reservations: dict[str, ReservationSettings] = setting(factory=dict, help="reservations")
    events: list[EventSettings] = setting(
        factory=list,
        help="nodes that go down, are drained and come back",
        allowed="list of {at_s, node or group and count, becomes}",
    )
    submit_as: Literal["root", "users"] = setting(
        "root",
        help="whose jobs are: all of them root's, or each its user's, who has an account on the "
        "nodes; with cluster.users or cluster.accounts, always their users'",
    )

    @property
    def own_users(self) -> bool:
        """Whether each job is submitted by its own user."""
        return bool(self.submit_as == "users" or self.users or self.accounts)

    @property
    def searched_group(self) -> str | None:
        """The first group whose number of nodes is searched, if any is."""
        searched = (name for name, group in self.groups.items() if not _is_fixed(group.nodes))
        return next(searched, None)

    def group_sizes(self, nodes: int) -> dict[str, int]:
        """Return how many of `nodes` compute nodes are of each group.

        The searched group has what the others leave, and comes last: so the nodes of a small
        cluster are the first ones of a large one.
        """
        sizes = {name: _fixed(group.nodes) for name, group in self.groups.items()}
        if searched := self.searched_group:
            del sizes[searched]
            sizes[searched] = nodes - sum(sizes.values())
        return sizes

    @property
    def nodes_of_groups(self) -> Searchable:
        """The number of nodes of all groups together: fixed, or searched as one group's is."""
        fixed = sum(_fixed(group.nodes) for group in self.groups.values())
        if not (searched := self.searched_group):
            return fixed
        return _more(self.groups[searched].nodes, fixed)


def _is_fixed(nodes: object) -> bool:
    return isinstance(nodes, bool | int | float | str)


def _fixed(nodes: object) -> int:
    return nodes if isinstance(nodes, int) and not isinstance(nodes, bool) else 0


def _more(nodes: Searchable, more: int) -> Searchable:
    """Return searched numbers of nodes with as many more added to each."""
    if isinstance(nodes, Range):
        return nodes.model_copy(update={"low": nodes.low + more, "high": nodes.high + more})
    if isinstance(nodes, Choices):
        return Choices(choices=[_sum(choice, more) for choice in nodes.choices])
    return [_sum(end, more) for end in nodes] if isinstance(nodes, list) else nodes


def _sum(value: Scalar, more: int) -> Scalar:
    # What is no number is left as it is, to be refused as one.
    return value + more if isinstance(value, int | float) and value is not True else value
