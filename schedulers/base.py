"""What a scheduler's adapter is made of: parameters, topologies, bootstrap plans, accounts of jobs.

`schedulers.interface` says what an adapter does with them. All are values: what applies a plan
(SSH, Ansible) lives elsewhere and knows no scheduler by name.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from campaign.core.cluster import PLAIN, ClusterModel
from campaign.core.errors import SchedulerError
from campaign.core.printable import printable
from schedulers.merging import once
from schedulers.parameters import Params as Params  # noqa: PLC0414 - part of what adapters use

Role = Literal["head", "compute"]
FinalState = Literal["completed", "failed", "timeout", "cancelled", "node_lost"]
"""How a job ended, in words that all schedulers share."""
ASPECTS = {
    "gang": "do all of a job's nodes start together",
    "backfill": "may a later job go first",
    "decisions": "what sets a decision off",
    "admission": "what a submission passes before it waits",
    "submission": "by what a job is submitted",
    "rates": "limits on requests",
    "queues": "queues and priorities",
    "accounting": "the scheduler's own accounts",
    "limits": "time limits",
    "allocation": "what a job is given",
    "launch": "how a job gets to its nodes",
    "logging": "log levels",
    "daemons": "daemons on head and nodes",
}
"""What must be known of two schedulers before their figures are compared, as a report asks it."""
SHOWN_VERSION = 80
"""Of a version that can't be read, so many characters are recorded."""
UNKNOWN_VERSION = "unknown"
TimedCommand = tuple[float, tuple[str, ...]]
"""A command, and the seconds after the workload's start at which it runs on the head."""


class ParseError(SchedulerError):
    """A scheduler's tool printed something that can't be read; `raw` is the line."""

    def __init__(self, what: str, raw: str) -> None:
        super().__init__(f"can't read {what}: {raw!r}")
        # Unpickling calls the class with these arguments again.
        self.args = (what, raw)
        self.raw = raw


def version_in(text: str, pattern: str) -> str:
    """Return the version that `pattern` finds in `text`, as its only group.

    A version is recorded, and nothing depends on it. So where the pattern finds none, the text
    itself is returned: its first line with anything on it, printable, of at most SHOWN_VERSION
    characters; UNKNOWN_VERSION where there is no such line. `^` and `$` match at lines' ends.
    """
    if found := re.search(pattern, text, re.MULTILINE):
        version = found[1]
    else:
        lines = (line.strip() for line in text.splitlines())
        version = next(filter(None, lines), UNKNOWN_VERSION)
    return printable(version, lines=False)[:SHOWN_VERSION]


@dataclass(frozen=True)
class Node:
    """A member of a cluster as its scheduler sees it.

    `guest` names the VM that it shares with others; where it is empty, it has one of its own. It is
    one of the nodes of `group`, if the cluster has groups.
    """

    name: str
    role: Role
    address: str  # on the cluster network
    slots: int  # job slots it offers
    memory_mib: int
    guest: str = ""
    group: str = ""
    gpus: int = 0
    gpu_type: str | None = None
    features: tuple[str, ...] = ()

    @property
    def guest_name(self) -> str:
        """The name of the VM that it is in."""
        return self.guest or self.name


@dataclass(frozen=True)
class PhaseLimits:
    """How long each phase of a cluster's life may take on the reference machine, seconds.

    Its guests run under hardware virtualization, and it is as fast as
    `actors.hypervisor.calibration` says; a slower host is given as many times more.
    """

    boot_s: float
    """From the start of the nodes to SSH on all of them."""
    configure_s: float
    """From there to the end of a bootstrap plan, or of a reconfiguration."""
    smoke_test_s: float
    """For a job across all nodes of the idle cluster."""
    collect_s: float = 180.0
    """For bringing home what was measured, once a workload has ended."""


@dataclass(frozen=True)
class LaunchLimit:
    """The longest time that launching a job may take.

    That is from the job's start, by the scheduler's own accounts, to its first instruction, on
    emulated nodes of a host as fast as the reference machine. Launches on one node share its CPUs:
    up to `at_once` of them take `latency_s` at most (seconds), more take as many times longer.
    """

    latency_s: float
    at_once: int

    def on(self, slowness: float) -> "LaunchLimit":
        """Return the limit on a host that is by itself so many times slower; less than 1 is 1."""
        return LaunchLimit(self.latency_s * max(1.0, slowness), self.at_once)

    def allowed_s(self, count: int) -> float:
        """Return how long each of `count` launches at once on a node may take, seconds."""
        return self.latency_s * max(1.0, count / self.at_once)


