"""Job arrays: many jobs that are submitted at once, of which so many may run at a time."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from schedulers.base import Topology

if TYPE_CHECKING:
    from campaign.core.jobs import Job


@runtime_checkable
class SubmitsArrays(Protocol):
    """A bound adapter whose scheduler knows arrays.

    All tasks of an array are alike but for their payloads, and have one script: that of the first,
    whose payload is `array_payload`.
    """

    def array_payload(self, payloads: Sequence[str]) -> str:
        """Return the shell command that runs the payload of the task that runs it."""

    def submit_array_commands(
        self, tasks: "Sequence[Job]", topology: Topology, script: str
    ) -> Sequence[tuple[str, ...]]:
        """Return a command for each task, which prints its native id as `submit_command` does.

        The first submits the array; the others follow it, and fail where it was refused.
        """
