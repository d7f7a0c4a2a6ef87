"""Where a campaign's time went: its phases over all trials and per host, the workload's share."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from campaign.core.phases import TIMED, UNTIL_READY, Phase
from campaign.core.provenance import Group, names_of
from campaign.core.provenance import label_of as fact_label
from campaign.core.trials import TrialRecord
from campaign.report.facts import CampaignFacts, nodes_of

CALIBRATION = {name: fact_label(name) for name in names_of(Group.HOST_SPEED)}
"""A host's own speed: its label, by its name in a trial's provenance."""
UNLIKE = 0.2
"""The share by which hosts' speeds may differ; beyond it, trials should not be compared."""
UNTIMED = "trials, outside their phases"
AGAIN = "attempts that were tried again"
BETWEEN = "between trials"


@dataclass(frozen=True)
class TimeSpread:
    """`count` times of one kind, in seconds; `share` is their part of the wall time."""

    label: str
    count: int
    p50: float
    p95: float
    total: float
    share: float


@dataclass(frozen=True)
class HostTimes:
    """The trials of one host.

    `phases` are those of the campaign in order, None where no trial here had it. `calibration` is
    how fast the host was when it was last opened, by the names of CALIBRATION.
    """

    host: str
    trials: int
    workload_share: float  # of these trials' wall time
    phases: tuple[TimeSpread | None, ...]
    calibration: Mapping[str, float]


@dataclass(frozen=True)
class Starts:
    """How the trials' clusters started; `reasons` say why some were booted instead of restored."""

    restored: int
    booted: int
    reasons: tuple[tuple[str, int], ...]  # first lines with their counts, most frequent first


@dataclass(frozen=True)
class Cost:
    """What the trials cost.

    `wall_s` adds up all attempts and the time between them; `rows` say what it went into, so their
    shares add up to 1. `later_share` is the workload's share of what came after the first trial,
    which pays for the golden cluster (None if nothing did), `later_shares` are those of the rows,
    by label. `ready` spreads the time from a trial's request to its nodes being ready for jobs, of
    those that got there. `node_hours` count head nodes and all that the last attempts took.
    """

    trials: int
    attempts_failed: int
    wall_s: float
    workload_share: float
    later_share: float | None
    between: TimeSpread
    ready: TimeSpread
    node_hours: float
    starts: Starts
    phases: tuple[Phase, ...]
    rows: tuple[TimeSpread, ...]
    later_shares: Mapping[str, float]
    hosts: tuple[HostTimes, ...]


def cost_of(records: Sequence[TrialRecord], facts: CampaignFacts) -> Cost:
    """Add up what the trials took; `records` hold each trial's last attempt.

    Trials that were taken over from another campaign cost nothing here.
    """
    records = [record for record in records if not record.provenance.taken_from]
    whole = _Stretch(records, facts.earlier, gaps_of(records, facts))
    phases = phases_of(records)
    later = whole.after_first()
    return Cost(
        trials=len(records),
        attempts_failed=sum(not record.valid for record in records),
        wall_s=whole.wall,
        workload_share=whole.workload_share,
        later_share=later.workload_share if later else None,
        between=whole.spread(BETWEEN, whole.idle),
        ready=whole.spread(
            "ready", [ready_after(record) for record in records if Phase.READY in record.phases]
        ),
        node_hours=sum(wall_of(record) * (nodes_of(record, facts) + 1) for record in records)
        / 3600,
        starts=starts_of(records),
        phases=tuple(phases),
        rows=tuple(whole.rows(phases)),
        later_shares={row.label: row.share for row in later.rows(phases)} if later else {},
        hosts=tuple(_hosts(records, phases)),
    )


def gaps_of(records: Sequence[TrialRecord], facts: CampaignFacts) -> list[tuple[float, float]]:
    """Return when no attempt ran, between the first start and the last end.

    Then the driver judged, sampled, or wrote to MLflow. Times in which no driver ran, before a
    later one resumed the campaign, are left out.
    """
    gaps: list[tuple[float, float]] = []
    until: float | None = None
    for one in sorted((*records, *facts.earlier), key=lambda record: record.started):
        if (
            until is not None
            and until < one.started
            and not any(until <= at <= one.started for at in facts.resumed)
        ):
            gaps.append((until, one.started))
        until = one.ended if until is None else max(until, one.ended)
    return gaps


