"""A simulated schedule as the jobs table that a trial on virtual machines would have yielded."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from campaign.core.jobs import JOBS_SCHEMA, PREEMPTED, WORKLOAD_SCHEMA, Workload
from campaign.simulation.engine import Schedule
from schedulers.base import node_name

Flags = NDArray[np.bool_]
KILLED = 143  # what the wrapper writes when a job is told to stop


def jobs_table(
    workload: Workload,
    schedule: Schedule,
    *,
    ran: Flags | None = None,
    ended_well: Flags | None = None,
    gave_way: Flags | None = None,
    follows: Flags | None = None,
    came: Flags | None = None,
) -> pa.Table:
    """Return the jobs table (JOBS_SCHEMA) of a simulated schedule, in the workload's order.

    There is no native accounting beside a simulation, but that a job `gave_way` to another one and
    was not queued again; and no nodes where the schedule has none. Where not all jobs `ran`, or
    some of them were ended, the flags of those that did are given. A job that `follows` others was
    meant to be submitted when it was, whenever that was in the workload; not all jobs `came`.
    """
    intended = np.rint(workload.table.column("arrival_s").to_numpy() * 1e9).astype(np.int64)
    if follows is not None:
        intended = np.where(follows, schedule.begun, intended)
    well = ~schedule.killed if ended_well is None else ended_well
    known = {
        **{name: workload.table.column(name) for name in WORKLOAD_SCHEMA.names},
        "nodes_requested": schedule.count,
        "nodes": _node_names(schedule, ran),
        "intended_ns": intended,
        "submit_ns": _where(came, schedule.begun),
        "accepted_ns": _where(came, schedule.accepted),
        "start_ns": _where(ran, schedule.start),
        "all_started_ns": _where(ran, schedule.start),
        "end_ns": _where(ran, schedule.end),
        "exit_code": _where(ran, np.where(well, 0, KILLED).astype(np.int32)),
    }
    if gave_way is not None:
        known["native_state"] = pa.array([PREEMPTED if one else None for one in gave_way])
    unknown = {
        field.name: pa.nulls(len(workload), field.type)
        for field in JOBS_SCHEMA
        if field.name not in known
    }
    return pa.table(known | unknown).select(JOBS_SCHEMA.names).cast(JOBS_SCHEMA)


def _where(ran: Flags | None, values: NDArray[Any]) -> pa.Array:
    return pa.array(values, mask=None if ran is None else ~ran)


def _node_names(schedule: Schedule, ran: Flags | None) -> pa.Array:
    if schedule.nodes is None:
        return pa.nulls(schedule.count.size, pa.list_(pa.string()))
    most = int(schedule.nodes.max(initial=-1)) + 1
    names = pa.array([node_name(number) for number in range(1, most + 1)], pa.string()).take(
        pa.array(schedule.nodes)
    )
    offsets = np.concatenate([[0], np.cumsum(schedule.count)]).astype(np.int32)
    mask = None if ran is None else pa.array(~ran)
    return pa.ListArray.from_arrays(pa.array(offsets), names, mask=mask)
