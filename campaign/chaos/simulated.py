"""Chaos: seeded faults over real campaigns on a simulated fleet, and what must hold after each of
them.

The driver, ledger, results, search and placement are the real ones. Hosts, guests, the driver's
process and its disk fail by a schedule that the seed draws. The campaign is taken up again until it
is done; then its front must be that of the same campaign undisturbed.
"""

import errno
import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from actors.hypervisor.capacity import Resources
from campaign.config.compose import Composed, compose
from campaign.core.errors import CampaignError
from campaign.core.trials import Outcome, TrialRecord
from campaign.execution.executor import Executor
from campaign.records.ledger import History, Ledger, history_of
from campaign.records.results import Results
from campaign.simulation.testbed import SimulationTestbed
from campaign.testbeds.fleet import NODE, DriverKilled, Fault, FleetTestbed
from campaign.testbeds.preflight import workload_for
from search.pareto import front

HOSTS = 3
TRIALS = 12
SETTINGS = (
    *(
        "testbed=simulation",
        "cluster.nodes=[1,4]",
        f"search.trials={TRIALS}",
        "search.batch=4",
        "testbed.parallel=4",
    ),
    *("search.retries=10", "search.give_up_after=1000"),
)
ON_HOSTS = ("host lost", "libvirtd killed", "guest died", "clock jumped", "driver killed")
ON_DISK = ("killed before a line", "killed in a line", "killed after a line", "disk full")
LASTS_S = 600.0  # about as long as the undisturbed campaign
MOST_DRIVERS = 50


