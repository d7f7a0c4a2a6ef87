"""Slurm behind the scheduler seam: gathers what its other modules do."""

import secrets as random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from campaign.core.levers import Lever
from campaign.schema.settings import Scalar
from schedulers import systemd
from schedulers.base import (
    BootstrapPlan,
    FinalState,
    LaunchLimit,
    NativeTimes,
    Node,
    PhaseLimits,
    Secrets,
    TimedCommand,
    Topology,
)
from schedulers.commands import prints_nothing
from schedulers.facts import ImageFacts
from schedulers.fitting import fewest_nodes
from schedulers.job_log import JobLog
from schedulers.policy import Policy
from schedulers.site_settings import SiteChange, SiteCluster, SiteFiles, SiteSettings
from schedulers.slurm import accounts, database, job_log, job_options, jobs, plan, timeline
from schedulers.slurm.cluster_conf import EXPRESSED, WHOLE
from schedulers.slurm.conf import COMPLETION_LOG, CONTROLLER_LOG, NODE_LOG, SlurmNames, node_log
from schedulers.slurm.fairness import FAIRNESS
from schedulers.slurm.params import SlurmParams, parse_config
from schedulers.slurm.policy import policy
from schedulers.slurm.shares import ShareParams
from schedulers.slurm.site import read_site
from schedulers.slurm.site_change import changed_site
from schedulers.slurm.site_cluster import read_cluster

if TYPE_CHECKING:
    from campaign.core.jobs import Job

MUNGE_KEY_BYTES = 128


class Slurm:
    """The adapter; see `schedulers.interface.Scheduler` for what each member promises."""

    name: ClassVar[str] = "slurm"
    image: ClassVar[str] = "slurm"
    Params: ClassVar[type[SlurmParams]] = SlurmParams
    resolution_s: ClassVar[float] = 1.0
    gangs: ClassVar[bool] = True
    expresses: ClassVar[frozenset[Lever]] = EXPRESSED | database.LEVERS
    images: ClassVar[Mapping[Lever, str]] = dict.fromkeys(database.LEVERS, "slurm-accounting")
    acts_with: ClassVar[Mapping[str, frozenset[Lever]]] = dict.fromkeys(
        ShareParams.model_fields, frozenset({Lever.ACCOUNTS, Lever.QOS})
    )
    launch_limit: ClassVar[LaunchLimit] = LaunchLimit(5.0, at_once=4)
    memory_mib: ClassVar[int] = 256
    shared_node_mib: ClassVar[int] = 16
    stand_ins: ClassVar[str] = ""
    site_file: ClassVar[str] = "slurm.conf"
    phase_limits: ClassVar[PhaseLimits] = PhaseLimits(
        boot_s=60.0, configure_s=60.0, smoke_test_s=60.0
    )

    def make_secrets(self, draw: Callable[[int], bytes] = random.token_bytes) -> Secrets:
        """Draw munge's key."""
        return Secrets({plan.MUNGE_KEY: draw(MUNGE_KEY_BYTES)})

    def policy(self, params: SlurmParams) -> Policy:
        """Return what slurmctld with these parameters does in a simulation."""
        return policy(params)

    def fairness(self) -> Mapping[str, str]:
        """Return Slurm's answers to the aspects of a comparison."""
        return FAIRNESS

    def nodes_needed(self, job: "Job", topology: Topology) -> int:
        """Return the fewest nodes that hold the job; raise WorkloadError where there are none."""
        return fewest_nodes(job, topology)

    def read_site(self, file: Path) -> SiteSettings:
        """Return what a site's slurm.conf says."""
        return read_site(file)

    def read_site_cluster(self, files: SiteFiles) -> SiteCluster:
        """Return the cluster of a site's slurm.conf, gres.conf and dumps."""
        return read_cluster(files)

    def changed_site(self, file: Path, params: Mapping[str, Scalar]) -> SiteChange:
        """Return the change of a site's slurm.conf by which it would have these parameters."""
        return changed_site(file, params)

    def for_image(self, facts: ImageFacts) -> "BoundSlurm":
        """Bind the adapter to paths, unit names and munge's user of an image."""
        return BoundSlurm(self, SlurmNames.of(facts))


