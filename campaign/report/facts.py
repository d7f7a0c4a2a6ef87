"""What a report says beside the trials, and the figures that it derives from them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from campaign.model import Bound, Direction
from campaign.settings import Scalar
from campaign.trials import PHASES, TrialRecord

NODES = "cluster.nodes"
ABSENT = "–"  # noqa: RUF001  the dash that tables show where there is no value
SCHEDULER_PREFIX = "scheduler.params."


@dataclass(frozen=True)
class Facts:
    """What a campaign is, for its report.

    `fixed` are the parameters that no trial varied, by dotted setting (with `cluster.nodes`, if fixed); `definitions`
    say what a metric is, by name; `workload` says what was replayed; `command` repeats the campaign.
    """

    campaign: str
    objectives: Mapping[str, Direction]
    constraints: Mapping[str, Bound] = field(default_factory=dict)
    fixed: Mapping[str, Scalar] = field(default_factory=dict)
    slots_per_node: int = 0
    workload: Mapping[str, str] = field(default_factory=dict)
    definitions: Mapping[str, str] = field(default_factory=dict)
    config: str = ""
    config_hash: str = ""
    command: str = ""


@dataclass(frozen=True)
class Spread:
    """A phase over all trials, in seconds; `share` is its part of all trials' wall time."""

    phase: str
    p50: float
    p95: float
    total: float
    share: float


@dataclass(frozen=True)
class Cost:
    """What the trials cost: `wall_s` added up over trials, node-hours with head nodes and provisioning."""

    trials: int
    attempts_failed: int
    wall_s: float
    workload_share: float
    node_hours: float
    phases: tuple[Spread, ...]


def short(dimension: str) -> str:
    """A dimension as people read it: scheduler parameters under the scheduler's own names."""
    return dimension.removeprefix(SCHEDULER_PREFIX)


def shown(value: Scalar | None) -> str:
    """A parameter's value as it stands in the configuration."""
    if value is None:
        return ABSENT
    return str(value).lower() if isinstance(value, bool) else str(value)


def dimensions(records: Iterable[TrialRecord]) -> list[str]:
    """The searched dimensions, cluster size first."""
    names = {name for record in records for name in record.point}
    return sorted(names, key=lambda name: (name != NODES, name))


def nodes_of(record: TrialRecord, facts: Facts) -> int:
    """Compute nodes of a trial's cluster; 0 where nothing tells."""
    value = record.point.get(NODES, facts.fixed.get(NODES, 0))
    return int(value) if isinstance(value, int | float) else 0


def common(records: Sequence[TrialRecord]) -> dict[str, str]:
    """All provenance of the trials; a key with several values lists them, with how many trials had each."""
    values: dict[str, dict[str, int]] = {}
    for record in records:
        for name, value in {**record.provenance, "host": record.host}.items():
            if value:
                counts = values.setdefault(name, {})
                counts[value] = counts.get(value, 0) + 1
    return {name: _several(counts) for name, counts in values.items()}


def cost_of(records: Sequence[TrialRecord], facts: Facts) -> Cost:
    """Add up what the trials took."""
    wall = sum(_wall(record) for record in records)
    return Cost(
        trials=len(records),
        attempts_failed=sum(not record.valid for record in records),
        wall_s=wall,
        workload_share=sum(record.phases.get("workload", 0.0) for record in records) / wall if wall else 0.0,
        node_hours=sum(_wall(record) * (nodes_of(record, facts) + 1) for record in records) / 3600,
        phases=tuple(_spread(phase, records, wall) for phase in phases_of(records)),
    )


def phases_of(records: Iterable[TrialRecord]) -> list[str]:
    """The phases that were timed: those of PHASES in order, then any others."""
    timed = {name for record in records for name in record.phases}
    return [name for name in PHASES if name in timed] + sorted(timed - set(PHASES))


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0..1) of the values lie, interpolated; 0 for none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def number(value: float | None) -> str:
    """Four significant digits, without an exponent where that stays readable."""
    if value is None:
        return ABSENT
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


def _wall(record: TrialRecord) -> float:
    return max(0.0, record.ended - record.started)


def _several(counts: Mapping[str, int]) -> str:
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{value} ({count} trials)" for value, count in sorted(counts.items()))


def _spread(phase: str, records: Sequence[TrialRecord], wall: float) -> Spread:
    values = [record.phases[phase] for record in records if phase in record.phases]
    total = sum(values)
    return Spread(phase, percentile(values, 0.5), percentile(values, 0.95), total, total / wall if wall else 0.0)
