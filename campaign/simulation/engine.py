"""Simulates a workload on a cluster under a policy: columns in, a schedule out. Deterministic."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from campaign.core.errors import WorkloadError
from schedulers.policy import Backfill, Policy

if TYPE_CHECKING:
    from campaign.simulation.backfill import BackfillTimes
    from campaign.simulation.beats import LoopTimes
    from campaign.simulation.work import QueueOrder, Work

NS = 1_000_000_000
HORIZON_NS = 2**62
"""The time before which all jobs must have ended, 146 years after the first arrival (ns).

The sum of two times up to it still fits in 64 bits.
"""
Ns = NDArray[np.int64]
PLACEMENTS = {"first": 0, "least_loaded": 1, "pack": 2, "best_fit": 3}


@dataclass(frozen=True)
class Nodes:
    """The compute nodes: their number, and the slots of each."""

    count: int
    slots: int


@dataclass(frozen=True)
class Delays:
    """What real machines take, in seconds.

    `submit_s`: submitting a job, one after the other. `launch_s`: from a decision to the job's
    start. `overrun_s`: what a job runs beyond its run time. `release_s`: from a job's end to its
    slots being free. `cycle_offset_s`: from the workload's begin to the first tick of a scheduler
    that follows a clock. `lead_s`: for how long it has been running when the workload begins; its
    intervals count from then on. `clock_s`: what its clock shows then; what it plans by multiples
    of a time are multiples on its clock. `kernel_s`: the time between ticks of its machine's
    kernel; with it, the scheduler keeps time as a real process does (beats.LoopTimes). `plan_s`:
    what a backfill run takes for each job that it looks at.
    """

    submit_s: float = 0.0
    launch_s: float = 0.0
    overrun_s: float = 0.0
    release_s: float = 0.0
    cycle_offset_s: float = 0.0
    lead_s: float = 0.0
    clock_s: float = 0.0
    kernel_s: float = 0.0
    plan_s: float = 0.0


NO_DELAYS = Delays()


@dataclass(frozen=True)
class Schedule:
    """When and where each job ran, in the order of the workload; ns since its start.

    `begun` and `accepted` are its submission's; it had its slots from `decided` until `freed`.
    `killed` marks jobs that were ended at their limit. Job i was on `count[i]` nodes: `nodes` (from
    0) holds those of all jobs, one job after the other; it is None where they were not kept.
    """

    begun: Ns
    accepted: Ns
    decided: Ns
    start: Ns
    end: Ns
    freed: Ns
    killed: NDArray[np.bool_]
    count: NDArray[np.int32]
    nodes: NDArray[np.int32] | None


def simulate(
    jobs: pa.Table,
    nodes: Nodes,
    policy: Policy,
    delays: Delays = NO_DELAYS,
    *,
    places: int = 10_000_000,
) -> Schedule:
    """Return the schedule of `jobs` (WORKLOAD_SCHEMA, by arrival, run times above 0).

    Which nodes of one slot a job had is found out afterwards, if all jobs together had at most
    `places` of them. Raises WorkloadError for a job wider than the cluster, and where a job would
    end beyond HORIZON_NS. What the handler of a signal raises ends the simulation soon.
    """
    width = _column(jobs, "width").astype(np.int32)
    _check_width(jobs, width, nodes)
    begun, accepted = _submissions(_ns(_column(jobs, "arrival_s")), int(_ns(delays.submit_s)))
    limit = _limits(_column(jobs, "requested_s"), policy.limit_unit_s)
    longest = _sum(limit, _ns(policy.grace_s))
    runtime = _ns(_column(jobs, "runtime_s"))
    ran = np.minimum(_sum(runtime, _ns(delays.overrun_s)), longest)
    launch = int(_ns(delays.launch_s))
    release = int(_ns(delays.release_s))
    hold = _sum(_sum(ran, launch), release)
    # An ideal policy relies on limits: it allows for what machines take.
    expected = limit if policy.loop else _sum(_sum(longest, launch), release)
    clock = int(_ns(delays.clock_s)) if policy.loop else 0
    requests = _Requests(accepted + clock, width, hold, expected)
    decided, placed = _decide(requests, nodes, policy, delays)
    decided = decided - clock
    return Schedule(
        begun=begun,
        accepted=accepted,
        decided=decided,
        start=decided + launch,
        end=decided + launch + ran,
        freed=decided + hold,
        killed=runtime > longest,
        count=-(-width // nodes.slots),
        nodes=_single_slots(decided, hold, width, nodes.count, places)
        if nodes.slots == 1
        else placed,
    )


@dataclass(frozen=True)
class _Requests:
    """The jobs as the scheduler sees them, and how long their slots will really be held."""

    accepted: Ns
    width: NDArray[np.int32]
    hold: Ns
    limit: Ns


def _column(jobs: pa.Table, name: str) -> NDArray[np.float64]:
    return np.asarray(jobs.column(name).to_numpy())


def _ns(seconds: "float | NDArray[np.float64]") -> Ns:
    # Rounded, not cut: a product of floats may lie just below the whole number that is meant.
    exact = np.rint(np.asarray(seconds, np.float64) * NS)
    return np.minimum(exact, float(HORIZON_NS)).astype(np.int64)


def _sum(times: Ns, more: "int | Ns") -> Ns:
    # Both are at most the horizon, so that the sum can't overflow.
    return np.minimum(times + more, HORIZON_NS)


def _check_width(jobs: pa.Table, width: NDArray[np.int32], nodes: Nodes) -> None:
    slots = nodes.count * nodes.slots
    if width.size and (width.max() > slots or width.min() < 1):
        job = int(np.argmax((width > slots) | (width < 1)))
        raise WorkloadError(
            f"job {jobs.column('job_id')[job].as_py()} is {width[job]} slots wide; the cluster "
            f"has {slots}",
            resolution="Set workload.max_width, or use more nodes or slots.",
        )


def _too_far(what: str) -> WorkloadError:
    return WorkloadError(
        f"its {what} end more than {HORIZON_NS / NS / 86_400 / 365.25:.0f} years after the first "
        "arrival, the longest that a simulation can count",
        resolution="Set workload.jobs, workload.window_s or workload.max_runtime_s for a part of "
        "it, or more nodes.",
    )


def _submissions(arrival: Ns, service: int) -> tuple[Ns, Ns]:
    """Return begin and end of each submission; they take `service` ns, one after the other."""
    if arrival.size and int(arrival[-1]) + (arrival.size + 1) * service >= HORIZON_NS:
        raise _too_far("submissions")
    # accepted[i] = max over j <= i of arrival[j] + (i - j + 1) * service
    turns = np.arange(arrival.size, dtype=np.int64) * service
    accepted = np.maximum.accumulate(arrival - turns) + turns + service if arrival.size else arrival
    return accepted - service, accepted


def _limits(requested_s: NDArray[np.float64], unit_s: float) -> Ns:
    return _ns(np.maximum(np.ceil(requested_s / unit_s), 1) * unit_s if unit_s else requested_s)


def _decide(
    requests: _Requests, nodes: Nodes, policy: Policy, delays: Delays
) -> tuple[Ns, NDArray[np.int32]]:
    """Return when each job got its slots, and on which nodes."""
    # Numba takes long to import, so only those who simulate import what it compiles.
    from campaign.simulation.alike_conservative import run_conservative_slots
    from campaign.simulation.clocked import run_clocked
    from campaign.simulation.ideal import (
        BRIEF,
        EASY,
        IN_ORDER,
        WHATEVER_FITS,
        run_conservative,
        run_queue,
    )
    from campaign.simulation.interruptible import run_loop
    from campaign.simulation.replanned import run_replanned
    from campaign.simulation.work import TOO_FAR

    # Nodes of one slot are all alike: they count as one node with all slots.
    alike = nodes.slots == 1
    free = np.full(1 if alike else nodes.count, nodes.count if alike else nodes.slots, np.int32)
    work = _work(requests, nodes, policy)
    order = _order(policy)
    rule = PLACEMENTS[policy.placement]
    depth = policy.depth or requests.width.size + 1
    if policy.loop:
        clock = _clockwork(policy, delays, whole=not alike)
        run_loop(run_clocked, work, free, rule, order, *clock)
    elif policy.reserve == "all":
        conservative = run_conservative_slots if alike else run_conservative
        run_loop(conservative, work, free, rule, order)
    elif policy.reserve == "some":
        run_loop(run_replanned, work, free, rule, order, policy.reservations, depth)
    else:
        overtaking = {
            "none": IN_ORDER,
            "first": EASY,
            "first_brief": BRIEF,
            "skip": WHATEVER_FITS,
        }[policy.reserve]
        run_loop(run_queue, work, free, overtaking, rule, order, depth)
    if work.halt[0] == TOO_FAR:
        raise _too_far("jobs")
    if (work.start < 0).any():
        raise AssertionError("unreachable: every job that fits the cluster is started")
    return work.start, work.nodes


def _work(requests: _Requests, nodes: Nodes, policy: Policy) -> "Work":
    from campaign.simulation.work import GO_ON, NOWHERE, Work

    width = requests.width
    count = np.ones_like(width) if nodes.slots == 1 else -(-width // nodes.slots)
    each = -(-width // count) if policy.even else np.ones_like(width)
    place = np.concatenate([[0], np.cumsum(count, dtype=np.int64)])
    return Work(
        submit=requests.accepted,
        width=each * count if policy.even else width,
        spread=count,
        each=each,
        hold=requests.hold,
        limit=requests.limit,
        share=_shares(width, nodes, policy),
        rank=np.zeros(width.size, np.int64),
        place=place[:-1],
        nodes=np.zeros(place[-1], np.int32),
        amounts=np.zeros(place[-1], np.int32),
        start=np.full(width.size, NOWHERE),
        halt=np.full(1, GO_ON),
    )


def _order(policy: Policy) -> "QueueOrder":
    from campaign.simulation.work import QueueOrder

    wanted = policy.priority
    return QueueOrder(
        int(bool(wanted.age or wanted.size)),
        wanted.age,
        wanted.max_age_s * NS,
        int(_ns(wanted.period_s)),
    )


def _shares(width: NDArray[np.int32], nodes: Nodes, policy: Policy) -> NDArray[np.float64]:
    """Return the part of each job's priority that comes from its size.

    It is the mean of the job's shares of nodes and of slots, by the policy's weight.
    """
    of_nodes = -(-width // nodes.slots) / nodes.count
    share = (of_nodes + width / (nodes.count * nodes.slots)) / 2
    return policy.priority.size * (1 - share if policy.priority.favor_small else share)


def _clockwork(policy: Policy, delays: Delays, *, whole: bool) -> "tuple[LoopTimes, BackfillTimes]":
    from campaign.simulation.backfill import BackfillTimes
    from campaign.simulation.beats import LoopTimes

    if policy.loop is None:
        raise ValueError("a policy without a loop has no clock")
    beat = policy.loop
    plan = policy.backfill
    clock = int(_ns(delays.clock_s))
    loop = LoopTimes(
        first=int(_ns(delays.cycle_offset_s)),
        delay=int(_ns(beat.delay_s)),
        interval=int(_ns(max(beat.interval_s, beat.tick_s))),
        least=int(_ns(beat.min_interval_s)),
        depth=beat.depth,
        tick=int(_ns(beat.tick_s)),
        release=int(_ns(delays.release_s)) if whole else 0,
        lead=int(_ns(delays.lead_s)) - clock,
        clock=clock,
        ranking=int(_ns(policy.priority.period_s)),
        kernel=int(_ns(delays.kernel_s)),
    )
    if plan is None:
        return loop, BackfillTimes(0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0)
    return loop, BackfillTimes(
        on=1,
        interval=int(_ns(plan.interval_s)),
        window=int(_ns(plan.window_s)),
        resolution=int(_ns(plan.resolution_s)),
        tests=most_tests(plan, delays),
        starts=plan.max_start,
        whole=int(whole),
        foresight=int(_ns(plan.foresight_s)),
        kernel=int(_ns(delays.kernel_s)),
        test=int(_ns(delays.plan_s)),
        turn=_turn(plan, delays),
        sleep=int(_ns(plan.yields_s)),
    )


def most_tests(plan: Backfill, delays: Delays) -> int:
    """Return how many jobs a backfill run looks at, at most: also for the time that it may take.

    It looks at no further job once `plan.longest_s` are over, times when it sleeps among them.
    """
    test = int(_ns(delays.plan_s))
    longest = int(_ns(plan.longest_s))
    if not (test and longest):
        return plan.max_test
    turn = _turn(plan, delays)
    if not turn:
        return min(plan.max_test, -(-longest // test))
    turns, rest = divmod(longest, turn * test + int(_ns(plan.yields_s)))
    return min(plan.max_test, turns * turn + min(turn, -(-rest // test)))


def _turn(plan: Backfill, delays: Delays) -> int:
    """Return at how many jobs a backfill run looks before it sleeps; 0 where it never does."""
    test = int(_ns(delays.plan_s))
    return -(-int(_ns(plan.yields_after_s)) // test) if test and plan.yields_s else 0


def _single_slots(
    decided: Ns, hold: Ns, width: NDArray[np.int32], nodes: int, places: int
) -> NDArray[np.int32] | None:
    """Return nodes of one slot for each job, one job after the other."""
    if not 0 < width.sum(dtype=np.int64) <= places:
        return None
    from campaign.simulation.nodes import assign

    begin = decided
    end = decided + hold
    return assign(
        begin, np.argsort(begin, kind="stable"), end, np.argsort(end, kind="stable"), width, nodes
    )
