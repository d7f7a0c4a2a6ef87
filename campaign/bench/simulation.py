"""Measure how fast the simulation is, beside AccaSim with the same jobs, and its use of memory.

Rounds interleave the cases, so that none has the machine's better minutes to itself. The module
of the baseline is imported only where AccaSim is to run, so that our own figures have nothing of
it in their process.
"""

import json
import logging
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from campaign.bench import scale
from campaign.bench.results import BenchmarkResults
from campaign.bench.scale import scale_cases
from campaign.bench.simulation_table import (
    EASY,
    OURS,
    SHIPPED,
    TEXTBOOK,
    MemoryGrowth,
    ScheduleFigures,
    SimulatorRun,
    SpeedCase,
    SpeedMeasurements,
    SpeedRow,
    SpeedSample,
    as_json,
    as_text,
)
from campaign.config.compose import compose
from campaign.core.errors import BenchmarkError, command_failed
from campaign.core.version import git_commit
from campaign.schema.workload import WorkloadSettings
from campaign.simulation.engine import NS, Nodes, Ns, simulate
from campaign.workloads import load
from schedulers.policy import Policy
from schedulers.registry import adapter

if TYPE_CHECKING:
    from campaign.bench.baseline import DispatcherKind

CLUSTER = Nodes(count=1000, slots=1)
OFFERED = 0.9
"""The offered load.

Lublin's and Feitelson's own is 1.0 on so many slots, with which the queue grows without end.
"""
LUBLIN = "lublin"
POISSON = "poisson"
MANY = 250_000
SOME = 20_000
SHARED = (2_000, 5_000)
"""The first jobs that both simulators run.

AccaSim as shipped runs only the fewest, since it takes minutes for more.
"""
MEMORY = ((250_000, False), (500_000, False), (1_000_000, False), (1_000_000, True))
LARGEST = 100_000
"""So many jobs at most are simulated to see how the cost grows, unless more are asked for."""
KINDS: "Mapping[str, DispatcherKind]" = {TEXTBOOK: "textbook", SHIPPED: "shipped"}
PLACES = 50_000_000
"""The most places (jobs times nodes) for which the nodes of each job are kept.

They are for Lublin's and Feitelson's jobs, not for the far wider ones of poisson.
"""
ACCASIM_TIMEOUT_S = 120.0
PROCESS_TIMEOUT_S = 600.0
FCFS = "FCFS"
PACKAGES = ("numba", "numpy", "accasim")
"""The packages whose versions the results name."""

_log = logging.getLogger(__name__)


def run(
    overrides: Sequence[str],
    folder: Path,
    rounds: int,
    *,
    against: Path | None = None,
    largest: int = LARGEST,
) -> BenchmarkResults:
    """Measure the speed of the simulation.

    Of the settings only the scheduler's name has a meaning here: its policy is simulated beside
    the ideal ones; with another checkout `against` it, its engine takes turns with this one. Growth
    is measured up to the `largest` number of jobs. Nothing is written to `folder`.
    """
    scheduler = compose(overrides).scheduler.name
    if overrides:
        _log.info("of the settings, this benchmark uses only the scheduler's name")
    measured = measure(rounds, scheduler, _facts(rounds))
    cases = scale_cases(scheduler, largest)
    measured = replace(measured, scale=scale.measure(cases, rounds, against))
    return BenchmarkResults.of(
        as_text(measured), simulation_txt=as_text(measured), simulation_json=as_json(measured)
    )


def measure(rounds: int, scheduler: str, facts: Mapping[str, Any]) -> SpeedMeasurements:
    """Measure with the policy of `scheduler` at its defaults beside the ideal ones.

    Takes two minutes, and half of one for each round. Raises BenchmarkError when AccaSim or a
    process of our own fails.
    """
    _log.info("compiling, with nothing compiled yet")
    # An empty cache of Numba: the first process compiles all, the second one loads it.
    with TemporaryDirectory() as nothing:
        compiling_s = _in_process("first", scheduler, NUMBA_CACHE_DIR=nothing)
        loading_s = _in_process("first", scheduler, NUMBA_CACHE_DIR=nothing)
    _log.info("compiling all policies took %.1f s, loading them %.1f s", compiling_s, loading_s)
    bench = _SpeedBench(policies(scheduler))
    rows = bench.run(rounds)
    memory = []
    for jobs, nodes in MEMORY:
        grown = int(_in_process("memory", str(jobs), "nodes" if nodes else ""))
        memory.append(MemoryGrowth(jobs, nodes, grown))
        kept = ", with nodes" if nodes else ""
        _log.info("memory, %s jobs%s: %.0f bytes each", f"{jobs:,}", kept, memory[-1].per_job)
    return SpeedMeasurements(facts, compiling_s, loading_s, rows, memory, bench.missing)


