"""The seam of a testbed: what evaluates trials, be it virtual machines or a simulation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from campaign.core.phases import Phase
from campaign.core.trials import Evaluation, Trial


@dataclass(frozen=True)
class Status:
    """How far a running trial is: the phase it is in, since when (Unix seconds), and a detail for
    people."""

    phase: Phase
    since: float
    detail: str = ""


class Testbed(Protocol):
    """Evaluates trials, several at once where it has room."""

    def room(self) -> int:
        """How many more trials may be started now."""
        ...

    def start(self, trial: Trial) -> None:
        """Begin to evaluate `trial`; its evaluation comes out of `wait`."""
        ...

    def wait(self, timeout_s: float) -> list[tuple[Trial, Evaluation]]:
        """The evaluations that ended, after at most `timeout_s`; a failed trial is one too, never
        an exception."""
        ...

    def statuses(self) -> Mapping[int, Status]:
        """How far the running trials are, by trial number."""
        ...

    def close(self) -> None:
        """End what still runs and leave nothing behind."""
        ...
