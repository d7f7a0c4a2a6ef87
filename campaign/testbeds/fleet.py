"""A testbed of simulated hosts, for benchmarks of the driver and for fault injection.

Driver, ledger, search and placement are the real ones; the hosts' VMs are a table of measured
times. Time is virtual, so a campaign of days takes seconds. A trial's results are those of the
simulation testbed. Hosts fail by a schedule of faults while trials run.
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
    """The driver's process ended here. No handler of errors may catch this, so it isn't one."""


@dataclass(frozen=True)
class Timings:
    """The durations of a trial's parts on a host, in seconds.

    They are medians of emulated Slurm clusters (docs/benchmark.md). Their sum varies by up to
    `spread` of itself, drawn for each attempt.
    """

    golden_s: float = 30.0  # once on each host
    restore_s: float = 4.3
    workload_s: float = 90.0
    teardown_s: float = 1.0
    spread: float = 0.1


@dataclass(frozen=True)
class Fault:
    """A fault at a moment of virtual time.

    `what` is one of `host lost`, `host back`, `libvirtd killed`, `guest died`, `clock jumped` and
    `driver killed`. `host` is the index of the host; the driver has none. A lost host is back after
    `lasts_s`.
    """

    at_s: float
    what: str
    host: int = 0
    lasts_s: float = 0.0


@dataclass(order=True)
class _Event:
    """Something that happens at a moment; events `of_trial` vanish with their driver."""

    at_s: float
    order: int
    happens: Callable[[], list[tuple[Trial, Evaluation]]] = field(compare=False)
    of_trial: bool = field(default=False, compare=False)


class FleetTestbed:
    """A `campaign.core.testbed.Testbed` over simulated hosts.

    `nodes_of` returns a trial's compute nodes, of which `largest` is the most. `after_fault` is
    called after each fault. VMs outlive a killed driver, as real ones do: give the same fleet to
    the next driver, after `reap`.
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
            self._at(fault.at_s, partial(self._inject, fault))
        self.placement = Placement(most_failures)
        self._running: dict[int, Trial] = {}
        self._open()

    def nodes(self, trial: int) -> int:
        """Return the number of compute nodes of a running trial."""
        return self._nodes_of(self._running[trial])

    def now(self) -> float:
        """Return the virtual seconds since the fleet began."""
        return self._now

    def reap(self) -> int:
        """Remove the VMs whose driver is dead, as opening the hosts does; return their clusters."""
        left = len(self.vms)
        self.vms.clear()
        self._running.clear()
        self._events = [event for event in self._events if not event.of_trial]
        heapq.heapify(self._events)
        self._open()
        return left

    def room(self) -> int:
        """Return how many more of the largest trials fit now."""
        return self.placement.room({"": NODE * (self._largest + 1)})

    def start(self, trial: Trial) -> None:
        """Place the trial and let its end happen in virtual time."""
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
        """Return what ends next in virtual time; `timeout_s` is real time, of which none passes."""
        while self._events:
            event = heapq.heappop(self._events)
            self._now = max(self._now, event.at_s)
            if ended := event.happens():
                return ended
        return []

    def busy(self) -> str:
        """Return nothing: simulated hosts are disturbed by nobody."""
        return ""

    def statuses(self) -> Mapping[int, Status]:
        """Return nothing: nobody watches a simulated trial."""
        return {}

    def close(self) -> None:
        """End what runs: a driver that isn't killed leaves nothing."""
        for trial in list(self._running.values()):
            self._ended(trial, Evaluation("infrastructure_failed", "the campaign was ended"))

    def _open(self) -> None:
        """Open the hosts that answer, as a driver does."""
        self.placement = Placement(self._most_failures)
        for name in self._names:
            self.placement.add(name, FLEET_HOST)
            if not self._up[name]:
                self.placement.take_out(name, "it doesn't answer")

    def _takes_s(self, trial: Trial, host: str) -> float:
        times = self._timings
        # No secret.
        seed = f"{self._seed}:{trial.number}:{trial.attempt}"
        drawn = random.Random(seed).uniform(-1, 1)  # noqa: S311
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

    def _inject(self, fault: Fault) -> list[tuple[Trial, Evaluation]]:
        if fault.what == "driver killed":
            raise DriverKilled
        ended = self._trials_ended_by(fault)
        self._after_fault(fault)
        return ended

    def _trials_ended_by(self, fault: Fault) -> list[tuple[Trial, Evaluation]]:
        """Carry out a fault; return the trials that it has ended."""
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
                self._now + fault.lasts_s, partial(self._inject, replace(fault, what="host back"))
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
        invalid_by = {"guest died": "console faults", "clock jumped": "clock error"}[fault.what]
        return [
            self._ended(one, Evaluation("invalid", f"{invalid_by}: 1 (limit 0)", host))
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
