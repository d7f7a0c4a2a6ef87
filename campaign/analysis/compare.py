"""Two trials that replayed the same jobs, side by side: the first decision in which they differ,
where the time went.

Pure: tables in, values out; all of it over whole columns, in time O(n log n) of n jobs.
`campaign.cli.report` reads the trials, `campaign.report.comparison.text`, `compare_page` and
`compare_json` write down what is found.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from campaign.core.errors import LedgerError
from campaign.core.jobs import WORKLOAD_SCHEMA
from campaign.core.trials import Point, TrialRecord
from campaign.schema.model import Direction

TIE_S = 0.05
"""Starts that are no further apart come in no order: clocks are known to some hundredths of a
second, and jobs that one decision starts are launched one after the other. Where a trial knows its
clocks less well, twice their error counts."""
RESPONSE_PARTS = {
    "submission": "from its submission to the scheduler's answer",
    "policy": "from there to the scheduler's own start of it, or to its start where the "
    "scheduler keeps none",
    "dispatch": "from there until it runs on its first node",
    "run": "until it has ended on its last node",
}
"""What a job's response time consists of. A scheduler's own start is moved to between the job's
acceptance and its real start where it lies outside: accounts may have whole seconds (Slurm's are
rounded down), and clocks an error. So of a dispatch, as much as the accounts' resolution may be the
policy's. Where there is no own start, as in a simulation, the dispatch is 0. A job that clocks show
to start before its submission has a submission of less than 0."""
FIRST_METRICS = (
    "makespan_s",
    "utilisation",
    "wait_mean_s",
    "awrt_s",
    "response_mean_s",
    "bounded_slowdown_mean",
)
"""Those that come after the objectives; the others follow."""
MOST_WAITING = 8
"""How many of the jobs that wait are named."""
Seconds = NDArray[np.float64]
Flags = NDArray[np.bool_]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Arm:
    """A trial as it is compared: its name to people, its record, its jobs (JOBS_SCHEMA at least)
    and its cluster.

    `fixed` are the settings beside its point; `resolution_s` is that of its scheduler's accounts.
    """

    name: str
    record: TrialRecord
    jobs: pa.Table
    nodes: int
    slots_per_node: int
    fixed: Point = field(default_factory=dict)
    resolution_s: float = 0.0

    @property
    def slots(self) -> int:
        """The job slots of all compute nodes together."""
        return self.nodes * self.slots_per_node

    @property
    def tie_s(self) -> float:
        """Starts that are no further apart come in no order."""
        errors = [check.value for check in self.record.checks if check.name == "clock error"]
        return max([TIE_S, *(2 * error for error in errors)])


@dataclass(frozen=True)
class WaitingJob:
    """A job that waits for `width` slots, and for how many seconds it has."""

    job: int
    width: int
    waited_s: float


@dataclass(frozen=True)
class JobStart:
    """A job's start in one arm, and what it looked like then: times in seconds from the workload's
    begin, `waited_s` of the job itself, `elsewhere_s` its start in the other arm (None: never);
    what else waited (MOST_WAITING of it, the longest first), and the slots that no job used, the
    job's own among them. `nodes` is empty where none are known."""

    job: int
    width: int
    nodes: tuple[str, ...]
    at_s: float
    waited_s: float
    elsewhere_s: float | None
    waiting_jobs: int
    waiting_slots: int
    waiting: tuple[WaitingJob, ...]
    free_slots: int


@dataclass(frozen=True)
class Divergence:
    """The first decision in which two schedules differ: each arm starts a job that the other starts
    later than its own.

    `common` jobs had started in both by then.
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
    """A job's response time in both arms, and its parts by RESPONSE_PARTS; seconds."""

    job: int
    width: int
    response_s: tuple[float, float]
    split: tuple[Mapping[str, float], Mapping[str, float]]

    @property
    def gained_s(self) -> float:
        """By how much the second arm's response is shorter."""
        return self.response_s[0] - self.response_s[1]


