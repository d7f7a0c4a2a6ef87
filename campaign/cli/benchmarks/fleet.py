"""`python -m campaign bench fleet`: what the driver itself costs, over a thousand simulated hosts
and many trials."""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from campaign.chaos.fleet import FleetTestbed
from campaign.config.compose import Composed, compose
from campaign.core.errors import ConfigError
from campaign.core.trials import Evaluation, Trial
from campaign.execution.executor import Executor
from campaign.records.ledger import Ledger
from campaign.records.results import Results
from campaign.simulation.testbed import SimulationTestbed
from campaign.testbeds.preflight import workload_for

HOSTS = 1000
SETTINGS = (
    *(
        "testbed=simulation",
        "sampler=random",
        "search.trials=10000",
        "search.batch=1000",
        "testbed.parallel=1000",
    ),
    "cluster.nodes=[1,4]",
)
WINDOWS = 10


@dataclass(frozen=True)
class Window:
    """A tenth of a campaign's trials: what one cost the driver beside its simulation, in all and of
    CPU, ms; and the driver's memory, MiB."""

    trials: int
    driver_ms: float
    cpu_ms: float
    memory_mib: float


class _Timed:
    """The simulation of trials, with the time that it takes, in all and of the CPU, s."""

    def __init__(self, testbed: SimulationTestbed) -> None:
        self._testbed = testbed
        self.took = (0.0, 0.0)

    def __call__(self, trial: Trial) -> Evaluation:
        begun = _clocks()
        evaluation = self._testbed.evaluate(trial)
        self.took = _sum(self.took, _since(begun))
        return evaluation


class _Watched(FleetTestbed):
    """A fleet that notes, a tenth after the other, what the driver has cost."""

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


def run(overrides: Sequence[str], place: Path, rounds: int) -> None:
    """Run one campaign (rounds have no meaning here), take it up again, and leave the table in
    `place`."""
    composed = compose([*SETTINGS, *overrides])
    trials = composed.campaign.search.trials
    if trials < WINDOWS:
        raise ConfigError(
            f"search.trials={trials}: this benchmark needs {WINDOWS} or more",
            resolution="Say 1000.",
        )
    folder = place / "fleet"
    shutil.rmtree(folder, ignore_errors=True)
    results = Results(folder, "fleet")
    windows = _campaign(composed, results, trials)
    resumed_s = _resume(composed, results)
    table = _table(windows, resumed_s, trials)
    place.joinpath("fleet.txt").write_text(table, encoding="utf-8")
    found = {
        "windows": [asdict(window) for window in windows],
        "resumed_s": resumed_s,
        "trials": trials,
        "hosts": HOSTS,
    }
    place.joinpath("fleet.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    shutil.rmtree(folder)
    print(f"\n{table}\n{place} holds fleet.txt and fleet.json")


def _campaign(composed: Composed, results: Results, trials: int) -> list[Window]:
    testbed = SimulationTestbed(
        composed.campaign, composed.schedulers, composed.space, workload_for(composed)
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
    """The seconds from opening the ledger to a driver that knows all that was."""
    begun = time.perf_counter()
    with Ledger(results.ledger_path) as ledger:
        fleet = FleetTestbed(lambda _: Evaluation("ok"), lambda _: 1, hosts=1, largest=1)
        Executor(composed.campaign, composed.space, ledger=ledger, results=results, testbed=fleet)
        return time.perf_counter() - begun


def _table(windows: Sequence[Window], resumed_s: float, trials: int) -> str:
    rows = [
        f"{window.trials:>9,} {window.driver_ms:>12.2f} {window.cpu_ms:>12.2f} "
        f"{window.memory_mib:>12.0f}"
        for window in windows
    ]
    grown = windows[-1].cpu_ms / windows[1].cpu_ms  # the first holds what is done once
    each = (
        (windows[-1].memory_mib - windows[0].memory_mib)
        * 1024
        / (windows[-1].trials - windows[0].trials)
    )
    lines = [
        f"{trials:,} trials on {HOSTS:,} simulated hosts, as many at once",
        f"{'trials':>9} {'driver, ms':>12} {'its CPU, ms':>12} {'memory, MiB':>12}",
        *rows,
        f"a trial costs the driver {grown:.2f} times as much CPU in the last tenth as in the "
        "second; "
        f"it keeps {each:.1f} KiB of each",
        f"taken up again after {resumed_s:.2f} s",
    ]
    return "\n".join(lines) + "\n"


def _memory_mib() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024