@dataclass(frozen=True)
class BoundSlurm:
    """Slurm on an image with these names; see `schedulers.interface.BoundScheduler`."""

    scheduler: Slurm
    names: SlurmNames

    @property
    def expresses(self) -> frozenset[Lever]:
        """Return what the adapter expresses, without what takes slurmdbd where that is missing."""
        without = frozenset() if self.names.accounting else database.LEVERS
        return self.scheduler.expresses - without

    def plan(self, topology: Topology, params: SlurmParams, secrets: Secrets) -> BootstrapPlan:
        """Return the plan: munge and the controller, then the nodes' daemons."""
        return plan.bootstrap(topology, params, secrets, self.names)

    def reconfigure(self, topology: Topology, params: SlurmParams) -> BootstrapPlan:
        """Return the plan that gives the controller another slurm.conf."""
        return plan.reconfigure(topology, params, self.names)

    def smoke_test_command(self, topology: Topology) -> tuple[str, ...]:
        """Run `true` on every node by srun, which waits for it."""
        count = str(len(topology.compute))
        where = ("--partition", WHOLE) if topology.model.partitions else ()
        return ("srun", *where, "--nodes", count, "--ntasks", count, "true")

    def submit_command(self, job: "Job", topology: Topology, script: str) -> tuple[str, ...]:
        """Run sbatch, which prints the job's id, as the job's user where it has one."""
        return job_options.submit_command(job, topology, script)

    def array_payload(self, payloads: Sequence[str]) -> str:
        """Have the shell choose by the number of the task that slurmd gives."""
        return job_options.array_payload(payloads)

    def submit_array_commands(
        self, tasks: "Sequence[Job]", topology: Topology, script: str
    ) -> Sequence[tuple[str, ...]]:
        """Run sbatch --array with the first task, and name the others after what it prints."""
        return job_options.submit_array_commands(tasks, topology, script)

    def parse_submit(self, text: str) -> str:
        """Return the id that sbatch prints."""
        return jobs.parse_submit(text)

    def session_command(self) -> tuple[str, ...]:
        """Return nothing: sbatch is fast enough."""
        return ()

    def job_script(self, job: "Job", topology: Topology, payload: str) -> bytes:
        """Return the batch script, with its options in #SBATCH lines."""
        return jobs.job_script(job, topology, payload)

    def timed_commands(self, topology: Topology) -> Sequence[TimedCommand]:
        """Make the reservations at once, and have scontrol change nodes at their times."""
        return tuple(timeline.timed_commands(topology))

    def pending_command(self) -> tuple[str, ...]:
        """Ask squeue for id, state and reason, of each task of an array."""
        return plan.client("squeue", "-h", "-r", "-o", jobs.PENDING)

    def parse_pending(self, text: str) -> dict[str, str]:
        """Return the jobs that squeue lists, with their reasons."""
        return jobs.parse_pending(text)

    def idle_command(self) -> tuple[str, ...]:
        """Ask whether `pending_command` prints nothing."""
        return prints_nothing(self.pending_command())

    def cancel_command(self, native_id: str) -> tuple[str, ...]:
        """Run scancel."""
        return plan.client("scancel", native_id)

    def lost_command(self, node: str) -> tuple[str, ...]:
        """Mark the node as down by scontrol."""
        # Slurm takes a node down only with a reason.
        return plan.client("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=lost")

    def accounting_command(self) -> tuple[str, ...]:
        """Print slurmdbd's accounts by sacct, or else the controller's completion log."""
        if self.names.accounting:
            return accounts.command()
        return ("cat", COMPLETION_LOG)

    def parse_accounting(self, text: str) -> dict[str, NativeTimes]:
        """Return the jobs of slurmdbd's accounts, or else of the completion log."""
        if self.names.accounting:
            return accounts.parse(text)
        return jobs.parse_accounting(text)

    def job_log(self, started_file: str) -> JobLog | None:
        """Have sacct write what a site's log has, where slurmdbd keeps the accounts."""
        return job_log.job_log(started_file) if self.names.accounting else None

    def final_state(self, state: str) -> FinalState:
        """Return how a job ended, by the first word of its state."""
        return jobs.final_state(state)

    def version_command(self) -> tuple[str, ...]:
        """Ask sinfo for its version."""
        return ("sinfo", "--version")

    def parse_version(self, text: str) -> str:
        """Return the version of slurm-wlm."""
        return jobs.parse_version(text)

    def verify_command(self) -> tuple[str, ...]:
        """Ask the controller for its configuration."""
        return plan.client("scontrol", "show", "config")

    def parse_config(self, text: str) -> dict[str, Scalar]:
        """Return the parameters of the controller's configuration."""
        return parse_config(text)

    def health_command(self, nodes: Sequence[Node]) -> tuple[str, ...]:
        """Ask systemd for munge, the nodes' daemons, and the head's slurmdbd and database."""
        on_head = any(node.role == "head" for node in nodes)
        accounting = self.names.accounting.units if self.names.accounting and on_head else ()
        daemons = map(self.names.daemon, nodes)
        return systemd.all_active([self.names.munge_unit, *accounting, *daemons])

    def log_files(self, node: Node) -> Sequence[str]:
        """Return the log of the node's daemon, and the head's slurm.conf."""
        if node.role == "head":
            own = (CONTROLLER_LOG, COMPLETION_LOG, self.names.conf)
            return (*own, database.DBD_LOG) if self.names.accounting else own
        return (node_log(node.name) if node.guest else NODE_LOG,)

    def stop_command(self, nodes: Sequence[Node]) -> tuple[str, ...]:
        """Stop the nodes' daemons."""
        return systemd.stop([*map(self.names.daemon, nodes)])

    def payload_node(self, topology: Topology) -> str:
        """Return the variable that slurmd sets for batch scripts and tasks."""
        return "$SLURMD_NODENAME"