HEAD = "head"
"""The name of a cluster's head."""
LOOPBACK = "127.0.0.1"
"""The address of every node of a dense cluster."""


def node_name(number: int) -> str:
    """Return the name of a cluster's compute node, counted from 1."""
    return f"n{number}"


@dataclass(frozen=True)
class Topology:
    """A cluster: the head first, then the compute nodes; and what it is beside them."""

    cluster: str
    nodes: tuple[Node, ...]
    model: ClusterModel = PLAIN

    @classmethod
    def of_equal_nodes(
        cls, cluster: str, compute: int, *, slots: int, memory_mib: int, dense: bool = False
    ) -> "Topology":
        """Return a head and `compute` equal compute nodes with `slots` each.

        Addresses are counted from 10.42.0.1, the head's, in a network of the cluster's own. So the
        nodes of a small cluster are the first ones of a large one. In a `dense` cluster, all nodes
        are in the head's guest and have its address for itself: their ports tell them apart.
        """
        guest = HEAD if dense else ""
        head = Node(HEAD, "head", _address(0, dense), 0, memory_mib, guest)
        others = [
            Node(node_name(number), "compute", _address(number, dense), slots, memory_mib, guest)
            for number in range(1, compute + 1)
        ]
        return cls(cluster, (head, *others))

    @property
    def guests(self) -> tuple[str, ...]:
        """The names of the VMs, in the order of their first nodes."""
        return tuple(dict.fromkeys(node.guest_name for node in self.nodes))

    @property
    def dense(self) -> bool:
        """Whether any nodes share a VM."""
        return len(self.guests) < len(self.nodes)

    def nodes_of(self, guest: str) -> tuple[Node, ...]:
        """Return the nodes in the VM called `guest`, in their order."""
        return tuple(node for node in self.nodes if node.guest_name == guest)

    @property
    def head(self) -> Node:
        """The head node."""
        return next(node for node in self.nodes if node.role == "head")

    @property
    def compute(self) -> tuple[Node, ...]:
        """The compute nodes, in their order."""
        return tuple(node for node in self.nodes if node.role == "compute")

    @property
    def slots(self) -> int:
        """The job slots of all compute nodes together."""
        return sum(node.slots for node in self.compute)


def _address(index: int, dense: bool) -> str:
    return LOOPBACK if dense else f"10.42.{(index + 1) // 256}.{(index + 1) % 256}"


def require_own_guests(scheduler: str, topology: Topology) -> None:
    """Raise SchedulerError where nodes share a VM: the adapter called so can't have that."""
    if topology.dense:
        raise SchedulerError(
            f"{scheduler} has no plan for several nodes in one VM (a dense cluster)",
            resolution="Set cluster.dense=false, or use another scheduler.",
        )


class Secrets(dict[str, bytes]):
    """The keys of one cluster by name; they are never printed."""

    def __repr__(self) -> str:
        return f"Secrets({', '.join(self)})"


