"""What adapters of schedulers for Kubernetes have in common, behind the scheduler seam."""

import json
import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from secrets import token_bytes
from typing import TYPE_CHECKING, Any, ClassVar, Generic

from campaign.core.levers import Lever
from campaign.schema.settings import Scalar
from schedulers import systemd
from schedulers._kubernetes import (
    access,
    accounts,
    daemons,
    dense,
    plan,
    pods,
    session,
    timeline,
    wishes,
)
from schedulers._kubernetes.access import curl, url
from schedulers._kubernetes.offers import SLOT
from schedulers._kubernetes.ranks import class_of
from schedulers._kubernetes.wishes import JobPods
from schedulers.base import (
    BootstrapPlan,
    FinalState,
    LaunchLimit,
    NativeTimes,
    Node,
    ParseError,
    PhaseLimits,
    Role,
    Secrets,
    TimedCommand,
    Topology,
)
from schedulers.fitting import fewest_equal_nodes
from schedulers.interface import P
from schedulers.policy import Policy

if TYPE_CHECKING:
    from campaign.core.jobs import Job

DEFAULT_QUEUE = "default"
_UNITS: dict[Role, tuple[str, ...]] = {
    "head": (daemons.ETCD, daemons.API_SERVER, daemons.RENDEZVOUS),
    "compute": (daemons.CONTAINERD, daemons.KUBELET),
}


EXPRESSED = frozenset(
    {
        Lever.UNLIKE_NODES,
        Lever.MEMORY,
        Lever.GPUS,
        Lever.FEATURES,
        Lever.PARTITIONS,
        Lever.PARTITION_PRIORITY,
        Lever.USERS,
        Lever.QOS,
        Lever.NODE_EVENTS,
        Lever.NODE_COUNTS,
        Lever.EXCLUSIVE,
    }
)
"""What every scheduler for Kubernetes can be told."""


class Kubernetes(ABC, Generic[P]):
    """The unbound members that adapters share; see `schedulers.interface.Scheduler`.

    The image `kubernetes` has no facts: its plans bring every unit along, and name programs by
    their paths in `/usr/bin`, which both builders keep.
    """

    image: ClassVar[str] = "kubernetes"
    resolution_s: ClassVar[float] = 1.0
    expresses: ClassVar[frozenset[Lever]] = EXPRESSED
    images: ClassVar[Mapping[Lever, str]] = {}
    acts_with: ClassVar[Mapping[str, frozenset[Lever]]] = {}
    launch_limit: ClassVar[LaunchLimit] = LaunchLimit(60.0, at_once=2)
    memory_mib: ClassVar[int] = 1536
    shared_node_mib: ClassVar[int] = 16
    stand_ins: ClassVar[str] = "kubelets, container runtimes, networks of pods"
    phase_limits: ClassVar[PhaseLimits] = PhaseLimits(
        boot_s=60.0, configure_s=120.0, smoke_test_s=120.0
    )

    def make_secrets(self, draw: Callable[[int], bytes] = token_bytes) -> Secrets:
        """Draw the API server's key and what all tokens are made from."""
        return access.secrets_of(draw)

    @abstractmethod
    def policy(self, params: P) -> Policy:
        """Return what the subclass's scheduler does in a simulation."""

    def nodes_needed(self, job: "Job", topology: Topology) -> int:
        """Return the fewest nodes that hold equal parts of the job, a pod each.

        Raise WorkloadError where there are none.
        """
        return fewest_equal_nodes(job, topology)


