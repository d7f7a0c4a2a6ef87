"""The measurements of the simulation's speed as tables and as JSON: numbers in, text out."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from campaign.bench.scale import ScaleRow, scale_lines
from campaign.bench.spread import Ratio, ratio, spread

if TYPE_CHECKING:
    from campaign.simulation.engine import Ns

OURS = "ours"
TEXTBOOK = "AccaSim, textbook"
SHIPPED = "AccaSim, as shipped"
EASY = "EASY"
WIDTH = 34
MIB = 2**20


@dataclass(frozen=True)
class SpeedCase:
    """One simulation: the first `jobs` jobs of a workload model, in a simulator, under a policy.

    `whole` times are rounded to seconds.
    """

    simulator: str
    model: str
    policy: str
    jobs: int
    whole: bool = False

    @property
    def label(self) -> str:
        """The case in words, but for the number of jobs."""
        return f"{self.simulator}: {self.policy}, {self.model}"


@dataclass(frozen=True)
class SimulatorRun:
    """A simulator's work on some jobs.

    `cpu_s` is its CPU time and `elapsed_s` the time that passed, in seconds; `starts` are the jobs'
    starts in nanoseconds; `nodes` says whether it found out which nodes each job had.
    """

    cpu_s: float
    elapsed_s: float
    starts: "Ns"
    nodes: bool


@dataclass(frozen=True)
class ScheduleFigures:
    """The figures of a schedule.

    `busy` is the part of all slots that was busy until the last job's end, `wait_s` the mean wait
    in seconds, `queue` the most jobs that waited at once, `differ` the number of jobs that start at
    another time than with our engine; `nodes` says whether it is known which nodes each job had.
    """

    busy: float
    wait_s: float
    queue: int
    differ: int
    nodes: bool


@dataclass(frozen=True)
class SpeedSample:
    """One simulation: its CPU time and elapsed time in seconds.

    `load` is the machine's load average (1 minute) before.
    """

    cpu_s: float
    elapsed_s: float
    load: float


@dataclass(frozen=True)
class SpeedRow:
    """A case, the figures of its schedule, and every single time."""

    case: SpeedCase
    outcome: ScheduleFigures
    samples: Sequence[SpeedSample]

    @property
    def rates(self) -> list[float]:
        """Jobs per second of CPU time."""
        return [self.case.jobs / one.cpu_s for one in self.samples]

    @property
    def elapsed(self) -> float:
        """Jobs per second that passed, the median."""
        return median(self.case.jobs / one.elapsed_s for one in self.samples)


@dataclass(frozen=True)
class MemoryGrowth:
    """The growth, in bytes, of a process's peak memory that draws `jobs` jobs and simulates them.

    With `nodes`, which nodes each job had was kept, too.
    """

    jobs: int
    nodes: bool
    grown: int

    @property
    def per_job(self) -> float:
        """Bytes."""
        return self.grown / self.jobs


@dataclass(frozen=True)
class SpeedMeasurements:
    """All that one run measured.

    `compiling_s` is the first simulation of a machine, `loading_s` that of a process; `missing`
    says what wasn't measured, and why; `scale` are simulations of sites' sizes.
    """

    facts: Mapping[str, Any]
    compiling_s: float
    loading_s: float
    rows: Sequence[SpeedRow]
    memory: Sequence[MemoryGrowth]
    missing: Sequence[str] = ()
    scale: Sequence[ScaleRow] = ()


def ratios(measured: SpeedMeasurements) -> list[Ratio]:
    """Return our jobs per second of CPU time divided by AccaSim's, under the same policy.

    That is with the same jobs, and with the most that we simulate.
    """
    ours = [row for row in measured.rows if row.case.simulator == OURS and row.case.policy == EASY]
    found = []
    for theirs in (row for row in measured.rows if row.case.simulator != OURS):
        model = theirs.case.model
        jobs = theirs.case.jobs
        same = [row for row in ours if (row.case.model, row.case.jobs) == (model, jobs)]
        most = max(
            (row for row in ours if row.case.model == model),
            key=lambda row: row.case.jobs,
            default=None,
        )
        what = f"{theirs.case.simulator}, with {jobs:,} jobs"
        found += [
            ratio(f"ours with the same jobs / {what}", spread(row.rates), spread(theirs.rates))
            for row in same
        ]
        if most and most.case.jobs > jobs:
            label = f"ours with {most.case.jobs:,} jobs / {what}"
            found.append(ratio(label, spread(most.rates), spread(theirs.rates)))
    return found


def as_json(measured: SpeedMeasurements) -> str:
    """Return everything: the tables' figures, and every single sample."""
    content = {
        **asdict(measured),
        "rows": [
            {
                **asdict(row),
                "jobs_per_cpu_s": asdict(spread(row.rates)),
                "jobs_per_elapsed_s": row.elapsed,
            }
            for row in measured.rows
        ],
        "scale": [
            {**asdict(row), "ratio": row.ratio and asdict(row.ratio)} for row in measured.scale
        ],
        "memory": [{**asdict(one), "bytes_per_job": one.per_job} for one in measured.memory],
        "ratios": [asdict(one) for one in ratios(measured)],
    }
    return json.dumps(content, indent=1) + "\n"


