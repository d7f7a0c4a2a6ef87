"""Slurm behind the scheduler seam: gathers what params, conf, plan, policy and jobs do."""

import secrets as random
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from campaign.schema.settings import Scalar
from schedulers.base import (
    BootstrapPlan,
    Facts,
    Fate,
    NativeTimes,
    Params,
    Role,
    Secrets,
    Topology,
    fewest_nodes,
)
from schedulers.policy import Policy
from schedulers.slurm import jobs, params, plan, policy
from schedulers.slurm.conf import COMPLETION_LOG, CONTROLLER_LOG, DEFAULT_FACTS, NODE_LOG
from schedulers.slurm.fairness import FAIRNESS

if TYPE_CHECKING:
    from campaign.core.jobs import Job

MUNGE_KEY_BYTES = 128


class Slurm:
    """The adapter; see `schedulers.base.Scheduler` for what each member promises."""

    name: ClassVar[str] = "slurm"
    image: ClassVar[str] = "slurm"
    Params: ClassVar[type[Params]] = params.SlurmParams
    log_files: ClassVar[Mapping[Role, Sequence[str]]] = {
        "head": (CONTROLLER_LOG, COMPLETION_LOG, DEFAULT_FACTS["slurm.conf"]),
        "compute": (NODE_LOG,),
    }
    resolution_s: ClassVar[float] = 1.0
    gangs: ClassVar[bool] = True
    launching_s: ClassVar[float] = 5.0
    memory_mib: ClassVar[int] = 256

    def make_secrets(self) -> Secrets:
        return Secrets({plan.MUNGE_KEY: random.token_bytes(MUNGE_KEY_BYTES)})

    def plan(
        self, topology: Topology, params: params.SlurmParams, secrets: Secrets, facts: Facts
    ) -> BootstrapPlan:
        return plan.bootstrap(topology, params, secrets, facts)

    def reconfigure(
        self, topology: Topology, params: params.SlurmParams, facts: Facts
    ) -> BootstrapPlan:
        return plan.reconfigure(topology, params, facts)

    def policy(self, params: params.SlurmParams) -> Policy:
        return policy.policy(params)

    def fairness(self) -> Mapping[str, str]:
        return FAIRNESS

    def rehearsal_command(self, topology: Topology) -> tuple[str, ...]:
        count = str(len(topology.compute))
        return (
            "timeout",
            str(plan.REHEARSAL_TIMEOUT_S),
            "srun",
            "--nodes",
            count,
            "--ntasks",
            count,
            "true",
        )

    def nodes_needed(self, job: "Job", topology: Topology) -> int:
        return fewest_nodes(job, topology)

    def submit_command(self, job: "Job", topology: Topology, script: str) -> tuple[str, ...]:
        return ("sbatch", "--parsable", script)

    def session_command(self) -> tuple[str, ...]:
        return ()

    def job_script(self, job: "Job", topology: Topology, payload: str) -> bytes:
        return jobs.job_script(job, topology, payload)

    def parse_submit(self, text: str) -> str:
        return jobs.parse_submit(text)

    def pending_command(self) -> tuple[str, ...]:
        return plan.client("squeue", "-h", "-o", jobs.PENDING)

    def parse_pending(self, text: str) -> dict[str, str]:
        return jobs.parse_pending(text)

    def cancel_command(self, native_id: str) -> tuple[str, ...]:
        return plan.client("scancel", native_id)

    def lost_command(self, node: str) -> tuple[str, ...]:
        return plan.client("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=lost")

    def fate(self, state: str) -> Fate:
        return jobs.fate(state)

    def accounting_command(self) -> tuple[str, ...]:
        return ("cat", COMPLETION_LOG)

    def parse_accounting(self, text: str) -> dict[str, NativeTimes]:
        return jobs.parse_accounting(text)

    def version_command(self) -> tuple[str, ...]:
        return ("sinfo", "--version")

    def parse_version(self, text: str) -> str:
        return jobs.parse_version(text)

    def health_commands(self, role: Role) -> Iterable[tuple[str, ...]]:
        units = ("unit.munge", "unit.slurmctld" if role == "head" else "unit.slurmd")
        return [("systemctl", "is-active", "--quiet", DEFAULT_FACTS[unit]) for unit in units]

    def verify_command(self) -> tuple[str, ...]:
        """Prints the parameters that the running scheduler has."""
        return plan.client("scontrol", "show", "config")

    def parse_config(self, text: str) -> dict[str, Scalar]:
        """Those parameters under the names of `Params`, absent flags as False."""
        return params.parse_config(text)
