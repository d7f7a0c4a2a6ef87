"""Flux behind the scheduler seam: gathers what its other modules do."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from secrets import token_bytes
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
from schedulers.fitting import fewest_equal_nodes
from schedulers.flux import jobs, plan, submission, timeline
from schedulers.flux.conf import (
    CLUSTER_CONF,
    SCHEDULER_CONF,
    FluxNames,
    certificate,
    log_of,
    unit_of,
)
from schedulers.flux.fairness import FAIRNESS
from schedulers.flux.params import FluxParams, parse_config
from schedulers.flux.policy import policy
from schedulers.flux.queues import EXPRESSED
from schedulers.policy import Policy

if TYPE_CHECKING:
    from campaign.core.jobs import Job


class Flux:
    """The adapter; see `schedulers.interface.Scheduler` for what each member promises."""

    name: ClassVar[str] = "flux"
    image: ClassVar[str] = "flux"
    Params: ClassVar[type[FluxParams]] = FluxParams
    resolution_s: ClassVar[float] = 0.001
    gangs: ClassVar[bool] = True
    expresses: ClassVar[frozenset[Lever]] = EXPRESSED
    images: ClassVar[Mapping[Lever, str]] = {}
    acts_with: ClassVar[Mapping[str, frozenset[Lever]]] = {}
    launch_limit: ClassVar[LaunchLimit] = LaunchLimit(5.0, at_once=4)
    memory_mib: ClassVar[int] = 256
    shared_node_mib: ClassVar[int] = 32
    stand_ins: ClassVar[str] = ""
    phase_limits: ClassVar[PhaseLimits] = PhaseLimits(
        boot_s=60.0, configure_s=60.0, smoke_test_s=60.0
    )

    def make_secrets(self, draw: Callable[[int], bytes] = token_bytes) -> Secrets:
        """Draw a CURVE certificate."""
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        key = X25519PrivateKey.from_private_bytes(draw(32))
        return Secrets(
            {plan.CURVE: certificate(key.private_bytes_raw(), key.public_key().public_bytes_raw())}
        )

    def policy(self, params: FluxParams) -> Policy:
        """Return what Flux with these parameters does in a simulation."""
        return policy(params)

    def fairness(self) -> Mapping[str, str]:
        """Return Flux's answers to the aspects of a comparison."""
        return FAIRNESS

    def nodes_needed(self, job: "Job", topology: Topology) -> int:
        """Return the fewest nodes that hold equal parts of the job.

        Raise WorkloadError where there are none.
        """
        return fewest_equal_nodes(job, topology)

    def for_image(self, facts: ImageFacts) -> "BoundFlux":
        """Bind the adapter to the owner and the program of an image."""
        return BoundFlux(self, FluxNames.of(facts))