def as_text(measured: SpeedMeasurements) -> str:
    """Return the tables as people read them in a terminal."""
    return "\n".join(line.rstrip() for line in _lines(measured)) + "\n"


def _lines(measured: SpeedMeasurements) -> Iterator[str]:
    yield from (f"{name}: {value}" for name, value in measured.facts.items())
    loads = [one.load for row in measured.rows for one in row.samples]
    yield f"load average: {min(loads):.2f} .. {max(loads):.2f}"
    yield ""
    yield from _speeds(measured.rows)
    yield ""
    for one in ratios(measured):
        yield f"{one.what}: {one.value:,.0f} ({one.low:,.0f} .. {one.high:,.0f})"
    yield from measured.missing
    yield ""
    yield from _memory(measured.memory)
    yield ""
    yield from scale_lines(measured.scale)
    yield ""
    yield (
        f"compiling all policies, once per machine: {measured.compiling_s:.1f} s; "
        f"loading what was compiled, once per process: {measured.loading_s:.1f} s"
    )


def _speeds(rows: Sequence[SpeedRow]) -> Iterator[str]:
    """Yield a line per case: jobs per second of CPU and elapsed time, and the schedule."""
    yield (
        f"{'jobs per second of CPU time':<{WIDTH}}{'jobs':>8}"
        f"{'median':>10}{'min':>10}{'max':>10}{'n':>3}"
        f"{'elapsed':>10}{'nodes':>6}{'busy':>6}{'queue':>7}{'wait h':>7}{'differ':>7}"
    )
    for row in rows:
        rates = spread(row.rates)
        outcome = row.outcome
        yield (
            f"{row.case.label:<{WIDTH}}{row.case.jobs:>8,}"
            f"{rates.median:>10,.0f}{rates.min:>10,.0f}{rates.max:>10,.0f}{rates.n:>3}"
            f"{row.elapsed:>10,.0f}"
            f"{'yes' if outcome.nodes else 'no':>6}{outcome.busy:>6.2f}{outcome.queue:>7,}"
            f"{outcome.wait_s / 3600:>7,.0f}{outcome.differ:>7,}"
        )


def _memory(memory: Sequence[MemoryGrowth]) -> Iterator[str]:
    yield (
        f"{'peak memory of a process: EASY':<{WIDTH}}"
        f"{'jobs':>10}{'MiB':>8}{'bytes/job':>11}{'/ first':>9}"
    )
    for one in memory:
        label = "with the nodes that each job had" if one.nodes else ""
        growth = one.per_job / memory[0].per_job
        grown = one.grown / MIB
        yield f"{label:<{WIDTH}}{one.jobs:>10,}{grown:>8.1f}{one.per_job:>11.1f}{growth:>9.2f}"
