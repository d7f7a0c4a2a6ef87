"""The outcome of campaigns under faults, and its report."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class ChaosRun:
    """One campaign under the faults of a seed.

    `faults` counts the faults that were injected, by kind; `drivers` and `attempts` are what the
    campaign took; `reaped` counts the clusters that a dead driver left; `broken` has a line for
    each invariant that did not hold. `label` names the campaign where no seed drew its faults.
    """

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    drivers: int = 0
    attempts: int = 0
    reaped: int = 0
    broken: list[str] = field(default_factory=list)
    label: str = ""


def as_text(runs: Sequence[ChaosRun], campaigns: str) -> str:
    """Return the report of `runs`; `campaigns` says what each of them was."""
    faults = sum((run.faults for run in runs), Counter[str]())
    broken = [f"{run.label or f'seed {run.seed}'}: {line}" for run in runs for line in run.broken]
    drivers = sum(run.drivers for run in runs)
    attempts = sum(run.attempts for run in runs)
    reaped = sum(run.reaped for run in runs)
    orphans = f", {_counted(reaped, 'orphaned cluster')} reaped" if reaped else ""
    lines = [
        f"{_counted(len(runs), 'campaign')} of {campaigns}, {_counted(faults.total(), 'fault')}, "
        f"{_counted(drivers, 'driver')}, {_counted(attempts, 'attempt')}{orphans}",
        *(f"  {count:5}  {what}" for what, count in faults.most_common()),
        f"every invariant held: {'no' if broken else 'yes'}",
        *(f"  {line}" for line in broken),
    ]
    return "\n".join(lines) + "\n"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"
