"""Simulated hosts: the real driver, ledger, search and placement, over hosts whose VMs are a table
of measured times.

Time is virtual, so a campaign of days takes seconds; what a trial measures is what the simulation
testbed makes of it. Hosts fail by a schedule of faults, in the midst of whatever runs.
"""

import heapq
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from actors.hosts.placement import Placement
from actors.hypervisor.capacity import Resources
from campaign.core.testbed import Status
from campaign.core.trials import Evaluation, Trial

Evaluate = Callable[[Trial], Evaluation]

FLEET_HOST = Resources(memory_mib=16_384, vcpus=32, ports=800, disk_mib=100_000)
NODE = Resources(memory_mib=768, vcpus=1, ports=1, disk_mib=8)


class DriverKilled(BaseException):
    """The driver's process ended here; nothing that catches errors may catch this."""


@dataclass(frozen=True)
class Timings:
    """What the parts of a trial take on a host, s: medians of emulated Slurm clusters
    (docs/benchmark.md). Each varies by up to `spread` of itself, drawn for each attempt."""

    golden_s: float = 30.0  # once on each host
    restore_s: float = 4.3
    workload_s: float = 90.0
    teardown_s: float = 1.0
    spread: float = 0.1


@dataclass(frozen=True)
class Fault:
    """What goes wrong at a moment of virtual time: `host lost`, `host back`, `libvirtd killed`,
    `guest died`, `clock jumped`, `driver killed`. `host` is the place of the host among all; the
    driver has none."""

    at_s: float
    what: str
    host: int = 0
    lasts_s: float = 0.0


@dataclass(order=True)
class _Event:
    """`of_trial` events die with their driver."""

    at_s: float
    order: int
    happens: Callable[[], list[tuple[Trial, Evaluation]]] = field(compare=False)
    of_trial: bool = field(default=False, compare=False)


