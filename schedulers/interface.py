"""The seam of a scheduler: what an adapter offers, without an image and bound to one.

An adapter is pure. It builds values and parses text; it never opens a connection, reads a clock or
draws a random number outside `make_secrets`. It reads an image's facts once, in `for_image`, so
that no member can forget them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

from campaign.core.levers import Lever
from campaign.schema.settings import Scalar
from schedulers.base import (
    BootstrapPlan,
    FinalState,
    LaunchLimit,
    NativeTimes,
    Node,
    Params,
    PhaseLimits,
    Secrets,
    TimedCommand,
    Topology,
)
from schedulers.facts import ImageFacts
from schedulers.policy import Policy

if TYPE_CHECKING:  # a job brings Arrow with it, which --help has no use for
    from campaign.core.jobs import Job

P = TypeVar("P", bound=Params)
SLOTS_OF_A_NODE = 16
"""Of a node that shares its VM, in what it needs of memory: each slot may have a job of its own."""


class Scheduler(Protocol[P]):
    """An adapter as it is without an image: what a campaign, a simulation or a report asks of it.

    `P` is the class of its parameters. Where a scheduler is known by its name only, it is a
    `Scheduler[Params]`, whose parameters are made by its own `Params`.
    """

    name: ClassVar[str]
    image: ClassVar[str]
    """The image specification that has its programs."""
    images: ClassVar[Mapping[Lever, str]]
    """The image instead, for clusters with such a lever: it has programs that `image` lacks."""
    resolution_s: ClassVar[float]
    """Resolution of the scheduler's own accounting, seconds."""
    gangs: ClassVar[bool]
    """Whether all of a job's nodes are its own before any is, under the defaults."""
    expresses: ClassVar[frozenset[Lever]]
    """What of the cluster and job model the adapter can tell its scheduler, on some image of its;
    a campaign that wants more is refused."""
    acts_with: ClassVar[Mapping[str, frozenset[Lever]]]
    """Parameters that act only on a cluster with one of these levers, by name."""
    launch_limit: ClassVar[LaunchLimit]
    """The longest time from a job's start by the scheduler's own accounts to its first
    instruction."""
    memory_mib: ClassVar[int]
    """The memory that a node needs for its daemons and a few jobs, MiB."""
    shared_node_mib: ClassVar[int]
    """The memory that each further node of SLOTS_OF_A_NODE slots at most needs in a VM that it
    shares, MiB; 0 where the adapter has no plans for that (a dense cluster)."""
    stand_ins: ClassVar[str]
    """What of its cluster isn't real where nodes share a VM, in words; empty where all of it is."""
    phase_limits: ClassVar[PhaseLimits]
    """How long the phases of making its cluster may take."""

    @property
    def Params(self) -> type[P]:  # noqa: N802 - a class, read like one: scheduler.Params()
        """The class of its parameters."""
        ...

    def make_secrets(self, draw: Callable[[int], bytes] = ...) -> Secrets:
        """Return the keys of one cluster, made of what `draw` returns: so many bytes at a call.

        By default these are random, and new ones at each call.
        """
        ...

    def policy(self, params: P) -> Policy:
        """Return the simulation policy for these parameters, with the parameters that it ignores.

        Pure: equal parameters give equal policies.
        """
        ...

    def fairness(self) -> Mapping[str, str]:
        """Return what this adapter does about each of `schedulers.base.ASPECTS`, in a sentence."""
        ...

    def nodes_needed(self, job: "Job", topology: Topology) -> int:
        """Return how many compute nodes the job asks for.

        Raise WorkloadError, which names the job, where the cluster can never hold it.
        """
        ...

    def for_image(self, facts: ImageFacts) -> "BoundScheduler[P]":
        """Bind the adapter to an image: all that it says from then on obeys these facts.

        Every fact that any member needs is read here. Raise ImageError, which names fact and image,
        for the first that is missing.
        """
        ...


