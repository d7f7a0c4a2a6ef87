"""Follows a guest in virtual time through the phases of a trial, and notes how fast its time is."""

import time
from collections.abc import Mapping
from dataclasses import replace

from actors.clusters.virtual_progress import VirtualProgress, least_span_s
from campaign.core.jobs import Workload
from campaign.core.phase_clock import PhaseClock
from campaign.core.phases import Phase
from campaign.core.provenance import Provenance
from campaign.guest.exchange import GuestProgress
from campaign.guest.task import GuestResult

STAGE = "stage "
WORKLOAD = "workload"
"""What the guest's agent calls its phases: each stage of a plan begins with the former."""
TELL_S = 10.0
"""People hear anew how far a guest is after so many seconds."""


class VirtualWatch:
    """Looks at a guest's progress, and moves a trial's `clock` by it.

    A guest that makes a golden cluster has no `workload`.
    """

    def __init__(self, clock: PhaseClock, workload: Workload | None = None, slots: int = 1) -> None:
        self.last: GuestProgress | None = None
        self._clock = clock
        self._words = VirtualProgress(least_span_s(workload, slots) if workload else 0.0)
        self._told = -TELL_S
        self._cpu_s = 0.0
        self._cpu_before_s = 0.0
        self._workload_s = 0.0
        self._lead_s: float | None = None

    def look(self, progress: GuestProgress | None, cpu_s: float) -> None:
        """Take note of what the guest says, and of the CPU time that it has used in all."""
        self.last = progress or self.last
        self._cpu_s = cpu_s
        if progress is None:
            # A restored guest says nothing for a moment, until it has found its task.
            ready = self._clock.status.phase is Phase.READY
            self._clock.detail("" if ready else "the guest boots")
            return
        self._workload_s = progress.workload_s
        if not progress.workload_s:
            self._cpu_before_s = cpu_s
        now = time.monotonic()
        words = self._words.observe(progress, now)
        begins = progress.workload_s > 0 and self._clock.status.phase is Phase.READY
        if begins:
            self._clock.reached(Phase.READY, Phase.WORKLOAD)
        if begins or now - self._told >= TELL_S:
            self._told = now
            self._clock.detail(words)

    def end(self, result: GuestResult) -> None:
        """Take note that the guest has halted with this result, which is collected now."""
        if self._clock.status.phase is Phase.WORKLOAD:
            self._clock.reached(Phase.WORKLOAD, Phase.COLLECTED)
        else:
            self._clock.reached(Phase.READY, Phase.COLLECTED)
        self._workload_s = result.workload_s
        self._lead_s = lead_s(result.phases_s)

    def noted(self, provenance: Provenance) -> Provenance:
        """Return the provenance with how long the workload took, and what that cost the host."""
        used_s = self._cpu_s - self._cpu_before_s
        speed = round(self._workload_s / used_s, 1) if used_s > 0 else None
        return replace(
            provenance,
            virtual_s=round(self._workload_s, 3),
            guest_cpu_s=round(self._cpu_s, 1),
            virtual_speed=speed,
            lead_s=self._lead_s,
        )


def lead_s(phases_s: Mapping[str, float]) -> float | None:
    """Return how long before the workload the last stage of configuring began, seconds.

    `phases_s` are those of a result, in their order. None where no workload began, and where
    nothing was configured: then the scheduler runs since the golden cluster was made.
    """
    if WORKLOAD not in phases_s or not any(name.startswith(STAGE) for name in phases_s):
        return None
    lead = 0.0
    for name, took_s in phases_s.items():
        if name == WORKLOAD:
            break
        lead = took_s if name.startswith(STAGE) else lead + took_s
    return round(lead, 3)
