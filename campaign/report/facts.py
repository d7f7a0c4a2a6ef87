"""What a report says beside the trials, and how it writes values."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from campaign.analysis.fairness import ManifestEntry
from campaign.core.jobs import BOUNDED_SLOWDOWN_TAU_S
from campaign.core.trials import TrialRecord
from campaign.schema.model import Bound, Direction
from campaign.schema.settings import Scalar
from search.space import ARMS, NODES, PARAMS, SCHEDULER

ABSENT = "–"  # noqa: RUF001  the dash that tables show where there is no value
PREFIXES = (f"{PARAMS}.", f"{ARMS}.")


@dataclass(frozen=True)
class Facts:
    """What a campaign is, for its report.

    `fixed` are the parameters that no trial varied, by dotted setting (with `cluster.nodes`, if
    fixed); `workload` says what was replayed, `tau_s` what bounded its slowdowns; `command` repeats
    the campaign. `earlier` are the attempts that were tried again; `fairness` says what differs
    between compared schedulers; `resumed` tells when drivers took the campaign up again (Unix
    seconds).
    """

    campaign: str
    objectives: Mapping[str, Direction]
    constraints: Mapping[str, Bound] = field(default_factory=dict)
    fixed: Mapping[str, Scalar] = field(default_factory=dict)
    slots_per_node: int = 0
    workload: Mapping[str, str] = field(default_factory=dict)
    tau_s: float = BOUNDED_SLOWDOWN_TAU_S
    config: str = ""
    config_hash: str = ""
    command: str = ""
    earlier: tuple[TrialRecord, ...] = ()
    fairness: tuple[ManifestEntry, ...] = ()
    resumed: tuple[float, ...] = ()


def short(dimension: str) -> str:
    """A dimension as people read it: scheduler parameters under the scheduler's own names, after
    that of the scheduler where there are several."""
    if dimension == SCHEDULER:
        return "scheduler"
    return next(
        (dimension.removeprefix(one) for one in PREFIXES if dimension.startswith(one)), dimension
    )


def shown(value: Scalar | None) -> str:
    """A parameter's value as it stands in the configuration."""
    if value is None:
        return ABSENT
    return str(value).lower() if isinstance(value, bool) else str(value)


def dimensions(records: Iterable[TrialRecord]) -> list[str]:
    """The searched dimensions: the scheduler and the cluster's size first."""
    names = {name for record in records for name in record.point}
    return sorted(names, key=lambda name: (name != SCHEDULER, name != NODES, name))


def schedulers_of(records: Iterable[TrialRecord]) -> list[str]:
    """The schedulers that trials were chosen among, in alphabetical order; none where there was no
    choice."""
    return sorted({str(record.point[SCHEDULER]) for record in records if SCHEDULER in record.point})


def nodes_of(record: TrialRecord, facts: Facts) -> int:
    """Compute nodes of a trial's cluster; 0 where nothing tells."""
    value = record.point.get(NODES, facts.fixed.get(NODES, 0))
    return int(value) if isinstance(value, int | float) else 0


def alike(
    best: Sequence[TrialRecord], objectives: Iterable[str]
) -> list[tuple[TrialRecord, list[TrialRecord]]]:
    """The front's points: the first trial of each, and the others that have the same values in all
    objectives."""
    points: dict[tuple[float, ...], list[TrialRecord]] = {}
    names = list(objectives)
    for record in best:
        points.setdefault(tuple(record.metrics[name] for name in names), []).append(record)
    return [(first, others) for first, *others in points.values()]


def simulated(records: Iterable[TrialRecord]) -> bool:
    """Whether the trials were simulated, not measured."""
    return any(record.provenance.testbed == "simulation" for record in records)


def common(records: Sequence[TrialRecord]) -> dict[str, str]:
    """All provenance of the trials; a key with several values lists them, with how many trials had
    each."""
    values: dict[str, dict[str, int]] = {}
    for record in records:
        for name, value in {**record.provenance.facts, "host": record.host}.items():
            if value:
                counts = values.setdefault(name, {})
                counts[value] = counts.get(value, 0) + 1
    return {name: _several(counts) for name, counts in values.items()}


def number(value: float | None) -> str:
    """Four significant digits, without an exponent where that stays readable."""
    if value is None:
        return ABSENT
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


def seconds(value: float) -> str:
    """A time as tables show it, to a tenth of a second."""
    return f"{value:.1f}"


def percent(share: float) -> str:
    """A share (0..1) as people say it."""
    return f"{100 * share:.0f} %"


def _several(counts: Mapping[str, int]) -> str:
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{value} ({count} trials)" for value, count in sorted(counts.items()))
