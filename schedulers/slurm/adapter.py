"""Slurm behind the scheduler seam: gathers what params, conf, plan, policy and jobs do."""

import secrets as random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from campaign.schema.settings import Scalar
from schedulers.base import (
    BootstrapPlan,
    FinalState,
    NativeTimes,
    PhaseLimits,
    Role,
    Secrets,
    Topology,
    fewest_nodes,
)
from schedulers.facts import ImageFacts
from schedulers.policy import Policy
from schedulers.slurm import jobs, plan
from schedulers.slurm.conf import COMPLETION_LOG, CONTROLLER_LOG, NODE_LOG, SlurmNames
from schedulers.slurm.fairness import FAIRNESS
from schedulers.slurm.params import SlurmParams, parse_config
from schedulers.slurm.policy import policy

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
    launch_latency_s: ClassVar[float] = 5.0
    memory_mib: ClassVar[int] = 256
    phase_limits: ClassVar[PhaseLimits] = PhaseLimits(
        boot_s=60.0, configure_s=60.0, smoke_test_s=60.0
    )

    def make_secrets(self) -> Secrets:
        return Secrets({plan.MUNGE_KEY: random.token_bytes(MUNGE_KEY_BYTES)})

    def policy(self, params: SlurmParams) -> Policy:
        return policy(params)

    def fairness(self) -> Mapping[str, str]:
        return FAIRNESS

    def nodes_needed(self, job: "Job", topology: Topology) -> int:
        return fewest_nodes(job, topology)

    def for_image(self, facts: ImageFacts) -> "BoundSlurm":
        return BoundSlurm(self, SlurmNames.of(facts))


@dataclass(frozen=True)
class BoundSlurm:
    """Slurm on an image with these names; see `schedulers.interface.BoundScheduler`."""

    scheduler: Slurm
    names: SlurmNames

    def plan(self, topology: Topology, params: SlurmParams, secrets: Secrets) -> BootstrapPlan:
        return plan.bootstrap(topology, params, secrets, self.names)

    def reconfigure(self, topology: Topology, params: SlurmParams) -> BootstrapPlan:
        return plan.reconfigure(topology, params, self.names)

    def smoke_test_command(self, topology: Topology) -> tuple[str, ...]:
        count = str(len(topology.compute))
        return ("srun", "--nodes", count, "--ntasks", count, "true")

    def submit_command(self, job: "Job", topology: Topology, script: str) -> tuple[str, ...]:
        return ("sbatch", "--parsable", script)

    def parse_submit(self, text: str) -> str:
        return jobs.parse_submit(text)

    def session_command(self) -> tuple[str, ...]:
        return ()

    def job_script(self, job: "Job", topology: Topology, payload: str) -> bytes:
        return jobs.job_script(job, topology, payload)

    def pending_command(self) -> tuple[str, ...]:
        return plan.client("squeue", "-h", "-o", jobs.PENDING)

    def parse_pending(self, text: str) -> dict[str, str]:
        return jobs.parse_pending(text)

    def cancel_command(self, native_id: str) -> tuple[str, ...]:
        return plan.client("scancel", native_id)

    def lost_command(self, node: str) -> tuple[str, ...]:
        return plan.client("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=lost")

    def accounting_command(self) -> tuple[str, ...]:
        return ("cat", COMPLETION_LOG)

    def parse_accounting(self, text: str) -> dict[str, NativeTimes]:
        return jobs.parse_accounting(text)

    def final_state(self, state: str) -> FinalState:
        return jobs.final_state(state)

    def version_command(self) -> tuple[str, ...]:
        return ("sinfo", "--version")

    def parse_version(self, text: str) -> str:
        return jobs.parse_version(text)

    def verify_command(self) -> tuple[str, ...]:
        return plan.client("scontrol", "show", "config")

    def parse_config(self, text: str) -> dict[str, Scalar]:
        return parse_config(text)

    def health_commands(self, role: Role) -> Sequence[tuple[str, ...]]:
        daemon = self.names.controller_unit if role == "head" else self.names.node_unit
        return [
            ("systemctl", "is-active", "--quiet", unit) for unit in (self.names.munge_unit, daemon)
        ]

    def log_files(self, role: Role) -> Sequence[str]:
        if role == "head":
            return (CONTROLLER_LOG, COMPLETION_LOG, self.names.conf)
        return (NODE_LOG,)
