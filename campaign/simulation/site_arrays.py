"""A cluster with levers, its jobs, and what becomes of them, as arrays that compiled loops share.

Times are nanoseconds, memory is MiB. Nodes, jobs, partitions and the like are their numbers. What
is known of each of them stands in records, since Numba compiles few arrays in less time than many;
flags in them are 0 or 1.

The modules called `site_..` simulate a scheduler with a clock on a cluster with levers
(`campaign.core.levers`). Where no lever is in use, the loops beside them decide the same in less
time: they know nodes by their slots alone, and one partition. What is decided here, and when, is
Slurm's: read off job_scheduler.c, node_scheduler.c and reservation.c of slurmctld, sched/backfill,
select/cons_tres, topology/default and preempt/* of Slurm 24.11.5.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from campaign.simulation.beats import OWN

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Records = Any
NOBODY: Any = np.int64(-1)
"""Stands for no job, partition, reservation, array or node."""

WAITS: Any = np.int64(0)
RUNS: Any = np.int64(1)
ENDED: Any = np.int64(2)
COMES: Any = np.int64(3)
"""The values of `Live.status`: a job waits, runs, has ended for good, or isn't submitted yet."""
COMPLETED: Any = np.int64(0)
TIMED_OUT: Any = np.int64(1)
GAVE_WAY: Any = np.int64(2)
LOST_NODE: Any = np.int64(3)
NEVER_RAN: Any = np.int64(4)
"""The values of `Live.outcome`: how a job's last run ended."""
STAYS: Any = np.int64(0)
REQUEUED: Any = np.int64(1)
CANCELLED: Any = np.int64(2)
"""The values of `Classes.becomes`: what becomes of a running job that gives way."""
DOWN: Any = np.int64(0)
DRAINED: Any = np.int64(1)
UP: Any = np.int64(2)
"""The values of `NodeChanges.becomes`."""
ENDS: Any = np.int64(0)
SUCCEEDS: Any = np.int64(1)
FAILS: Any = np.int64(2)
STARTS: Any = np.int64(3)
"""The values of `JobTable.after_kind`: what a job waits for of those that it depends on."""


# Places of the state behind those of the clock (beats.py): how many jobs wait, and run; the next
# change of nodes; how many reasons were noted; when something last changed; until when backfill
# runs would find what the last one did, also as its plan moves on; how many jobs of the queue are
# in order, and when priorities last put them into another one; how many of the queue, its first
# ones, are all in order (NOBODY where others are among them), and when that was; flags: priorities
# have changed since, and jobs of the queue have begun; how many jobs were queued.
QUEUED, RUNNING, NEXT_CHANGE, NOTED, LAST_NEWS, KEPT_UNTIL, ORDERED, MOVED = range(OWN, OWN + 8)
PLACED, PLACED_AT, RANKED, DEPARTED, TURNS = range(OWN + 8, OWN + 13)
STATES = OWN + 13


def _record(fields: str) -> np.dtype[Any]:
    return np.dtype([(name, np.int64) for name in fields.split()])


USAGE = _record("slots memory gpus")
"""Slots, memory and GPUs of a node: all that there are, or those that are free."""
RESERVATION_ROW = _record("begin end everything maintenance")
"""A reservation: when it is, whether of all nodes, whether for maintenance."""
CHANGE = _record("time node becomes")
"""What happens to a node."""
CLASS = _record("becomes rank")
"""What becomes of jobs of a class that give way, and in which order they are taken: lowest first.

Classes are partitions, or qualities of service.
"""
JOB = _record(
    "width count slot_memory node_memory gpus kind part alone limit ran timed_out reservation "
    "user account standing barred unreserving after after_end after_kind array at_once place "
    "think followed followed_end"
)
"""A job wants `width` slots on exactly `count` nodes of its `kind` (a row of `kinds`), memory for
each slot or each node, and `gpus` together. With `alone` set, its nodes are its own. It runs for
`ran`, and the scheduler expects `limit`. One that is `barred` never starts, by the reason that it
names; for one that is `unreserving`, backfill plans nothing. It depends on the `others` from
`after` until `after_end`. Of an `array`, at most `at_once` tasks run at a time (0: any number).
`part` is its partition, `standing` its class. Its nodes stand from `place` on. Where `think` isn't
NOBODY, its user submits it so long after the jobs on which it depends have ended. Those that are
submitted so after it are the `followers` from `followed` until `followed_end`.
"""
LIVE_JOB = _record(
    "submit since status outcome start end freed until restarts priority reason preempting turn"
)
"""What becomes of a job: it was submitted at `submit` (or anew, when it was requeued) and may start
`since` then. Its nodes are free at `freed`, and it reaches its limit at `until`. Jobs are queued in
`turn`.
"""
FINDING = _record("beside now_only start looked until")
"""What a backfill run has found for a job beside the plan of this number, and until when it would
be found; `now_only` where it was only looked whether the job can start at once.
"""
PLACE = _record("nodes amounts cards")
"""A node that a job has, and its slots and GPUs there."""
RULES = _record(
    "placement busy_first launch release requeue restarts prompt depth partition_depth most_starts "
    "limits_stop gives_way patience reorders youngest_first tests starts of_user of_partition "
    "of_user_in_partition of_account least_age least_priority plans_of_partition records window "
    "resolution foresight linear records_reasons people ages_of_all settles "
    "submitting"
)
"""How the scheduler decides, in numbers (`schedulers.policy`); 0 stands for no limit, and for no.

`prompt` is 1 where nothing but jobs that come and go changes what a run would decide, `settles`
where the order of the queue does too, but nothing else. `ages_of_all` is 1 where also jobs that
wait for others grow old. `people` is the number of users or of accounts, whichever is larger. A
submission takes `submitting`.
"""


class Site(NamedTuple):
    """All that doesn't change while the loop runs.

    `total` is what nodes have; `kinds`, `members` and `reserved_nodes` are flags of nodes, a row
    for each kind of nodes, partition and reservation. `tier` is that of partitions. Jobs of class i
    may take what those of class j have where `above[i, j]`, and come before them where
    `first[i, j]`. `rules` has one row.
    """

    total: Records
    kinds: Flags
    members: Flags
    tier: Ints
    classes: Records
    above: Flags
    first: Flags
    reserved: Records
    reserved_nodes: Flags
    changes: Records
    jobs: Records
    others: Ints
    followers: Ints
    rules: Records


class Live(NamedTuple):
    """All that changes: of jobs, of nodes, of the queue, and `halt`, as `work.Work` has it.

    `submit` is when jobs come. `free` is what is free on nodes, `up` tells which of them are used,
    and `left` how many jobs are leaving each. `queue` are the jobs that wait, in the order of their
    submission, and `order` those of them that may start, in the order of their priorities.
    `limit_times` and `limit_jobs` are the running jobs by the time at which they reach
    their limits. `tasks` counts those of each array that run.
    """

    submit: Ints
    jobs: Records
    places: Records
    free: Records
    up: Flags
    left: Ints
    queue: Ints
    order: Ints
    limit_times: Ints
    limit_jobs: Ints
    tasks: Ints
    state: Ints
    history: Ints
    halt: Ints


def records(record: np.dtype[Any], size: int, /, **columns: Any) -> Records:
    """Return so many records with these columns; all others are 0."""
    found = np.zeros(size, record).view(np.recarray)
    for name, values in columns.items():
        found[name] = values
    return found
