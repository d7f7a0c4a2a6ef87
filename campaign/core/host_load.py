"""How busy a host is, and how much of that others cause: samples, their sums, and a judgement.

Linux tells how much work waits (`/proc/pressure`), but not whose. Three emulated nodes on two CPUs
make a pressure of 100 % by themselves, and measure well: the workload doesn't need more than there
is. What spoils a measurement is CPU time that the nodes want and that programs outside of the
campaign have. So pressure is recorded and named, but what is judged is `taken`:

    taken = (share of the nodes' wanted CPU time for which they waited)
            x (share of the CPU time in use that others had)

The kernel counts the waiting per thread (`/proc/PID/task/TID/schedstat`). Without others the second
factor is 0, on a host with CPUs to spare the first one is; so neither emulation, nor many nodes on
few CPUs, nor a large host with other users makes a host busy by itself. Where the kernel doesn't
count the waiting, or no node runs yet, the host's CPU pressure stands for the first factor.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from campaign.core.phases import Phase
from campaign.schema.settings import Settings

BUSY_FOREIGN = 0.5
"""A host is busy when others use this share of its CPUs, or more."""
BUSY_TAKEN = 0.25
"""A host is also busy when others take this share of the CPU time that nodes want, or more."""
HIGH_MEMORY = 0.2
HIGH_IO = 0.5
"""From these pressures on, memory and disk are named as a likely cause, too."""
MOST_SLOWING = 10.0
"""The largest factor that `slowing` returns: a host that is slower still is of no use."""


@dataclass(frozen=True, slots=True)
class LoadSample:
    """How busy a host was for `seconds`, which ended `ago_s` before the sample was asked for.

    Pressures are shares of that time, 0 to 1, in which some task waited for a CPU, for memory or
    for the disk. None is unknown.
    """

    ago_s: float
    seconds: float
    cpus: int
    cpu: float | None = None
    memory: float | None = None
    io: float | None = None
    foreign_cpus: float | None = None
    """CPUs that programs outside of the campaign kept busy."""
    own_cpus: float = 0.0
    """CPUs that the campaign's processes and nodes kept busy."""
    waited_s: float | None = None
    """Seconds that threads of nodes waited for a CPU, summed over all threads."""
    ran_s: float = 0.0
    """Seconds that threads of nodes had a CPU, summed likewise."""

    @property
    def foreign_share(self) -> float | None:
        """The share of the CPU time in use that others had."""
        if self.foreign_cpus is None:
            return None
        used = self.foreign_cpus + self.own_cpus
        return self.foreign_cpus / used if used > 0 else 0.0


class LoadRange(NamedTuple):
    """A quantity over some time: its mean, and the range in which it was for most of the time."""

    low: float
    mean: float
    high: float


class HostLoad(Settings):
    """How busy one host was in one phase of a trial, or while its jobs ran.

    Pressures and `taken` are shares from 0 to 1; `foreign_cpus` counts CPUs. None is unknown.
    """

    host: str
    phase: Phase
    seconds: float = 0.0
    cpus: int = 0
    cpu: LoadRange | None = None
    memory: LoadRange | None = None
    io: LoadRange | None = None
    foreign_cpus: float | None = None
    taken: float | None = None
    by_nodes: bool = False
    """True if `taken` rests on what nodes waited, false if the host's pressure stands for that."""

    @classmethod
    def of(cls, host: str, phase: Phase, samples: Sequence[LoadSample]) -> Self:
        """Return what the samples of one phase come to."""
        foreign = [(one.seconds, one.foreign_cpus) for one in samples]
        return cls(
            host=host,
            phase=phase,
            seconds=round(sum(one.seconds for one in samples), 1),
            cpus=max((one.cpus for one in samples), default=0),
            cpu=_spread((one.seconds, one.cpu) for one in samples),
            memory=_spread((one.seconds, one.memory) for one in samples),
            io=_spread((one.seconds, one.io) for one in samples),
            foreign_cpus=None if (found := _spread(foreign)) is None else found.mean,
            taken=None if (share := taken(samples)) is None else round(share, 3),
            by_nodes=any((one.waited_s or 0.0) + one.ran_s > 0 for one in samples),
        )

    @property
    def busy(self) -> bool:
        """True if others are known to hold nodes up, or to use so much that they would."""
        if (self.taken or 0.0) >= BUSY_TAKEN:
            return True
        # Nodes that ran have told how long they waited, which says more than what others use.
        foreign = self.foreign_cpus or 0.0
        return not self.by_nodes and foreign > 0 and foreign >= BUSY_FOREIGN * self.cpus

    @property
    def strained(self) -> bool:
        """True if it is busy, or its memory or its disk makes programs wait."""
        memory = self.memory.mean if self.memory else 0.0
        io = self.io.mean if self.io else 0.0
        return self.busy or memory >= HIGH_MEMORY or io >= HIGH_IO

    @property
    def sentence(self) -> str:
        """What is known of the load, in words."""
        known = [
            *(f"{name} pressure {_percent(spread)}" for name, spread in self._named()),
            *([] if self.foreign_cpus is None else [self._foreign()]),
        ]
        if self.taken and self.by_nodes:
            known.append(f"which took {round(self.taken * 100)} % of what nodes wanted")
        return ", ".join(known) or "pressure and load are unknown"

    @property
    def introduction(self) -> str:
        """What to say of the host before the first trial, in words."""
        if self.busy:
            return (
                f"host {self.host} is busy: {self.sentence}; trials there may be disturbed and "
                "invalid: end what else runs there, use another host, or set "
                "testbed.wait_for_quiet_s"
            )
        lacking = [
            *([] if self.cpu else ["its kernel tells no pressure (/proc/pressure)"]),
            *([] if self.foreign_cpus is not None else ["the load of others can't be told there"]),
        ]
        return f"host {self.host}: {'; '.join([self.sentence, *lacking])}"

    def _named(self) -> list[tuple[str, LoadRange]]:
        # Pressure of memory and disk is worth words only where there is some.
        rest = {"memory": self.memory, "disk": self.io}
        named = [(name, spread) for name, spread in rest.items() if spread and spread.high >= 0.05]
        return [("CPU", self.cpu), *named] if self.cpu else named

    def _foreign(self) -> str:
        return f"other programs used {self.foreign_cpus or 0.0:.1f} of {self.cpus} CPUs"


