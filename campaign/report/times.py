"""Where a campaign's time went: its phases over all trials and per host, and how much of it was workload."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from campaign.report.facts import Facts, nodes_of
from campaign.trials import MEASURED, PHASES, TrialRecord

LABELS = {
    "golden": "golden cluster made",
    "fallback": "golden cluster given up",
    "placed": "placed",
    "started": "restored or booted",
    "reachable": "reachable",
    "ready": "scheduler ready",
    "first_job": "first job started",
    "workload": "workload done",
    "collected": "collected",
    "torn_down": "torn down",
}
"""What a trial has reached at the end of each phase."""
UNTIMED, AGAIN, BETWEEN = "trials, outside their phases", "attempts that were tried again", "between trials"


@dataclass(frozen=True)
class Spread:
    """`count` times of one kind, in seconds; `share` is their part of the wall time."""

    label: str
    count: int
    p50: float
    p95: float
    total: float
    share: float


@dataclass(frozen=True)
class HostTimes:
    """The trials of one host; `phases` are those of the campaign in order, None where no trial here had it."""

    host: str
    trials: int
    workload_share: float  # of these trials' wall time
    phases: tuple[Spread | None, ...]


@dataclass(frozen=True)
class Starts:
    """Where the trials' clusters came from; `reasons` say why some were booted though a golden one was wanted."""

    restored: int
    booted: int
    reasons: tuple[tuple[str, int], ...]  # first lines with their counts, most frequent first


@dataclass(frozen=True)
class Cost:
    """What the trials cost.

    `wall_s` adds up all attempts and the time between them; `rows` say what it went into, so their shares add up to 1.
    `later_share` is the workload's share of what came after the first trial, which pays for the golden cluster; None
    if nothing did. `ready` spreads the time from a trial's request to its nodes being ready for jobs, of those that
    got there. `node_hours` count head nodes and all that the last attempts took.
    """

    trials: int
    attempts_failed: int
    wall_s: float
    workload_share: float
    later_share: float | None
    between: Spread
    ready: Spread
    node_hours: float
    starts: Starts
    phases: tuple[str, ...]
    rows: tuple[Spread, ...]
    hosts: tuple[HostTimes, ...]


def cost_of(records: Sequence[TrialRecord], facts: Facts) -> Cost:
    """Add up what the trials took; `records` hold each trial's last attempt."""
    gaps = [end - begin for begin, end in gaps_of(records, facts)]
    wall = sum(map(wall_of, (*records, *facts.earlier))) + sum(gaps)
    phases = phases_of(records)
    return Cost(
        trials=len(records),
        attempts_failed=sum(not record.valid for record in records),
        wall_s=wall,
        workload_share=_share(sum(map(workload_of, records)), wall),
        later_share=_later_share(records, facts),
        between=_spread(BETWEEN, gaps, wall),
        ready=_spread("ready", [ready_after(record) for record in records if "ready" in record.phases], wall),
        node_hours=sum(wall_of(record) * (nodes_of(record, facts) + 1) for record in records) / 3600,
        starts=starts_of(records),
        phases=tuple(phases),
        rows=tuple(_rows(records, facts, phases, gaps, wall)),
        hosts=tuple(_hosts(records, phases)),
    )


def gaps_of(records: Sequence[TrialRecord], facts: Facts) -> list[tuple[float, float]]:
    """When no attempt ran, between the first start and the last end: judging, sampler, MLflow.

    Times in which no driver ran, as a later one took the campaign up again, are left out.
    """
    gaps: list[tuple[float, float]] = []
    until: float | None = None
    for one in sorted((*records, *facts.earlier), key=lambda record: record.started):
        if until is not None and until < one.started and not any(until <= at <= one.started for at in facts.resumed):
            gaps.append((until, one.started))
        until = one.ended if until is None else max(until, one.ended)
    return gaps


def starts_of(records: Iterable[TrialRecord]) -> Starts:
    """Count where the trials' clusters came from; trials that got none aren't in it."""
    origins = [record.provenance for record in records if "start" in record.provenance]
    reasons = Counter(one["cold_because"].partition("\n")[0] for one in origins if one.get("cold_because"))
    restored = sum(one["start"] == "golden" for one in origins)
    return Starts(restored, len(origins) - restored, tuple(reasons.most_common()))


def phases_of(records: Iterable[TrialRecord]) -> list[str]:
    """The phases that were timed: those of PHASES in order, then any others."""
    timed = {name for record in records for name in record.phases}
    return [name for name in PHASES if name in timed] + sorted(timed - set(PHASES))


def label_of(phase: str) -> str:
    """A phase as people read it."""
    return LABELS.get(phase, phase.replace("_", " "))


def wall_of(record: TrialRecord) -> float:
    """Seconds from the attempt's start to its judgement."""
    return max(0.0, record.ended - record.started)


def workload_of(record: TrialRecord) -> float:
    """Seconds in which its workload ran."""
    return sum(seconds for phase, seconds in record.phases.items() if phase in MEASURED)


def ready_after(record: TrialRecord) -> float:
    """Seconds from the trial's request to its nodes being ready for jobs."""
    before = PHASES[: PHASES.index("ready") + 1]
    return sum(seconds for phase, seconds in record.phases.items() if phase in before)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0..1) of the values lie, interpolated; 0 for none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def _later_share(records: Sequence[TrialRecord], facts: Facts) -> float | None:
    if len(records) < 2:
        return None
    first = min(records, key=lambda record: record.started)
    later = [record for record in records if record is not first]
    attempts = [*later, *(record for record in facts.earlier if record.number != first.number)]
    gaps = sum(end - begin for begin, end in gaps_of(records, facts) if begin >= first.ended)
    return _share(sum(map(workload_of, later)), sum(map(wall_of, attempts)) + gaps)


def _rows(
    records: Sequence[TrialRecord], facts: Facts, phases: Iterable[str], gaps: Sequence[float], wall: float
) -> Iterator[Spread]:
    for phase in phases:
        yield _spread(label_of(phase), _times(records, phase), wall)
    yield _spread(UNTIMED, [wall_of(record) - sum(record.phases.values()) for record in records], wall)
    if facts.earlier:
        yield _spread(AGAIN, [wall_of(record) for record in facts.earlier], wall)
    yield _spread(BETWEEN, gaps, wall)


def _hosts(records: Sequence[TrialRecord], phases: Sequence[str]) -> Iterator[HostTimes]:
    for host in sorted({record.host for record in records if record.host}):
        here = [record for record in records if record.host == host]
        wall = sum(map(wall_of, here))
        times = [(label_of(phase), _times(here, phase)) for phase in phases]
        spreads = tuple(_spread(label, values, wall) if values else None for label, values in times)
        yield HostTimes(host, len(here), _share(sum(map(workload_of, here)), wall), spreads)


def _times(records: Iterable[TrialRecord], phase: str) -> list[float]:
    return [record.phases[phase] for record in records if phase in record.phases]


def _spread(label: str, values: Sequence[float], wall: float) -> Spread:
    total = sum(values)
    return Spread(label, len(values), percentile(values, 0.5), percentile(values, 0.95), total, _share(total, wall))


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
