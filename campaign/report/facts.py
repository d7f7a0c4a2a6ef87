"""The facts of a campaign for its reports, and how reports write values."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from campaign.analysis.fairness import ManifestEntry
from campaign.core.jobs import BOUNDED_SLOWDOWN_TAU_S
from campaign.core.trials import TrialRecord
from campaign.schema.model import Direction
from campaign.schema.search import Bound
from campaign.schema.settings import Scalar
from search.space import ARMS, NODES, PARAMS, SCHEDULER

ABSENT = "–"  # noqa: RUF001  the dash that tables show where there is no value
PREFIXES = (f"{PARAMS}.", f"{ARMS}.")


@dataclass(frozen=True)
class EarlierGroup:
    """Trials of a campaign that can't be compared with its later ones.

    `records` are the last attempts of its trials, `front` those of them that no other of the group
    beats; `differs` has a line for each thing that changed after it.
    """

    number: int
    records: tuple[TrialRecord, ...]
    front: tuple[TrialRecord, ...]
    differs: tuple[str, ...]


@dataclass(frozen=True)
class CampaignFacts:
    """What a campaign is, for its report.

    `patience` is search.patience; `deterministic` tells if each evaluation of a point gives the
    same; `points` counts those of a space where each evaluation of a point
    gives the same, unless they are infinitely many; `arms` are the schedulers among which it chose,
    none where there was no choice; `fixed` are the parameters that no trial varied, by dotted
    setting (with `cluster.nodes`, if fixed); `workload` says what was replayed, `workload_notes`
    what was done to get it, `tau_s` what bounded its slowdowns; `instances` are the workloads that
    the search saw, and `quantile` is how their values became one (None: the mean); `baseline` says
    what the baseline is; `command` repeats the campaign when it is given in `folder`.
    `earlier` are the attempts that were tried again; `earlier_groups` are the trials that can't be
    compared with those that are shown; `fairness` says what differs between compared schedulers;
    `rehearsed` are the points that were tried on the cheap rung of a ladder, which are no trials;
    `resumed` tells when drivers took the campaign up again (Unix seconds).
    """

    campaign: str
    objectives: Mapping[str, Direction]
    constraints: Mapping[str, Bound] = field(default_factory=dict)
    patience: int | None = None
    deterministic: bool = False
    points: float = math.inf
    arms: tuple[str, ...] = ()
    fixed: Mapping[str, Scalar] = field(default_factory=dict)
    slots_per_node: int = 0
    workload: Mapping[str, str] = field(default_factory=dict)
    workload_notes: tuple[str, ...] = ()
    tau_s: float = BOUNDED_SLOWDOWN_TAU_S
    instances: int = 1
    quantile: float | None = None
    baseline: str = ""
    config: str = ""
    config_hash: str = ""
    command: str = ""
    folder: str = ""
    earlier: tuple[TrialRecord, ...] = ()
    earlier_groups: tuple[EarlierGroup, ...] = ()
    fairness: tuple[ManifestEntry, ...] = ()
    rehearsed: tuple[TrialRecord, ...] = ()
    resumed: tuple[float, ...] = ()


def short(dimension: str) -> str:
    """Return a dimension's name as people read it: parameters under the scheduler's own names.

    Where there are several schedulers, the name of the scheduler comes before that of its
    parameter.
    """
    if dimension == SCHEDULER:
        return "scheduler"
    return next(
        (dimension.removeprefix(one) for one in PREFIXES if dimension.startswith(one)), dimension
    )


def shown(value: Scalar | None) -> str:
    """Return a parameter's value as it stands in the configuration."""
    if value is None:
        return ABSENT
    return str(value).lower() if isinstance(value, bool) else str(value)


def dimensions(records: Iterable[TrialRecord]) -> list[str]:
    """Return the searched dimensions: the scheduler and the cluster's size come first."""
    names = {name for record in records for name in record.point}
    return sorted(names, key=lambda name: (name != SCHEDULER, name != NODES, name))


def schedulers_of(records: Iterable[TrialRecord]) -> list[str]:
    """Return the schedulers that have valid trials, sorted; none where there was no choice."""
    return sorted(
        {
            str(record.point[SCHEDULER])
            for record in records
            if record.valid and SCHEDULER in record.point
        }
    )


def nodes_of(record: TrialRecord, facts: CampaignFacts) -> int:
    """Return the compute nodes of a trial's cluster; 0 if that isn't known."""
    value = record.point.get(NODES, facts.fixed.get(NODES, 0))
    return int(value) if isinstance(value, int | float) else 0


def alike(
    best: Sequence[TrialRecord], objectives: Iterable[str]
) -> list[tuple[TrialRecord, list[TrialRecord]]]:
    """Return the front's points: the first trial of each, and others with the same objectives."""
    points: dict[tuple[float, ...], list[TrialRecord]] = {}
    names = list(objectives)
    for record in best:
        points.setdefault(tuple(record.metrics[name] for name in names), []).append(record)
    return [(first, others) for first, *others in points.values()]


def simulated(records: Iterable[TrialRecord]) -> bool:
    """Return whether the trials were simulated, not measured."""
    return any(record.provenance.testbed == "simulation" for record in records)


def in_virtual_time(records: Iterable[TrialRecord]) -> bool:
    """Return whether the trials ran in virtual time."""
    return any(record.provenance.testbed == "virtual-time" for record in records)


def common(records: Sequence[TrialRecord]) -> dict[str, str]:
    """Return all provenance of the trials.

    A key with several values lists them, with how many trials had each.
    """
    values: dict[str, dict[str, int]] = {}
    for record in records:
        for name, value in {**record.provenance.facts, "host": record.host}.items():
            if value:
                counts = values.setdefault(name, {})
                counts[value] = counts.get(value, 0) + 1
    return {name: _several(counts) for name, counts in values.items()}


def number(value: float | None) -> str:
    """Return four significant digits, without an exponent where that stays readable."""
    if value is None:
        return ABSENT
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


def change(record: TrialRecord, baseline: TrialRecord | None, metric: str) -> str:
    """Return by how much a trial's metric differs from the `baseline`'s, in per cent.

    Empty for the baseline itself, and where one of the two has no value to compare.
    """
    before = baseline.metrics.get(metric) if baseline and not record.baseline else None
    now = record.metrics.get(metric)
    if not before or now is None:
        return ""
    return signed_percent(100 * (now / before - 1))


def signed_percent(value: float) -> str:
    """Return a change in per cent with its sign, to a tenth where it is small."""
    # Never -0.0: a change that can't be seen is none.
    points = round(value, 1) + 0.0
    return f"{points:+.1f} %" if abs(points) < 10 else f"{points:+.0f} %"


def seconds(value: float) -> str:
    """Return a time in seconds as tables show it, to a tenth."""
    return f"{value:.1f}"


def percent(share: float) -> str:
    """Return a share (0..1) in percent."""
    return f"{100 * share:.0f} %"


def _several(counts: Mapping[str, int]) -> str:
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{value} ({count} trials)" for value, count in sorted(counts.items()))
