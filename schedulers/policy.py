"""How a scheduler decides, in words that a simulation understands.

It is the other thing that an adapter makes of its parameters, beside a bootstrap plan.
"""

from dataclasses import dataclass, replace
from typing import Literal

from campaign.core.levers import Lever

Reserve = Literal["none", "first", "first_brief", "some", "all", "skip"]
PlacementRule = Literal["first", "least_loaded", "pack", "best_fit"]
ShareKind = Literal["tree", "classic", "oblivious"]
Forgotten = Literal["never", "daily", "weekly", "monthly", "quarterly", "yearly"]
SIMULATED: frozenset[Lever] = frozenset(Lever)
"""What of the cluster and job model (`campaign.core.levers`) a simulation obeys where a policy has
`levers`."""


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
class FairShare:
    """How much it counts for a job what its account and user had of the cluster already.

    `tree` ranks users, first by their accounts; `classic` weighs what they had against their
    shares, `damping` times less; `oblivious` does so however deep in the tree of accounts they are.
    What somebody had counts half after `half_life_s` (0: it never fades), and is forgotten at the
    end of each day, week, month, quarter or year.
    """

    weight: float = 0.0
    kind: ShareKind = "tree"
    half_life_s: float = 604_800.0
    forgotten: Forgotten = "never"
    damping: float = 1.0


@dataclass(frozen=True)
class Multifactor(Priority):
    """The order of the queue where jobs are in partitions and people's own.

    To a job's priority come the factors of its partition and its quality of service, against the
    highest of all (or as they are: `plain_partition`, `plain_qos`), and that of fair share, each
    (0..1) times its weight. Age counts from when a job could start, with `age_of_all` from its
    submission on. With `size_by_time`, a job's size is divided by its limit in minutes. With
    `rising`, a priority never falls.
    """

    partition: float = 0.0
    qos: float = 0.0
    fair_share: FairShare = FairShare()
    age_of_all: bool = False
    size_by_time: bool = False
    rising: bool = False
    plain_partition: bool = False
    plain_qos: bool = False

    @property
    def without_accounts(self) -> "Multifactor":
        """The same where nobody keeps accounts: no age, no fair share, no quality of service."""
        return replace(self, age=0.0, qos=0.0, fair_share=FairShare())


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
    end on multiples of `resolution_s`. Where looking at a job takes time, a run ends after
    `longest_s` (0: never), and whenever it has worked for `yields_after_s` it lets others work for
    `yields_s` (0: never). The limits of running jobs are looked at in windows: the
    first is `foresight_s` long, each further one twice as long, and a job is planned for the end of
    a window (0: one limit after the other). All times are in seconds.
    """

    interval_s: float
    window_s: float
    resolution_s: float
    max_test: int
    max_start: int = 0
    foresight_s: float = 0.0
    longest_s: float = 0.0
    yields_after_s: float = 0.0
    yields_s: float = 0.0


@dataclass(frozen=True)
class Levers:
    """What decides only where a cluster or its jobs are more than slots and times.

    Numbers of jobs are the most that are looked at, started or planned; 0 stands for any number.
    Runs in order look at `partition_depth` jobs of a partition and start `most_starts`. Backfilling
    looks at so many jobs of a user, of a partition, of a user in a partition and of an account; it
    plans nodes for so many of a partition, for those that have waited `least_age_s` and whose
    priority is `least_priority`, and at most in `plan_records` pieces. `busy_first` plans jobs on
    nodes that are in use. `window_step_s` is by how much windows grow, where they aren't doubled.
    With `limits_stop`, a job that is over a limit holds up its partition. `memory` tells whether
    memory is set aside for jobs. A job that was queued again may start `requeue_s` later; one for
    which others gave way asks no others for `patience_s`, and tries `reorders` times to do with
    fewer.
    """

    memory: bool = False
    partition_depth: int = 0
    most_starts: int = 0
    limits_stop: bool = False
    of_user: int = 0
    of_partition: int = 0
    of_user_in_partition: int = 0
    of_account: int = 0
    least_age_s: float = 0.0
    least_priority: int = 0
    plans_of_partition: int = 0
    plan_records: int = 0
    busy_first: bool = False
    window_step_s: float = 0.0
    requeue_s: float = 0.0
    patience_s: float = 0.0
    reorders: int = 1
    youngest_first: bool = False


@dataclass(frozen=True)
class Policy:
    """How a scheduler decides: when, in which order, and what it sets aside.

    With a `loop`, decisions fall by its clock. Without one, they fall whenever a job comes or goes,
    and `reserve` says for how many waiting jobs slots are set aside: for the first one (`first`,
    EASY backfilling; `first_brief`, where only what is over by then may come before it), for all
    (`all`, conservative backfilling), for the first `reservations` (`some`, planned anew each
    time), or for none: then no job starts before one that came earlier (`none`), or any that fits
    does (`skip`). Only the first `depth` waiting jobs are looked at (0: any number).

    A job's requested time counts in whole `limit_unit_s` (seconds), and the job is killed `grace_s`
    after that. `placement` chooses among nodes with room: the first one, the one with most free
    slots, the one with fewest, or those of the smallest run of neighbours. With `even`, which
    `best_fit` knows nothing of, all nodes of a job give it the same number of slots: more than it
    asked for where they don't divide its width. `multifactor` stands for `priority` on a cluster
    with a model; `levers` is None where clusters are nothing but equal nodes to it. `ignored` names
    the parameters that have no meaning here, `timing` those that make loop and backfill. Of those
    ignored, `with_model` act on a cluster with a model, `with_accounts` where it has accounts too,
    `with_time` where looking at a job takes time, and `unmodelled` are those that decide something
    on a real cluster.
    """

    reserve: Reserve = "none"
    loop: SchedulingLoop | None = None
    backfill: Backfill | None = None
    priority: Priority = Priority()
    limit_unit_s: float = 0.0
    grace_s: float = 0.0
    placement: PlacementRule = "first"
    even: bool = False
    multifactor: Multifactor | None = None
    reservations: int = 0
    depth: int = 0
    ignored: tuple[str, ...] = ()
    timing: tuple[str, ...] = ()
    with_model: tuple[str, ...] = ()
    with_accounts: tuple[str, ...] = ()
    with_time: tuple[str, ...] = ()
    unmodelled: tuple[str, ...] = ()
    levers: Levers | None = None

    @property
    def dispatch_delay_s(self) -> float:
        """How long the first job of the queue may wait for the scheduler's clock, at most."""
        if self.loop is None:
            return 0.0
        return self.loop.delay_s + self.loop.min_interval_s + self.loop.tick_s

    @property
    def obeys(self) -> frozenset[Lever]:
        """What of the cluster and job model a simulation of it obeys."""
        return SIMULATED if self.levers is not None and self.loop is not None else frozenset()