@dataclass(frozen=True)
class Schedule:
    """What goes wrong: faults of hosts, guests and driver by virtual time; of the disk by the
    number of the line."""

    faults: tuple[Fault, ...]
    on_disk: dict[int, str]

    @classmethod
    def drawn(cls, seed: int) -> "Schedule":
        """The schedule of a seed: three to eight faults of hosts, up to three of the disk."""
        draw = random.Random(seed)  # noqa: S311 - no secret
        faults = [
            Fault(
                draw.uniform(1, LASTS_S),
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


@dataclass
class Run:
    """One run of a seed: what struck, how many drivers and attempts it took, and what didn't
    hold."""

    seed: int
    struck: Counter[str] = field(default_factory=Counter)
    drivers: int = 0
    attempts: int = 0
    reaped: int = 0
    broken: list[str] = field(default_factory=list)


def campaign_to_disturb() -> Composed:
    """What every seed runs."""
    return compose(SETTINGS)


def run(composed: Composed, seed: int, folder: Path) -> Run:
    """Run a seed's campaign undisturbed and disturbed, in `folder`, and compare."""
    search = composed.campaign.search.model_copy(update={"seed": seed})
    composed = replace(composed, campaign=composed.campaign.model_copy(update={"search": search}))
    calm = Run(seed)
    disturbed = Run(seed)
    expected = _campaign(composed, Results(folder, "calm"), Schedule((), {}), calm)
    found = _campaign(composed, Results(folder, "disturbed"), Schedule.drawn(seed), disturbed)
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
    composed: Composed, results: Results, schedule: Schedule, told: Run
) -> list[TrialRecord]:
    """Take the campaign up again and again until it is done; its final records."""
    testbed = SimulationTestbed(
        composed.campaign, composed.schedulers, composed.space, workload_for(composed)
    )
    fleet = FleetTestbed(
        testbed.evaluate,
        lambda trial: composed.space.nodes(trial.point),
        hosts=HOSTS,
        largest=composed.space.node_counts()[1],
        seed=told.seed,
        faults=schedule.faults,
        after_fault=lambda fault: _struck(fault.what),
        most_failures=composed.campaign.testbed.host_failures,
    )

    def _struck(what: str) -> None:
        told.struck[what] += 1
        told.broken += [f"after {what}: {line}" for line in _broken(results, fleet)]

    disk = dict(schedule.on_disk)
    while told.drivers < MOST_DRIVERS:
        told.drivers += 1
        try:
            with _BadDisk(results.ledger_path, disk) as ledger:
                _begin(ledger, composed)
                executor = Executor(
                    composed.campaign,
                    composed.space,
                    ledger=ledger,
                    results=results,
                    testbed=fleet,
                    clock=fleet.now,
                )
                records = executor.run()
                told.broken += [
                    f"at the end: {line}" for line in _broken(results, fleet, ended=True)
                ]
                told.attempts = sum(ledger.history.attempts.values())
                return records
        except DriverKilled as killed:
            _struck(str(killed) or "driver killed")
        except CampaignError as error:
            _struck("disk full" if os.strerror(errno.ENOSPC) in str(error) else str(error))
            fleet.close()
        told.reaped += fleet.reap()
        told.broken += [f"after the reaper: {line}" for line in _orphans(fleet)]
    told.broken.append(f"not done after {MOST_DRIVERS} drivers")
    return []


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
    """A ledger on a disk that fails, and in a process that dies, at given lines of all that were
    ever written."""

    def __init__(self, path: Path, faults: dict[int, str]) -> None:
        super().__init__(path)
        self._faults = faults

    def append(self, event: str, **values: Any) -> None:
        lines = self.path.read_bytes().count(b"\n")
        what = self._faults.pop(lines, "") if event in ("asked", "started", "finished") else ""
        if what == "disk full":
            raise CampaignError(f"{self.path} can't be written: {os.strerror(errno.ENOSPC)}")
        if what == "killed before a line":
            raise DriverKilled(what)
        if what == "killed in a line":
            with self.path.open("ab") as file:
                file.write(b'{"event":"' + event.encode())
            raise DriverKilled(what)
        super().append(event, **values)
        if what == "killed after a line":
            raise DriverKilled(what)


def _broken(results: Results, fleet: FleetTestbed, *, ended: bool = False) -> Iterator[str]:
    """What doesn't hold, of what must hold at any moment; at the end everything must be settled,
    too."""
    try:
        history = history_of(results.ledger_path)
    except CampaignError as error:
        yield f"the ledger can't be read: {error}"
        return
    yield from records_broken(history, results)
    yield from _books_broken(fleet)
    if ended:
        if sorted(history.records) != list(range(TRIALS)):
            yield f"trials with records: {sorted(history.records)}"
        yield from _orphans(fleet)


def records_broken(history: History, results: Results) -> Iterator[str]:
    """What doesn't hold of the records of a campaign that goes on or has ended."""
    for number, records in history.records.items():
        attempts = [record.attempt for record in records]
        if attempts != sorted(set(attempts)):
            yield f"trial {number} was counted twice: attempts {attempts}"
        for record in records:
            if record.outcome not in get_args(Outcome):
                yield f"trial {number} ended as {record.outcome!r}"
        if records[-1].valid and results.trial_jobs(number) is None:
            yield f"trial {number} is in the ledger, but its jobs are not on the disk"
        if len([record for record in records if record.valid]) > 1:
            yield f"trial {number} was measured again after it was done"


def _books_broken(fleet: FleetTestbed) -> Iterator[str]:
    for host in fleet.placement.hosts:
        placed = fleet.placement.trials_on(host)
        there = [number for (number, _), name in fleet.vms.items() if name == host]
        if sorted(placed) != sorted(there):
            yield f"{host}: trials {placed} are in the books, VMs of trials {there} are there"
        promised = sum((NODE * (fleet.nodes(number) + 1) for number in placed), Resources())
        if fleet.placement.reserved(host) != promised:
            yield f"{host}: {fleet.placement.reserved(host)} is promised, {promised} is used"


def _orphans(fleet: FleetTestbed) -> Iterator[str]:
    yield from (
        f"VMs of trial {number} are left on {host}" for (number, _), host in fleet.vms.items()
    )


def as_text(runs: Sequence[Run], where: str = f"{TRIALS} trials on {HOSTS} simulated hosts") -> str:
    """The report of so many runs of campaigns of `where`."""
    struck = sum((one.struck for one in runs), Counter[str]())
    broken = [f"seed {one.seed}: {line}" for one in runs for line in one.broken]
    lines = [
        f"{len(runs)} campaigns of {where}, {sum(struck.values())} faults, "
        f"{sum(one.drivers for one in runs)} drivers, {sum(one.attempts for one in runs)} attempts"
        + (
            f", {reaped} orphaned clusters reaped"
            if (reaped := sum(one.reaped for one in runs))
            else ""
        ),
        *(f"  {count:5}  {what}" for what, count in struck.most_common()),
        f"every invariant held: {'no' if broken else 'yes'}",
        *(f"  {line}" for line in broken),
    ]
    return "\n".join(lines) + "\n"
