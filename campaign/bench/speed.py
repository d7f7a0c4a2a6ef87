"""Measures how fast the simulation is, beside AccaSim with the same jobs, and how much memory it
takes.

Rounds interleave the cases, so that none has the machine's better minutes to itself.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from campaign.bench.baseline import HOW, Kind, Simulated, installed, run_rival, whole_seconds
from campaign.bench.speed_table import (
    EASY,
    OURS,
    SHIPPED,
    TEXTBOOK,
    Case,
    Measured,
    Memory,
    Outcome,
    Row,
    Sample,
)
from campaign.core.errors import CampaignError
from campaign.schema.model import WorkloadSettings
from campaign.simulation.engine import NS, Nodes, Ns, simulate
from campaign.workloads import load
from schedulers.policy import Policy
from schedulers.registry import adapter

CLUSTER = Nodes(count=1000, slots=1)
OFFERED = 0.9
"""The offered load. Lublin's and Feitelson's own is 1.0 on so many slots, with which the queue
grows without end."""
LUBLIN = "lublin"
POISSON = "poisson"
MANY = 250_000
SOME = 20_000
SHARED = (2_000, 5_000)
"""The first jobs that both simulators run; AccaSim as shipped only the fewest, since it takes
minutes for more."""
MEMORY = ((250_000, False), (500_000, False), (1_000_000, False), (1_000_000, True))
KINDS: Mapping[str, Kind] = {TEXTBOOK: "textbook", SHIPPED: "shipped"}
PLACES = 50_000_000
"""Which nodes each job had is found out for Lublin's and Feitelson's jobs, not for the far wider
ones of poisson."""
# the longest that a process may take
RIVAL_S = 120.0
PROCESS_S = 600.0
FCFS = "FCFS"

Say = Callable[[str], None]


def measure(rounds: int, scheduler: str, facts: Mapping[str, Any], say: Say) -> Measured:
    """All of it, with the policy of `scheduler` at its defaults beside the ideal ones. Takes two
    minutes, and half of one for each round.

    Raises CampaignError when AccaSim or a process of our own fails.
    """
    say("compiling, with nothing compiled yet")
    with TemporaryDirectory() as nothing:
        compiling_s = _in_process("first", scheduler, NUMBA_CACHE_DIR=nothing)
        loading_s = _in_process("first", scheduler, NUMBA_CACHE_DIR=nothing)
    say(f"compiling all policies took {compiling_s:.1f} s, loading them {loading_s:.1f} s")
    bench = _Bench(policies(scheduler), say)
    rows = bench.run(rounds)
    memory = []
    for jobs, nodes in MEMORY:
        memory.append(
            Memory(jobs, nodes, int(_in_process("memory", str(jobs), "nodes" if nodes else "")))
        )
        say(
            f"memory, {jobs:,} jobs{', with nodes' if nodes else ''}: {memory[-1].per_job:.0f} "
            "bytes each"
        )
    return Measured(facts, compiling_s, loading_s, rows, memory, bench.missing)


def policies(scheduler: str) -> dict[str, Policy]:
    """The policies by the names that the table gives them."""
    own = adapter(scheduler)
    ideal = {EASY: Policy(reserve="first"), FCFS: Policy(), "conservative": Policy(reserve="all")}
    return {**ideal, f"{own.name}'s own": own.policy(own.Params())}


def cases(names: Iterable[str]) -> list[Case]:
    """What is simulated, in the order of a round; `names` are those of the policies."""
    others = [
        Case(OURS, LUBLIN, name, MANY if name == FCFS else SOME) for name in names if name != EASY
    ]
    shared = [
        Case(by, LUBLIN, EASY, jobs, whole=True) for jobs in SHARED for by in (OURS, TEXTBOOK)
    ]
    slow = Case(SHIPPED, LUBLIN, EASY, SHARED[0], whole=True)
    return [Case(OURS, LUBLIN, EASY, MANY), Case(OURS, POISSON, EASY, MANY), *others, *shared, slow]


def workload(model: str, jobs: int) -> pa.Table:
    """So many jobs of a model, whose arrivals load the cluster as they should."""
    settings = WorkloadSettings.model_validate(
        {"kind": model, "jobs": jobs, "load": OFFERED, "runtime_s": [60.0, 3600.0]}
    )
    return load(settings, slots=CLUSTER.count).table


def outcome(jobs: pa.Table, done: Simulated, differ: int) -> Outcome:
    """What came of `jobs` on the cluster; `differ` of them start at another time than with us."""
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
    return Outcome(
        busy=work / (CLUSTER.count * float((starts + runtime).max())),
        wait_s=float((starts - arrival).mean()) / NS,
        queue=int(np.cumsum(changes).max(initial=0)),
        differ=differ,
        nodes=done.nodes,
    )


class _Bench:
    """One run. `missing` says what it left out."""

    def __init__(self, known: Mapping[str, Policy], say: Say) -> None:
        self._policies = known
        self._say = say
        self._jobs = {model: workload(model, MANY) for model in (LUBLIN, POISSON)}
        self._starts: dict[
            int, Ns
        ] = {}  # with us, of the jobs that AccaSim runs too, by their number
        self.missing: list[str] = [] if installed() else [HOW]

    def run(self, rounds: int) -> list[Row]:
        for policy in self._policies.values():
            simulate(self._jobs[LUBLIN].slice(0, 10), CLUSTER, policy)  # loads what is compiled
        known = [
            case for case in cases(self._policies) if case.simulator == OURS or not self.missing
        ]
        outcomes: dict[Case, Outcome] = {}
        samples: dict[Case, list[Sample]] = {case: [] for case in known}
        for number in range(1, rounds + 1):
            for case in (
                known if number == 1 else [case for case in outcomes if case.simulator != SHIPPED]
            ):
                if found := self._sample(case, f"round {number}/{rounds}"):
                    outcomes[case] = found[0]
                    samples[case].append(found[1])
        return [Row(case, outcomes[case], samples[case]) for case in known if case in outcomes]

    def _sample(self, case: Case, when: str) -> tuple[Outcome, Sample] | None:
        load_before = os.getloadavg()[0]
        jobs = self._jobs[case.model].slice(0, case.jobs)
        jobs = whole_seconds(jobs) if case.whole else jobs
        done = self._simulated(case, jobs)
        said = f"{case.label}, {case.jobs:,} jobs"
        if done is None:
            self.missing.append(f"{said}: not done after {RIVAL_S:.0f} s")
            self._say(f"{when}: {self.missing[-1]}")
            return None
        self._say(f"{when}: {said}: {case.jobs / done.cpu_s:,.0f} per second of CPU time")
        if case.whole and case.simulator == OURS:
            self._starts[case.jobs] = done.starts
        differ = int((done.starts != self._starts[case.jobs]).sum()) if case.whole else 0
        if differ and case.simulator == TEXTBOOK:
            raise CampaignError(
                f"{said}: {differ} start at another time than with us, so that nothing can be "
                "compared"
            )
        return outcome(jobs, done, differ), Sample(done.cpu_s, done.elapsed_s, load_before)

    def _simulated(self, case: Case, jobs: pa.Table) -> Simulated | None:
        if case.simulator != OURS:
            return run_rival(jobs, CLUSTER.count, KINDS[case.simulator], limit_s=RIVAL_S)
        return timed(jobs, self._policies[case.policy])


def timed(jobs: pa.Table, policy: Policy) -> Simulated:
    """Simulate jobs on the cluster."""
    elapsed = time.perf_counter()
    cpu = time.process_time()
    schedule = simulate(jobs, CLUSTER, policy, places=PLACES)
    nodes = schedule.nodes is not None
    return Simulated(
        time.process_time() - cpu, time.perf_counter() - elapsed, schedule.start, nodes
    )


def _in_process(*arguments: str, **environment: str) -> float:
    """What a process of its own measures: `_first_s` or `_grown`."""
    command = [sys.executable, "-m", "campaign.bench.speed", *arguments]
    known = {**os.environ, **environment}
    done = subprocess.run(
        command, capture_output=True, text=True, env=known, timeout=PROCESS_S, check=False
    )
    if done.returncode:
        raise CampaignError(
            f"measuring failed with status {done.returncode}: {arguments}", done.stderr[-2000:]
        )
    return float(json.loads(done.stdout))


def _first_s(scheduler: str) -> float:
    """The seconds until some jobs have been simulated under all policies."""
    jobs = workload(LUBLIN, 10)
    began = time.perf_counter()
    for policy in policies(scheduler).values():
        simulate(jobs, CLUSTER, policy)
    return time.perf_counter() - began


def _grown(jobs: int, *, nodes: bool) -> int:
    """By how many bytes this process's peak memory grows while it draws and simulates so many
    jobs."""
    policy = Policy(reserve="first")
    simulate(workload(LUBLIN, 1000), CLUSTER, policy)
    before = _peak()
    simulate(workload(LUBLIN, jobs), CLUSTER, policy, places=jobs * CLUSTER.count if nodes else 0)
    return _peak() - before


def _peak() -> int:
    """Bytes. Not by getrusage, which counts in what the process was before it became this
    program."""
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
