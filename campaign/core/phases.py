"""The phases of a trial's life, in their order, with all that is said and drawn of each."""

from enum import StrEnum
from typing import NamedTuple


class _Traits(NamedTuple):
    label: str
    doing: str
    tone: str
    held: bool = False
    measured: bool = False
    timed: bool = True


class Phase(StrEnum):
    """One phase of a trial: its value is its name in ledgers, metrics and JSON.

    `label` says what has happened when the phase ends, `doing` what the trial does until then;
    `tone` is its colour in charts. A phase is `held` while the trial keeps nodes of its own, and
    `measured` while the workload runs; the rest is overhead. A phase that is not `timed` has no
    clock: a trial can be in it, but its seconds are not kept.
    """

    label: str
    doing: str
    tone: str
    held: bool
    measured: bool
    timed: bool

    def __new__(cls, name: str, traits: _Traits) -> "Phase":
        """Make the member `name`."""
        member = str.__new__(cls, name)
        member._value_ = name
        for trait, value in traits._asdict().items():
            setattr(member, trait, value)
        return member

    # The tones are told apart with every kind of colour blindness, on light and on dark pages.
    GOLDEN = "golden", _Traits("golden cluster made", "making the golden cluster", "#661100")
    FALLBACK = (
        "fallback",
        _Traits("golden cluster given up", "giving up the golden cluster", "#d55e00"),
    )
    PLACED = "placed", _Traits("slot given", "waiting for a slot", "#8c959f")
    STARTED = (
        "started",
        _Traits("nodes restored or started", "restoring or starting nodes", "#56b4e9", held=True),
    )
    REACHABLE = (
        "reachable",
        _Traits("nodes reached by SSH", "reaching nodes", "#999933", held=True),
    )
    READY = (
        "ready",
        _Traits(
            "scheduler configured, test job done",
            "configuring the scheduler",
            "#009e73",
            held=True,
        ),
    )
    FIRST_JOB = (
        "first_job",
        _Traits(
            "first job started",
            "waiting for the first job",
            "#332288",
            held=True,
            measured=True,
        ),
    )
    WORKLOAD = (
        "workload",
        _Traits("workload done", "replaying the workload", "#0072b2", held=True, measured=True),
    )
    COLLECTED = (
        "collected",
        _Traits("results collected", "collecting results", "#e69f00", held=True),
    )
    TORN_DOWN = "torn_down", _Traits("cluster torn down", "tearing down", "#cc79a7", held=True)
    SIMULATED = "simulated", _Traits("simulation done", "simulating", "#44aa99", measured=True)
    JUDGED = "judged", _Traits("judged", "judging", "#555555", timed=False)

    @property
    def metric(self) -> str:
        """The name of the phase's clock among a trial's metrics; its unit is the second."""
        return f"phase.{self.value}_s"


TIMED = tuple(phase for phase in Phase if phase.timed)
"""The phases whose seconds are kept, in order."""
UNTIL_READY = TIMED[: TIMED.index(Phase.READY) + 1]
"""The phases from a trial's request to its nodes being ready for jobs."""
