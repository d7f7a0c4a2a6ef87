"""What a trial under any adapter must have brought home, as checks of its jobs table.

OUTCOMES hold on every testbed, of virtual machines or simulated, that has run
`sample_workload(scheduler, cluster)`; `jobs_have_accounts` and `accounts_agree` hold where a real
scheduler has kept its own accounts of the same jobs. All judge by the rules and the limits of the
validity gate, so that what is broken here is invalid in a campaign. A check that fails raises
`schedulers.broken.Broken`.
"""

from collections.abc import Callable, Iterable, Mapping

import pyarrow as pa

from campaign.analysis import validity
from campaign.core.jobs import WORKLOAD_SCHEMA
from campaign.core.trials import Check
from campaign.schema.model import ValiditySettings
from schedulers.base import FinalState, Params, Topology
from schedulers.broken import Broken
from schedulers.interface import BoundScheduler, Scheduler
from schedulers.samples import job

LIMITS = ValiditySettings()
"""The limits by which a trial is judged, where a campaign sets no others."""
FINAL_STATES: dict[int, FinalState] = {1: "completed", 2: "failed", 3: "timeout", 4: "cancelled"}
"""How the jobs of `ending_workload` are to end, by job id."""
FAILING = "/bin/bash -c 'exit 3'"
"""The payload of the job that fails."""


def sample_workload(scheduler: Scheduler[Params], cluster: Topology) -> pa.Table:
    """Return a workload for OUTCOMES (WORKLOAD_SCHEMA), on two nodes or more.

    It has narrow jobs beside each other, a whole node, a slot more than that; and with gangs, a job
    across the whole cluster before and one of two nodes after them. Without gangs, two jobs of
    several nodes each may wait for each other for ever. The slower a scheduler launches, the later
    the jobs come.
    """
    on_a_node = cluster.compute[0].slots
    widths = [1, 1, on_a_node, on_a_node + 1, 1]
    if scheduler.gangs:
        widths = [cluster.slots, *widths, 2 * on_a_node]
    pace_s = scheduler.launch_limit.latency_s / 50
    jobs = [
        job(width, number=number, arrival_s=number * pace_s)
        for number, width in enumerate(widths, start=1)
    ]
    return pa.Table.from_pylist([one._asdict() for one in jobs], schema=WORKLOAD_SCHEMA)


def every_job_is_one_row(
    scheduler: Scheduler[Params],
    cluster: Topology,
    jobs: pa.Table,
    limits: ValiditySettings = LIMITS,
) -> None:
    """Raise Broken unless all jobs are there, each once, and ended well."""
    expected = sorted(sample_workload(scheduler, cluster).column("job_id").to_pylist())
    _require(
        sorted(jobs.column("job_id").to_pylist()) == expected,
        "jobs are missing, or there are others",
    )
    bad = [
        row["job_id"] for row in jobs.to_pylist() if row["exit_code"] != 0 or row["end_ns"] is None
    ]
    _require(not bad, f"jobs {bad} didn't end well")


def jobs_have_all_their_nodes_at_once(
    scheduler: Scheduler[Params],
    cluster: Topology,
    jobs: pa.Table,
    limits: ValiditySettings = LIMITS,
) -> None:
    """Raise Broken unless each job has all its nodes at once.

    It has as many as the adapter asks for, all begun before any ends; and there are never more
    slots in use than the cluster has.
    """
    rows = jobs.to_pylist()
    for row in rows:
        wanted = scheduler.nodes_needed(job(row["width"]), cluster)
        _require(
            len(set(row["nodes"])) == wanted,
            f"job {row['job_id']} ran on {row['nodes']}, not on {wanted} nodes",
        )
        _require(
            row["start_ns"] <= row["all_started_ns"] < row["end_ns"],
            f"job {row['job_id']} began in pieces",
        )
    for row in rows:
        at = row["start_ns"]
        used = sum(one["width"] for one in rows if one["start_ns"] <= at < one["end_ns"])
        _require(
            used <= cluster.slots,
            f"{used} of {cluster.slots} slots are in use as job {row['job_id']} begins",
        )


def schedules_are_valid(
    scheduler: Scheduler[Params],
    cluster: Topology,
    jobs: pa.Table,
    limits: ValiditySettings = LIMITS,
) -> None:
    """Raise Broken unless the validity gate passes all that a jobs table alone can tell."""
    slots = {node.name: node.slots for node in cluster.compute}
    _require_valid(validity.check_schedule(jobs, slots=slots, settings=limits))


def jobs_have_accounts(
    scheduler: Scheduler[Params],
    cluster: Topology,
    jobs: pa.Table,
    limits: ValiditySettings = LIMITS,
) -> None:
    """Raise Broken unless the scheduler knows each job by an id of its own, with start and end."""
    native = jobs.column("native_id").to_pylist()
    _require(all(native) and len(set(native)) == len(native), f"the jobs' native ids are {native}")
    for row in jobs.to_pylist():
        for name in ("native_start_s", "native_end_s"):
            _require(row[name] is not None, f"job {row['job_id']} has no {name}")


def accounts_agree(
    scheduler: Scheduler[Params],
    cluster: Topology,
    jobs: pa.Table,
    limits: ValiditySettings = LIMITS,
    slowness: float = 1.0,
) -> None:
    """Raise Broken unless the validity gate passes the scheduler's own accounts of the jobs.

    `slowness` is that of the host itself (see `actors.hypervisor.calibration`), which the gate of a
    campaign knows too.
    """
    _require_valid(
        validity.check_accounts(
            jobs,
            settings=limits,
            launch_limit=scheduler.launch_limit.on(slowness),
            resolution_s=scheduler.resolution_s,
        )
    )


def ending_workload() -> pa.Table:
    """Return a workload of narrow jobs (WORKLOAD_SCHEMA) that end as FINAL_STATES says.

    They do if the second one's payload is FAILING and the fourth is cancelled while it runs; the
    third runs for far longer than its time limit.
    """
    lasting = {3: (600.0, 5.0), 4: (600.0, 900.0)}
    jobs = [job(1, number=number, arrival_s=number / 10.0) for number in FINAL_STATES]
    for index, one in enumerate(jobs):
        runtime_s, requested_s = lasting.get(one.job_id, (one.runtime_s, one.requested_s))
        jobs[index] = one._replace(runtime_s=runtime_s, requested_s=requested_s)
    return pa.Table.from_pylist([one._asdict() for one in jobs], schema=WORKLOAD_SCHEMA)


def final_states_are_told(
    bound: BoundScheduler[Params], expected: Mapping[int, FinalState], jobs: pa.Table
) -> None:
    """Raise Broken unless the scheduler's accounts tell of each expected job how it ended."""
    found = {
        row["job_id"]: bound.final_state(row["native_state"])
        if row["native_state"]
        else "not known"
        for row in jobs.to_pylist()
        if row["job_id"] in expected
    }
    _require(found == dict(expected), f"jobs ended as {found}, not as {dict(expected)}")


OutcomeCheck = Callable[[Scheduler[Params], Topology, pa.Table], None]
OUTCOMES: tuple[OutcomeCheck, ...] = (
    every_job_is_one_row,
    jobs_have_all_their_nodes_at_once,
    schedules_are_valid,
)


def _require_valid(checks: Iterable[Check]) -> None:
    found = tuple(checks)
    _require(validity.valid(found), validity.reason(found))


def _require(kept: bool, otherwise: str) -> None:
    if not kept:
        raise Broken(otherwise)
