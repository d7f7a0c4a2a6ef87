"""How fast simulations of sites' sizes are, each in a process of its own, and how they grow.

With another checkout named, its engine takes turns with this one on the same jobs.
"""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq

from campaign.bench import one_simulation
from campaign.bench.spread import Ratio, ratio, spread
from campaign.core.errors import BenchmarkError, command_failed
from campaign.schema.workload import WorkloadSettings
from campaign.workloads import load

TIMEOUT_S = 3600.0
ACCOUNTS = ", ".join(f"a{one}: {{shares: {one + 1}}}" for one in range(8))
USERS = ", ".join(f"u{one:04d}: {{accounts: [a{one % 8}]}}" for one in range(1, 41))
SHARED = (
    "testbed=simulation",
    "scheduler=slurm",
    "workload=lublin",
    f"cluster.accounts={{{ACCOUNTS}}}",
    f"cluster.users={{{USERS}}}",
    "scheduler.params.PriorityWeightFairshare=10000",
    "scheduler.params.PriorityWeightAge=1000",
    "scheduler.params.PriorityWeightJobSize=1000",
    "scheduler.params.bf_max_job_test=100",
)
"""Forty users of eight accounts of unequal shares, whose jobs fair share, age and size rank."""
GROWTH = (10_000, 100_000, 1_000_000, 10_000_000)
"""How many jobs are simulated to see how the cost grows, as far as is asked for."""
GROWTH_S = [10.0, 1000.0]
"""The run times of these jobs, so short that ten million of them are submitted in 136 years."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScaleCase:
    """Jobs of Lublin and Feitelson on nodes of equal slots, under a policy or a scheduler's own.

    With `shares`, people share the cluster, and a whole trial is evaluated. `grows` is a case of
    many jobs, of the plainer model: theirs would take longer than a workload may.
    """

    policy: str
    jobs: int
    nodes: int
    slots: int = 1
    load: float = 0.9
    shares: bool = False
    grows: bool = False

    @property
    def label(self) -> str:
        """The case in words."""
        kind = ", fair share" if self.shares else ", poisson" if self.grows else ""
        return f"{self.policy}{kind}, {self.nodes:,} x {self.slots}, load {self.load:g}"

    @property
    def model(self) -> dict[str, object]:
        """The settings of the model that its jobs are of."""
        return {"kind": "poisson", "runtime_s": GROWTH_S} if self.grows else {"kind": "lublin"}


@dataclass(frozen=True)
class ScaleSample:
    """One simulation: CPU and elapsed time (s), peak memory (MiB), and a hash of all starts."""

    cpu_s: float
    elapsed_s: float
    peak_mib: float
    before_mib: float
    starts: str


@dataclass(frozen=True)
class ScaleRow:
    """A case, with every sample of this engine, and of the other one where there is one."""

    case: ScaleCase
    ours: list[ScaleSample]
    theirs: list[ScaleSample]

    @property
    def rates(self) -> list[float]:
        """Jobs per second of CPU time."""
        return [self.case.jobs / one.cpu_s for one in self.ours]

    @property
    def ratio(self) -> Ratio | None:
        """Ours divided by the other one's, where that ran."""
        if not self.theirs:
            return None
        other = spread(self.case.jobs / one.cpu_s for one in self.theirs)
        return ratio(f"this engine / the other: {self.case.label}", spread(self.rates), other)

    @property
    def differs(self) -> bool:
        """Tell whether some job starts at another time in the other engine."""
        return len({one.starts for one in (*self.ours, *self.theirs)}) > 1


def scale_cases(scheduler: str, largest: int) -> list[ScaleCase]:
    """Return the cases, up to so many jobs; the queue of those on 1,000 nodes is 300 to 1,000."""
    return [
        ScaleCase("conservative", 20_000, 1000, load=0.96),
        ScaleCase(scheduler, 20_000, 1000),
        ScaleCase(scheduler, 20_000, 1000, load=1.0),
        ScaleCase(scheduler, 5_000, 128, slots=8),
        ScaleCase("slurm", 5_000, 256, shares=True),
        *(
            ScaleCase("EASY", jobs, 10_000, load=0.8, grows=True)
            for jobs in GROWTH
            if jobs <= largest
        ),
    ]


