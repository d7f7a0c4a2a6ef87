"""Where simulated trials are evaluated best, as a table and as JSON: numbers in, text out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median

GAIN = 1.1
"""Tasks of a Ray are worth it from where they are so many times as fast."""


@dataclass(frozen=True)
class TrialTimes:
    """What a trial took in a round, in ms: wall time, CPU time of all processes, and of ours."""

    wall_ms: float
    cpu_ms: float
    own_ms: float


@dataclass(frozen=True)
class LaneFigures:
    """What a trial of so many `jobs` took by each way in each round, `trials` of them in each."""

    jobs: int
    trials: int
    cores: int
    rounds: Mapping[str, Sequence[TrialTimes]]

    def wall_ms(self, way: str) -> float:
        """Return the median of the wall time."""
        return median(one.wall_ms for one in self.rounds[way])

    def cpu_ms(self, way: str) -> float:
        """Return the median of the CPU time."""
        return median(one.cpu_ms for one in self.rounds[way])

    @property
    def gain(self) -> float:
        """How many times as many trials Ray does in the same time, if all cores are free for it.

        It can't be faster than this process gives tasks out and takes their results.
        """
        own = median(one.own_ms for one in self.rounds["ray"])
        return self.cpu_ms("here") / max(own, self.cpu_ms("ray") / self.cores)


def worth_ms(figures: Sequence[LaneFigures]) -> float | None:
    """Return the least cost from which on Ray is faster at all costs that were measured."""
    worth = None
    for one in sorted(figures, key=lambda one: -one.cpu_ms("here")):
        if one.gain < GAIN:
            break
        worth = one.cpu_ms("here")
    return worth


def as_json(figures: Sequence[LaneFigures]) -> str:
    """Return all that was measured."""
    sizes = [asdict(one) for one in figures]
    return json.dumps({"worth_ms": worth_ms(figures), "sizes": sizes}, indent=1)


def as_text(figures: Sequence[LaneFigures]) -> str:
    """Return the table as people read it in a terminal."""
    ways = ("here", "threads", "ray")
    rows = [
        f"{one.jobs:>7,} {one.trials:>7} "
        + " ".join(f"{one.cpu_ms(way):>9.2f} {one.wall_ms(way):>9.2f}" for way in ways)
        + f" {one.gain:>6.2f}"
        for one in figures
    ]
    worth = worth_ms(figures)
    said = (
        "Ray is worth it at none of these costs"
        if worth is None
        else f"Ray is worth it from {worth:.1f} ms of CPU per trial on ({GAIN} times as fast)"
    )
    lines = [
        f"simulated trials, ms each, on {figures[0].cores} cores: by CPU time (all processes) and "
        "by the wall",
        " " * 16 + "".join(f"{name:>20}" for name in ("one by one", "on threads", "as Ray tasks")),
        f"{'jobs':>7} {'trials':>7} " + f"{'CPU':>9} {'wall':>9} " * 3 + f"{'gain':>6}",
        *rows,
        "gain: by CPU times, how many times as fast as one by one Ray is where no other program "
        "wants the cores",
        said,
    ]
    return "\n".join(lines) + "\n"
