"""The configuration of a campaign: one Pydantic tree, a row per setting.

A value that is searched stands where its fixed value would stand: `nodes: 4` fixes, `nodes: [1, 4]`
searches the whole range, `nodes: {choices: [1, 2, 4]}` searches what is listed.
"""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from campaign.schema.cluster import ClusterModelSettings
from campaign.schema.devices import DEVICES_ALLOWED, DeviceCounts, Networks
from campaign.schema.hooks import HOOK_PATTERN, HookSettings
from campaign.schema.hosts import HostSettings, TestbedSettings
from campaign.schema.image import ImageSettings
from campaign.schema.output import OutputSettings
from campaign.schema.search import SamplerSettings, SearchSettings
from campaign.schema.searchable import Searchable, without_groups
from campaign.schema.settings import NAME_PATTERN, Settings, setting
from campaign.schema.workload import WorkloadSettings

Direction = Literal["minimize", "maximize"]
BETTER: dict[Direction, str] = {"minimize": "less", "maximize": "more"}
"""How much of a metric is better, in a word."""


class SchedulerSettings(Settings):
    """The scheduler, and its parameters under their own names (`--help` lists them)."""

    name: str | Annotated[list[str], Field(min_length=1)] = setting(
        "slurm",
        help="scheduler adapter: a package below schedulers/; a list of several is searched",
        allowed="name, or [name, name, ..]",
    )
    params: dict[str, Searchable] = setting(
        factory=dict,
        help="scheduler parameters, fixed or searched",
        allowed="see scheduler.params below",
    )
    arms: dict[str, dict[str, Searchable]] = setting(
        factory=dict,
        help="instead of params where several schedulers are searched: those of each, fixed or "
        "searched",
        allowed="scheduler: {parameter: value}",
    )

    @field_validator("params", mode="before")
    @classmethod
    def _params_of_groups(cls, params: object) -> object:
        return without_groups(params)

    @field_validator("arms", mode="before")
    @classmethod
    def _arms_of_groups(cls, arms: object) -> object:
        if not isinstance(arms, dict):
            return arms
        return {name: without_groups(params) for name, params in arms.items()}

    @property
    def names(self) -> tuple[str, ...]:
        """The schedulers of the campaign, each once."""
        return (self.name,) if isinstance(self.name, str) else tuple(dict.fromkeys(self.name))


class ClusterSettings(ClusterModelSettings):
    """One virtual cluster: a head node and `nodes` compute nodes, or groups of unlike ones."""

    nodes: Searchable = setting(
        2,
        help="compute nodes, beside the head node; in simulation up to 200000; with groups, theirs "
        "together",
        allowed="[1 .. 1024], fixed, [low, high] or {choices: [..]}",
    )
    hosts: int = setting(
        1,
        help="hosts over which the nodes of each cluster are spread; clusters that span hosts are "
        "booted for every trial",
        ge=1,
        le=64,
    )
    dense: bool = setting(
        False,
        help="all nodes are in one VM, as daemons beside one another: for clusters of many nodes; "
        "in virtual time, they always are",
    )
    slots_per_node: int = setting(
        4, help="job slots that a compute node offers", unit="slots", ge=1, le=1024
    )
    vcpus: int = setting(1, help="virtual CPUs of a VM", unit="vCPUs", ge=1, le=64)
    memory_mib: int = setting(
        512,
        help="memory of a VM; if not given, more where a scheduler needs more, and for the nodes "
        "of a dense cluster",
        unit="MiB",
        ge=256,
        le=1_048_576,
    )
    devices: DeviceCounts = setting(
        factory=dict,
        help="PCI devices that each compute node gets for itself, of those that its host has "
        "(hosts.NAME.devices); with groups, each says its own; such clusters are booted for every "
        "trial",
        allowed=DEVICES_ALLOWED,
    )
    networks: Networks = setting(
        factory=dict,
        help="name: network, further networks on which each compute node has a card; such "
        "clusters are booted for every trial",
        allowed="name: {setting: value}",
    )
    start: Literal["golden", "cold"] = setting(
        "golden",
        help="golden: restored from a saved, joined cluster, which is made once; cold: booted "
        "for every trial",
    )
    boot_deadline_s: float = setting(
        300,
        help="from start to SSH on all nodes; if not given, longer where a host is slow",
        unit="s",
        ge=1,
        le=7200,
    )
    bootstrap_deadline_s: float = setting(
        300,
        help="from SSH to the end of the bootstrap (eight times as long by Ansible); if not "
        "given, longer where a scheduler on a slow host needs longer",
        unit="s",
        ge=1,
        le=7200,
    )
    workload_deadline_s: float = setting(
        600,
        help="from the first submission to the end; 0 (the default in virtual time): as long as "
        "any scheduler should need for the workload",
        unit="s",
        ge=0,
        le=316_224_000,
    )
    stall_s: float = setting(
        120,
        help="a trial has stalled when jobs wait and, for so much longer than the longest job "
        "runs, none has started or ended; if not given, 3600 in virtual time",
        unit="s",
        ge=1,
        le=604_800,
    )

    @property
    def node_slots(self) -> int:
        """The slots of a compute node; where nodes are unlike, those of the largest."""
        if not self.groups:
            return self.slots_per_node
        return max(group.slots for group in self.groups.values())

    def slots(self, nodes: int) -> int:
        """Return the slots of `nodes` compute nodes together."""
        if not self.groups:
            return nodes * self.slots_per_node
        counted = self.group_sizes(nodes).items()
        return sum(count * self.groups[name].slots for name, count in counted)

    def devices_by_node(self, nodes: int) -> list[DeviceCounts]:
        """Return the devices that each of `nodes` compute nodes asks for, in their order."""
        if not self.groups:
            return [self.devices] * nodes
        counted = self.group_sizes(nodes).items()
        return [self.groups[name].devices for name, count in counted for _ in range(count)]

    def networks_by_node(self, nodes: int) -> list[Networks]:
        """Return the further networks of each of `nodes` compute nodes, in their order."""
        if not self.groups:
            return [self.networks] * nodes
        counted = self.group_sizes(nodes).items()
        named = [self.groups[name].networks for name, count in counted for _ in range(count)]
        return [
            self.networks if names is None else {one: self.networks[one] for one in names}
            for names in named
        ]

    @property
    def attached(self) -> bool:
        """Whether any node has something of its host's: a device, or a card on its networks."""
        of_groups = any(group.devices for group in self.groups.values())
        return bool(self.networks or self.devices or of_groups)

    def vms(self, nodes: int) -> int:
        """Return how many VMs a head and `nodes` compute nodes are in."""
        return 1 if self.dense else nodes + 1


