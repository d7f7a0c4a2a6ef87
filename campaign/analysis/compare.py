"""Compares two trials of the same jobs: where their decisions part, and where the time went.

All of it is pure, tables in, values out, over whole columns: time O(n log n) for n jobs.
`campaign.cli.report` reads the trials; the modules of `campaign.report.comparison` write down what
is found.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from campaign.analysis.arm import RESPONSE_PARTS, Arm, ArmSchedule, Flags, JobStart, Rows, Seconds
from campaign.core.errors import LedgerError
from campaign.core.jobs import WORKLOAD_SCHEMA
from campaign.core.trials import TrialRecord
from campaign.schema.model import Direction

FIRST_METRICS = (
    "makespan_s",
    "utilisation",
    "wait_mean_s",
    "awrt_s",
    "response_mean_s",
    "bounded_slowdown_mean",
)
"""Those that come after the objectives; the others follow."""


@dataclass(frozen=True)
class Divergence:
    """The first decision in which two schedules differ.

    Each arm starts a job that the other one starts later than its own. `common` jobs had started in
    both arms by then.
    """

    common: int
    starts: tuple[JobStart, JobStart]


@dataclass(frozen=True)
class PlacementDifference:
    """The first job that both arms start in the same order, but on other nodes."""

    job: int
    nodes: tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class JobChange:
    """A job's response time in both arms and its parts by RESPONSE_PARTS, in seconds."""

    job: int
    width: int
    response_s: tuple[float, float]
    split: tuple[Mapping[str, float], Mapping[str, float]]

    @property
    def gained_s(self) -> float:
        """The seconds by which the second arm's response is shorter."""
        return self.response_s[0] - self.response_s[1]


@dataclass(frozen=True)
class Comparison:
    """What two arms have in common, and in what they differ.

    `totals` are the seconds of each part of the response time, summed over the jobs that ended in
    both arms (`ended` of `jobs`). `changes` are those jobs, the greatest gain of the second arm
    first; `accounts` counts, by arm, those that have a start in the scheduler's own accounts.
    `only` are the jobs that started in one arm alone, by arm. `metrics` are the values where both
    arms have one, the objectives first; `lone` are those that one arm has (None: it has not).
    `differing` are settings and provenance, empty where an arm has none.
    """

    arms: tuple[Arm, Arm]
    objectives: Mapping[str, Direction]
    jobs: int
    ended: int
    divergence: Divergence | None
    placement: PlacementDifference | None
    only: tuple[tuple[int, ...], tuple[int, ...]]
    totals: Mapping[str, tuple[float, float]]
    changes: tuple[JobChange, ...]
    accounts: tuple[int, int]
    metrics: Mapping[str, tuple[float, float]]
    lone: Mapping[str, tuple[float | None, float | None]]
    differing: Mapping[str, tuple[str, str]]

    @property
    def means(self) -> dict[str, tuple[float, float]]:
        """The mean seconds of each part of the response time; 0 where no job ended in both."""
        jobs = max(1, self.ended)
        return {name: (one / jobs, other / jobs) for name, (one, other) in self.totals.items()}

    @property
    def response_s(self) -> tuple[float, float]:
        """The response times of all jobs that ended in both arms, summed by arm."""
        one, other = zip(*self.totals.values(), strict=True)
        return sum(one), sum(other)


def compare(one: Arm, other: Arm, objectives: Mapping[str, Direction] | None = None) -> Comparison:
    """Compare two trials of the same jobs.

    `objectives` are those of the arms' campaigns, by metric. Raises LedgerError if the jobs aren't
    the same.
    """
    _require_same_jobs(one, other)
    tables = (ArmSchedule(one), ArmSchedule(other))
    ended = tables[0].ended & tables[1].ended
    splits = (tables[0].split(), tables[1].split())
    divergence = _divergence(*tables)
    values = (one.record.metrics, other.record.metrics)
    names = dict.fromkeys([*(objectives or {}), *FIRST_METRICS, *values[0], *values[1]])
    return Comparison(
        arms=(one, other),
        objectives=objectives or {},
        jobs=len(ended),
        ended=int(ended.sum()),
        divergence=divergence,
        placement=_placement(*tables, divergence),
        only=(tables[0].started_but_not_in(tables[1]), tables[1].started_but_not_in(tables[0])),
        totals={
            name: (float(splits[0][name][ended].sum()), float(splits[1][name][ended].sum()))
            for name in RESPONSE_PARTS
        },
        changes=tuple(_changes(tables, splits, ended)),
        accounts=(tables[0].accounted(ended), tables[1].accounted(ended)),
        metrics={
            name: (values[0][name], values[1][name])
            for name in names
            if all(name in of for of in values)
        },
        lone={
            name: (values[0].get(name), values[1].get(name))
            for name in names
            if sum(name in of for of in values) == 1
        },
        differing=_differing(one, other),
    )


def _divergence(one: ArmSchedule, other: ArmSchedule) -> Divergence | None:
    """Return the first start of each arm that is at odds with the other's; None if none is.

    Two jobs are at odds if one arm starts the first of them earlier by more than a tie, and the
    other arm the second. The earliest start in `one` of a job that is at odds with a later one, and
    the earliest in `other`, are at odds with each other: each comes before the start that the other
    is at odds with.
    """
    first = _at_odds(one, other)
    second = _at_odds(other, one)
    if first is None or second is None:
        return None
    common = (one.started < one.started[first]) & (other.started < other.started[second])
    return Divergence(int(common.sum()), (one.look(first, other), other.look(second, one)))