def taken(samples: Sequence[LoadSample]) -> float | None:
    """Return the share (0 to 1) of the CPU time that nodes wanted and others had.

    See the head of this module. None where the load of others isn't known.
    """
    known = [(one, one.foreign_share) for one in samples]
    shares = [(one, share) for one, share in known if share is not None]
    if not shares:
        return None
    counted = [(one.waited_s, one.ran_s, share) for one, share in shares]
    wanted_s = sum(ran_s + waited_s for waited_s, ran_s, _ in counted if waited_s is not None)
    if wanted_s > 0:
        lost_s = sum(waited_s * share for waited_s, _, share in counted if waited_s is not None)
        return lost_s / wanted_s
    pressed = [(one.seconds, one.cpu * share) for one, share in shares if one.cpu is not None]
    whole_s = sum(seconds for seconds, _ in pressed)
    return sum(seconds * part for seconds, part in pressed) / whole_s if whole_s > 0 else None


def slowing(samples: Sequence[LoadSample]) -> float:
    """Return how many times longer work takes on a host because of others, 1 where none is known.

    Where others take a share t of the CPU time that is wanted, the same work takes 1 / (1 - t)
    times as long; at most MOST_SLOWING. Time limits may be stretched by it.
    """
    return 1.0 / max(1.0 - (taken(samples) or 0.0), 1.0 / MOST_SLOWING)


def loads_by_phase(
    spans: Sequence[tuple[Phase, float, float]],
    samples: Mapping[str, Sequence[LoadSample]],
    now: float,
) -> tuple[HostLoad, ...]:
    """Return the load of each host in each phase.

    `spans` are phases with their begin and end, `now` is when the samples were asked for, all by
    one clock (seconds); `samples` are by host.
    """
    phases = list(dict.fromkeys(phase for phase, _, _ in spans))
    return tuple(
        HostLoad.of(host, phase, found)
        for host, some in samples.items()
        for phase in phases
        if (found := _within([one for one in spans if one[0] == phase], some, now))
    )


def load_while(
    spans: Sequence[tuple[Phase, float, float]],
    phases: frozenset[Phase],
    samples: Mapping[str, Sequence[LoadSample]],
    now: float,
) -> dict[str, list[LoadSample]]:
    """Return the samples of each host that fall into any of these phases; see `loads_by_phase`."""
    wanted = [one for one in spans if one[0] in phases]
    return {host: _within(wanted, some, now) for host, some in samples.items()}


def _within(
    spans: Sequence[tuple[Phase, float, float]], samples: Sequence[LoadSample], now: float
) -> list[LoadSample]:
    """Return the samples whose middle is in one of the spans, or those that overlap with one.

    A sample belongs to one phase; but a phase that is shorter than a sample has that sample.
    """
    middle = [
        one
        for one in samples
        if any(begin <= now - one.ago_s - one.seconds / 2 < end for _, begin, end in spans)
    ]
    return middle or [
        one
        for one in samples
        if any(
            begin < now - one.ago_s and now - one.ago_s - one.seconds < end
            for _, begin, end in spans
        )
    ]


def _spread(weighted: Iterable[tuple[float, float | None]]) -> LoadRange | None:
    known = sorted((value, seconds) for seconds, value in weighted if value is not None)
    whole_s = sum(seconds for _, seconds in known)
    if not whole_s:
        return None
    mean = sum(value * seconds for value, seconds in known) / whole_s
    # Nine tenths of the time: one idle moment at a phase's edge says nothing of the phase.
    low, high = (_quantile(known, part * whole_s) for part in (0.05, 0.95))
    return LoadRange(round(low, 3), round(mean, 3), round(high, 3))


def _quantile(known: Sequence[tuple[float, float]], until_s: float) -> float:
    passed_s = 0.0
    for value, seconds in known:
        passed_s += seconds
        if passed_s >= until_s:
            return value
    return known[-1][0]


def _percent(spread: LoadRange) -> str:
    low = round(spread.low * 100)
    high = round(spread.high * 100)
    return f"{low} %" if low == high else f"{low} to {high} %"