class BootstrapSettings(Settings):
    """The way in which booted nodes become a cluster."""

    via: Literal["ssh", "ansible"] = setting(
        "ssh",
        help="ssh: by this program; ansible: by ansible-playbook (the extra `ansible`), which "
        "takes longer",
    )


class ValiditySettings(Settings):
    """Thresholds of the validity gate: a trial beyond one of them is invalid, not a data point."""

    max_unsubmitted_jobs: int = setting(0, help="jobs that were never submitted", unit="jobs", ge=0)
    max_incomplete_jobs: int = setting(
        0, help="jobs that didn't end well on all their nodes", unit="jobs", ge=0
    )
    max_misplaced_jobs: int = setting(
        0, help="jobs on other nodes, or on more or fewer, than asked for", unit="jobs", ge=0
    )
    max_overbooked_slots: int = setting(
        0, help="slots in use on a node beyond those it has", unit="slots", ge=0
    )
    max_unmeasured_clocks: int = setting(
        0, help="compute nodes whose clock was not measured", unit="nodes", ge=0
    )
    max_lost_nodes: int = setting(0, help="nodes that didn't run at the end", unit="nodes", ge=0)
    max_console_faults: int = setting(
        0, help="faults of a guest's kernel on its console", unit="faults", ge=0
    )
    max_unaccounted_jobs: int = setting(
        0, help="jobs that the scheduler's own accounting lacks", unit="jobs", ge=0
    )
    max_clock_error_s: float = setting(
        0.25,
        help="uncertainty of a node's clock offset, a jump of its clock included",
        unit="s",
        ge=0,
    )
    max_submit_lag_s: float = setting(
        5.0, help="latest submission after its intended time", unit="s", ge=0
    )
    max_steal: float = setting(
        0.10, help="CPU time that others took from this machine", unit="fraction", ge=0, le=1
    )
    max_cpu_taken: float = setting(
        0.5,
        help="CPU time that nodes wanted while jobs ran and other programs of the host had; "
        "it bounds trials in which a job was dispatched late",
        unit="fraction",
        ge=0,
        le=1,
    )
    max_vcpus_per_cpu: float = setting(
        8.0,
        help="virtual CPUs that a host promises to nodes while the workload runs",
        unit="vCPUs per CPU",
        ge=0.01,
    )
    max_memory_promised: float = setting(
        1.0,
        help="share of a host's memory that is promised to nodes meanwhile",
        unit="fraction",
        ge=0.01,
    )
    max_native_gap_s: float = setting(
        5.0,
        help="wrapper's starts and ends against the scheduler's own, beside what a launch takes",
        unit="s",
        ge=0,
    )


