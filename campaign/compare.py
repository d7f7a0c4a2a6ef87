"""Two trials that replayed the same jobs, side by side: the first decision in which they differ, where the time went.

Pure: tables in, values out. `campaign.cli.report` reads the trials, `campaign.report.comparison` writes the lines.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from campaign.errors import LedgerError
from campaign.jobs import WORKLOAD_SCHEMA
from campaign.trials import TrialRecord

TIE_S = 0.05
"""Starts that are no further apart are one decision: clocks are known to some hundredths of a second."""
PHASES = {
    "submission": "from its submission to the scheduler's answer",
    "policy": "from there to the scheduler's own start of it, or to its start where the scheduler keeps none",
    "dispatch": "from there until it runs",
    "run": "until it has ended",
}
"""What a job's response time consists of. A scheduler's own start is moved to between the job's acceptance and its real
start where it lies outside: accounts may have whole seconds."""
Seconds = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Arm:
    """A trial as it is compared: its name to people, its record, and its jobs (JOBS_SCHEMA at least)."""

    name: str
    record: TrialRecord
    jobs: pa.Table


@dataclass(frozen=True)
class Start:
    """A job's start in one arm, and what it looked like then: times in seconds from the workload's begin, `waited` of
    the job itself; what else waited, and the slots that no job used, the job's own among them."""

    job: int
    width: int
    at_s: float
    waited_s: float
    waiting_jobs: int
    waiting_slots: int
    free_slots: int


@dataclass(frozen=True)
class Divergence:
    """The first decision in which two schedules differ: after `common` equal ones, each arm starts another job."""

    common: int
    starts: tuple[Start, Start]


@dataclass(frozen=True)
class Change:
    """A job's response time in both arms, by PHASES."""

    job: int
    width: int
    split: tuple[Mapping[str, float], Mapping[str, float]]

    @property
    def gained_s(self) -> float:
        """By how much the second arm's response is shorter."""
        return sum(self.split[0].values()) - sum(self.split[1].values())


@dataclass(frozen=True)
class Comparison:
    """What two arms have in common and what not.

    `means` are the mean seconds of each phase, over the jobs that ended in both (`ended`, of `jobs`); `changes` are
    those jobs, the greatest gain of the second arm first. `metrics` are the values of both where both have one.
    """

    arms: tuple[Arm, Arm]
    jobs: int
    ended: int
    divergence: Divergence | None
    means: Mapping[str, tuple[float, float]]
    changes: tuple[Change, ...]
    metrics: Mapping[str, tuple[float, float]]
    differing: Mapping[str, tuple[str, str]]


def compare(one: Arm, other: Arm, slots: tuple[int, int]) -> Comparison:
    """Compare two trials of the same jobs, on clusters of so many `slots`; LedgerError if the jobs aren't the same."""
    _require_same_jobs(one, other)
    tables = (_Schedule(one.jobs, slots[0]), _Schedule(other.jobs, slots[1]))
    ended = tables[0].ended & tables[1].ended
    splits = tuple(table.split() for table in tables)
    means = {name: (_mean(splits[0][name][ended]), _mean(splits[1][name][ended])) for name in PHASES}
    changes = [
        Change(
            int(tables[0].job[row]),
            int(tables[0].width[row]),
            tuple({name: float(split[name][row]) for name in PHASES} for split in splits),  # type: ignore[arg-type]
        )
        for row in np.flatnonzero(ended)
    ]
    shared = [name for name in one.record.metrics if name in other.record.metrics]
    return Comparison(
        arms=(one, other),
        jobs=len(ended),
        ended=int(ended.sum()),
        divergence=_divergence(*tables),
        means=means,
        changes=tuple(sorted(changes, key=lambda change: (-change.gained_s, change.job))),
        metrics={name: (one.record.metrics[name], other.record.metrics[name]) for name in shared},
        differing=_differing(one.record, other.record),
    )


