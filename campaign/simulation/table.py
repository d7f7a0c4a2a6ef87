"""A simulated schedule as the jobs table that a trial on virtual machines would have yielded."""

import numpy as np
import pyarrow as pa

from campaign.core.jobs import JOBS_SCHEMA, WORKLOAD_SCHEMA, Workload
from campaign.simulation.engine import Schedule
from schedulers.base import node_name

KILLED = 143  # what the wrapper writes when a job is told to stop


def jobs_table(workload: Workload, schedule: Schedule) -> pa.Table:
    """Return the jobs table (JOBS_SCHEMA) of a simulated schedule, in the workload's order.

    There is no native accounting beside a simulation, and no nodes where the schedule has none.
    """
    intended = np.rint(workload.table.column("arrival_s").to_numpy() * 1e9).astype(np.int64)
    known = {
        **{name: workload.table.column(name) for name in WORKLOAD_SCHEMA.names},
        "nodes_requested": schedule.count,
        "nodes": _node_names(schedule),
        "intended_ns": intended,
        "submit_ns": schedule.begun,
        "accepted_ns": schedule.accepted,
        "start_ns": schedule.start,
        "all_started_ns": schedule.start,
        "end_ns": schedule.end,
        "exit_code": np.where(schedule.killed, KILLED, 0).astype(np.int32),
    }
    unknown = {
        field.name: pa.nulls(len(workload), field.type)
        for field in JOBS_SCHEMA
        if field.name not in known
    }
    return pa.table(known | unknown).select(JOBS_SCHEMA.names).cast(JOBS_SCHEMA)


def _node_names(schedule: Schedule) -> pa.Array:
    if schedule.nodes is None:
        return pa.nulls(schedule.count.size, pa.list_(pa.string()))
    most = int(schedule.nodes.max(initial=-1)) + 1
    names = pa.array([node_name(number) for number in range(1, most + 1)], pa.string()).take(
        pa.array(schedule.nodes)
    )
    offsets = np.concatenate([[0], np.cumsum(schedule.count)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), names)