class CostSettings(Settings):
    """The price and power of a node, behind the metrics cost and energy_kwh."""

    node_hour: float = setting(1.0, help="price of a node-hour, in a currency of yours", ge=0)
    head_nodes: bool = setting(True, help="count the head node in cost and energy, too")
    idle_w: float = setting(100.0, help="power of a node that does nothing", unit="W", ge=0)
    busy_w: float = setting(
        300.0, help="power of a node whose slots are all in use, linear between", unit="W", ge=0
    )


class Campaign(Settings):
    """One configuration and all its trials."""

    name: str = setting(
        "demo", help="names the results folder and the MLflow experiment", pattern=NAME_PATTERN
    )
    scheduler: SchedulerSettings
    workload: WorkloadSettings
    cluster: ClusterSettings
    bootstrap: BootstrapSettings = BootstrapSettings()
    image: ImageSettings
    hosts: dict[str, HostSettings] = setting(help="name: host", allowed="name: {setting: value}")
    objectives: dict[str, Direction] = setting(
        help="two or three metrics, each with its direction", allowed="metric: minimize | maximize"
    )
    search: SearchSettings
    sampler: SamplerSettings
    validity: ValiditySettings
    cost: CostSettings = CostSettings()
    testbed: TestbedSettings
    output: OutputSettings
    hooks: dict[str, HookSettings] = setting(
        factory=dict,
        help="name: hook, what is called around the phases of campaign, trials and clusters",
        allowed="name: {setting: value}",
    )

    @property
    def named_metrics(self) -> dict[str, str]:
        """The metrics that settings name, each with the path of the setting."""
        named = {name: f"objectives.{name}" for name in self.objectives}
        constrained = {name: f"search.constraints.{name}" for name in self.search.constraints}
        return dict.fromkeys(self.search.metrics, "search.metrics") | constrained | named

    @property
    def hosts_in_use(self) -> dict[str, HostSettings]:
        """The hosts of the group testbed.group; all hosts, if it isn't set."""
        wanted = self.testbed.group
        return {
            name: host
            for name, host in self.hosts.items()
            if wanted is None or host.group == wanted
        }

    @property
    def local_hosts(self) -> dict[str, HostSettings]:
        """The hosts that are this machine: the resources of others are known to their actors."""
        return {name: host for name, host in self.hosts_in_use.items() if host.reach == "local"}

    @property
    def far_hosts(self) -> dict[str, HostSettings]:
        """The hosts that are Ray nodes."""
        return {name: host for name, host in self.hosts_in_use.items() if host.reach == "ray"}

    @model_validator(mode="after")
    def _some_host_in_use(self) -> "Campaign":
        if not self.hosts_in_use:
            groups = ", ".join(sorted({repr(host.group) for host in self.hosts.values()}))
            raise ValueError(
                f"testbed.group: no host is of the group {self.testbed.group!r}; there are {groups}"
            )
        return self

    @model_validator(mode="after")
    def _enough_hosts(self) -> "Campaign":
        if self.testbed.on_machines and self.cluster.hosts > len(self.hosts_in_use):
            raise ValueError(
                f"cluster.hosts: clusters over {self.cluster.hosts} hosts need as many, but "
                f"there are {len(self.hosts_in_use)} (hosts, testbed.group)"
            )
        return self

    @model_validator(mode="after")
    def _deadline_by_the_workload(self) -> "Campaign":
        if self.testbed.kind == "libvirt" and self.cluster.workload_deadline_s == 0:
            raise ValueError("cluster.workload_deadline_s: real time needs a limit other than 0")
        return self

    @model_validator(mode="after")
    def _reached_by_a_ray(self) -> "Campaign":
        far = list(self.far_hosts)
        if far and self.testbed.on_machines and self.testbed.ray_address is None:
            raise ValueError(
                f"hosts.{far[0]}.reach: ray needs testbed.ray_address, the Ray that the host has "
                "joined"
            )
        return self

    @field_validator("objectives")
    @classmethod
    def _two_or_three(cls, objectives: dict[str, Direction]) -> dict[str, Direction]:
        if not 2 <= len(objectives) <= 3:
            raise ValueError(f"two or three are needed for a front, not {len(objectives)}")
        return objectives

    @field_validator("hooks")
    @classmethod
    def _hooks_named(cls, hooks: dict[str, HookSettings]) -> dict[str, HookSettings]:
        if wrong := [name for name in hooks if not re.fullmatch(HOOK_PATTERN, name)]:
            raise ValueError(f"names of hooks match {HOOK_PATTERN}, but {wrong[0]!r} doesn't")
        return hooks

    @field_validator("hosts")
    @classmethod
    def _named(cls, hosts: dict[str, HostSettings]) -> dict[str, HostSettings]:
        if not hosts:
            raise ValueError("at least one host is needed")
        if wrong := [name for name in hosts if not re.fullmatch(NAME_PATTERN, name)]:
            raise ValueError(f"host names match {NAME_PATTERN}, but {wrong[0]!r} doesn't")
        return hosts
