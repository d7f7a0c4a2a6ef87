"""How busy the hosts of a trial were in its phases, and what that says of how the trial ended."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from actors.hosts.interface import HostNodes
from campaign.core.errors import CampaignError
from campaign.core.host_load import HostLoad, LoadSample, load_while, loads_by_phase
from campaign.core.phase_clock import PhaseClock
from campaign.core.phases import Phase
from campaign.core.trials import Outcome

ANSWER_TIMEOUT_S = 30.0
REPLAY = frozenset({Phase.FIRST_JOB, Phase.WORKLOAD})
"""The phases in which jobs run."""
SPOILED = frozenset({"invalid", "infrastructure_failed"})
"""The outcomes that a busy host may be the cause of."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrialLoad:
    """The loads of a trial's hosts: phase by phase, and of the busiest host while jobs ran.

    Where no job ran, `busiest` covers all that the trial lived through. It is None where nothing
    was sampled.
    """

    phases: tuple[HostLoad, ...] = ()
    busiest: HostLoad | None = None
    replayed: bool = False

    @property
    def taken(self) -> float | None:
        """The share of the CPU time that nodes wanted while jobs ran, and that others had."""
        return self.busiest.taken if self.busiest and self.replayed else None

    @property
    def cpu_pressure_pct(self) -> int | None:
        """The mean CPU pressure while jobs ran, in per cent."""
        known = self.busiest.cpu if self.busiest and self.replayed else None
        return round(known.mean * 100) if known else None

    @property
    def taken_pct(self) -> int | None:
        """`taken` in per cent."""
        return None if self.taken is None else round(self.taken * 100)

    def cause(self, outcome: Outcome) -> str:
        """Return what of the hosts' load may have caused this outcome; empty if nothing did."""
        load = self.busiest
        if outcome not in SPOILED or load is None or not load.strained:
            return ""
        when = "while jobs ran" if self.replayed else "meanwhile"
        return f"host {load.host} was busy {when}: {load.sentence}"

    def explained(self, outcome: Outcome, reason: str) -> str:
        """Return the reason of an outcome, with the cause named on its first line."""
        cause = self.cause(outcome)
        first, line_end, rest = reason.partition("\n")
        return f"{first}; likely cause: {cause}{line_end}{rest}" if cause else reason

    def held_up(self, outcome: Outcome) -> str:
        """Return the cause if others on the host are it, so that later is better than at once."""
        return self.cause(outcome) if self.busiest and self.busiest.busy else ""


async def load_of(host: HostNodes, clock: PhaseClock, began: float) -> TrialLoad:
    """Return the load of a trial's hosts, of whose life `clock` tells; it `began` at that time.

    `began` is in monotonic seconds. Nothing is known where a host doesn't answer.
    """
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            samples = await host.load(time.monotonic() - began)
    except (CampaignError, OSError, TimeoutError) as error:
        _log.debug("the load of the hosts is unknown: %s", error)
        return TrialLoad()
    return judged_load(clock.spans, samples, time.monotonic())


def judged_load(
    spans: Sequence[tuple[Phase, float, float]],
    samples: Mapping[str, Sequence[LoadSample]],
    now: float,
) -> TrialLoad:
    """Return what `samples`, by host, say of a trial with these phases.

    `spans` and `now` are as `campaign.core.host_load.loads_by_phase` takes them.
    """
    phases = loads_by_phase(spans, samples, now)
    replayed = any(phase in REPLAY for phase, _, _ in spans)
    counted = load_while(spans, REPLAY, samples, now) if replayed else samples
    loads = [HostLoad.of(host, Phase.WORKLOAD, some) for host, some in counted.items() if some]
    busiest = max(loads, key=_how_busy, default=None)
    return TrialLoad(phases, busiest, replayed)


def _how_busy(load: HostLoad) -> tuple[bool, float, float]:
    return load.busy, load.taken or 0.0, load.cpu.mean if load.cpu else 0.0
