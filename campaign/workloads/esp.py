"""ESP-2, the Effective System Performance benchmark: 230 jobs, and the efficiency they measure.

Adrian T. Wong, Leonid Oliker, William T. C. Kramer, Teresa L. Kaltz, David H. Bailey: ESP: A System
Utilization Benchmark, SC2000; the second version by NERSC. The table of types is as printed in
Yiannis Georgiou, Matthieu Hautreux: Evaluating Scalability and Efficiency of the Resource and Job
Management System on Large HPC Clusters, JSSPP 2012; how sizes are rounded and time limits set is as
in NERSC's esp-2.2.1.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from campaign.core.jobs import Workload
from campaign.workloads.lublin import Floats, Integers, as_table


class JobType(NamedTuple):
    """A type of jobs: letter, width as a fraction of the machine, number, and run time (s)."""

    letter: str
    fraction: float
    jobs: int
    runtime_s: float


TYPES = (
    JobType("A", 0.03125, 75, 267.0),
    JobType("B", 0.0625, 9, 322.0),
    JobType("C", 0.5, 3, 534.0),
    JobType("D", 0.25, 3, 616.0),
    JobType("E", 0.5, 3, 315.0),
    JobType("F", 0.0625, 9, 1846.0),
    JobType("G", 0.125, 6, 1334.0),
    JobType("H", 0.1582, 6, 1067.0),
    JobType("I", 0.03125, 24, 1432.0),
    JobType("J", 0.0625, 24, 725.0),
    JobType("K", 0.0957, 15, 487.0),
    JobType("L", 0.125, 36, 366.0),
    JobType("M", 0.25, 15, 187.0),
    JobType("Z", 1.0, 2, 100.0),
)
JOBS = sum(each.jobs for each in TYPES)
AT_ONCE = 50  # submitted together, at the start
GAP_S = 10.0  # between the submissions after that
FULL_WIDTH_S = (
    2400.0,
    7200.0,
)  # when the jobs as wide as the machine (Z, the table's last) are submitted
LIMIT = 1.5  # requested time / run time
SAME = 0.01  # relative difference of run times that scaling and rounding may leave


def esp(*, slots: int, seed: int) -> Workload:
    """Return the 230 jobs for a machine of `slots` slots. Equal arguments give equal jobs.

    How jobs come is a parameter of the benchmark: 50 at once are what Georgiou and Hautreux take,
    the times are this project's. Types A to M come in an order drawn by `seed`: 50 jobs at once,
    then one every 10 s. The two jobs as wide as the machine come at 2400 and 7200 s, after a tenth
    and before nine tenths of the least time that the whole can take (11003 s); they have no
    priority over others. All jobs are one user's and ask for 1.5 times their run time. Widths are
    rounded, halves up, to at least 1: on small machines that makes the whole longer, by a fifth
    with 16 slots, by two thirds with 8.
    """
    width, runtime = mix(slots)
    mixed = JOBS - len(FULL_WIDTH_S)
    order = np.concatenate([np.random.default_rng(seed).permutation(mixed), np.arange(mixed, JOBS)])
    later = np.maximum(np.arange(mixed) - AT_ONCE + 1, 0) * GAP_S
    arrival = np.concatenate([later, FULL_WIDTH_S])
    width = width[order]
    runtime = runtime[order]
    notes = {
        "model": f"ESP-2 for {slots} slots, order by seed {seed}",
        "arrival_s": f"{AT_ONCE} at once, then one every {GAP_S:g} s; as wide as the machine at "
        f"{' and '.join(f'{at:g}' for at in FULL_WIDTH_S)} s",
        "requested_s": f"{LIMIT:g} times the run time",
    }
    table = as_table(arrival, width, runtime, LIMIT * runtime, np.ones(JOBS, dtype=np.int32))
    return Workload("esp", table, notes, slots)


def mix(slots: int) -> tuple[Integers, Floats]:
    """Return widths (slots) and run times (s) of the 230 jobs by type, the two widest last."""
    counts = [each.jobs for each in TYPES]
    fraction = np.array([each.fraction for each in TYPES])
    width = np.maximum(np.floor(fraction * slots + 0.5), 1.0).astype(np.int64)
    return np.repeat(width, counts), np.repeat([each.runtime_s for each in TYPES], counts)


def efficiency(jobs: pa.Table, slots: int) -> float | None:
    """Return ESP's efficiency, at most 1; None if the jobs aren't those of ESP-2.

    It is sum(width * run time) / (slots * elapsed), from first submission to last end (Wong et al.
    2000). `jobs` has the columns width, runtime_s (the time that a job should take), submit_ns and
    end_ns of JOBS_SCHEMA. It may be the mix for any machine and scaled in time, but all jobs must
    have ended.
    """
    if (
        jobs.num_rows != JOBS
        or jobs.column("submit_ns").null_count
        or jobs.column("end_ns").null_count
    ):
        return None
    width, runtime = (jobs.column(name).to_numpy() for name in ("width", "runtime_s"))
    if not _is_mix(width, runtime):
        return None
    elapsed_s = (
        int(jobs.column("end_ns").to_numpy().max() - jobs.column("submit_ns").to_numpy().min())
        / 1e9
    )
    return float((width * runtime).sum() / (slots * elapsed_s)) if elapsed_s > 0 else None


def _is_mix(width: Integers, runtime: Floats) -> bool:
    """Return True if 230 jobs are the mix.

    Its widths are those for a machine as large as the widest job, its run times the benchmark's up
    to a factor.
    """
    mixed_width, mixed_runtime = mix(int(width.max()))
    found = np.lexsort((runtime, width))
    expected = np.lexsort((mixed_runtime, mixed_width))
    if not np.array_equal(width[found], mixed_width[expected]):
        return False
    factor = runtime[found] / mixed_runtime[expected]
    return bool(np.allclose(factor, np.median(factor), rtol=SAME, atol=0.0))