def _facts(rounds: int) -> dict[str, str]:
    from actors.hypervisor.capacity import read_cpu_model

    return {
        "measured": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": git_commit(),
        "cpu": f"{os.cpu_count()} of {read_cpu_model()}",
        "versions": f"Python {platform.python_version()}, {', '.join(map(_version, PACKAGES))}",
        "cluster": f"{CLUSTER.count:,} nodes of {CLUSTER.slots} slot, offered load {OFFERED:g}",
        "rounds": str(rounds),
    }


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"no {package}"


def policies(scheduler: str) -> dict[str, Policy]:
    """Return the policies by the names that the table gives them."""
    own = adapter(scheduler)
    ideal = {EASY: Policy(reserve="first"), FCFS: Policy(), "conservative": Policy(reserve="all")}
    return {**ideal, f"{own.name}'s own": own.policy(own.Params())}


def cases(names: Iterable[str]) -> list[SpeedCase]:
    """Return the cases in the order of a round; `names` are those of the policies."""
    others = [
        SpeedCase(OURS, LUBLIN, name, MANY if name == FCFS else SOME)
        for name in names
        if name != EASY
    ]
    shared = [
        SpeedCase(by, LUBLIN, EASY, jobs, whole=True) for jobs in SHARED for by in (OURS, TEXTBOOK)
    ]
    slow = SpeedCase(SHIPPED, LUBLIN, EASY, SHARED[0], whole=True)
    return [
        SpeedCase(OURS, LUBLIN, EASY, MANY),
        SpeedCase(OURS, POISSON, EASY, MANY),
        *others,
        *shared,
        slow,
    ]


def workload(model: str, jobs: int) -> pa.Table:
    """Return so many jobs of a model, whose arrivals load the cluster as they should."""
    settings = WorkloadSettings.model_validate(
        {"kind": model, "jobs": jobs, "load": OFFERED, "runtime_s": [60.0, 3600.0]}
    )
    return load(settings, slots=CLUSTER.count).table


def schedule_figures(jobs: pa.Table, done: SimulatorRun, differ: int) -> ScheduleFigures:
    """Return the figures of a schedule of `jobs`; `differ` of them start otherwise than with us."""
    starts = done.starts
    arrival, runtime = (
        np.rint(jobs.column(name).to_numpy() * NS).astype(np.int64)
        for name in ("arrival_s", "runtime_s")
    )
    work = float((jobs.column("width").to_numpy() * runtime.astype(np.float64)).sum())
    late = starts > arrival
    times = np.concatenate([starts[late], arrival[late]])
    # At equal times those that start are gone before others come.
    changes = np.repeat([-1, 1], late.sum())[np.argsort(times, kind="stable")]
    return ScheduleFigures(
        busy=work / (CLUSTER.count * float((starts + runtime).max())),
        wait_s=float((starts - arrival).mean()) / NS,
        queue=int(np.cumsum(changes).max(initial=0)),
        differ=differ,
        nodes=done.nodes,
    )