def _at_odds(here: ArmSchedule, there: ArmSchedule) -> int | None:
    """Return the first row, by its start here, that the other arm starts after a job later here."""
    rows = here.order
    at = here.started[rows]
    elsewhere = there.started[rows]
    # Running minima from the end, so that no job is compared with each later one.
    soonest_of_later = np.append(np.minimum.accumulate(elsewhere[::-1])[::-1], np.inf)
    overtakes = soonest_of_later[np.searchsorted(at, at + here.tie_s, side="right")]
    found = rows[overtakes + there.tie_s < elsewhere]
    return int(found[0]) if found.size else None


def _placement(
    one: ArmSchedule, other: ArmSchedule, divergence: Divergence | None
) -> PlacementDifference | None:
    """Return the first job before the divergence that ran on other nodes in the other arm.

    First in the order of `one`; None if there is no such job.
    """
    until = [start.at_s for start in divergence.starts] if divergence else [np.inf, np.inf]
    before = (one.started < until[0]) & (other.started < until[1])
    # Arrow can't compare columns of lists, so these are joined to texts; what differs as text may
    # only be in another order, hence the closer look below.
    written = [pc.binary_join(of.nodes, " ") for of in (one, other)]
    unlike = pc.fill_null(pc.not_equal(*written), False).to_numpy(zero_copy_only=False)
    for row in one.order[(before & unlike)[one.order]].tolist():
        nodes = (one.nodes_of(row), other.nodes_of(row))
        if all(nodes) and nodes[0] != nodes[1]:
            return PlacementDifference(int(one.job[row]), nodes)
    return None


def _changes(
    tables: tuple[ArmSchedule, ArmSchedule],
    splits: tuple[dict[str, Seconds], dict[str, Seconds]],
    ended: Flags,
) -> Iterator[JobChange]:
    job = tables[0].job
    width = tables[0].width
    one, other = (table.end - table.submit for table in tables)
    rows = np.flatnonzero(ended)
    # lexsort's last key counts first: the greatest gain, then the id.
    rows = rows[np.lexsort((job[rows], (other - one)[rows]))]
    jobs = zip(job[rows].tolist(), width[rows].tolist(), strict=True)
    responses = zip(one[rows].tolist(), other[rows].tolist(), strict=True)
    parts = zip(*(_parts(split, rows) for split in splits), strict=True)
    for (number, slots), response, split in zip(jobs, responses, parts, strict=True):
        yield JobChange(number, slots, response, split)


def _parts(split: Mapping[str, Seconds], rows: Rows) -> Iterable[dict[str, float]]:
    columns = (split[name][rows].tolist() for name in RESPONSE_PARTS)
    return (dict(zip(RESPONSE_PARTS, values, strict=True)) for values in zip(*columns, strict=True))


def _require_same_jobs(one: Arm, other: Arm) -> None:
    """Raise LedgerError unless both arms replayed the same jobs.

    The jobs themselves decide, not the workload's hash: another user of a job makes no other trace.
    """
    columns = [name for name in WORKLOAD_SCHEMA.names if name != "user"]
    tables = [arm.jobs.select(columns).sort_by("job_id").combine_chunks() for arm in (one, other)]
    if tables[0].equals(tables[1]):
        return
    replayed = [
        f"{arm.name} replayed {arm.jobs.num_rows} jobs{_workload(arm.record)}"
        for arm in (one, other)
    ]
    raise LedgerError(
        f"{one.name} and {other.name} didn't replay the same jobs",
        "\n".join([*replayed, *_unlike(tables, columns)]),
        "Compare trials of one campaign, or of campaigns with the same workload and the same "
        "smallest cluster.",
    )


def _workload(record: TrialRecord) -> str:
    words = (record.provenance.workload, record.provenance.workload_hash[:12])
    said = " ".join(filter(None, words))
    return f" of {said}" if said else ""


def _unlike(tables: Sequence[pa.Table], columns: Sequence[str]) -> Iterator[str]:
    """Yield in what two lists of jobs differ, a line each."""
    ids = [table.column("job_id") for table in tables]
    if not ids[0].equals(ids[1]):
        alone = [
            len(set(mine.to_pylist()) - set(theirs.to_pylist()))
            for mine, theirs in (ids, ids[::-1])
        ]
        yield f"only the first has {alone[0]} of the jobs, only the second {alone[1]}"
        return
    for name in columns:
        one, other = (table.column(name).to_numpy() for table in tables)
        rows = np.flatnonzero(one != other)
        if rows.size:
            job = ids[0][int(rows[0])].as_py()
            yield (
                f"{name} differs in {rows.size} jobs, first in job {job}: {one[rows[0]]:g} "
                f"against {other[rows[0]]:g}"
            )


def _differing(one: Arm, other: Arm) -> dict[str, tuple[str, str]]:
    """Return what differs in settings and provenance, by name; settings first."""
    settings = [
        {name: str(value) for name, value in {**arm.fixed, **arm.record.point}.items()}
        for arm in (one, other)
    ]
    pairs = [
        {**arm.record.provenance.facts, **own}
        for arm, own in zip((one, other), settings, strict=True)
    ]
    names = dict.fromkeys([*settings[0], *settings[1], *pairs[0], *pairs[1]])
    found = {name: (pairs[0].get(name, ""), pairs[1].get(name, "")) for name in names}
    return {name: both for name, both in found.items() if both[0] != both[1]}
