"""How a scheduler decides, in words that a simulation understands: the other thing that an adapter
makes of its parameters, beside a bootstrap plan."""

from dataclasses import dataclass
from typing import Literal

Reserve = Literal["none", "first", "all", "skip"]
PlacementRule = Literal["first", "least_loaded", "pack"]


@dataclass(frozen=True)
class Priority:
    """The queue's order: `age` x (waiting time / `max_age_s`, at most 1) + `size` x (share of the
    cluster), cut to a whole number, highest first; then the order of submission. `favor_small`
    turns the share into 1 - share. Priorities are computed anew every `period_s`, 0: at each
    decision."""

    age: float = 0.0
    size: float = 0.0
    max_age_s: float = 604_800.0
    favor_small: bool = False
    period_s: float = 0.0


@dataclass(frozen=True)
class SchedulingLoop:
    """When a scheduler that follows a clock runs through its queue in order, up to the first job
    that doesn't fit.

    Once a job has come or gone, `delay_s` after the last run. The first `depth` jobs are looked at,
    all of them every `interval_s`; never within `min_interval_s` of the last run. Its clock ticks
    every `tick_s`.
    """

    delay_s: float
    interval_s: float
    min_interval_s: float
    depth: int
    tick_s: float = 1.0


@dataclass(frozen=True)
class Backfill:
    """A run over the first `max_test` waiting jobs every `interval_s`, if anything has changed:
    each is started where that delays no job before it, at most `max_start` of them (0: any), and is
    given a reservation of whole nodes within `window_s` otherwise. Reservations begin and end on
    multiples of `resolution_s`."""

    interval_s: float
    window_s: float
    resolution_s: float
    max_test: int
    max_start: int = 0


@dataclass(frozen=True)
class Policy:
    """All of it. Without a `loop`, decisions fall whenever a job comes or goes, and `reserve`
    says for how many waiting jobs slots are set aside: for the first (EASY backfilling), or for all
    (conservative backfilling). Where it is for none, either no job starts before one that came
    earlier (`none`), or any that fits does (`skip`).

    A job's requested time counts in whole `limit_unit_s`, and it is killed `grace_s` after that.
    `placement` chooses among nodes with room: the first, the one with most free slots, or with
    fewest. `ignored` names the parameters that have no meaning here, `timing` those that make
    loop and backfill.
    """

    reserve: Reserve = "none"
    loop: SchedulingLoop | None = None
    backfill: Backfill | None = None
    priority: Priority = Priority()
    limit_unit_s: float = 0.0
    grace_s: float = 0.0
    placement: PlacementRule = "first"
    ignored: tuple[str, ...] = ()
    timing: tuple[str, ...] = ()