@dataclass(frozen=True)
class File:
    """A file that a node must have; the content of a `secret` one never shows in print."""

    path: str
    content: bytes = field(repr=False)
    mode: int = 0o644
    owner: str = "root"
    secret: bool = False

    @property
    def sha256(self) -> str:
        """The hash of the content, hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class Unit:
    """A systemd unit that must be running with the files of its step.

    It is started if it doesn't run, and restarted (or reloaded) if it runs and a file of its step
    has changed. `log` is the file that its daemon logs into, if that isn't the journal.
    """

    name: str
    action: Literal["restart", "reload"] = "restart"
    log: str = ""


@dataclass(frozen=True)
class Probe:
    """A question to a node, asked until the answer is the expected one.

    The node runs `command` every `interval_s`; its whole output, stripped, must match the regular
    expression `expect` within `deadline_s` seconds. `what` names the question. The command changes
    nothing on the node, however often it is asked.
    """

    what: str
    command: tuple[str, ...]
    expect: str
    deadline_s: float
    interval_s: float = 0.3


@dataclass(frozen=True)
class Step:
    """What one node needs in one stage: files first, then commands, then units, then probes.

    A file is written where its content, mode, owner or group (named as the owner) differs; folders
    above it are made as needed. Commands run if a file of the step was written, and always in a
    step without files. So a step that was taken to its end changes nothing when it is taken again;
    one that failed after its files is not made good by that.
    """

    files: tuple[File, ...] = ()
    commands: tuple[tuple[str, ...], ...] = ()
    units: tuple[Unit, ...] = ()
    probes: tuple[Probe, ...] = ()


@dataclass(frozen=True)
class Stage:
    """Steps that all nodes take at once; the next stage begins when every node is done."""

    name: str
    steps: Mapping[str, Step]  # by node name; by that of the VM in a plan `by_guest`


@dataclass(frozen=True)
class BootstrapPlan:
    """All that turns booted nodes into a cluster, as data: printable, hashable, idempotent."""

    stages: tuple[Stage, ...]

    def files(self) -> Iterator[tuple[str, File]]:
        """Yield (node name, file), in the order of stages and nodes."""
        for stage in self.stages:
            for node, step in stage.steps.items():
                for file in step.files:
                    yield node, file

    def by_guest(self, topology: Topology) -> "BootstrapPlan":
        """Return the same plan with one step per VM of the cluster in each stage.

        Steps of nodes that share a VM become one: its files, commands, units and probes are each
        there once, in the order of the nodes. Raise SchedulerError, which names the VM, where
        steps want different things of it.
        """
        if not topology.dense:
            return self
        return BootstrapPlan(
            tuple(Stage(stage.name, _merged(stage, topology)) for stage in self.stages)
        )

    def describe(self) -> str:
        """Return the plan as text without its secrets; equal plans have equal texts."""
        lines: list[str] = []
        for stage in self.stages:
            lines.append(f"stage {stage.name}")
            for node, step in sorted(stage.steps.items()):
                lines += [f"  {node}: {line}" for line in _describe_step(step)]
        return "\n".join(lines) + "\n"

    @property
    def digest(self) -> str:
        """SHA-256 of the plan without its secrets.

        Two clusters of the same plan with other keys have the same digest.
        """
        return hashlib.sha256(self.describe().encode()).hexdigest()


def _merged(stage: Stage, topology: Topology) -> dict[str, Step]:
    steps: dict[str, Step] = {}
    for guest in topology.guests:
        names = [node.name for node in topology.nodes_of(guest)]
        if own := [stage.steps[name] for name in names if name in stage.steps]:
            steps[guest] = _one_step(own, f"stage {stage.name} on {guest}")
    return steps


def _one_step(steps: Sequence[Step], where: str) -> Step:
    """Return one step that does what all of these do; `where` names them in an error."""
    if len({bool(step.files) for step in steps if step.commands}) > 1:
        raise SchedulerError(
            f"{where}: some nodes' commands always run, others' only if a file was written",
            resolution="Give those nodes stages of their own.",
        )
    return Step(
        once(((file.path, file) for step in steps for file in step.files), where),
        tuple(dict.fromkeys(command for step in steps for command in step.commands)),
        once(((unit.name, unit) for step in steps for unit in step.units), where),
        tuple(dict.fromkeys(probe for step in steps for probe in step.probes)),
    )


def _describe_step(step: Step) -> Iterator[str]:
    for file in step.files:
        content = "secret" if file.secret else f"sha256:{file.sha256[:16]}"
        yield f"file {file.path} {file.mode:04o} {file.owner} {content}"
    for command in step.commands:
        yield f"run {' '.join(command)}"
    for unit in step.units:
        yield f"{unit.action} {unit.name}"
    for probe in step.probes:
        yield (
            f"until {' '.join(probe.command)} matches {probe.expect!r} within "
            f"{probe.deadline_s:g} s ({probe.what})"
        )


@dataclass(frozen=True)
class NativeTimes:
    """What a scheduler's own accounts say of a job.

    Times are Unix seconds, in the scheduler's own resolution; `state` is in its own words.
    """

    native_id: str
    state: str
    start_s: float | None
    end_s: float | None
