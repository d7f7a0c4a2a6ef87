"""How long each phase of a cluster's life may take on its host, and how an overrun is told."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from actors.bootstrap.apply import BootstrapFailed
from actors.clusters.failures import NodeLost, cause_of
from campaign.core.errors import CampaignError, InfrastructureError, SchedulerError

ROUNDING_S = 2.0
"""Whoever polls gives up where the next turn would come after the deadline, so somewhat before."""


@dataclass(frozen=True)
class PhaseLimit:
    """The time that a phase of `scheduler` may take, seconds; `origin` says where it comes from."""

    phase: str
    scheduler: str
    seconds: float
    origin: str
    resolution: str = ""

    @property
    def exceeded(self) -> str:
        """What to say where the phase took longer."""
        return (
            f"phase {self.phase!r} of {self.scheduler} took longer than {self.seconds:g} s "
            f"({self.origin})"
        )

    @asynccontextmanager
    async def deadline(self) -> AsyncIterator[float]:
        """Give the block the phase's deadline (monotonic seconds), which the block keeps itself.

        An error that the block ends with at its deadline is raised as the phase's overrun, with
        that error as its details: a BootstrapFailed where the scheduler is at fault, else an
        InfrastructureError. A lost node explains itself.
        """
        deadline = time.monotonic() + self.seconds
        try:
            yield deadline
        except (CampaignError, OSError, ExceptionGroup) as error:
            cause = cause_of(error)
            if isinstance(cause, NodeLost) or time.monotonic() < deadline - ROUNDING_S:
                raise
            kind = BootstrapFailed if isinstance(cause, SchedulerError) else InfrastructureError
            raise kind(self.exceeded, str(cause), self.resolution) from error


def scheduled_limit(phase: str, scheduler: str, base_s: float, stretch: float) -> PhaseLimit:
    """Return the scheduler's own limit of a phase on a host.

    It is `base_s` on the reference machine, and `stretch` times as long on the host (see
    `campaign.core.time_limits`).
    """
    origin = f"limit {base_s:g} s x {stretch:.1f} for this host's speed"
    return PhaseLimit(phase, scheduler, base_s * stretch, origin)
