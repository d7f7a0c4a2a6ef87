"""The pressure of the hosts while jobs ran, over all trials of a campaign."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from campaign.core.host_load import HostLoad, LoadRange
from campaign.core.phases import Phase
from campaign.core.trials import TrialRecord

UNKNOWN = "unknown"


@dataclass(frozen=True)
class HostPressure:
    """One host's pressure while the jobs of its trials ran, in words."""

    host: str
    trials: int
    cpu: str
    memory: str
    io: str
    foreign: str
    """How many CPUs other programs used, on average over each trial."""
    taken: str
    """The share of the CPU time that nodes wanted and other programs had."""


def pressures_of(records: Iterable[TrialRecord]) -> list[HostPressure]:
    """Return the pressure of each host that was sampled, in the order of its first trial."""
    by_host: dict[str, list[HostLoad]] = {}
    for record in records:
        for load in record.loads:
            if load.phase == Phase.WORKLOAD:
                by_host.setdefault(load.host, []).append(load)
    return [_pressure(host, loads) for host, loads in by_host.items()]


def _pressure(host: str, loads: Sequence[HostLoad]) -> HostPressure:
    foreign = [load.foreign_cpus for load in loads if load.foreign_cpus is not None]
    taken = [load.taken for load in loads if load.taken is not None]
    cpus = max(load.cpus for load in loads)
    return HostPressure(
        host=host,
        trials=len(loads),
        cpu=_over(load.cpu for load in loads),
        memory=_over(load.memory for load in loads),
        io=_over(load.io for load in loads),
        foreign=f"{min(foreign):.1f} to {max(foreign):.1f} of {cpus}" if foreign else UNKNOWN,
        taken=_percent(min(taken), max(taken)) if taken else UNKNOWN,
    )


def _over(ranges: Iterable[LoadRange | None]) -> str:
    known = [one for one in ranges if one is not None]
    if not known:
        return UNKNOWN
    return _percent(min(one.low for one in known), max(one.high for one in known))


def _percent(low: float, high: float) -> str:
    return f"{round(low * 100)} to {round(high * 100)} %"
