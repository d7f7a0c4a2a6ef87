"""The seam of a testbed, which evaluates trials: on virtual machines or by simulation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from campaign.core.phases import Phase
from campaign.core.trials import Evaluation, Trial


@dataclass(frozen=True)
class Status:
    """The progress of a running trial: its phase, since when (Unix seconds), and a detail."""

    phase: Phase
    since: float
    detail: str = ""


class Testbed(Protocol):
    """Evaluates trials, several at once where it has room."""

    def room(self) -> int:
        """Return how many more trials may be started now."""
        ...

    def start(self, trial: Trial) -> None:
        """Begin to evaluate `trial`; its evaluation comes out of `wait`."""
        ...

    def wait(self, timeout_s: float) -> list[tuple[Trial, Evaluation]]:
        """Return the evaluations that have ended, after at most `timeout_s`.

        A failed trial is an evaluation too, never an exception.
        """
        ...

    def statuses(self) -> Mapping[int, Status]:
        """Return how far the running trials are, by trial number."""
        ...

    def busy(self) -> str:
        """Return why trials would be disturbed now, on every host; empty if they would not."""
        ...

    def close(self) -> None:
        """End what still runs and leave nothing behind."""
        ...
