"""Arrays whose tasks are alike, as those of a job array are; tasks of others are single jobs."""

from collections import defaultdict
from dataclasses import replace
from typing import Any

from campaign.core.jobs import Workload
from campaign.workloads.traces import counted
from campaign.workloads.traits import traits_of

MOST_TASKS = 1000
"""Of an array under Slurm's default MaxArraySize."""
UNLIKE = "tasks of arrays that arrive apart or ask for different things made single jobs"
LARGE = f"tasks of arrays of more than {MOST_TASKS} made single jobs"
OWN = ("array", "array_limit")


def with_like_tasks(workload: Workload) -> Workload:
    """Return the workload in which all tasks of an array arrive together and ask for the same.

    The tasks of other arrays are single jobs, of which any number may run at once; a note counts
    them. An array of which one task is left is no array.
    """
    if "array" not in workload.obeyed or "array" not in workload.traits.column_names:
        return workload
    arrays = [job.traits.array for job in workload.jobs()]
    rows = defaultdict[int, list[int]](list)
    for row, array in enumerate(arrays):
        if array is not None:
            rows[array].append(row)
    asked = _asked(workload)
    unlike = [each for each in rows.values() if len({asked[row] for row in each}) > 1]
    large = [each for each in rows.values() if len(each) > MOST_TASKS and each not in unlike]
    alone = [each for each in rows.values() if len(each) == 1]
    single = {row for each in (*unlike, *large, *alone) for row in each}
    if not single:
        return workload
    columns = dict(zip(workload.traits.column_names, workload.traits.columns, strict=True))
    for name in OWN:
        if name in columns:
            values = columns[name].to_pylist()
            columns[name] = [None if row in single else value for row, value in enumerate(values)]
    counts = {UNLIKE: sum(map(len, unlike)), LARGE: sum(map(len, large))}
    return replace(workload, traits=traits_of(columns), notes=workload.notes | counted(counts))


def _asked(workload: Workload) -> list[tuple[Any, ...]]:
    """Return what each job asks for, and when, as far as its scheduler is told."""
    return [
        (job.arrival_s, job.width, job.requested_s, replace(job.traits, array=None))
        for job in workload.jobs()
    ]