def starts_of(records: Iterable[TrialRecord]) -> Starts:
    """Count where the trials' clusters came from; trials that got none aren't in it."""
    origins = [record.provenance for record in records if record.provenance.start]
    reasons = Counter(one.cold_because.partition("\n")[0] for one in origins if one.cold_because)
    restored = sum(one.start == "golden" for one in origins)
    return Starts(restored, len(origins) - restored, tuple(reasons.most_common()))


def phases_of(records: Iterable[TrialRecord]) -> list[Phase]:
    """Return the phases that were timed, in their order."""
    timed = {phase for record in records for phase in record.phases}
    return [phase for phase in TIMED if phase in timed]


def wall_of(record: TrialRecord) -> float:
    """Return the seconds from the attempt's start to its judgement."""
    return max(0.0, record.ended - record.started)


def workload_of(record: TrialRecord) -> float:
    """Return the seconds in which its workload ran."""
    return sum(seconds for phase, seconds in record.phases.items() if phase.measured)


def ready_after(record: TrialRecord) -> float:
    """Return the seconds from the trial's request to its nodes being ready for jobs."""
    return sum(seconds for phase, seconds in record.phases.items() if phase in UNTIL_READY)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` (0..1) of the values lie, interpolated; 0 for none."""
    if not values:
        return 0.0
    return float(np.quantile(values, share))


@dataclass(frozen=True)
class _Stretch:
    """A stretch of a campaign: its trials, its attempts that were tried again, and its gaps."""

    records: Sequence[TrialRecord]
    earlier: Sequence[TrialRecord] = ()
    gaps: Sequence[tuple[float, float]] = ()

    @property
    def idle(self) -> list[float]:
        return [end - begin for begin, end in self.gaps]

    @property
    def wall(self) -> float:
        return sum(map(wall_of, (*self.records, *self.earlier))) + sum(self.idle)

    @property
    def workload_share(self) -> float:
        return _share(sum(map(workload_of, self.records)), self.wall)

    def after_first(self) -> "_Stretch | None":
        """Return all that came after the first trial; None if nothing did."""
        first = min(self.records, key=lambda record: record.started, default=None)
        if first is None or len(self.records) == 1:
            return None
        return _Stretch(
            [record for record in self.records if record is not first],
            [record for record in self.earlier if record.number != first.number],
            [gap for gap in self.gaps if gap[0] >= first.ended],
        )

    def rows(self, phases: Iterable[Phase]) -> Iterator[TimeSpread]:
        """Yield the parts of the wall time."""
        for phase in phases:
            yield self.spread(phase.label, _times(self.records, phase))
        untimed = [wall_of(record) - sum(record.phases.values()) for record in self.records]
        yield self.spread(UNTIMED, untimed)
        if self.earlier:
            yield self.spread(AGAIN, [wall_of(record) for record in self.earlier])
        yield self.spread(BETWEEN, self.idle)

    def spread(self, label: str, values: Sequence[float]) -> TimeSpread:
        total = sum(values)
        share = _share(sum(values), self.wall)
        return TimeSpread(
            label, len(values), percentile(values, 0.5), percentile(values, 0.95), total, share
        )


def _hosts(records: Sequence[TrialRecord], phases: Sequence[Phase]) -> Iterator[HostTimes]:
    for host in sorted({record.host for record in records if record.host}):
        here = _Stretch([record for record in records if record.host == host])
        times = [(phase.label, _times(here.records, phase)) for phase in phases]
        spreads = tuple(here.spread(label, values) if values else None for label, values in times)
        yield HostTimes(
            host, len(here.records), here.workload_share, spreads, _calibration(here.records)
        )


def _calibration(records: Iterable[TrialRecord]) -> dict[str, float]:
    """Return the host's speeds by the latest trial that knows them."""
    known = [
        record.provenance.facts for record in sorted(records, key=lambda record: record.started)
    ]
    return {name: float(of[name]) for name in CALIBRATION for of in known if name in of}


def unlike(hosts: Sequence[HostTimes]) -> list[str]:
    """Return the speeds in which the hosts differ by more than UNLIKE, in words.

    A timer's may differ twofold.
    """
    found = []
    for name, label in CALIBRATION.items():
        speeds = [host.calibration[name] for host in hosts if name in host.calibration]
        allowed = 1 + UNLIKE if name != "host_timer_us" else 2.0
        if len(speeds) > 1 and max(speeds) > allowed * min(speeds):
            found.append(f"{label}: {min(speeds):.0f} to {max(speeds):.0f}")
    return found


def _times(records: Iterable[TrialRecord], phase: Phase) -> list[float]:
    return [record.phases[phase] for record in records if phase in record.phases]


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
