"""Jobs as pods: what each is given and runs, and how they wait until all of a job are there."""

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from schedulers._kubernetes import image
from schedulers._kubernetes.daemons import RENDEZVOUS_PORT
from schedulers.base import Topology

if TYPE_CHECKING:
    from campaign.core.jobs import Job

JOB_LABEL = "campaign.dev/job"
NODE = "NODE_NAME"
"""The variable in which a pod has its node's name."""
NAMESPACE = "default"
TIMED_OUT = 124
"""What timeout(1) ends with when the command was still running."""
_KILL_AFTER_S = 5
GRACE_S = 10.0
"""How much later than at its requested time a job is ended. timeout(1) also counts the start of the
wrapper, up to a second on an emulated node, and traces have jobs that ran for all they asked."""


def name_of(job: "Job") -> str:
    """Return the job's name, which is its native id."""
    return f"j{job.job_id}"


def command(job: "Job", topology: Topology, pods: int, payload: str) -> str:
    """Return the shell commands of each pod of a job.

    A pod waits for the others, as parallel programs do; then it runs the payload, for the job's
    requested time and GRACE_S at most. Kubernetes' own limit, activeDeadlineSeconds, would count
    from each pod's start.
    """
    limit_s = job.requested_s + GRACE_S
    limited = f"exec timeout -k {_KILL_AFTER_S} {limit_s:.3f} /bin/bash -c {shlex.quote(payload)}"
    if pods == 1:
        return limited
    # bash itself connects and waits for a line, which takes no further process.
    met = (
        f"exec 3<>/dev/tcp/{topology.head.address}/{RENDEZVOUS_PORT} && echo '{name_of(job)} "
        f"{pods}' >&3 && read -ru 3 _"
    )
    return f"{met} && exec 3>&- && {limited}"


def template(
    job: str, script: str, requests: Mapping[str, int], spec: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a pod that runs the shell commands `script`, and asks for these extended resources.

    It has the node's programs, network and /run/campaign, and what `spec` says besides. Nothing is
    fetched or waited for.
    """
    asked = {name: str(count) for name, count in requests.items()}
    volumes = [(f"v{number}", path) for number, path in enumerate(image.MOUNTS)]
    container = {
        "name": "job",
        "image": image.NAME,
        "imagePullPolicy": "Never",
        "command": ["/bin/bash", "-c", script],
        "env": [{"name": NODE, "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
        # Of an extended resource, Kubernetes wants request and limit to be equal.
        "resources": {"requests": asked, "limits": asked},
        "volumeMounts": [
            {"name": name, "mountPath": path, "readOnly": path in image.PROGRAMS}
            for name, path in volumes
        ],
    }
    return {
        "metadata": {"labels": {JOB_LABEL: job}},
        "spec": {
            "containers": [container],
            "volumes": [
                {"name": name, "hostPath": {"path": path, "type": "DirectoryOrCreate"}}
                for name, path in volumes
            ],
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": _KILL_AFTER_S,
            "hostNetwork": True,
            "dnsPolicy": "Default",
            "enableServiceLinks": False,
            "automountServiceAccountToken": False,
            **spec,
        },
    }


def shares(width: int, nodes: int) -> list[int]:
    """Return `width` slots for so many pods, as even as can be, the greater shares first.

    If `nodes` is the fewest nodes of equal slots that hold the width, any two pods are too much for
    one node: they run on as many nodes.
    """
    each, more = divmod(width, nodes)
    return [each + 1] * more + [each] * (nodes - more)
