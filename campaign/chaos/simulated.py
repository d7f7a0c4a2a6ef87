"""Fault injection on simulated hosts: run seeded faults over campaigns, and check the invariants.

The driver, ledger, results, search and placement are the real ones. Hosts, guests, the driver's
process and its disk fail by a schedule that the seed draws; after each fault all invariants are
checked. The campaign is resumed until it is done. Then its front must be the same as that of the
campaign without faults.
"""

import errno
import os
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from actors.hypervisor.capacity import Resources
from campaign.chaos.invariants import records_broken
from campaign.chaos.runs import ChaosRun
from campaign.config.compose import Composed, compose
from campaign.core.errors import CampaignError, StorageError
from campaign.core.trials import TrialRecord
from campaign.execution.executor import Executor
from campaign.records.ledger import Ledger, history_of
from campaign.records.results import Results
from campaign.simulation.testbed import SimulationTestbed
from campaign.testbeds.fleet import NODE, DriverKilled, Fault, FleetTestbed
from campaign.testbeds.preflight import workloads_for
from search.pareto import front

HOSTS = 3
TRIALS = 12
SETTINGS = (
    "testbed=simulation",
    "cluster.nodes=[1,4]",
    f"search.trials={TRIALS}",
    "search.batch=4",
    "search.holdout=1",
    "testbed.parallel=4",
    # Faults cost attempts, and none of them may use up a trial's.
    "search.retries=10",
    "search.give_up_after=1000",
)
CAMPAIGNS = f"{TRIALS} trials on {HOSTS} simulated hosts"
"""The campaigns in the words of the report."""
ON_HOSTS = ("host lost", "libvirtd killed", "guest died", "clock jumped", "driver killed")
ON_DISK = ("killed before a line", "killed in a line", "killed after a line", "disk full")
CAMPAIGN_S = 600.0  # virtual time; about as long as the campaign without faults
MOST_DRIVERS = 50


@dataclass(frozen=True)
class FaultSchedule:
    """The faults of one seed.

    `faults` of hosts, guests and the driver have a moment of virtual time. Those `on_disk` have the
    number of the ledger's line at which they happen.
    """

    faults: tuple[Fault, ...]
    on_disk: dict[int, str]

    @classmethod
    def drawn(cls, seed: int) -> "FaultSchedule":
        """Return the schedule of a seed: 3 to 8 faults of hosts, up to 3 of the disk."""
        draw = random.Random(seed)  # noqa: S311 - no secret
        faults = [
            Fault(
                draw.uniform(1, CAMPAIGN_S),
                draw.choice(ON_HOSTS),
                draw.randrange(HOSTS),
                draw.uniform(10, 300),
            )
            for _ in range(draw.randint(3, 8))
        ]
        on_disk = {
            draw.randrange(1, 3 * TRIALS): draw.choice(ON_DISK) for _ in range(draw.randint(0, 3))
        }
        return cls(tuple(faults), on_disk)


def run_seeds(seeds: Iterable[int]) -> Iterator[ChaosRun]:
    """Run each seed's campaign in a temporary folder; yield each outcome as soon as it is known."""
    composed = campaign_to_disturb()
    for seed in seeds:
        with TemporaryDirectory(prefix="campaign-chaos-") as folder:
            yield run(composed, seed, Path(folder))


def campaign_to_disturb() -> Composed:
    """Return the campaign that every seed runs."""
    return compose(SETTINGS, used_elsewhere=("search.retries", "testbed.parallel"))


def run(composed: Composed, seed: int, folder: Path) -> ChaosRun:
    """Run a seed's campaign in `folder`, once without faults and once with them, and compare."""
    search = composed.campaign.search.model_copy(update={"seed": seed})
    composed = replace(composed, campaign=composed.campaign.model_copy(update={"search": search}))
    calm = ChaosRun(seed)
    disturbed = ChaosRun(seed)
    expected = _campaign(composed, Results(folder, "calm"), FaultSchedule((), {}), calm)
    found = _campaign(composed, Results(folder, "disturbed"), FaultSchedule.drawn(seed), disturbed)
    disturbed.broken += [f"undisturbed: {line}" for line in calm.broken]
    objectives = composed.campaign.objectives
    constraints = composed.campaign.search.constraints
    fronts = [
        sorted(_seen(record) for record in front(records, objectives, constraints))
        for records in (expected, found)
    ]
    if fronts[0] != fronts[1]:
        disturbed.broken.append(f"another front: {fronts[1]} instead of {fronts[0]}")
    return disturbed


def _seen(record: TrialRecord) -> tuple[int, str, str]:
    return record.number, str(sorted(record.point.items())), str(sorted(record.metrics.items()))


