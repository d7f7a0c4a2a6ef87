"""Downey's workload model: moldable jobs with a speedup function, each made one rigid job.

Allen B. Downey: A Parallel Workload Model and Its Implications for Processor Allocation, HPDC 1997;
A Model for Speedup of Parallel Programs, technical report UCB/CSD-97-933, 1997; Using Queue Time
Predictions for Processor Allocation, JSSPP 1997, whose lifetimes these are.
"""

import numpy as np
from numpy.typing import ArrayLike

from campaign.core.jobs import Workload
from campaign.workloads.lublin import ESTIMATES_NOTE, USERS_NOTE, Floats, as_table, estimates, users
from campaign.workloads.poisson import LOAD, arrivals

# of the lifetime on one slot, in seconds
SHORTEST_LOG = 2.0
LONGEST_LOG = 12.0
MOST_VARIANCE = 2.0  # of parallelism (sigma)


def downey(*, jobs: int, seed: int, slots: int) -> Workload:
    """Draw `jobs` jobs for a machine of `slots` slots, which they load to 0.7.

    Equal arguments give equal jobs. Per job, independently: the lifetime on one slot is log-uniform
    from e^2 to e^12 s, the average parallelism A log-uniform from 1 to `slots`, sigma uniform from
    0 to 2. A job asks for A slots, rounded: the model takes the sizes in the logs for the jobs'
    average parallelism. It then runs for its lifetime over its speedup on them. Jobs arrive in a
    Poisson process; the model's nights are left out.
    """
    draw = np.random.default_rng(seed)
    lifetime = np.exp(draw.uniform(SHORTEST_LOG, LONGEST_LOG, jobs))
    parallelism = np.exp(draw.uniform(0.0, np.log(slots), jobs))
    sigma = draw.uniform(0.0, MOST_VARIANCE, jobs)
    width = np.floor(parallelism + 0.5).astype(np.int64)
    runtime = lifetime / speedup(width, parallelism, sigma)
    arrival = arrivals(draw, jobs, slots=slots, area=float(np.mean(width * runtime)))
    requested = estimates(draw, runtime)
    notes = {
        "model": f"Downey 1997 with its published parameters, {slots} slots, seed {seed}",
        "arrival_s": f"Poisson process that loads {slots} slots to {LOAD:g}; no nights",
        "width": "of each moldable job the rigid one as wide as its average parallelism A, rounded",
        "requested_s": ESTIMATES_NOTE,
        "user": USERS_NOTE,
    }
    return Workload(
        "downey", as_table(arrival, width, runtime, requested, users(draw, jobs)), notes, slots
    )


def speedup(processors: ArrayLike, parallelism: ArrayLike, sigma: ArrayLike) -> Floats:
    """Return the speedup S(n) of jobs on n >= 1 processors; arguments are broadcast.

    A >= 1 is a job's average parallelism, sigma >= 0 its variance. Downey 1997, A Model for Speedup
    of Parallel Programs. For sigma <= 1:

        A n / (A + sigma / 2 (n - 1))                     for 1 <= n <= A
        A n / (sigma (A - 1 / 2) + n (1 - sigma / 2))     for A <= n <= 2 A - 1
        A                                                 beyond

    and for sigma >= 1:

        n A (sigma + 1) / (sigma (n + A - 1) + A)         for 1 <= n <= A + A sigma - sigma
        A                                                 beyond
    """
    n, a, s = np.broadcast_arrays(
        *(np.asarray(each, dtype=np.float64) for each in (processors, parallelism, sigma))
    )
    low = s <= 1.0
    few = a * n / (a + s / 2 * (n - 1))
    # The divisor can be 0 for sigma above 2 only, where another branch is taken.
    with np.errstate(divide="ignore", invalid="ignore"):
        more = a * n / (s * (a - 0.5) + n * (1 - s / 2))
    high = n * a * (s + 1) / (s * (n + a - 1) + a)
    return np.select(
        [low & (n <= a), low & (n <= 2 * a - 1), ~low & (n <= a + a * s - s)], [few, more, high], a
    )