@dataclass(frozen=True)
class Comparison:
    """What two arms have in common and what not.

    `totals` are the seconds of each phase, summed over the jobs that ended in both (`ended`, of
    `jobs`); `changes` are those jobs, the greatest gain of the second arm first; of so many of
    them, `accounts` hold the scheduler's own start in each arm. `only` are the jobs that started in
    one arm alone, by arm. `metrics` are the values of both where both have one, the objectives
    first; `lone` those that one has (None: it has not). `differing` are settings and provenance,
    empty where an arm has none.
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
        """The mean seconds of each phase; 0 where no job ended in both."""
        jobs = max(1, self.ended)
        return {name: (one / jobs, other / jobs) for name, (one, other) in self.totals.items()}

    @property
    def response_s(self) -> tuple[float, float]:
        """The response times of all jobs that ended in both, summed, in each arm."""
        one, other = zip(*self.totals.values(), strict=True)
        return sum(one), sum(other)


def compare(one: Arm, other: Arm, objectives: Mapping[str, Direction] | None = None) -> Comparison:
    """Compare two trials of the same jobs; LedgerError if the jobs aren't the same.

    `objectives` are those of the arms' campaigns, by metric.
    """
    _require_same_jobs(one, other)
    tables = (_Schedule(one), _Schedule(other))
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


class _Schedule:
    """The columns of one arm's jobs, by job id; times in seconds from the workload's begin, NaN
    where unknown."""

    def __init__(self, arm: Arm) -> None:
        jobs = arm.jobs.sort_by("job_id").combine_chunks()
        self.slots = arm.slots
        self.tie_s = arm.tie_s
        self.job = jobs.column("job_id").to_numpy()
        self.width = jobs.column("width").to_numpy()
        self.nodes = jobs.column("nodes").combine_chunks()
        self.submit, self.accepted, self.start, self.end = (
            _seconds(jobs, f"{name}_ns", 1e9) for name in ("submit", "accepted", "start", "end")
        )
        self.native = _seconds(jobs, "native_start_s", 1.0)
        self.started = np.where(np.isnan(self.start), np.inf, self.start)

    @property
    def ended(self) -> Flags:
        """The jobs whose whole life is known."""
        return ~np.isnan(self.submit + self.start + self.end)

    @property
    def order(self) -> Rows:
        """The rows in the order of their starts, then of their ids; last those that never
        started."""
        return np.argsort(self.started, kind="stable")

    def accounted(self, among: Flags) -> int:
        """Of how many jobs `among` all the scheduler's own start is known."""
        return int((~np.isnan(self.native) & among).sum())

    def started_but_not_in(self, other: "_Schedule") -> tuple[int, ...]:
        """The jobs that started here alone, in order."""
        rows = self.order
        return tuple(
            self.job[rows[np.isfinite(self.started[rows]) & np.isinf(other.started[rows])]].tolist()
        )

    def split(self) -> dict[str, Seconds]:
        """Each job's response time by RESPONSE_PARTS; they add up to it."""
        accepted = np.clip(
            np.where(np.isnan(self.accepted), self.submit, self.accepted), self.submit, self.start
        )
        decided = np.clip(
            np.where(np.isnan(self.native), self.start, self.native), accepted, self.start
        )
        ends = (self.submit, accepted, decided, self.start, self.end)
        return {name: ends[index + 1] - ends[index] for index, name in enumerate(RESPONSE_PARTS)}

    def look(self, row: int, other: "_Schedule") -> JobStart:
        """The start of a job, and what it looked like then."""
        at = self.start[row]
        others = np.arange(len(self.job)) != row
        running = others & (self.start <= at) & (np.isnan(self.end) | (self.end > at))
        waiting = np.flatnonzero((self.submit <= at) & ~(self.start <= at))
        longest = waiting[np.argsort(self.submit[waiting], kind="stable")][:MOST_WAITING]
        elsewhere = float(other.started[row])
        return JobStart(
            job=int(self.job[row]),
            width=int(self.width[row]),
            nodes=self.nodes_of(row),
            at_s=float(at),
            waited_s=float(at - self.submit[row]),
            elsewhere_s=elsewhere if np.isfinite(elsewhere) else None,
            waiting_jobs=len(waiting),
            waiting_slots=int(self.width[waiting].sum()),
            waiting=tuple(
                WaitingJob(int(self.job[w]), int(self.width[w]), float(at - self.submit[w]))
                for w in longest
            ),
            free_slots=int(self.slots - self.width[running].sum()),
        )

    def nodes_of(self, row: int) -> tuple[str, ...]:
        """Where a job ran, as far as that is known."""
        return tuple(sorted(self.nodes[row].as_py() or ()))


def _divergence(one: _Schedule, other: _Schedule) -> Divergence | None:
    """The first start of each arm that is at odds with the other's.

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


def _at_odds(here: _Schedule, there: _Schedule) -> int | None:
    """The row that starts first here of those that start there only after some job that starts
    later here."""
    rows = here.order
    at = here.started[rows]
    elsewhere = there.started[rows]
    soonest_of_later = np.append(np.minimum.accumulate(elsewhere[::-1])[::-1], np.inf)
    overtakes = soonest_of_later[np.searchsorted(at, at + here.tie_s, side="right")]
    found = rows[overtakes + there.tie_s < elsewhere]
    return int(found[0]) if found.size else None


def _placement(
    one: _Schedule, other: _Schedule, divergence: Divergence | None
) -> PlacementDifference | None:
    """The first job before the divergence, in the order of `one`, that ran on other nodes in
    `other`."""
    until = [start.at_s for start in divergence.starts] if divergence else [np.inf, np.inf]
    before = (one.started < until[0]) & (other.started < until[1])
    written = [pc.binary_join(of.nodes, " ") for of in (one, other)]
    unlike = pc.fill_null(pc.not_equal(*written), False).to_numpy(zero_copy_only=False)
    for row in one.order[(before & unlike)[one.order]].tolist():
        nodes = (one.nodes_of(row), other.nodes_of(row))
        if all(nodes) and nodes[0] != nodes[1]:
            return PlacementDifference(int(one.job[row]), nodes)
    return None


def _changes(
    tables: tuple[_Schedule, _Schedule],
    splits: tuple[dict[str, Seconds], dict[str, Seconds]],
    ended: Flags,
) -> Iterator[JobChange]:
    job = tables[0].job
    width = tables[0].width
    one, other = (table.end - table.submit for table in tables)
    rows = np.flatnonzero(ended)
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
    """The jobs themselves decide, not a hash: whose they are makes no other trace."""
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
    """In what two lists of jobs differ, a line each."""
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
    """What differs in settings and provenance, by name; settings first."""
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


def _seconds(jobs: pa.Table, name: str, per_second: float) -> Seconds:
    column = pc.cast(jobs.column(name), pa.float64())
    return np.asarray(pc.fill_null(column, np.nan).to_numpy(), dtype=np.float64) / per_second
