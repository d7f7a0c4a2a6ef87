"""Asks the VMs of a cluster whether their scheduler's daemons live."""

from collections.abc import Mapping, Sequence

from actors.bootstrap.ssh import Output, Remote
from actors.clusters.asking import Asker
from actors.clusters.failures import run_all
from campaign.core.errors import SchedulerError, command_failed
from schedulers.base import Node, Params
from schedulers.interface import BoundScheduler

LOG_BYTES = 3000
LOGS = 4
"""The ends of so many logs of a VM show why a daemon died."""


class SchedulerDied(SchedulerError):
    """A daemon of the scheduler ended while jobs ran; `details` has the ends of its logs."""


class HealthCheck:
    """Asks each VM of `remotes` for the daemons of its `nodes`, both by the VM's name."""

    def __init__(
        self,
        bound: BoundScheduler[Params],
        nodes: Mapping[str, Sequence[Node]],
        remotes: Mapping[str, Remote],
        asker: Asker,
    ) -> None:
        self._bound = bound
        self._nodes = nodes
        self._remotes = remotes
        self._asker = asker

    async def check(self) -> None:
        """Raise SchedulerDied when a daemon is not alive."""
        await run_all(*map(self._check_one, self._nodes))

    async def _check_one(self, name: str) -> None:
        remote = self._remotes[name]
        command = self._bound.health_command(self._nodes[name])
        output = await self._asker.run(remote, command)
        if not output.ok:
            which = " ".join(output.stdout.split()) or " ".join(command)
            scheduler = self._bound.scheduler.name
            raise SchedulerDied(
                f"{name}: a daemon of {scheduler} died ({which})",
                "\n".join([_failed(command, output), *await self._log_ends(name)]),
            )

    async def _log_ends(self, name: str) -> list[str]:
        paths = [path for node in self._nodes[name] for path in self._bound.log_files(node)]
        return [
            (
                await self._remotes[name].get(path, timeout_s=self._asker.query_s, limit=LOG_BYTES)
            ).decode(errors="replace")
            for path in paths[:LOGS]
        ]


def _failed(command: Sequence[str], output: Output) -> str:
    return command_failed(command, output.status, output.stderr or output.stdout)
