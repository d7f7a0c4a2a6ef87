"""Workloads in whole seconds, the unit of the Standard Workload Format's own text.

Traces with decimals are read here, but many other programs take whole numbers only.
"""

from dataclasses import replace

import numpy as np

from campaign.core.jobs import Workload
from campaign.workloads.columns import columns_of, table_of

TIMES = ("arrival_s", "runtime_s", "requested_s")
ROUNDED = "rounded to whole seconds"


def has_decimals(workload: Workload) -> bool:
    """Return whether a time of a job is no whole number of seconds."""
    jobs = columns_of(workload.table)
    return any(bool((jobs[name] % 1).any()) for name in TIMES)


def in_whole_seconds(workload: Workload) -> Workload:
    """Return the same jobs in whole seconds, with a note of how many were changed.

    Arrivals and run times are rounded, run times to 1 s at least; requested times are rounded up,
    so that no job needs more than it asked for.
    """
    before = columns_of(workload.table)
    arrival = np.floor(before["arrival_s"] + 0.5)
    runtime = np.maximum(np.floor(before["runtime_s"] + 0.5), 1.0)
    requested = np.maximum(np.ceil(before["requested_s"]), runtime)
    times = {"arrival_s": arrival, "runtime_s": runtime, "requested_s": requested}
    changed = np.any([before[name] != times[name] for name in TIMES], axis=0).sum()
    if not changed:
        return workload
    count = "1 job" if changed == 1 else f"{changed} jobs"
    table = table_of(before | times, where=workload.name)
    return replace(workload, table=table, notes=workload.notes | {ROUNDED: count})
