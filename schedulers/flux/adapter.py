"""Flux behind the scheduler seam: gathers what params, conf, plan, policy and jobs do."""

import shlex
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
from schedulers.flux import jobs, params, plan, policy
from schedulers.flux.conf import (
    BROKER_LOG,
    CLUSTER_CONF,
    DEFAULT_FACTS,
    SCHEDULER_CONF,
    UNIT,
    certificate,
)
from schedulers.flux.fairness import FAIRNESS
from schedulers.policy import Policy

if TYPE_CHECKING:
    from campaign.core.jobs import Job

FLUX = DEFAULT_FACTS["flux.program"]


class Flux:
    """The adapter; see `schedulers.base.Scheduler` for what each member promises."""

    name: ClassVar[str] = "flux"
    image: ClassVar[str] = "flux"
    Params: ClassVar[type[Params]] = params.FluxParams
    log_files: ClassVar[Mapping[Role, Sequence[str]]] = {
        "head": (BROKER_LOG, CLUSTER_CONF, SCHEDULER_CONF),
        "compute": (BROKER_LOG,),
    }
    resolution_s: ClassVar[float] = 0.001
    gangs: ClassVar[bool] = True
    launching_s: ClassVar[float] = 5.0
    memory_mib: ClassVar[int] = 256

    def make_secrets(self) -> Secrets:
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        key = X25519PrivateKey.generate()
        return Secrets(
            {plan.CURVE: certificate(key.private_bytes_raw(), key.public_key().public_bytes_raw())}
        )

    def plan(
        self, topology: Topology, params: params.FluxParams, secrets: Secrets, facts: Facts
    ) -> BootstrapPlan:
        return plan.bootstrap(topology, params, secrets, facts)

    def reconfigure(
        self, topology: Topology, params: params.FluxParams, facts: Facts
    ) -> BootstrapPlan:
        return plan.reconfigure(topology, params, facts)

    def policy(self, params: params.FluxParams) -> Policy:
        return policy.policy(params)

    def fairness(self) -> Mapping[str, str]:
        return FAIRNESS

    def rehearsal_command(self, topology: Topology) -> tuple[str, ...]:
        spec = shlex.quote(jobs.rehearsal(topology).decode())
        line = (
            f"job=$({FLUX} job submit <<<{spec}) && exec timeout {plan.REHEARSAL_TIMEOUT_S} "
            f"{FLUX} job attach $job"
        )
        return plan.as_owner(DEFAULT_FACTS, "bash", "-c", line)

    def nodes_needed(self, job: "Job", topology: Topology) -> int:
        return fewest_nodes(job, topology)

    def submit_command(self, job: "Job", topology: Topology, script: str) -> tuple[str, ...]:
        return plan.as_owner(DEFAULT_FACTS, FLUX, "job", "submit", script)

    def session_command(self) -> tuple[str, ...]:
        return plan.as_owner(DEFAULT_FACTS, FLUX, "python", "-u", "-c", jobs.SESSION)

    def job_script(self, job: "Job", topology: Topology, payload: str) -> bytes:
        return jobs.jobspec(job, topology, payload)

    def parse_submit(self, text: str) -> str:
        return jobs.parse_submit(text)

    def pending_command(self) -> tuple[str, ...]:
        return (FLUX, "job", "list", f"--user={DEFAULT_FACTS['flux.user']}")

    def parse_pending(self, text: str) -> dict[str, str]:
        return jobs.parse_pending(text)

    def cancel_command(self, native_id: str) -> tuple[str, ...]:
        return (FLUX, "job", "raise", "--type=cancel", "--severity=0", native_id)

    def lost_command(self, node: str) -> tuple[str, ...]:
        return (FLUX, "overlay", "disconnect", node)

    def fate(self, state: str) -> Fate:
        return jobs.fate(state)

    def accounting_command(self) -> tuple[str, ...]:
        return (FLUX, "job", "list-inactive")

    def parse_accounting(self, text: str) -> dict[str, NativeTimes]:
        return jobs.parse_accounting(text)

    def version_command(self) -> tuple[str, ...]:
        return (FLUX, "version")

    def parse_version(self, text: str) -> str:
        return jobs.parse_version(text)

    def health_commands(self, role: Role) -> Iterable[tuple[str, ...]]:
        return [("systemctl", "is-active", "--quiet", UNIT)]

    def verify_command(self) -> tuple[str, ...]:
        asked = shlex.join((FLUX, "python", "-c", plan.VERIFY))
        logged = f"{{ {FLUX} dmesg | grep -a 'ready: queue-depth=' | tail -n 1; }}"
        return ("bash", "-c", f"{asked} && {logged}")

    def parse_config(self, text: str) -> dict[str, Scalar]:
        return params.parse_config(text)