class _SpeedBench:
    """One run of the benchmark. `missing` says what it left out, and why."""

    def __init__(self, known: Mapping[str, Policy]) -> None:
        from campaign.bench import baseline

        self._policies = known
        self._jobs = {model: workload(model, MANY) for model in (LUBLIN, POISSON)}
        self._starts: dict[int, Ns] = {}
        """The starts, with us, of the jobs that AccaSim runs too, by their number."""
        self.missing: list[str] = [] if baseline.installed() else [baseline.HOW]

    def run(self, rounds: int) -> list[SpeedRow]:
        for policy in self._policies.values():
            # Loads what is compiled, which would otherwise count in the first case.
            simulate(self._jobs[LUBLIN].slice(0, 10), CLUSTER, policy)
        known = [
            case for case in cases(self._policies) if case.simulator == OURS or not self.missing
        ]
        figures: dict[SpeedCase, ScheduleFigures] = {}
        samples: dict[SpeedCase, list[SpeedSample]] = {case: [] for case in known}
        for number in range(1, rounds + 1):
            # As shipped, AccaSim takes minutes, so it runs in the first round only.
            again = [case for case in figures if case.simulator != SHIPPED]
            for case in known if number == 1 else again:
                if found := self._sample(case, f"round {number}/{rounds}"):
                    figures[case] = found[0]
                    samples[case].append(found[1])
        return [SpeedRow(case, figures[case], samples[case]) for case in known if case in figures]

    def _sample(self, case: SpeedCase, when: str) -> tuple[ScheduleFigures, SpeedSample] | None:
        load_before = os.getloadavg()[0]
        jobs = self._jobs[case.model].slice(0, case.jobs)
        jobs = whole_seconds(jobs) if case.whole else jobs
        done = self._simulated(case, jobs)
        label = f"{case.label}, {case.jobs:,} jobs"
        if done is None:
            self.missing.append(f"{label}: not done after {ACCASIM_TIMEOUT_S:.0f} s")
            _log.info("%s: %s", when, self.missing[-1])
            return None
        rate = f"{case.jobs / done.cpu_s:,.0f}"
        _log.info("%s: %s: %s per second of CPU time", when, label, rate)
        # `cases` has ours before AccaSim's with the same jobs, so the starts are always known.
        if case.whole and case.simulator == OURS:
            self._starts[case.jobs] = done.starts
        differ = int((done.starts != self._starts[case.jobs]).sum()) if case.whole else 0
        if differ and case.simulator == TEXTBOOK:
            raise BenchmarkError(
                f"{label}: {differ} start at another time than with us, so that nothing can be "
                "compared"
            )
        sample = SpeedSample(done.cpu_s, done.elapsed_s, load_before)
        return schedule_figures(jobs, done, differ), sample

    def _simulated(self, case: SpeedCase, jobs: pa.Table) -> SimulatorRun | None:
        if case.simulator == OURS:
            return timed(jobs, self._policies[case.policy])
        from campaign.bench import baseline

        kind = KINDS[case.simulator]
        return baseline.run_accasim(jobs, CLUSTER.count, kind, timeout_s=ACCASIM_TIMEOUT_S)


def whole_seconds(jobs: pa.Table) -> pa.Table:
    """Return the jobs (WORKLOAD_SCHEMA) in the whole seconds in which AccaSim counts.

    None is shorter than a second, and none asks for less than it takes.
    """
    runtime = np.maximum(np.rint(jobs.column("runtime_s").to_numpy()), 1.0)
    whole = {
        "arrival_s": np.floor(jobs.column("arrival_s").to_numpy()),
        "runtime_s": runtime,
        "requested_s": np.maximum(np.ceil(jobs.column("requested_s").to_numpy()), runtime),
    }
    columns = {name: whole.get(name, jobs.column(name)) for name in jobs.column_names}
    return pa.table(columns).cast(jobs.schema)


def timed(jobs: pa.Table, policy: Policy) -> SimulatorRun:
    """Simulate jobs on the cluster, and measure it."""
    elapsed = time.perf_counter()
    cpu = time.process_time()
    schedule = simulate(jobs, CLUSTER, policy, places=PLACES)
    nodes = schedule.nodes is not None
    return SimulatorRun(
        time.process_time() - cpu, time.perf_counter() - elapsed, schedule.start, nodes
    )


def _in_process(*arguments: str, **environment: str) -> float:
    """Return what a process of its own measures: `_first_s` or `_grown`."""
    # A process that has compiled can't show it again, and its peak memory never falls.
    command = [sys.executable, "-m", "campaign.bench.simulation", *arguments]
    known = {**os.environ, **environment}
    done = subprocess.run(
        command, capture_output=True, text=True, env=known, timeout=PROCESS_TIMEOUT_S, check=False
    )
    if done.returncode:
        raise BenchmarkError(
            f"measuring {arguments} failed",
            command_failed(command, done.returncode, done.stderr),
        )
    return float(json.loads(done.stdout))


def _first_s(scheduler: str) -> float:
    """Return the seconds until some jobs have been simulated under all policies."""
    jobs = workload(LUBLIN, 10)
    began = time.perf_counter()
    for policy in policies(scheduler).values():
        simulate(jobs, CLUSTER, policy)
    return time.perf_counter() - began


def _grown(jobs: int, *, nodes: bool) -> int:
    """Return how many bytes this process's peak memory grows while it simulates so many jobs.

    Drawing the jobs is part of it.
    """
    policy = Policy(reserve="first")
    # What compiling takes is behind this process then, and isn't counted.
    simulate(workload(LUBLIN, 1000), CLUSTER, policy)
    before = _peak()
    simulate(workload(LUBLIN, jobs), CLUSTER, policy, places=jobs * CLUSTER.count if nodes else 0)
    return _peak() - before


def _peak() -> int:
    """Return the peak memory of this process in bytes.

    getrusage would count in what the process was before it became this program.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024


def _main(what: str, *details: str) -> None:
    found = (
        _first_s(*details)
        if what == "first"
        else _grown(int(details[0]), nodes=details[1] == "nodes")
    )
    sys.stdout.write(f"{json.dumps(found)}\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
