"""Volcano behind the scheduler seam."""

import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from campaign.core.cluster import ClusterModel
from campaign.core.levers import Lever
from campaign.schema.settings import Scalar
from schedulers._kubernetes import access, daemons, ranks
from schedulers._kubernetes.access import curl, url
from schedulers._kubernetes.adapter import EXPRESSED, BoundKubernetes, Kubernetes
from schedulers._kubernetes.offers import SLOT
from schedulers._kubernetes.plan import Control
from schedulers._kubernetes.pods import NAMESPACE, template
from schedulers._kubernetes.wishes import JobPods
from schedulers.base import FinalState, Probe, Topology, version_in
from schedulers.facts import ImageFacts
from schedulers.policy import Policy
from schedulers.volcano import queues
from schedulers.volcano.fairness import FAIRNESS
from schedulers.volcano.params import VolcanoParams, configuration, flags, parse_config
from schedulers.volcano.policy import policy

if TYPE_CHECKING:
    from campaign.core.jobs import Job

SCHEDULER_UNIT = "vc-scheduler.service"
CONTROLLERS_UNIT = "vc-controller-manager.service"
CONF = f"{access.FOLDER}/vc-scheduler.json"
DEFINITIONS = "/usr/share/volcano/crds"
_API = "batch.volcano.sh/v1alpha1"
_COMMANDS = f"/apis/bus.volcano.sh/v1alpha1/namespaces/{NAMESPACE}/commands"
_UNUSED_GROUP = "flow.volcano.sh"
"""Of the controllers of job flows and job templates, which don't run here."""
# A release is called by its number with a `v`; a build of sources by whatever it was given.
_VERSION = r"^Version:[ \t]*(?:v(?=\d))?(\S+)\s*$"


class Volcano(Kubernetes[VolcanoParams]):
    """The adapter; see `schedulers.interface.Scheduler` for what each member promises."""

    name: ClassVar[str] = "volcano"
    gangs: ClassVar[bool] = True
    expresses: ClassVar[frozenset[Lever]] = EXPRESSED | queues.LEVERS
    Params: ClassVar[type[VolcanoParams]] = VolcanoParams

    def policy(self, params: VolcanoParams) -> Policy:
        """Return what Volcano with these parameters does in a simulation."""
        return policy(params)

    def fairness(self) -> Mapping[str, str]:
        """Return Volcano's answers to the aspects of a comparison."""
        return FAIRNESS

    def for_image(self, facts: ImageFacts) -> "BoundVolcano":
        """Bind the adapter; its image has no facts."""
        return BoundVolcano(self)


