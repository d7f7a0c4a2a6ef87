"""Measure what the driver itself costs, over a thousand simulated hosts and many trials."""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from campaign.bench.fleet_table import FleetMeasurements, Window, as_json, as_text
from campaign.bench.results import BenchmarkResults
from campaign.config.compose import Composed, compose
from campaign.core.errors import ConfigError
from campaign.core.trials import Evaluation, Trial
from campaign.execution.executor import Executor
from campaign.records.ledger import Ledger
from campaign.records.results import Results
from campaign.simulation.testbed import SimulationTestbed
from campaign.testbeds.fleet import FleetTestbed
from campaign.testbeds.preflight import workload_for

HOSTS = 1000
SETTINGS = (
    *(
        "testbed=simulation",
        "search.holdout=0",
        "sampler=random",
        "search.trials=10000",
        "search.batch=1000",
        "testbed.parallel=1000",
    ),
    "cluster.nodes=[1,4]",
)
WINDOWS = 10


class _Timed:
    """Simulates trials, and adds up the time that this takes: all of it and of the CPU, in s."""

    def __init__(self, testbed: SimulationTestbed) -> None:
        self._testbed = testbed
        self.took = (0.0, 0.0)

    def __call__(self, trial: Trial) -> Evaluation:
        begun = _clocks()
        evaluation = self._testbed.evaluate(trial)
        self.took = _sum(self.took, _since(begun))
        return evaluation


class _Watched(FleetTestbed):
    """A fleet that measures, for a tenth of the trials after the other, what the driver cost."""

    def watch(self, timed: _Timed, trials: int) -> None:
        self._timed = timed
        self._size = max(1, trials // WINDOWS)
        self.windows: list[Window] = []
        self._seen = 0
        self._begun = _clocks()
        self._simulated = timed.took

    def wait(self, timeout_s: float) -> list[tuple[Trial, Evaluation]]:
        ended = super().wait(timeout_s)
        self._seen += len(ended)
        if self._seen >= self._size * (len(self.windows) + 1):
            spent = _since(self._begun)
            simulated = self._timed.took
            driver_ms, cpu_ms = (
                # What simulating the trials took isn't the driver's cost.
                1000 * (all_s - (now_s - before_s)) / self._size
                for all_s, now_s, before_s in zip(spent, simulated, self._simulated, strict=True)
            )
            self.windows.append(Window(self._seen, driver_ms, cpu_ms, _memory_mib()))
            self._begun = _clocks()
            self._simulated = simulated
        return ended


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _since(begun: tuple[float, float]) -> tuple[float, float]:
    now = _clocks()
    return now[0] - begun[0], now[1] - begun[1]


def _sum(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    return one[0] + other[0], one[1] + other[1]


def run(overrides: Sequence[str], folder: Path, rounds: int) -> BenchmarkResults:
    """Run one campaign whose results are below `folder`, and resume it; `rounds` has no meaning.

    Raises ConfigError for fewer trials than WINDOWS.
    """
    composed = compose([*SETTINGS, *overrides], used_elsewhere=("testbed.parallel",))
    trials = composed.campaign.search.trials
    if trials < WINDOWS:
        raise ConfigError(
            f"search.trials={trials}: this benchmark needs {WINDOWS} or more",
            resolution="Use search.trials=1000.",
        )
    place = folder / "fleet"
    # An interrupted run may have left its results there.
    shutil.rmtree(place, ignore_errors=True)
    results = Results(place, "fleet")
    windows = _campaign(composed, results, trials)
    measured = FleetMeasurements(windows, _resume(composed, results), trials, HOSTS)
    shutil.rmtree(place)
    table = as_text(measured)
    return BenchmarkResults.of(table, fleet_txt=table, fleet_json=as_json(measured))


def _campaign(composed: Composed, results: Results, trials: int) -> list[Window]:
    testbed = SimulationTestbed(
        composed.campaign,
        composed.schedulers,
        composed.space,
        workload_for(composed.campaign, composed.schedulers, composed.space),
    )
    testbed.warm_up()
    timed = _Timed(testbed)
    fleet = _Watched(
        timed,
        lambda trial: composed.space.nodes(trial.point),
        hosts=HOSTS,
        largest=composed.space.node_counts()[1],
    )
    fleet.watch(timed, trials)
    with Ledger(results.ledger_path) as ledger:
        ledger.append("campaign", id="fleet", name="fleet", config={}, images={}, workload_hash="")
        Executor(
            composed.campaign,
            composed.space,
            ledger=ledger,
            results=results,
            testbed=fleet,
            clock=fleet.now,
        ).run()
    return fleet.windows


def _resume(composed: Composed, results: Results) -> float:
    """Return the seconds from opening the ledger until a driver knows all that has happened."""
    begun = time.perf_counter()
    with Ledger(results.ledger_path) as ledger:
        fleet = FleetTestbed(lambda _: Evaluation("ok"), lambda _: 1, hosts=1, largest=1)
        Executor(composed.campaign, composed.space, ledger=ledger, results=results, testbed=fleet)
        return time.perf_counter() - begun


def _memory_mib() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024
