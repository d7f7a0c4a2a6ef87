"""The workload model of Lublin and Feitelson: rigid jobs with a daily cycle, fitted to logs.

Uri Lublin, Dror G. Feitelson: The Workload on Parallel Supercomputers: Modeling the Characteristics
of Rigid Jobs, Journal of Parallel and Distributed Computing 63(11), 2003 (technical report 1999).
The parameters, and where the paper leaves room the procedure, are those of the authors' program
(m_lublin99 in the Parallel Workloads Archive) for all jobs together, batch and interactive. Users
and their estimates, which models of workloads lack, are here for the other models too.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from campaign.core.jobs import WORKLOAD_SCHEMA, Workload

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# parts of all jobs
SERIAL = 0.244
POWER_OF_TWO = 0.576
NARROW = 0.86  # part of the parallel jobs' logarithms that is in the lower range
LOWEST_LOG2 = 0.8
UPPER_RANGE_LOG2 = 2.5  # the upper range's length
BEND_LOG2 = 1.5  # the upper range begins here at least: the authors' advice for 8 processors

# of the logarithm of a run time
SHORT_SHAPE = 4.2
SHORT_SCALE = 0.94
LONG_SHAPE = 312.0
LONG_SCALE = 0.03
# part of the short ones, linear in the width
SHORT_PER_SLOT = -0.0054
SHORT_AT_ZERO = 0.78
LONGEST_LOG = 12.0  # e^12 s: two days

# of the logarithm of a gap in the rush hours
GAP_SHAPE = 10.2303
GAP_SCALE = 0.4871
ALL_HOURS = 1.0225  # makes the shape that of all hours
LONGEST_GAP_LOG = 13.0  # e^13 s: five days
# of the time of day, in half-hours
CYCLE_SHAPE = 8.1737
CYCLE_SCALE = 3.9631
BUCKETS = 48
BUCKET_S = 1800.0
DAY_BEGINS = 11  # the first half-hour of the cycle's day, counted from 1

OVERESTIMATE = 3.0  # the f of the f-model
USERS = 40


def lublin(*, jobs: int, seed: int, slots: int) -> Workload:
    """Draw `jobs` jobs for a machine of `slots` slots. Equal arguments give equal jobs.

    The load is what the model gives: fewer slots with the same arrivals are more loaded.
    """
    draw = np.random.default_rng(seed)
    width = widths(draw, jobs, slots)
    runtime = runtimes(draw, width)
    since_midnight = arrivals(draw, jobs)
    requested = estimates(draw, runtime)
    notes = {
        "model": f"Lublin, Feitelson 2003 with its published parameters, {slots} slots, seed "
        f"{seed}",
        "arrival_s": f"daily cycle; the first job arrives {since_midnight[0]:.0f} s after midnight",
        "requested_s": ESTIMATES_NOTE,
        "user": USERS_NOTE,
    }
    table = as_table(
        since_midnight - since_midnight[0], width, runtime, requested, users(draw, jobs)
    )
    return Workload("lublin", table, notes, machine_slots=slots)


def widths(draw: np.random.Generator, count: int, slots: int) -> Integers:
    """Draw the slots of `count` jobs: 1, or 2 to the power of a two-stage uniform variable.

    For parallel jobs the logarithm is uniform in [0.8, m] (probability 0.86) or in [m, log2 slots],
    m = log2 slots - 2.5; it is rounded for those whose width is to be a power of two. The authors
    ask for a larger m on small machines and give 1.5 for 8 processors: m is not below 1.5 here. A
    width that rounding takes beyond the machine is cut.
    """
    highest = np.log2(slots)
    bend = min(max(highest - UPPER_RANGE_LOG2, BEND_LOG2), highest)
    kind = draw.random(count)
    narrow = draw.random(count) < NARROW
    low = np.where(narrow, LOWEST_LOG2, bend)
    high = np.where(narrow, bend, highest)
    log2 = low + (high - low) * draw.random(count)
    log2 = np.where(kind < SERIAL + POWER_OF_TWO, np.floor(log2 + 0.5), log2)
    parallel = np.floor(2.0**log2 + 0.5).astype(np.int64)
    return np.where(kind < SERIAL, 1, np.minimum(parallel, slots))


def runtimes(draw: np.random.Generator, width: Integers) -> Floats:
    """Draw run times (s) of jobs of these widths.

    The natural logarithm is hyper-gamma: gamma(4.2, 0.94) with probability 0.78 - 0.0054 width
    (within 0 and 1), else gamma(312, 0.03); values above 12 are drawn anew. The authors' program
    cuts fractions of a second off; these stay.
    """
    share = np.clip(SHORT_PER_SLOT * width + SHORT_AT_ZERO, 0.0, 1.0)
    log = np.full(width.size, np.inf)
    while (missing := np.flatnonzero(log > LONGEST_LOG)).size:
        short = draw.random(missing.size) < share[missing]
        shape = np.where(short, SHORT_SHAPE, LONG_SHAPE)
        scale = np.where(short, SHORT_SCALE, LONG_SCALE)
        log[missing] = draw.gamma(shape, scale)
    return np.asarray(np.exp(log))


def gaps(draw: np.random.Generator, count: int) -> Floats:
    """Draw the seconds between arrivals as if all hours were alike.

    The natural logarithm is gamma(10.2303 * 1.0225, 0.4871); values above 13 are drawn anew.
    """
    log = np.full(count, np.inf)
    while (missing := np.flatnonzero(log > LONGEST_GAP_LOG)).size:
        log[missing] = draw.gamma(GAP_SHAPE * ALL_HOURS, GAP_SCALE, missing.size)
    return np.asarray(np.exp(log))


def daily_weights() -> Floats:
    """Return how busy each half-hour of the day is, from midnight: 48 weights of mean 1.

    Half-hour i has weight F(i + 0.5) - F(i - 0.5), F the distribution function of gamma(8.1737,
    3.9631), i from 11 to 58, after 48 the next day's. Integrated by Gauss-Legendre quadrature; the
    density's constant factor cancels out.
    """
    points, factors = np.polynomial.legendre.leggauss(8)
    half_hour = np.arange(DAY_BEGINS, DAY_BEGINS + BUCKETS)
    at = half_hour[:, None] + points / 2
    mass = (at ** (CYCLE_SHAPE - 1) * np.exp(-at / CYCLE_SCALE)) @ factors
    weights = np.empty(BUCKETS)
    weights[(half_hour - 1) % BUCKETS] = mass / mass.mean()
    return weights


def arrivals(draw: np.random.Generator, count: int) -> Floats:
    """Draw the arrival times of `count` jobs in seconds after midnight, ascending.

    The authors' program lets each gap pay for the half-hours that it passes, by their weights, and
    keeps the change. That is the sum of the gaps put through the inverse of the weights' running
    sum, which is done here for all at once.
    """
    paid = np.cumsum(gaps(draw, count) / BUCKET_S)
    days, rest = np.divmod(paid, BUCKETS)
    prices = np.concatenate([[0.0], np.cumsum(daily_weights())])
    prices[-1] = BUCKETS
    return np.asarray((days * BUCKETS + np.interp(rest, prices, np.arange(BUCKETS + 1))) * BUCKET_S)


def estimates(draw: np.random.Generator, runtime: Floats) -> Floats:
    """Draw requested times: the f-model, uniform in [run time, (f + 1) run time], with f = 3.

    Ahuva W. Mu'alem, Dror G. Feitelson: Utilization, Predictability, Workloads, and User Runtime
    Estimates in Scheduling the IBM SP2 with Backfilling, IEEE TPDS 12(6), 2001. With f = 3 jobs use
    ln(4) / 3 = 46 % of what they ask for on average, about as in the logs. Real estimates cluster
    at round values; these don't.
    """
    return runtime * (1.0 + OVERESTIMATE * draw.random(runtime.size))


def users(draw: np.random.Generator, count: int) -> NDArray[np.int32]:
    """Draw user numbers from 1 to 40 for `count` jobs.

    The user of rank k submits in proportion to 1 / k (Zipf's law).
    """
    shares = np.cumsum(1.0 / np.arange(1, USERS + 1))
    return (np.searchsorted(shares / shares[-1], draw.random(count), side="right") + 1).astype(
        np.int32
    )


def as_table(
    arrival: Floats, width: Integers, runtime: Floats, requested: Floats, user: NDArray[np.int32]
) -> pa.Table:
    """Return a table of WORKLOAD_SCHEMA from columns of equal length, jobs numbered from 1."""
    columns = {
        "job_id": np.arange(1, arrival.size + 1),
        "arrival_s": arrival,
        "width": width,
        "runtime_s": runtime,
        "requested_s": requested,
        "user": user,
    }
    return pa.table(columns).cast(WORKLOAD_SCHEMA)


ESTIMATES_NOTE = (
    f"not in the model: uniform between 1 and {OVERESTIMATE + 1:g} times the run time "
    f"(Mu'alem, Feitelson 2001, f = {OVERESTIMATE:g})"
)
USERS_NOTE = f"not in the model: {USERS} users, as active as 1 / rank"
