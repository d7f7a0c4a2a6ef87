"""The log of all jobs of a workload, as a site of the scheduler has it: what `import` reads."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from schedulers.base import Params
from schedulers.interface import BoundScheduler


@dataclass(frozen=True)
class JobLog:
    """A command that writes the log on the head once a workload is over, and the files of it.

    It exits 0 however that goes: no trial fails for want of the log. What it prints says what could
    not be written, and why; that file isn't there then. Safe to repeat.
    """

    command: tuple[str, ...]
    files: tuple[str, ...]


@runtime_checkable
class KeepsJobLog(Protocol):
    """A bound adapter whose scheduler writes such a log."""

    def job_log(self, started_file: str) -> JobLog | None:
        """Return how it is written; None where the image has no programs for that.

        The file on the head has the workload's start, in microseconds since 1970: jobs that had
        ended by then aren't the workload's.
        """


def job_log_of(bound: BoundScheduler[Params], started_file: str) -> JobLog | None:
    """Return how the log is written; None where the scheduler has none."""
    return bound.job_log(started_file) if isinstance(bound, KeepsJobLog) else None
