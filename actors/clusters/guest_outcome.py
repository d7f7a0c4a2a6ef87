"""What a guest in virtual time brought home: the error that ended its task, and its records."""

from collections.abc import Mapping

import pyarrow as pa

from actors.bootstrap.apply import BootstrapFailed
from actors.clusters.guest_task import ACCOUNTING
from actors.clusters.health import SchedulerDied
from actors.clusters.job_records import Records, table_of
from actors.clusters.replay import WorkloadUnfinished
from actors.clusters.stall import reasons_of
from actors.clusters.standstill import virtual_text
from campaign import guest
from campaign.core.errors import CampaignError, InfrastructureError, SchedulerError, StallError
from campaign.core.jobs import Workload
from campaign.guest.clocks import ClockOffset, NodeClock
from campaign.guest.task import GuestResult
from schedulers.base import NativeTimes, Params, Topology
from schedulers.interface import BoundScheduler

ONE_CLOCK = NodeClock(ClockOffset(0.0, 0.0, 0.0), ClockOffset(0.0, 0.0, 0.0))
"""All nodes have the guest's clock, and their times are told by it."""
MICROSECONDS = 1_000_000
SECONDS_OF_A_DAY = 86_400
_KINDS: dict[str, type[CampaignError]] = {
    "stage_failed": BootstrapFailed,
    "probe_failed": BootstrapFailed,
    "smoke_test_failed": BootstrapFailed,
    "check_failed": SchedulerError,
    "daemon_died": SchedulerDied,
    "stalled": StallError,
    "unfinished": WorkloadUnfinished,
}
_FIXES = {
    "daemon_died": "What the daemons logged is in the trial's folder.",
    "stalled": "If that is no stall, raise cluster.stall_s.",
    "unfinished": "Raise cluster.workload_deadline_s, or replay fewer jobs.",
}


def failure_of(result: GuestResult, bound: BoundScheduler[Params]) -> CampaignError | None:
    """Return the error that the guest's task ended with; None where it ended well.

    Another attempt would end in the same way, instruction by instruction.
    """
    if result.reason == "ok":
        return None
    kind = _KINDS.get(result.reason, InfrastructureError)
    brief = f"{result.brief or result.reason.replace('_', ' ')}, {_moment(result)}"
    if result.reason == "stalled":
        if waits := reasons_of(bound.parse_pending(result.pending)):
            brief = f"{brief}; {waits}"
        else:
            # The scheduler has started all: it is the jobs that don't come to an end.
            kind = WorkloadUnfinished
            brief = f"{brief}; no job waits, but some run that should have ended"
    return kind(brief, result.details, _FIXES.get(result.reason, ""), retryable=False)


def _moment(result: GuestResult) -> str:
    """Return when a guest's task ended, in virtual time."""
    if result.workload_s:
        return f"{virtual_text(result.workload_s)} after the workload began"
    return f"{virtual_text(result.virtual_s)} after the guest booted"


def jobs_of(
    result: GuestResult,
    workload: Workload,
    bound: BoundScheduler[Params],
    topology: Topology,
) -> pa.Table:
    """Return the jobs table (JOBS_SCHEMA), whose times count from the workload's first moment."""
    [name] = topology.guests
    records = Records(
        started=_text(result.files, guest.STARTED_FILE),
        submits=_text(result.files, guest.SUBMITS_FILE),
        runs={name: guest.parse_runs(_text(result.files, guest.JOBS_FILE))},
        clocks=dict.fromkeys((node.name for node in topology.nodes), ONE_CLOCK),
        accounting=_accounting(result, bound),
        events=_text(result.files, guest.EVENTS_FILE),
    )
    return table_of(workload, bound, topology, records)


def clock_s(result: GuestResult) -> float | None:
    """Return what the guest's clock showed when the workload began, in seconds since midnight.

    None where no workload began.
    """
    if not (started := _text(result.files, guest.STARTED_FILE)):
        return None
    return round(guest.parse_started(started) / MICROSECONDS % SECONDS_OF_A_DAY, 6)


def logs_of(result: GuestResult, name: str) -> dict[str, bytes]:
    """Return the files of the guest called `name` as a trial keeps them."""
    return {f"logs/{name}{path}": content for path, content in result.files.items()}


def _accounting(result: GuestResult, bound: BoundScheduler[Params]) -> Mapping[str, NativeTimes]:
    # A workload that has stalled may leave none.
    told = result.outputs.get(ACCOUNTING)
    return {} if told is None else bound.parse_accounting(told)


def _text(files: Mapping[str, bytes], path: str) -> str:
    return files.get(path, b"").decode()