def _campaign(
    composed: Composed, results: Results, schedule: FaultSchedule, outcome: ChaosRun
) -> list[TrialRecord]:
    """Start the campaign, and resume it until it is done; return its final records.

    Everything that happens is noted in `outcome`.
    """

    def note_fault(what: str) -> None:
        outcome.faults[what] += 1
        outcome.broken += [f"after {what}: {line}" for line in _broken(results, fleet)]

    fleet = _fleet(composed, schedule, outcome.seed, note_fault)
    disk = dict(schedule.on_disk)
    while outcome.drivers < MOST_DRIVERS:
        outcome.drivers += 1
        try:
            with _BadDisk(results.ledger_path, disk) as ledger:
                records = _drive(composed, results, ledger, fleet)
                broken = _broken(results, fleet, ended=True)
                outcome.broken += [f"at the end: {line}" for line in broken]
                outcome.attempts = sum(ledger.history.attempts.values())
                return records
        except DriverKilled as killed:
            note_fault(str(killed) or "driver killed")
        except CampaignError as error:
            # A driver that ends by an error ends what it runs; a killed one can't.
            note_fault("disk full" if os.strerror(errno.ENOSPC) in str(error) else str(error))
            fleet.close()
        # As it happens whenever a driver opens its hosts.
        outcome.reaped += fleet.reap()
        outcome.broken += [f"after the reaper: {line}" for line in _orphans(fleet)]
    outcome.broken.append(f"not done after {MOST_DRIVERS} drivers")
    return []


def _fleet(
    composed: Composed, schedule: FaultSchedule, seed: int, note_fault: Callable[[str], None]
) -> FleetTestbed:
    """Return the simulated hosts, which outlive each driver of the campaign."""
    parts = (composed.campaign, composed.schedulers, composed.space)
    testbed = SimulationTestbed(*parts, *workloads_for(*parts))
    return FleetTestbed(
        testbed.evaluate,
        lambda trial: composed.space.nodes(trial.point),
        hosts=HOSTS,
        largest=composed.space.node_counts()[1],
        seed=seed,
        faults=schedule.faults,
        after_fault=lambda fault: note_fault(fault.what),
        most_failures=composed.campaign.testbed.host_failures,
    )


def _drive(
    composed: Composed, results: Results, ledger: Ledger, fleet: FleetTestbed
) -> list[TrialRecord]:
    """Begin or resume the campaign, as one driver does; return the final records."""
    _begin(ledger, composed)
    executor = Executor(
        composed.campaign,
        composed.space,
        ledger=ledger,
        results=results,
        testbed=fleet,
        opening=composed.opening,
        clock=fleet.now,
    )
    return executor.run()


def _begin(ledger: Ledger, composed: Composed) -> None:
    if ledger.history.head is not None:
        ledger.append("resumed")
    else:
        ledger.append(
            "campaign",
            id="chaos",
            name=composed.campaign.name,
            config={},
            images={},
            workload_hash="",
        )


class _BadDisk(Ledger):
    """A ledger on a disk that fails, and in a process that dies, at given lines.

    Lines are counted over all drivers that have written to the file.
    """

    def __init__(self, path: Path, faults: dict[int, str]) -> None:
        super().__init__(path)
        self._faults = faults

    def append(self, event: str, **values: Any) -> None:
        """Record an event, or fail as planned."""
        lines = self.path.read_bytes().count(b"\n")
        what = self._faults.pop(lines, "") if event in ("asked", "started", "finished") else ""
        if what == "disk full":
            raise StorageError(f"{self.path} can't be written: {os.strerror(errno.ENOSPC)}")
        if what == "killed before a line":
            raise DriverKilled(what)
        # Half a line is what a kill in the middle of a write leaves.
        if what == "killed in a line":
            with self.path.open("ab") as file:
                file.write(b'{"event":"' + event.encode())
            raise DriverKilled(what)
        super().append(event, **values)
        if what == "killed after a line":
            raise DriverKilled(what)


def _broken(results: Results, fleet: FleetTestbed, *, ended: bool = False) -> Iterator[str]:
    """Yield a line for each invariant that doesn't hold; once `ended`, all must be settled, too."""
    try:
        history = history_of(results.ledger_path)
    except CampaignError as error:
        yield f"the ledger can't be read: {error}"
        return
    yield from records_broken(history, results)
    yield from _reservations_broken(fleet)
    if ended:
        found = [record.number for record in history.final()]
        if found != list(range(TRIALS)):
            yield f"trials with records: {found}"
        yield from _orphans(fleet)


def _reservations_broken(fleet: FleetTestbed) -> Iterator[str]:
    for host in fleet.placement.hosts:
        placed = fleet.placement.trials_on(host)
        there = [number for (number, _), name in fleet.vms.items() if name == host]
        if sorted(placed) != sorted(there):
            yield f"{host}: reserved for trials {placed}, but has VMs of trials {there}"
        used = sum((NODE * (fleet.nodes(number) + 1) for number in placed), Resources())
        if fleet.placement.reserved(host) != used:
            yield f"{host}: {fleet.placement.reserved(host)} is reserved, {used} is used"


def _orphans(fleet: FleetTestbed) -> Iterator[str]:
    yield from (
        f"VMs of trial {number} are left on {host}" for (number, _), host in fleet.vms.items()
    )