class FleetTestbed:
    """See `campaign.core.testbed.Testbed`. `nodes_of` gives a trial's compute nodes, `largest` the
    most of any.

    `after_fault` is called when a fault has struck.

    What outlives a killed driver is the fleet's: give the same one to the next driver, after
    `reap`.
    """

    def __init__(
        self,
        evaluate: Evaluate,
        nodes_of: Callable[[Trial], int],
        *,
        hosts: int,
        largest: int,
        seed: int = 0,
        timings: Timings | None = None,
        faults: Iterable[Fault] = (),
        after_fault: Callable[[Fault], None] = lambda _: None,
        most_failures: int = 3,
    ) -> None:
        self._evaluate = evaluate
        self._nodes_of = nodes_of
        self._largest = largest
        self._seed = seed
        self._timings = timings or Timings()
        self._most_failures = most_failures
        self._after_fault = after_fault
        self._names = [f"host{number:04d}" for number in range(hosts)]
        self._up = dict.fromkeys(self._names, True)
        self._golden: set[str] = set()
        self.vms: dict[tuple[int, int], str] = {}  # by trial and attempt: the host that has them
        self.said: list[str] = []
        self._now = 0.0
        self._events: list[_Event] = []
        self._order = 0
        for fault in faults:
            self._at(fault.at_s, partial(self._strike, fault))
        self.placement = Placement(most_failures)
        self._running: dict[int, Trial] = {}
        self._open()

    def nodes(self, trial: int) -> int:
        """The compute nodes of a running trial."""
        return self._nodes_of(self._running[trial])

    def now(self) -> float:
        """Virtual seconds since the fleet began."""
        return self._now

    def reap(self) -> int:
        """Remove the VMs whose driver is dead, as opening the hosts does; how many clusters there
        were."""
        left = len(self.vms)
        self.vms.clear()
        self._running.clear()
        self._events = [event for event in self._events if not event.of_trial]
        heapq.heapify(self._events)
        self._open()
        return left

    def room(self) -> int:
        return self.placement.room({"": NODE * (self._largest + 1)})

    def start(self, trial: Trial) -> None:
        needs = NODE * (self._nodes_of(trial) + 1)
        host = self.placement.place(trial.number, {"": needs})
        if host is None:
            raise AssertionError(f"trial {trial.number} was started without room")
        self._running[trial.number] = trial
        self.vms[trial.number, trial.attempt] = host

        def end() -> list[tuple[Trial, Evaluation]]:
            if self._running.get(trial.number) != trial:
                return []  # a fault has ended it
            self._golden.add(host)
            return [self._ended(trial, replace(self._evaluate(trial), host=host))]

        self._at(self._now + self._takes_s(trial, host), end, of_trial=True)

    def wait(self, timeout_s: float) -> list[tuple[Trial, Evaluation]]:
        """What ends next in virtual time; `timeout_s` is real time, of which none passes."""
        while self._events:
            event = heapq.heappop(self._events)
            self._now = max(self._now, event.at_s)
            if ended := event.happens():
                return ended
        return []

    def statuses(self) -> Mapping[int, Status]:
        return {}

    def close(self) -> None:
        """End what runs: a driver that isn't killed leaves nothing."""
        for trial in list(self._running.values()):
            self._ended(trial, Evaluation("infrastructure_failed", "the campaign was ended"))

    def _open(self) -> None:
        """A driver opens the hosts that answer."""
        self.placement = Placement(self._most_failures)
        for name in self._names:
            self.placement.add(name, FLEET_HOST)
            if not self._up[name]:
                self.placement.take_out(name, "it doesn't answer")

    def _takes_s(self, trial: Trial, host: str) -> float:
        times = self._timings
        # No secret.
        drawn = random.Random(f"{self._seed}:{trial.number}:{trial.attempt}").uniform(-1, 1)  # noqa: S311
        once = 0.0 if host in self._golden else times.golden_s
        return (once + times.restore_s + times.workload_s + times.teardown_s) * (
            1 + times.spread * drawn
        )

    def _ended(self, trial: Trial, evaluation: Evaluation) -> tuple[Trial, Evaluation]:
        del self._running[trial.number], self.vms[trial.number, trial.attempt]
        failed = evaluation.outcome == "infrastructure_failed"
        if taken_out := self.placement.release(trial.number, failed=failed):
            self.said.append(taken_out)
        return trial, evaluation

    def _strike(self, fault: Fault) -> list[tuple[Trial, Evaluation]]:
        if fault.what == "driver killed":
            raise DriverKilled
        ended = self._struck(fault)
        self._after_fault(fault)
        return ended

    def _struck(self, fault: Fault) -> list[tuple[Trial, Evaluation]]:
        """The trials that a fault has ended."""
        host = self._names[fault.host % len(self._names)]
        hit = [self._running[number] for number in self.placement.trials_on(host)]
        if fault.what == "host back":
            self._up[host] = True
            self.placement.add(host, FLEET_HOST)
            return []
        if fault.what == "host lost":
            self._up[host] = False
            self.placement.take_out(host, "it was lost")
            self._golden.discard(host)
            self._at(
                self._now + fault.lasts_s, partial(self._strike, replace(fault, what="host back"))
            )
            return [
                self._ended(one, Evaluation("infrastructure_failed", f"{host} was lost", host))
                for one in hit
            ]
        if fault.what == "libvirtd killed":
            return [
                self._ended(one, Evaluation("infrastructure_failed", "libvirtd is gone", host))
                for one in hit
            ]
        spoilt = {"guest died": "console faults", "clock jumped": "clock error"}[fault.what]
        return [
            self._ended(one, Evaluation("invalid", f"{spoilt}: 1 (limit 0)", host))
            for one in hit[:1]
        ]

    def _at(
        self,
        when_s: float,
        happens: Callable[[], list[tuple[Trial, Evaluation]]],
        *,
        of_trial: bool = False,
    ) -> None:
        self._order += 1
        heapq.heappush(self._events, _Event(when_s, self._order, happens, of_trial))