@dataclass(frozen=True)
class BoundVolcano(BoundKubernetes[VolcanoParams]):
    """The bound adapter; see `schedulers.interface.BoundScheduler`."""

    scheduler: Volcano

    units: ClassVar[tuple[str, ...]] = (SCHEDULER_UNIT, CONTROLLERS_UNIT)
    jobs_path: ClassVar[str] = f"/apis/{_API}/namespaces/{NAMESPACE}/jobs"
    ended: ClassVar[Mapping[str, FinalState | None]] = {
        "Completed": "completed",
        "Aborted": "cancelled",
        "Failed": None,
        "Terminated": None,
    }

    def control(self, params: VolcanoParams, topology: Topology) -> Control:
        """Return vc-scheduler with its configuration, and Volcano's controllers."""
        common = (
            f"--kubeconfig={access.KUBECONFIG}",
            # An election would first wait for its lease, and there is no other candidate.
            "--leader-elect=false",
            "--enable-healthz=true",
        )
        scheduler = daemons.unit(
            SCHEDULER_UNIT,
            "/usr/bin/vc-scheduler",
            *common,
            "--healthz-address=127.0.0.1:11251",
            "--cache-dumper=false",
            f"--scheduler-conf={CONF}",
            "--disable-default-scheduler-config=true",
            "--v=2",
            *flags(params),
        )
        controllers = daemons.unit(
            CONTROLLERS_UNIT,
            "/usr/bin/vc-controller-manager",
            *common,
            "--healthz-address=127.0.0.1:11252",
            "--controllers=+job-controller,+queue-controller",
        )
        return Control(
            scheduler=SCHEDULER_UNIT,
            files=(scheduler, daemons.json_file(CONF, configuration(params, SLOT))),
            others=(controllers,),
            other_units=(CONTROLLERS_UNIT,),
            ready=_ready(queues.names(topology.model)),
            late_ms=_late_ms(params.schedule_period),
            objects=_objects(topology.model),
            before=(("bash", "-euc", _define()),),
        )

    def queue_of(self, job: "Job", topology: Topology) -> str:
        """Return the queue of the job's account."""
        return queues.queue_of(job, topology)

    def manifest(self, pods: JobPods, queue: str) -> dict[str, Any]:
        """Return a Volcano job that is a gang, with a task for each kind of pod."""
        tasks = []
        spec = {"schedulerName": "volcano", **pods.spec}
        kinds = Counter(tuple(sorted(asked.items())) for asked in pods.requests)
        for number, (asked, count) in enumerate(kinds.items()):
            tasks.append(
                {
                    "name": f"t{number}",
                    "replicas": count,
                    "minAvailable": count,
                    "template": template(pods.name, pods.script, dict(asked), spec),
                }
            )
        ended = [
            {"event": event, "action": "TerminateJob"} for event in ("PodFailed", "PodEvicted")
        ]
        rank = pods.spec.get("priorityClassName")
        return {
            "apiVersion": _API,
            "kind": "Job",
            "metadata": {"name": pods.name},
            "spec": {
                "schedulerName": "volcano",
                "queue": queue,
                "minAvailable": len(pods.requests),
                "maxRetry": 1,
                "policies": ended,
                "tasks": tasks,
                # The pods' own one only ranks them within their job.
                **({"priorityClassName": rank} if rank else {}),
            },
        }

    def cancel_command(self, native_id: str) -> tuple[str, ...]:
        """Do what `vcctl job suspend` does: a job that is deleted would leave no trace."""
        target = {"apiVersion": _API, "kind": "Job", "name": native_id, "uid": native_id}
        command = {
            "apiVersion": "bus.volcano.sh/v1alpha1",
            "kind": "Command",
            "metadata": {"name": f"abort-{native_id}"},
            "action": "AbortJob",
            "target": target,
        }
        sent = json.dumps(command)
        return curl(
            "-o", "/dev/null", "-H", "Content-Type: application/json", "-d", sent, url(_COMMANDS)
        )

    def version_command(self) -> tuple[str, ...]:
        """Ask vc-scheduler for its version."""
        return ("vc-scheduler", "--version")

    def parse_version(self, text: str) -> str:
        """Return the version without its `v`, the commit that a build has for one, or the text."""
        return version_in(text, _VERSION)

    def verify_command(self) -> tuple[str, ...]:
        """Print the process's arguments, what it says it has loaded, and its configuration."""
        main = f"systemctl show --property=MainPID --value {SCHEDULER_UNIT}"
        loaded = f"grep 'Final state' {daemons.log(SCHEDULER_UNIT)} | tail -n 1"
        return (
            "bash",
            "-c",
            f"tr '\\0' ' ' </proc/$({main})/cmdline && echo && {loaded} && cat {shlex.quote(CONF)}",
        )

    def parse_config(self, text: str) -> dict[str, Scalar]:
        """Return the parameters of all three."""
        return parse_config(text)


def _late_ms(schedule_period_s: float) -> int:
    """Return a tenth of the pause between two runs, and 100 ms at most.

    vc-scheduler also looks for pods to bind each 20 ms, which are bound so much later at most.
    """
    return min(100, round(schedule_period_s * 100))


def _objects(model: ClusterModel) -> tuple[tuple[str, dict[str, Any]], ...]:
    classes = [(ranks.PATH, one) for one in ranks.classes(model)]
    return (*classes, *((queues.PATH, one) for one in queues.queues(model)))


def _ready(names: Sequence[str]) -> tuple[Probe, ...]:
    # The log begins anew with each start, so the line is there once.
    initialized = f"grep -c 'completes Initialization' {daemons.log(SCHEDULER_UNIT)}"
    return (
        Probe(
            "vc-scheduler is ready",
            ("bash", "-c", initialized),
            "1",
            deadline_s=120,
            interval_s=1.0,
        ),
        *(
            Probe(
                f"the queue {name} is open",
                curl(url(f"{queues.PATH}/{name}")),
                r'(?s).*"state":\s*"Open".*',
                deadline_s=120,
                interval_s=1.0,
            )
            for name in names
        ),
    )


def _define() -> str:
    """Return shell commands that make Volcano's kinds known, but for those that are.

    Kinds of controllers that are off stay unknown: the API server would describe them anew every
    few minutes.
    """
    post = shlex.join(
        curl("-o", "/dev/null", "-H", "Content-Type: application/yaml", "--data-binary")
    )
    where = url("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
    known = f"{shlex.join(curl('-o', '/dev/null'))} {where}/"
    name = "name=${file##*/}; name=${name%.yaml}; group=${name%%_*}; name=${name#*_}"
    return (
        f"for file in {DEFINITIONS}/*.yaml; do {name}; "
        f"[[ $group == {_UNUSED_GROUP} ]] && continue; {known}$name.$group 2>/dev/null || "
        f"{post} @$file {where}; done"
    )
