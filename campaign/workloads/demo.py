"""The built-in workload: seeded, small, and uneven enough that a scheduler's settings matter."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from campaign.core.jobs import WORKLOAD_SCHEMA, Workload
from campaign.schema.workload import WorkloadSettings

LOAD = 0.9  # of the smallest cluster's slots over the ideal length
BURST = 0.4  # part of the jobs that come at once, at the start
ARRIVALS_END = 0.6  # of the ideal length; the rest drains
MINUTE = 60.0
OVERESTIMATES = (1, 2, 3, 5)  # requested time / needed time, both in whole minutes
CAREFUL = (0.7, 0.2, 0.1, 0.0)  # how often, by users of short jobs
CARELESS = (0.2, 0.2, 0.2, 0.4)  # and of long ones


def demo(settings: WorkloadSettings, *, slots: int, widest: int) -> Workload:
    """Draw `settings.drawn_jobs` jobs that fill 0.9 of `slots` over `settings.duration_s`.

    None is wider than `widest`. Two fifths come in a burst, which any cluster must queue; wide jobs
    among them leave gaps for backfill. Requested times are whole minutes, because Slurm rounds
    limits up to them, and at least one: short jobs mostly ask for what they need, long ones for up
    to five times as much, so that what may be backfilled depends on who asked. Equal settings give
    equal jobs.
    """
    draw = np.random.default_rng(settings.seed)
    count = settings.drawn_jobs
    width = _widths(draw, count, widest)
    runtime = np.clip(draw.lognormal(0.0, 0.8, count), 0.25, 4.0)
    runtime *= LOAD * slots * settings.duration_s / (width * runtime).sum()
    runtime = np.maximum(runtime.round(3), 0.001)
    columns = {
        "job_id": np.arange(1, count + 1),
        "arrival_s": _arrivals(draw, count, settings.duration_s),
        "width": width,
        "runtime_s": runtime,
        "requested_s": _requested(draw, runtime),
        "user": draw.integers(1, 5, count),
    }
    notes = {
        "demo": f"seed {settings.seed}, {LOAD:g} of {slots} slots over {settings.duration_s:g} "
        f"s, widest {widest}",
        "requested_s": "whole minutes: Slurm rounds time limits up to them",
    }
    return Workload("demo", pa.table(columns).cast(WORKLOAD_SCHEMA), notes, machine_slots=slots)


def _widths(draw: np.random.Generator, count: int, widest: int) -> NDArray[np.int64]:
    """Draw widths: half one slot, a sixth as wide as allowed, the rest anything between."""
    kind = draw.random(count)
    between = draw.integers(1, widest + 1, count)
    return np.where(kind < 1 / 2, 1, np.where(kind < 5 / 6, between, widest))


def _arrivals(draw: np.random.Generator, count: int, duration_s: float) -> NDArray[np.float64]:
    burst = np.zeros(max(1, round(BURST * count)))
    later = draw.uniform(0.0, ARRIVALS_END * duration_s, count - burst.size)
    return np.sort(np.concatenate([burst, later])).round(3)


def _requested(draw: np.random.Generator, runtime: NDArray[np.float64]) -> NDArray[np.float64]:
    careful = draw.choice(OVERESTIMATES, runtime.size, p=CAREFUL)
    careless = draw.choice(OVERESTIMATES, runtime.size, p=CARELESS)
    factor = np.where(runtime <= np.median(runtime), careful, careless)
    return np.ceil(runtime / MINUTE) * MINUTE * factor