def measure(cases: Sequence[ScaleCase], rounds: int, against: Path | None = None) -> list[ScaleRow]:
    """Measure the cases, round by round; those beside a checkout `against` ours in turn.

    Growth is measured once, and of this engine alone. People share no cluster in old
    checkouts: such a case is measured here alone there.
    """
    rows = {case: ScaleRow(case, [], []) for case in cases}
    here = Path(__file__).parents[2]
    with TemporaryDirectory() as folder:
        for number in range(rounds):
            for case, row in rows.items():
                if case.grows and number > 0:
                    continue
                request = _request(case, Path(folder))
                row.ours.append(_sampled(here, request))
                if against and not case.grows and (number == 0 or row.theirs):
                    row.theirs.extend(_other(against, request, case))
                _log.info("%s: %s jobs: %.1f s", case.label, case.jobs, row.ours[-1].cpu_s)
    return list(rows.values())


def _other(checkout: Path, request: str, case: ScaleCase) -> list[ScaleSample]:
    """Return what the engine of another checkout takes; nothing where it knows no such cluster."""
    try:
        return [_sampled(checkout, request)]
    except BenchmarkError as error:
        if not case.shares:
            raise
        said = error.details.strip().splitlines()[-1]
        _log.warning("%s: measured here alone; %s says: %s", case.label, checkout, said)
        return []


def _request(case: ScaleCase, folder: Path) -> str:
    if case.shares:
        sizes = (
            f"workload.jobs={case.jobs}",
            f"workload.load={case.load}",
            f"cluster.nodes={case.nodes}",
            f"cluster.slots_per_node={case.slots}",
        )
        return json.dumps({"settings": [*SHARED, *sizes]})
    file = folder / f"{case.jobs}-{case.nodes}-{case.slots}-{case.load}.parquet"
    if not file.exists():
        settings = WorkloadSettings.model_validate(
            {**case.model, "jobs": case.jobs, "load": case.load}
        )
        pq.write_table(load(settings, slots=case.nodes * case.slots).table, file)
    asked = {"jobs": str(file), "nodes": case.nodes, "slots": case.slots, "policy": case.policy}
    return json.dumps(asked)


def _sampled(checkout: Path, request: str) -> ScaleSample:
    """Return what the engine of a checkout takes for it, in a process of its own."""
    command = [sys.executable, "-P", one_simulation.__file__, request]
    known = {**os.environ, "PYTHONPATH": str(checkout.resolve())}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=known,
        cwd=checkout,
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise BenchmarkError(
            f"a simulation of {checkout} failed",
            command_failed(command, done.returncode, done.stderr),
        )
    return ScaleSample(**json.loads(done.stdout.splitlines()[-1]))


def scale_lines(rows: Sequence[ScaleRow]) -> Iterator[str]:
    """Yield a table of the rows, and their ratios."""
    yield (
        f"{'a process each':<44}{'jobs':>12}{'jobs/CPU s':>12}{'min':>10}{'max':>10}"
        f"{'peak MiB':>10}{'grown':>8}"
    )
    for row in rows:
        rates = spread(row.rates)
        peak = max(one.peak_mib for one in row.ours)
        grown = max(one.peak_mib - one.before_mib for one in row.ours)
        yield (
            f"{row.case.label:<44}{row.case.jobs:>12,}{rates.median:>12,.0f}{rates.min:>10,.0f}"
            f"{rates.max:>10,.0f}{peak:>10,.0f}{grown:>8,.0f}"
        )
    for row in rows:
        if found := row.ratio:
            same = "; some start at another time" if row.differs else "; all starts equal"
            yield f"{found.what}: {found.value:.1f} ({found.low:.1f} .. {found.high:.1f}){same}"