class BoundScheduler(Protocol[P]):
    """An adapter bound to the facts of the image that a cluster's nodes have booted.

    Every command is an argument list without a shell around it. A program above this seam runs it
    over SSH as root, on the head node unless the member says otherwise, and stops waiting for it
    after a time of its own. "Safe to repeat" says that running the command again changes nothing
    that the first run has not changed.
    """

    @property
    def scheduler(self) -> Scheduler[P]:
        """The adapter that was bound: its name, its parameters, its policy."""
        ...

    @property
    def expresses(self) -> frozenset[Lever]:
        """Return what of `Scheduler.expresses` this image has the programs for."""
        ...

    def plan(self, topology: Topology, params: P, secrets: Secrets) -> BootstrapPlan:
        """Return the plan from booted nodes to a cluster whose nodes are all ready for jobs.

        Whoever applies it takes every step on its own node as root. A step whose command exits
        non-zero, or whose probe stays unanswered, ends the trial as `scheduler_failed`. Applying
        a plan again after success changes nothing; after a failure the nodes are thrown away.
        """
        ...

    def reconfigure(self, topology: Topology, params: P) -> BootstrapPlan:
        """Return the plan that gives a cluster other parameters, or fewer nodes.

        It goes out from a cluster that `plan` made, and is applied as `plan` is, under the same
        promises.
        """
        ...

    def smoke_test_command(self, topology: Topology) -> tuple[str, ...]:
        """Return the command that runs a job across all compute nodes of an idle cluster.

        It exits 0 when the job has ended well, and waits for that as long as it is let: the caller
        ends it after the limit of its phase (`phase_limits`). Non-zero means that the cluster can't
        run jobs: it is given up. Safe to try again while no other job is there; each run is a job
        of its own.
        """
        ...

    def submit_command(self, job: "Job", topology: Topology, script: str) -> tuple[str, ...]:
        """Return the command that submits `job`, whose batch script stands at path `script`.

        The agent on the head runs it once, at the job's time. Non-zero means that the job was
        refused: it counts as not submitted. Not safe to repeat: it may make a second job. The agent
        puts in native ids of jobs submitted before (`schedulers.commands.native_id_of`).
        """
        ...

    def parse_submit(self, text: str) -> str:
        """Return the job's native id from the output of `submit_command`.

        Raise ParseError for anything else.
        """
        ...

    def session_command(self) -> tuple[str, ...]:
        """Return a program that stays and submits; nothing where `submit_command` is fast enough.

        The agent on the head starts it once, before the first job. It prints `ready`; then it reads
        paths of scripts, one on a line, and answers each on one line: `0`, a tab and what
        `submit_command` would print, or another number, a tab and the reason of the refusal. It
        ends with its input; an earlier end, whatever its status, leaves the other jobs unsubmitted.
        """
        ...

    def job_script(self, job: "Job", topology: Topology, payload: str) -> bytes:
        """Return the batch script that runs the shell command `payload` once on each of its nodes.

        The scheduler runs it, not we; what `payload` exits with is the job's exit status. Raise
        WorkloadError for a job that doesn't fit.
        """
        ...

    def timed_commands(self, topology: Topology) -> Sequence[TimedCommand]:
        """Return what the agent on the head runs at its time: reservations, and node events.

        Each runs once, as root, before the jobs that arrive at the same moment. Non-zero means that
        the cluster was another than the campaign wants: the trial ends as `scheduler_failed`.
        """
        ...

    def pending_command(self) -> tuple[str, ...]:
        """Return the command that lists the jobs that are not done yet.

        Non-zero means that the scheduler doesn't answer now: its daemons are then checked, and it
        is asked again. Safe to repeat; it is asked every second or two while jobs run.
        """
        ...

    def parse_pending(self, text: str) -> dict[str, str]:
        """Return those jobs by native id, with what each waits for in the scheduler's words.

        The text is empty for a job that runs. Raise ParseError for anything else.
        """
        ...

    def idle_command(self) -> tuple[str, ...]:
        """Return the command that exits 0 when the scheduler has no job left, 1 while it has some.

        Anything else means that the scheduler doesn't answer now, as for `pending_command`. It is
        for a program on the head that can't read what `pending_command` prints. Safe to repeat.
        """
        ...

    def cancel_command(self, native_id: str) -> tuple[str, ...]:
        """Return the command that cancels a job, running or not.

        Non-zero means that the job isn't there any more, or that the scheduler doesn't answer.
        Safe to repeat.
        """
        ...

    def lost_command(self, node: str) -> tuple[str, ...]:
        """Return the command that tells the scheduler that a compute node is gone for good.

        It is what an administrator would do. Non-zero means that the scheduler hasn't heard it: the
        caller runs it again until it has.
        """
        ...

    def accounting_command(self) -> tuple[str, ...]:
        """Return the command that prints the scheduler's own record of finished jobs.

        Non-zero means that what was measured can't be judged: the trial fails. Safe to repeat.
        """
        ...

    def parse_accounting(self, text: str) -> dict[str, NativeTimes]:
        """Return that record by native id; raise ParseError for anything else."""
        ...

    def final_state(self, state: str) -> FinalState:
        """Return how a job ended whose `NativeTimes.state` is this.

        Raise ParseError for a state that no ended job has.
        """
        ...

    def version_command(self) -> tuple[str, ...]:
        """Return the command that prints the scheduler's version.

        Non-zero fails the trial before its workload. Safe to repeat.
        """
        ...

    def parse_version(self, text: str) -> str:
        """Return the version alone, or the text as `schedulers.base.version_in` records it.

        Raise nothing: a version is recorded, and no trial is lost for one that can't be read.
        """
        ...

    def verify_command(self) -> tuple[str, ...]:
        """Return the command that prints the parameters that the running scheduler has.

        Non-zero fails the trial before its workload. Safe to repeat.
        """
        ...

    def parse_config(self, text: str) -> dict[str, Scalar]:
        """Return those parameters under the names of `Params`.

        A parameter that the scheduler doesn't tell is left out. Raise ParseError for anything else.
        """
        ...

    def health_command(self, nodes: Sequence[Node]) -> tuple[str, ...]:
        """Return the command that exits 0 while every daemon of `nodes` is alive.

        All of them are in one VM, where it runs: every ten seconds while jobs run. It asks for
        every unit that the plan starts for these nodes. Non-zero means that a daemon is dead: the
        trial ends as `scheduler_failed`; it should then print which. Safe to repeat; it changes
        nothing. Mind that `systemctl is-active` with several units exits 0 as long as one of them
        is active: `schedulers.systemd.all_active` doesn't.
        """
        ...

    def log_files(self, node: Node) -> Sequence[str]:
        """Return the paths of a node's logs and configuration files that are worth keeping."""
        ...

    def stop_command(self, nodes: Sequence[Node]) -> tuple[str, ...]:
        """Return the command that ends the daemons of compute nodes that a cluster is to lose.

        It runs in the VM that they share with others, before `reconfigure` is applied to the
        smaller cluster. Non-zero gives the cluster up. Safe to repeat.
        """
        ...

    def payload_node(self, topology: Topology) -> str:
        """Return what a shell in a job's payload expands to the name of the node that it runs on.

        That is a word such as `$SLURMD_NODENAME`, to be put in double quotes. Where it expands to
        nothing, the VM's host name is taken: so nothing is needed where no nodes share a VM.
        """
        ...
