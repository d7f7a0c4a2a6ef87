"""What adapters of schedulers for Kubernetes have in common, behind the scheduler seam."""

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from schedulers._kubernetes import access, accounts, daemons, plan, pods
from schedulers._kubernetes.access import curl, url
from schedulers.base import (
    BootstrapPlan,
    Facts,
    Fate,
    NativeTimes,
    ParseError,
    Role,
    Secrets,
    Topology,
    fewest_nodes,
)

if TYPE_CHECKING:
    from campaign.core.jobs import Job

_LOGS: dict[Role, tuple[str, ...]] = {
    "head": (daemons.ETCD, daemons.API_SERVER, daemons.RENDEZVOUS),
    "compute": (daemons.CONTAINERD, daemons.KUBELET),
}
REHEARSAL_TIMEOUT_S = 180


def logs(*units: str) -> Mapping[Role, Sequence[str]]:
    """The logs of all daemons, those of the head's `units` among them."""
    return {
        role: [daemons.log(name) for name in (*names, *(units if role == "head" else ()))]
        for role, names in _LOGS.items()
    }


class Kubernetes:
    """The members that adapters share; see `schedulers.base.Scheduler` for what each promises.

    A subclass says where the API has its jobs (`jobs_path`), which states of a job are final
    (`ended`: the fate, or None where its pods must tell), of what its control consists, and how its
    jobs are written.
    """

    image: ClassVar[str] = "kubernetes"
    resolution_s: ClassVar[float] = 1.0
    launching_s: ClassVar[float] = 60.0
    memory_mib: ClassVar[int] = 1536
    jobs_path: ClassVar[str]
    ended: ClassVar[Mapping[str, Fate | None]]
    units: ClassVar[tuple[str, ...]]

    def control(self, params: Any) -> plan.Control:
        """What schedules, with these parameters."""
        raise NotImplementedError

    def manifest(self, name: str, script: str, shares: Sequence[int]) -> dict[str, Any]:
        """A job of that name whose pods have so many slots each and run `script`."""
        raise NotImplementedError

    def make_secrets(self) -> Secrets:
        return access.draw()

    def plan(
        self, topology: Topology, params: Any, secrets: Secrets, facts: Facts
    ) -> BootstrapPlan:
        return plan.bootstrap(topology, secrets, self.control(params))

    def reconfigure(self, topology: Topology, params: Any, facts: Facts) -> BootstrapPlan:
        return plan.reconfigure(topology, self.control(params))

    def rehearsal_command(self, topology: Topology) -> tuple[str, ...]:
        spec = json.dumps(
            self.manifest("NAME", "true", [1] * len(topology.compute)), sort_keys=True
        )
        done = "|".join(f'"{state}"' for state, fate in self.ended.items() if fate == "completed")
        post = shlex.join(curl("-o", "/dev/null", "-H", "Content-Type: application/json", "-d"))
        ask = shlex.join(curl("-H", accounts.TABLE))
        line = (
            f"name=rehearsal-$EPOCHSECONDS; spec={shlex.quote(spec)}; "
            f'{post} "${{spec//NAME/$name}}" {url(self.jobs_path)} && '
            f"until {ask} {url(self.jobs_path)}/$name?includeObject=None | grep -qE '{done}'; do "
            "sleep 0.5; done"
        )
        return ("timeout", str(REHEARSAL_TIMEOUT_S), "bash", "-c", line)

    def nodes_needed(self, job: "Job", topology: Topology) -> int:
        return fewest_nodes(job, topology)

    def submit_command(self, job: "Job", topology: Topology, script: str) -> tuple[str, ...]:
        post = curl(
            "-o",
            "/dev/null",
            "-H",
            "Content-Type: application/json",
            "--data-binary",
            f"@{script}",
            url(self.jobs_path),
        )
        return ("bash", "-c", f"{shlex.join(post)} && echo {pods.name_of(job)}")

    def session_command(self) -> tuple[str, ...]:
        return ("python3", "-u", daemons.SESSION_PROGRAM, access.KUBECONFIG, self.jobs_path)

    def job_script(self, job: "Job", topology: Topology, payload: str) -> bytes:
        nodes = fewest_nodes(job, topology)
        script = pods.command(job, topology, nodes, payload)
        manifest = self.manifest(pods.name_of(job), script, pods.shares(job.width, nodes))
        return json.dumps(manifest, sort_keys=True).encode()

    def parse_submit(self, text: str) -> str:
        return accounts.parse_name(text)

    def pending_command(self) -> tuple[str, ...]:
        return accounts.jobs_command(self.jobs_path, "?fieldSelector=status.phase%3DPending")

    def parse_pending(self, text: str) -> dict[str, str]:
        return accounts.parse_pending(text, self.ended)

    def lost_command(self, node: str) -> tuple[str, ...]:
        now = '{"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":0}'
        delete = curl(
            "-o", "/dev/null", "-X", "DELETE", "-H", "Content-Type: application/json", "-d", now
        )
        pods_there = url(f"{accounts.PODS}?fieldSelector=spec.nodeName%3D{node}")
        lines = (
            shlex.join((*delete, url(f"/api/v1/nodes/{node}"))),
            shlex.join((*delete, pods_there)),
        )
        return ("bash", "-c", " && ".join(lines))

    def fate(self, state: str) -> Fate:
        return accounts.fate(state, self.ended)

    def accounting_command(self) -> tuple[str, ...]:
        return accounts.jobs_command(self.jobs_path)

    def parse_accounting(self, text: str) -> dict[str, NativeTimes]:
        return accounts.parse_accounting(text, self.ended)

    def health_commands(self, role: Role) -> Iterable[tuple[str, ...]]:
        return [
            (
                "systemctl",
                "is-active",
                "--quiet",
                *_LOGS[role],
                *(self.units if role == "head" else ()),
            )
        ]


def parsed(what: str, text: str) -> dict[str, Any]:
    """The JSON object in `text`."""
    try:
        found = json.loads(text)
        if not isinstance(found, dict):
            raise TypeError
    except (ValueError, TypeError):
        raise ParseError(what, text) from None
    return found