class BoundKubernetes(ABC, Generic[P]):
    """The bound members that adapters share; see `schedulers.interface.BoundScheduler`.

    A subclass says where the API has its jobs (`jobs_path`), which states of a job are final
    (`ended`: how it ended, or None where its pods must tell), which units schedule on the head
    (`units`), of what its control consists, and how its jobs are written.
    """

    jobs_path: ClassVar[str]
    ended: ClassVar[Mapping[str, FinalState | None]]
    units: ClassVar[tuple[str, ...]]
    scheduler: Kubernetes[P]

    @property
    def expresses(self) -> frozenset[Lever]:
        """Return what the adapter expresses: its image has the programs for all of that."""
        return self.scheduler.expresses

    @abstractmethod
    def control(self, params: P, topology: Topology) -> plan.Control:
        """Return what schedules on this cluster, with these parameters."""

    @abstractmethod
    def manifest(self, pods: JobPods, queue: str) -> dict[str, Any]:
        """Return the job of these pods; `queue` is where it waits, if anything has queues."""

    def queue_of(self, job: "Job", topology: Topology) -> str:
        """Return the queue in which the job waits: the only one, by default."""
        return DEFAULT_QUEUE

    @abstractmethod
    def parse_config(self, text: str) -> dict[str, Scalar]:
        """Return the scheduler's parameters, from what the verify command prints."""

    def plan(self, topology: Topology, params: P, secrets: Secrets) -> BootstrapPlan:
        """Return the plan: API server and nodes, controllers, slots, the scheduler."""
        return plan.bootstrap(topology, secrets, self.control(params, topology))

    def reconfigure(self, topology: Topology, params: P) -> BootstrapPlan:
        """Return the plan that restarts the scheduler; the API server forgets lost nodes."""
        return plan.reconfigure(topology, self.control(params, topology))

    def smoke_test_command(self, topology: Topology) -> tuple[str, ...]:
        """Create a job with a pod for each node, and ask until it has completed."""
        everywhere = JobPods("NAME", "true", ({SLOT: 1},) * len(topology.compute))
        spec = json.dumps(self.manifest(everywhere, DEFAULT_QUEUE), sort_keys=True)
        done = "|".join(f'"{state}"' for state, end in self.ended.items() if end == "completed")
        post = shlex.join(curl("-o", "/dev/null", "-H", "Content-Type: application/json", "-d"))
        ask = shlex.join(curl("-H", accounts.TABLE))
        line = (
            # With the time in its name: a restored cluster already has its golden cluster's smoke
            # test.
            f"name=smoke-test-$EPOCHSECONDS; spec={shlex.quote(spec)}; "
            f'{post} "${{spec//NAME/$name}}" {url(self.jobs_path)} && '
            f"until {ask} {url(self.jobs_path)}/$name?includeObject=None | grep -qE '{done}'; do "
            "sleep 0.5; done"
        )
        return ("bash", "-c", line)

    def submit_command(self, job: "Job", topology: Topology, script: str) -> tuple[str, ...]:
        """Send the manifest to the API server, and print the job's name."""
        user = job.traits.user_name
        post = curl(
            "-o",
            "/dev/null",
            *(("-H", f"Impersonate-User: {user}") if user else ()),
            "-H",
            "Content-Type: application/json",
            "--data-binary",
            f"@{script}",
            url(self.jobs_path),
        )
        return ("bash", "-c", f"{shlex.join(post)} && echo {pods.name_of(job)}")

    def session_command(self) -> tuple[str, ...]:
        """Run `session.py`, which submits over one connection."""
        # -u, so that no answer waits in a buffer.
        return ("python3", "-u", daemons.SESSION_PROGRAM, access.KUBECONFIG, self.jobs_path)

    def job_script(self, job: "Job", topology: Topology, payload: str) -> bytes:
        """Return the job's manifest as JSON."""
        nodes = fewest_equal_nodes(job, topology)
        name = pods.name_of(job)
        asked = wishes.requests(job, nodes)
        rank = class_of(job, topology)
        affinity = wishes.placement(job, name, topology, asked)
        spec = {"affinity": affinity} if affinity else {}
        made = JobPods(
            name,
            pods.command(job, topology, nodes, payload),
            asked,
            spec | ({"priorityClassName": rank} if rank else {}),
        )
        manifest = self.manifest(made, self.queue_of(job, topology))
        if user := job.traits.user_name:
            # By it, whoever submits knows whose the job is.
            manifest["metadata"]["annotations"] = {session.USER: user}
        return json.dumps(manifest, sort_keys=True).encode()

    def parse_submit(self, text: str) -> str:
        """Return the job's name."""
        return accounts.parse_name(text)

    def timed_commands(self, topology: Topology) -> Sequence[TimedCommand]:
        """Cordon nodes, end their pods and use them again at their times."""
        return tuple(timeline.timed_commands(topology))

    def pending_command(self) -> tuple[str, ...]:
        """Ask for all jobs, and for the pods that are pending."""
        return accounts.jobs_command(self.jobs_path, "?fieldSelector=status.phase%3DPending")

    def parse_pending(self, text: str) -> dict[str, str]:
        """Return the jobs that aren't done, with what a pod of each waits for."""
        return accounts.parse_pending(text, self.ended)

    def idle_command(self) -> tuple[str, ...]:
        """Look for a job that isn't done in the table of all jobs."""
        return accounts.idle_command(self.jobs_path, tuple(self.ended))

    def lost_command(self, node: str) -> tuple[str, ...]:
        """Delete the node and, without grace, its pods."""
        lines = (
            shlex.join((*timeline.delete(), url(f"{plan.NODES}/{node}"))),
            shlex.join(timeline.delete_pods_of(node)),
        )
        return ("bash", "-c", " && ".join(lines))

    def final_state(self, state: str) -> FinalState:
        """Return how a job ended, by its own state or that of its pods."""
        return accounts.final_state(state, self.ended)

    def accounting_command(self) -> tuple[str, ...]:
        """Ask for all jobs and all pods."""
        return accounts.jobs_command(self.jobs_path)

    def parse_accounting(self, text: str) -> dict[str, NativeTimes]:
        """Return the times of jobs that are done, from their pods' conditions."""
        return accounts.parse_accounting(text, self.ended)

    def health_command(self, nodes: Sequence[Node]) -> tuple[str, ...]:
        """Ask systemd for all daemons of the nodes at once."""
        return systemd.all_active([unit for node in nodes for unit in self._units(node)])

    def log_files(self, node: Node) -> Sequence[str]:
        """Return the file of each daemon of the node; of the stand-in's, for the head."""
        if node.guest and node.role == "compute":
            return ()
        return [daemons.log(unit) for unit in self._units(node)]

    def stop_command(self, nodes: Sequence[Node]) -> tuple[str, ...]:
        """Stop the daemons of the nodes; those that have only a stand-in are forgotten."""
        if any(node.guest for node in nodes):
            return plan.forget(nodes)
        return systemd.stop([unit for node in nodes for unit in self._units(node)])

    def payload_node(self, topology: Topology) -> str:
        """Return the variable that each pod has for its node's name."""
        return f"${pods.NODE}"

    def _units(self, node: Node) -> tuple[str, ...]:
        standing_in = (dense.KUBELETS,) if node.guest else ()
        if node.role == "head":
            return (*_UNITS["head"], *standing_in, *self.units)
        return standing_in or _UNITS["compute"]


def parsed(what: str, text: str) -> dict[str, Any]:
    """Return the JSON object in `text`.

    Raise ParseError, which calls the text `what`, for anything else.
    """
    try:
        found = json.loads(text)
        if not isinstance(found, dict):
            raise TypeError
    except (ValueError, TypeError):
        raise ParseError(what, text) from None
    return found
