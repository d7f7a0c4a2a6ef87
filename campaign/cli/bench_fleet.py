"""`python -m campaign bench fleet`: what the driver itself costs, over a thousand simulated hosts and many trials."""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from campaign.compose import Composed, compose
from campaign.executor import Executor
from campaign.ledger import Ledger
from campaign.preflight import workload_for
from campaign.results import Results
from campaign.simulation.fleet import FleetTestbed
from campaign.simulation.testbed import SimulationTestbed
from campaign.trials import Evaluation, Trial

HOSTS = 1000
SETTINGS = (
    *("testbed=simulation", "sampler=random", "search.trials=10000", "search.batch=1000", "testbed.parallel=1000"),
    "cluster.nodes=[1,4]",
)
WINDOWS = 10


@dataclass(frozen=True)
class Window:
    """A tenth of a campaign's trials: what one cost the driver beside its simulation, ms; the driver's memory, MiB."""

    trials: int
    driver_ms: float
    memory_mib: float


class _Timed:
    """The simulation of trials, with the time that it takes."""

    def __init__(self, testbed: SimulationTestbed) -> None:
        self._testbed = testbed
        self.took_s = 0.0

    def __call__(self, trial: Trial) -> Evaluation:
        begun = time.perf_counter()
        evaluation = self._testbed.evaluate(trial)
        self.took_s += time.perf_counter() - begun
        return evaluation


class _Watched(FleetTestbed):
    """A fleet that notes, a tenth after the other, what the driver has cost."""

    def watch(self, timed: _Timed, trials: int) -> None:
        self._timed, self._size = timed, max(1, trials // WINDOWS)
        self.windows: list[Window] = []
        self._seen, self._since = 0, (time.perf_counter(), 0.0)

    def wait(self, timeout_s: float) -> list[tuple[Trial, Evaluation]]:
        ended = super().wait(timeout_s)
        self._seen += len(ended)
        if self._seen >= self._size * (len(self.windows) + 1):
            now, simulated = time.perf_counter(), self._timed.took_s
            driver_s = now - self._since[0] - (simulated - self._since[1])
            self.windows.append(Window(self._seen, 1000 * driver_s / self._size, _memory_mib()))
            self._since = (now, simulated)
        return ended


def run(overrides: Sequence[str], place: Path, rounds: int) -> None:
    """Run one campaign (rounds have no meaning here), take it up again, and leave the table in `place`."""
    composed = compose([*SETTINGS, *overrides])
    folder = place / "fleet"
    shutil.rmtree(folder, ignore_errors=True)
    results = Results(folder, "fleet")
    trials = composed.campaign.search.trials
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
    testbed = SimulationTestbed(composed.campaign, composed.schedulers, composed.space, workload_for(composed))
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
            composed.campaign, composed.space, ledger=ledger, results=results, testbed=fleet, clock=fleet.now
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
    rows = [f"{window.trials:>9,} {window.driver_ms:>12.2f} {window.memory_mib:>12.0f}" for window in windows]
    grown = windows[-1].driver_ms / windows[1].driver_ms  # the first holds what is done once
    each = (windows[-1].memory_mib - windows[0].memory_mib) * 1024 / (windows[-1].trials - windows[0].trials)
    lines = [
        f"{trials:,} trials on {HOSTS:,} simulated hosts, as many at once",
        f"{'trials':>9} {'driver, ms':>12} {'memory, MiB':>12}",
        *rows,
        f"a trial costs the driver {grown:.2f} times as much in the last tenth as in the second, "
        f"which keeps {each:.1f} KiB of each",
        f"taken up again after {resumed_s:.2f} s",
    ]
    return "\n".join(lines) + "\n"


def _memory_mib() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024