@dataclass(frozen=True)
class BoundFlux:
    """Flux on an image with these names; see `schedulers.interface.BoundScheduler`."""

    scheduler: Flux
    names: FluxNames

    @property
    def expresses(self) -> frozenset[Lever]:
        """Return what the adapter expresses: each image of its has the programs for that."""
        return self.scheduler.expresses

    def plan(self, topology: Topology, params: FluxParams, secrets: Secrets) -> BootstrapPlan:
        """Return the plan: a broker on every node, the scheduler's settings on the head."""
        return plan.bootstrap(topology, params, secrets, self.names)

    def reconfigure(self, topology: Topology, params: FluxParams) -> BootstrapPlan:
        """Return the plan that loads another scheduler, or restarts the brokers."""
        return plan.reconfigure(topology, params, self.names)

    def smoke_test_command(self, topology: Topology) -> tuple[str, ...]:
        """Submit a job across all nodes, and attach to it until it has ended."""
        spec = shlex.quote(jobs.smoke_test(topology).decode())
        line = (
            f"job=$({self.names.program} job submit <<<{spec}) && "
            f"exec {self.names.program} job attach $job"
        )
        return self._as_owner("bash", "-c", line)

    def submit_command(self, job: "Job", topology: Topology, script: str) -> tuple[str, ...]:
        """Submit a jobspec as the instance's owner."""
        return self._as_owner(*submission.submit_command(job, topology, script, self.names.program))

    def parse_submit(self, text: str) -> str:
        """Return the job's id as a decimal number."""
        return jobs.parse_submit(text)

    def session_command(self) -> tuple[str, ...]:
        """Run `submission.SESSION` in Flux's Python, as the instance's owner."""
        return self._as_owner(self.names.program, "python", "-u", "-c", submission.SESSION)

    def job_script(self, job: "Job", topology: Topology, payload: str) -> bytes:
        """Return the job's jobspec."""
        return jobs.jobspec(job, topology, payload)

    def timed_commands(self, topology: Topology) -> Sequence[TimedCommand]:
        """Drain nodes, end their jobs and use them again at their times."""
        return tuple(timeline.timed_commands(topology, self.names.program))

    def pending_command(self) -> tuple[str, ...]:
        """List the owner's jobs that aren't done."""
        return (self.names.program, "job", "list", f"--user={self.names.user}")

    def parse_pending(self, text: str) -> dict[str, str]:
        """Return those jobs, with the state or reason for which they wait."""
        return jobs.parse_pending(text)

    def idle_command(self) -> tuple[str, ...]:
        """Ask whether `pending_command` prints nothing."""
        return prints_nothing(self.pending_command())

    def cancel_command(self, native_id: str) -> tuple[str, ...]:
        """Raise a fatal exception of type cancel on the job."""
        return (self.names.program, "job", "raise", "--type=cancel", "--severity=0", native_id)

    def lost_command(self, node: str) -> tuple[str, ...]:
        """Disconnect the node's broker from the others."""
        return (self.names.program, "overlay", "disconnect", node)

    def accounting_command(self) -> tuple[str, ...]:
        """List the jobs that are done."""
        return (self.names.program, "job", "list-inactive")

    def parse_accounting(self, text: str) -> dict[str, NativeTimes]:
        """Return the jobs that are done, with the times of their event logs."""
        return jobs.parse_accounting(text)

    def final_state(self, state: str) -> FinalState:
        """Return how a job ended, by its result."""
        return jobs.final_state(state)

    def version_command(self) -> tuple[str, ...]:
        """Ask for the versions of Flux's parts."""
        return (self.names.program, "version")

    def parse_version(self, text: str) -> str:
        """Return the version of flux-core."""
        return jobs.parse_version(text)

    def verify_command(self) -> tuple[str, ...]:
        """Ask for the modules' parameters, and for what flux-core's schedulers logged."""
        flux = self.names.program
        asked = shlex.join((flux, "python", "-c", plan.VERIFY))
        logged = f"{{ {flux} dmesg | grep -a 'ready: queue-depth=' | tail -n 1; }}"
        return ("bash", "-c", f"{asked} && {logged}")

    def parse_config(self, text: str) -> dict[str, Scalar]:
        """Return those parameters."""
        return parse_config(text)

    def health_command(self, nodes: Sequence[Node]) -> tuple[str, ...]:
        """Ask systemd for the brokers of the nodes."""
        return systemd.all_active([*map(unit_of, nodes)])

    def stop_command(self, nodes: Sequence[Node]) -> tuple[str, ...]:
        """Stop the brokers of the nodes."""
        return systemd.stop([*map(unit_of, nodes)])

    def payload_node(self, topology: Topology) -> str:
        """Return the last word of the address of the node's broker, where nodes share a VM."""
        return "${FLUX_URI##*/}" if topology.dense else ""

    def log_files(self, node: Node) -> Sequence[str]:
        """Return the broker's log, and the head's configuration."""
        if node.role == "head":
            return (log_of(node), CLUSTER_CONF, SCHEDULER_CONF)
        return (log_of(node),)

    def _as_owner(self, *command: str) -> tuple[str, ...]:
        # Nobody but the instance's owner may submit. Without a login session, which would take
        # long.
        user = self.names.user
        return (
            "setpriv",
            f"--reuid={user}",
            f"--regid={user}",
            "--clear-groups",
            "--reset-env",
            *command,
        )
