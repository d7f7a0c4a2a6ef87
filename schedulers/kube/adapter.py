"""kube-scheduler behind the scheduler seam."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from campaign.schema.settings import Scalar
from schedulers._kubernetes import access, daemons, ranks
from schedulers._kubernetes.access import curl, url
from schedulers._kubernetes.adapter import BoundKubernetes, Kubernetes
from schedulers._kubernetes.offers import SLOT
from schedulers._kubernetes.plan import MERGE, Control
from schedulers._kubernetes.pods import NAMESPACE, template
from schedulers._kubernetes.wishes import JobPods
from schedulers.base import FinalState, Probe, Topology, version_in
from schedulers.facts import ImageFacts
from schedulers.kube.fairness import FAIRNESS
from schedulers.kube.params import KubeParams, configuration, parse_config
from schedulers.kube.policy import policy
from schedulers.policy import Policy

SCHEDULER_UNIT = "kube-scheduler.service"
CONTROLLERS_UNIT = "kube-controller-manager.service"
CONF = f"{access.FOLDER}/scheduler.json"
_OWN = "https://127.0.0.1:10259"
_LATE_MS = 100
"""A tenth of the second after which it looks again for pods to try once more."""


class Kube(Kubernetes[KubeParams]):
    """The adapter; see `schedulers.interface.Scheduler` for what each member promises."""

    name: ClassVar[str] = "kube"
    gangs: ClassVar[bool] = False
    Params: ClassVar[type[KubeParams]] = KubeParams

    def policy(self, params: KubeParams) -> Policy:
        """Return what kube-scheduler with these parameters does in a simulation."""
        return policy(params)

    def fairness(self) -> Mapping[str, str]:
        """Return kube-scheduler's answers to the aspects of a comparison."""
        return FAIRNESS

    def for_image(self, facts: ImageFacts) -> "BoundKube":
        """Bind the adapter; its image has no facts."""
        return BoundKube(self)


@dataclass(frozen=True)
class BoundKube(BoundKubernetes[KubeParams]):
    """The bound adapter; see `schedulers.interface.BoundScheduler`."""

    scheduler: Kube

    units: ClassVar[tuple[str, ...]] = (SCHEDULER_UNIT, CONTROLLERS_UNIT)
    jobs_path: ClassVar[str] = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
    ended: ClassVar[Mapping[str, FinalState | None]] = {
        "Complete": "completed",
        "Suspended": "cancelled",
        "Failed": None,
    }

    def control(self, params: KubeParams, topology: Topology) -> Control:
        """Return kube-scheduler with its configuration, and the job controller."""
        allowed = "/configz,/healthz,/livez,/readyz"
        scheduler = daemons.unit(
            SCHEDULER_UNIT,
            "/usr/bin/kube-scheduler",
            f"--config={CONF}",
            "--bind-address=127.0.0.1",
            "--authentication-skip-lookup=true",
            f"--authorization-always-allow-paths={allowed}",
        )
        controllers = daemons.unit(
            CONTROLLERS_UNIT,
            "/usr/bin/kube-controller-manager",
            f"--kubeconfig={access.KUBECONFIG}",
            # An election would first wait for its lease, and there is no other candidate.
            "--leader-elect=false",
            "--controllers=job-controller",
            "--bind-address=127.0.0.1",
        )
        settings = configuration(params, access.KUBECONFIG, SLOT)
        ready = Probe(
            "kube-scheduler is ready",
            # -k: its certificate is one that it has signed itself, and loopback needs no other
            # proof.
            ("curl", "-sk", f"{_OWN}/readyz"),
            "ok",
            deadline_s=120,
            interval_s=1.0,
        )
        return Control(
            scheduler=SCHEDULER_UNIT,
            files=(
                scheduler,
                daemons.json_file(CONF, settings),
            ),
            others=(controllers,),
            other_units=(CONTROLLERS_UNIT,),
            ready=(ready,),
            late_ms=_LATE_MS,
            objects=tuple((ranks.PATH, one) for one in ranks.classes(topology.model)),
        )

    def manifest(self, pods: JobPods, queue: str) -> dict[str, Any]:
        """Return an indexed Job with equal pods.

        What doesn't come in equal parts is more than what was asked for.
        """
        count = len(pods.requests)
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": pods.name},
            "spec": {
                "completionMode": "Indexed",
                "completions": count,
                "parallelism": count,
                # By default, a failed pod would be replaced and its work begun again.
                "backoffLimit": 0,
                "template": template(pods.name, pods.script, pods.requests[0], pods.spec),
            },
        }

    def cancel_command(self, native_id: str) -> tuple[str, ...]:
        """Suspend the job: one that is deleted would leave no trace."""
        suspend = '{"spec":{"suspend":true}}'
        return curl(
            "-o",
            "/dev/null",
            "-X",
            "PATCH",
            "-H",
            MERGE,
            "-d",
            suspend,
            url(f"{self.jobs_path}/{native_id}"),
        )

    def version_command(self) -> tuple[str, ...]:
        """Ask the API server for its version, which is the scheduler's too."""
        return curl(url("/version"))

    def parse_version(self, text: str) -> str:
        """Return the version without its `v`, or the text as it is."""
        return version_in(text, r'"gitVersion":\s*"v?([^"\s]+)"')

    def verify_command(self) -> tuple[str, ...]:
        """Ask the scheduler for its configuration."""
        return ("curl", "-sk", f"{_OWN}/configz")

    def parse_config(self, text: str) -> dict[str, Scalar]:
        """Return the parameters of that configuration."""
        return parse_config(text)