class _Schedule:
    """The columns of one arm's jobs, by job id; times in seconds from the workload's begin, NaN where unknown."""

    def __init__(self, jobs: pa.Table, slots: int) -> None:
        jobs = jobs.sort_by("job_id").combine_chunks()
        self.slots = slots
        self.job = jobs.column("job_id").to_numpy()
        self.width = jobs.column("width").to_numpy()
        self.submit, self.accepted, self.start, self.end = (
            _seconds(jobs, f"{name}_ns", 1e9) for name in ("submit", "accepted", "start", "end")
        )
        self.native = _seconds(jobs, "native_start_s", 1.0)

    @property
    def ended(self) -> Flags:
        """The jobs whose whole life is known."""
        return ~np.isnan(self.submit + self.start + self.end)

    def split(self) -> dict[str, Seconds]:
        """Each job's response time by PHASES; they add up to it."""
        accepted = np.clip(np.where(np.isnan(self.accepted), self.submit, self.accepted), self.submit, self.start)
        decided = np.clip(np.where(np.isnan(self.native), self.start, self.native), accepted, self.start)
        ends = (self.submit, accepted, decided, self.start, self.end)
        return {name: ends[index + 1] - ends[index] for index, name in enumerate(PHASES)}

    def starts(self) -> NDArray[np.int64]:
        """The rows in the order of their starts; those of one decision by their ids."""
        rows = np.flatnonzero(~np.isnan(self.start))
        rows = rows[np.argsort(self.start[rows], kind="stable")]
        decision = np.cumsum(np.diff(self.start[rows], prepend=-np.inf) > TIE_S)
        return rows[np.lexsort((self.job[rows], decision))]

    def look(self, row: int) -> Start:
        """The start of a job, and what it looked like then."""
        at = self.start[row]
        others = np.arange(len(self.job)) != row
        running = others & (self.start <= at) & (np.isnan(self.end) | (self.end > at))
        waiting = others & (self.submit <= at) & ~(self.start <= at)
        return Start(
            job=int(self.job[row]),
            width=int(self.width[row]),
            at_s=float(at),
            waited_s=float(at - self.submit[row]),
            waiting_jobs=int(waiting.sum()),
            waiting_slots=int(self.width[waiting].sum()),
            free_slots=int(self.slots - self.width[running].sum()),
        )


def _divergence(one: _Schedule, other: _Schedule) -> Divergence | None:
    rows = one.starts(), other.starts()
    length = min(map(len, rows))
    differ = np.flatnonzero(rows[0][:length] != rows[1][:length])
    if not differ.size:
        return None
    at = int(differ[0])
    return Divergence(at, (one.look(int(rows[0][at])), other.look(int(rows[1][at]))))


def _require_same_jobs(one: Arm, other: Arm) -> None:
    columns = [name for name in WORKLOAD_SCHEMA.names if name != "user"]
    tables = [arm.jobs.select(columns).sort_by("job_id").combine_chunks() for arm in (one, other)]
    if tables[0].equals(tables[1]):
        return
    counts = [table.num_rows for table in tables]
    different = [name for name in columns if counts[0] == counts[1] and not _equal(tables, name)]
    raise LedgerError(
        f"{one.name} and {other.name} didn't replay the same jobs",
        f"they differ in {', '.join(different)}" if different else f"{counts[0]} jobs against {counts[1]}",
        "Compare trials of one campaign, or of campaigns with the same workload and the same smallest cluster.",
    )


def _equal(tables: Sequence[pa.Table], name: str) -> bool:
    return bool(tables[0].column(name).equals(tables[1].column(name)))


def _differing(one: TrialRecord, other: TrialRecord) -> dict[str, tuple[str, str]]:
    """What differs in points and provenance, by name."""
    pairs = [{**record.provenance, **{k: str(v) for k, v in record.point.items()}} for record in (one, other)]
    names = dict.fromkeys([*one.point, *other.point, *pairs[0], *pairs[1]])
    found = {name: (pairs[0].get(name, ""), pairs[1].get(name, "")) for name in names}
    return {name: both for name, both in found.items() if both[0] != both[1]}


def _seconds(jobs: pa.Table, name: str, per_second: float) -> Seconds:
    column = pc.cast(jobs.column(name), pa.float64())
    return np.asarray(pc.fill_null(column, np.nan).to_numpy(), dtype=np.float64) / per_second


def _mean(values: Seconds) -> float:
    return float(values.mean()) if values.size else float("nan")
