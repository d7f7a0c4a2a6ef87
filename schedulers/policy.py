"""How a scheduler decides, in words that a simulation understands.

It is the other thing that an adapter makes of its parameters, beside a bootstrap plan.
"""

from dataclasses import dataclass
from typing import Literal

from campaign.core.levers import Lever

Reserve = Literal["none", "first", "all", "skip"]
PlacementRule = Literal["first", "least_loaded", "pack", "best_fit"]
SIMULATED: frozenset[Lever] = frozenset()
"""What of the cluster and job model (`campaign.core.levers`) a simulation obeys."""


@dataclass(frozen=True)
class Priority:
    """The order of the queue: the highest priority first, then the order of submission.

    A job's priority is `age` x (its waiting time / `max_age_s`, at most 1) + `size` x (its share of
    the cluster), cut to a whole number. `favor_small` turns the share into 1 - share. Priorities
    are computed anew every `period_s` seconds; with 0, at each decision.
    """

    age: float = 0.0
    size: float = 0.0
    max_age_s: float = 604_800.0
    favor_small: bool = False
    period_s: float = 0.0


@dataclass(frozen=True)
class SchedulingLoop:
    """The runs of a scheduler with a clock through its queue.

    A run takes the jobs in order, up to the first that doesn't fit. It begins `delay_s` after the
    last run once a job has come or gone. A run looks at the first `depth` jobs, and at all of them
    every `interval_s`; two runs begin at least `min_interval_s` apart. Its clock ticks every
    `tick_s`. All times are in seconds.
    """

    delay_s: float
    interval_s: float
    min_interval_s: float
    depth: int
    tick_s: float = 1.0


@dataclass(frozen=True)
class Backfill:
    """Runs over the first `max_test` waiting jobs every `interval_s`, if anything has changed.

    A job is started where that delays no job before it, at most `max_start` jobs a run (0: any
    number). Another is given a reservation of whole nodes within `window_s`. Reservations begin and
    end on multiples of `resolution_s`. The limits of running jobs are looked at in windows: the
    first is `foresight_s` long, each further one twice as long, and a job is planned for the end of
    a window (0: one limit after the other). All times are in seconds.
    """

    interval_s: float
    window_s: float
    resolution_s: float
    max_test: int
    max_start: int = 0
    foresight_s: float = 0.0


@dataclass(frozen=True)
class Policy:
    """How a scheduler decides: when, in which order, and what it sets aside.

    With a `loop`, decisions fall by its clock. Without one, they fall whenever a job comes or goes,
    and `reserve` says for how many waiting jobs slots are set aside: for the first one (`first`,
    EASY backfilling), for all (`all`, conservative backfilling), or for none: then no job starts
    before one that came earlier (`none`), or any that fits does (`skip`).

    A job's requested time counts in whole `limit_unit_s` (seconds), and the job is killed `grace_s`
    after that. `placement` chooses among nodes with room: the first one, the one with most free
    slots, the one with fewest, or those of the smallest run of neighbours. With `even`, which
    `best_fit` knows nothing of, all nodes of a job give it the same number of slots: more than it
    asked for where they don't divide its width. `ignored` names the parameters that have no meaning
    here, `timing` those that make loop and backfill.
    """

    reserve: Reserve = "none"
    loop: SchedulingLoop | None = None
    backfill: Backfill | None = None
    priority: Priority = Priority()
    limit_unit_s: float = 0.0
    grace_s: float = 0.0
    placement: PlacementRule = "first"
    even: bool = False
    ignored: tuple[str, ...] = ()
    timing: tuple[str, ...] = ()

    @property
    def dispatch_delay_s(self) -> float:
        """How long the first job of the queue may wait for the scheduler's clock, at most."""
        if self.loop is None:
            return 0.0
        return self.loop.delay_s + self.loop.min_interval_s + self.loop.tick_s
