"""Jobs that ask their partition for more time than it gives, which would wait there for ever."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from campaign.core.cluster import ClusterModel
from campaign.core.errors import WorkloadError
from campaign.core.jobs import Workload
from campaign.workloads.columns import columns_of, from_zero, table_of, taken
from campaign.workloads.traces import ROW, counted
from campaign.workloads.traits import OUTSIDE, picked, tied

CUT = "time limits beyond the longest of the job's partition cut to that"
TOO_LONG = "jobs that run longer than any job of their partition may left out"
EXEMPT = "partition_time_limit"
"""The flag of a quality of service whose jobs may exceed the limit."""


def within_partitions(workload: Workload, model: ClusterModel) -> Workload:
    """Return the jobs that their partitions let run to their ends, with limits that these take.

    A site's scheduler refuses the others when they are submitted, or holds them for ever. Both are
    counted in the notes. Raises WorkloadError where no job is left.
    """
    jobs = columns_of(workload.table)
    jobs[ROW] = np.arange(len(workload))
    longest = _longest(workload, model)
    fits = jobs["runtime_s"] <= longest
    cut = fits & (jobs["requested_s"] > longest)
    if not fits.any():
        raise WorkloadError(
            "all jobs run longer than their partitions let any job run",
            resolution="Raise cluster.partitions.NAME.max_time_s, or lower workload.time_scale.",
        )
    if fits.all() and not cut.any():
        return workload
    jobs["requested_s"] = np.where(cut, longest, jobs["requested_s"])
    left = taken(jobs, fits)
    traits = picked(workload.traits, left[ROW])
    traits, lost = tied(traits, {number: number for number in left["job_id"].tolist()})
    counts = {CUT: int(cut.sum()), TOO_LONG: int((~fits).sum()), OUTSIDE: lost}
    return replace(
        workload,
        table=table_of(from_zero(left), where=workload.name),
        traits=traits,
        notes=workload.notes | counted(counts),
    )


def _longest(workload: Workload, model: ClusterModel) -> NDArray[np.float64]:
    """Return the longest time limit that each job may have, infinite where there is none."""
    most = {each.name: each.max_time_s for each in model.partitions}
    default = model.default_partition
    found = [
        most[name] if name is not None else default and default.max_time_s
        for name in _names(workload, "partition")
    ]
    exempt = {qos.name for qos in model.qos if EXEMPT in qos.flags}
    free = [name in exempt for name in _names(workload, "qos")]
    seconds = np.array([np.inf if one is None else one for one in found], dtype=np.float64)
    return np.where(free, np.inf, seconds)


def _names(workload: Workload, trait: str) -> list[str | None]:
    """Return a trait of each job, None where its scheduler isn't told of it."""
    if trait not in workload.obeyed or trait not in workload.traits.column_names:
        return [None] * len(workload)
    names: list[str | None] = workload.traits.column(trait).cast(pa.string()).to_pylist()
    return names
