"""The speed of virtual time as a table, as JSON and for Parquet: numbers in, text out."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import pyarrow as pa

from campaign.bench.spread import Spread, spread
from campaign.bench.virtual_load import Span, UsageSample
from campaign.core.errors import BenchmarkError

INSTRUCTIONS_PER_S = 10**9
FLOORS: Mapping[tuple[int, int], float] = {(16, 0): 200.0, (16, 10): 60.0, (64, 100): 15.0}
"""The speed that virtual time must have with so many nodes and jobs in the queue."""
LEAST_LOOKS = 2
MILLION = 1e6


@dataclass(frozen=True)
class Look:
    """The guest's clock (seconds since its boot) when its emulator had used so much CPU time."""

    virtual_s: float
    cpu_s: float


@dataclass(frozen=True)
class SpeedOfTime:
    """The speed of virtual time over one span of one round.

    `virtual_s` passed while the emulator used `cpu_s`. `busy`, `services` and `agent` are parts of
    the guest's time: when its CPU worked, for services (the scheduler and what it runs) and for
    this project's own agent. `load` is the machine's load average (1 minute) at the end.
    """

    nodes: int
    queue: int
    round: int
    virtual_s: float
    cpu_s: float
    busy: float
    services: float
    agent: float
    load: float

    @property
    def speed(self) -> float:
        """Virtual seconds for each second of CPU time."""
        return self.virtual_s / self.cpu_s

    @property
    def instructions_per_s(self) -> float:
        """How many of the guest's instructions the emulator did in a second of CPU time."""
        return self.busy * self.speed * INSTRUCTIONS_PER_S


@dataclass(frozen=True)
class GuestRound:
    """What was seen of one guest: the host's looks at it, and what it noted of itself.

    `began_s` is when its workload began, seconds since its boot; `load` is that of the machine.
    """

    nodes: int
    round: int
    began_s: float
    looks: Sequence[Look]
    samples: Sequence[UsageSample]
    load: float

    def over(self, span: Span) -> SpeedOfTime:
        """Return what happened in a span; BenchmarkError where too little was seen of it."""
        begin_s = self.began_s + span.begin_s
        end_s = self.began_s + span.end_s
        looks = [one for one in self.looks if begin_s <= one.virtual_s <= end_s]
        samples = [one for one in self.samples if begin_s <= one.virtual_s <= end_s]
        if min(len(looks), len(samples)) < LEAST_LOOKS or looks[-1].cpu_s <= looks[0].cpu_s:
            raise BenchmarkError(
                f"{self.nodes} nodes, {span.queue} jobs in the queue: virtual time passed too fast "
                f"to be measured ({len(looks)} looks, {len(samples)} samples)"
            )
        first = samples[0]
        last = samples[-1]
        passed_s = last.virtual_s - first.virtual_s
        return SpeedOfTime(
            nodes=self.nodes,
            queue=span.queue,
            round=self.round,
            virtual_s=looks[-1].virtual_s - looks[0].virtual_s,
            cpu_s=looks[-1].cpu_s - looks[0].cpu_s,
            busy=(last.busy_s - first.busy_s) / passed_s,
            services=(last.services_s - first.services_s) / passed_s,
            agent=(last.agent_s - first.agent_s) / passed_s,
            load=self.load,
        )


@dataclass(frozen=True)
class TimeMeasurements:
    """All that one run measured; `facts` say on what."""

    facts: Mapping[str, Any]
    speeds: Sequence[SpeedOfTime]


def cases(measured: TimeMeasurements) -> dict[tuple[int, int], list[SpeedOfTime]]:
    """Return the measurements by nodes and queue, in their order."""
    found: dict[tuple[int, int], list[SpeedOfTime]] = {}
    for one in measured.speeds:
        found.setdefault((one.nodes, one.queue), []).append(one)
    return found


def too_slow(measured: TimeMeasurements) -> list[str]:
    """Return a sentence for each case that is slower than it must be."""
    return [
        f"{nodes} nodes, {_queue(queue)}: {reached:.0f} virtual seconds for one of CPU time, "
        f"at least {FLOORS[nodes, queue]:.0f} are wanted"
        for (nodes, queue), found in cases(measured).items()
        if (reached := _speed(found).median) < FLOORS.get((nodes, queue), 0.0)
    ]


def as_rows(measured: TimeMeasurements) -> pa.Table:
    """Return a row for each span of each round."""
    derived = [
        asdict(one) | {"speed": one.speed, "instructions_per_s": one.instructions_per_s}
        for one in measured.speeds
    ]
    return pa.Table.from_pylist(derived)


def as_json(measured: TimeMeasurements) -> str:
    """Return everything: facts, each case's spread of speeds, and every single measurement."""
    content = {
        "facts": measured.facts,
        "cases": [
            {"nodes": nodes, "queue": queue, "speed": asdict(_speed(found))}
            for (nodes, queue), found in cases(measured).items()
        ],
        "too_slow": too_slow(measured),
        "measurements": as_rows(measured).to_pylist(),
    }
    return json.dumps(content, indent=1) + "\n"


def as_text(measured: TimeMeasurements) -> str:
    """Return the table as people read it in a terminal."""
    return "\n".join(line.rstrip() for line in _lines(measured)) + "\n"


def _lines(measured: TimeMeasurements) -> Iterator[str]:
    yield from (f"{name}: {value}" for name, value in measured.facts.items())
    loads = [one.load for one in measured.speeds]
    yield f"load average: {min(loads):.2f} .. {max(loads):.2f}"
    yield ""
    yield "virtual seconds for one of CPU time; the guest's CPU time, and the emulator's speed"
    yield (
        f"{'nodes':>5} {'queue':<10}{'median':>8}{'min':>8}{'max':>8}{'n':>3}{'wanted':>8}"
        f"{'busy, ms/s':>12}{'scheduler':>11}{'agent':>8}{'M instr./s':>12}"
    )
    for (nodes, queue), found in cases(measured).items():
        speed = _speed(found)
        wanted = FLOORS.get((nodes, queue))
        at_least = f"{wanted:.0f}" if wanted else ""
        yield (
            f"{nodes:>5} {_queue(queue):<10}{speed.median:>8.1f}{speed.min:>8.1f}{speed.max:>8.1f}"
            f"{speed.n:>3}{at_least:>8}{_thousandths(found, 'busy'):>12.2f}"
            f"{_thousandths(found, 'services'):>11.2f}{_thousandths(found, 'agent'):>8.2f}"
            f"{median(one.instructions_per_s for one in found) / MILLION:>12.0f}"
        )
    yield from too_slow(measured)


def _speed(found: Sequence[SpeedOfTime]) -> Spread:
    return spread(one.speed for one in found)


def _thousandths(found: Sequence[SpeedOfTime], part: str) -> float:
    values: list[float] = [getattr(one, part) for one in found]
    return 1000 * median(values)


def _queue(jobs: int) -> str:
    return f"{jobs} jobs" if jobs else "idle"
