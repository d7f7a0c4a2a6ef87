"""Makes the jobs table from the instruments' files: a row per job, times on the driver's clock."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from campaign.core.jobs import JOBS_SCHEMA, Workload
from campaign.guest import GuestError, PayloadRun, Submission
from campaign.guest.clocks import NodeClock

if TYPE_CHECKING:
    from schedulers.base import NativeTimes

US_PER_S = 1e6


@dataclass(frozen=True)
class Collected:
    """All that a replay has measured, before it is put on one clock.

    `runs` and `clocks` are by node name; `nodes_requested` and `native_ids` by job id, the latter
    for accepted jobs only; `accounting` is by native id. `started_us` is when the agent began;
    it and `accounting` are on the head node's clock.
    """

    head: str
    started_us: int
    submits: Sequence[Submission]
    runs: Mapping[str, Sequence[PayloadRun]]
    clocks: Mapping[str, NodeClock]
    nodes_requested: Mapping[int, int]
    native_ids: Mapping[int, str]
    accounting: Mapping[str, "NativeTimes"]


def runs_by_node(
    found: Mapping[str, Sequence[PayloadRun]], nodes: Mapping[str, Sequence[str]]
) -> dict[str, list[PayloadRun]]:
    """Return the runs that were `found` on each VM by the node that they ran on.

    `nodes` has the names of each VM's nodes. Where there are several, the record says which it was:
    raise GuestError for any other name. A node that has a VM of its own is known by that.
    """
    runs: dict[str, list[PayloadRun]] = {name: [] for names in nodes.values() for name in names}
    for guest, each in found.items():
        names = nodes[guest]
        for run in each:
            node = run.node if len(names) > 1 else names[0]
            if node not in names:
                raise GuestError(f"a job that ran on none of the nodes of {guest}", str(run))
            runs[node].append(run)
    return runs


def jobs_table(workload: Workload, collected: Collected) -> pa.Table:
    """Return the jobs table (JOBS_SCHEMA) in the workload's order; null for what never happened.

    Raises GuestError for a job that the workload doesn't have or that was submitted twice, and for
    a node without a measured clock. A job that ran on fewer nodes than it asked for keeps the times
    of those it ran on: the validity gate compares `nodes` with `nodes_requested`.
    """
    line = _Timeline(collected)
    known = set(workload.table.column("job_id").to_pylist())
    submits = _by_job(((submit.job_id, submit) for submit in collected.submits), known)
    runs = _by_job(
        ((run.job_id, (node, run)) for node, each in collected.runs.items() for run in each), known
    )

    def complete(row: dict[str, Any]) -> dict[str, Any]:
        job = row["job_id"]
        asked = {"nodes_requested": collected.nodes_requested.get(job)}
        native = line.native(collected.native_ids.get(job))
        return row | asked | line.submitted(submits[job]) | line.ran(runs[job]) | native

    return pa.Table.from_pylist(
        [complete(row) for row in workload.table.to_pylist()], schema=JOBS_SCHEMA
    )


def _by_job(pairs: Iterable[tuple[int, Any]], known: set[int]) -> defaultdict[int, list[Any]]:
    found: defaultdict[int, list[Any]] = defaultdict(list)
    for job, value in pairs:
        if job not in known:
            raise GuestError("a job that the workload doesn't have", str(value))
        found[job].append(value)
    return found


class _Timeline:
    """Times of nodes as nanoseconds on the driver's clock since the workload's start."""

    def __init__(self, collected: Collected) -> None:
        self._collected = collected
        self._origin_us = self._driver_us(collected.head, collected.started_us)

    def submitted(self, submits: list[Submission]) -> dict[str, Any]:
        if len(submits) > 1:
            raise GuestError("a job that was submitted twice", str(submits))
        if not submits:
            return {}
        submit = submits[0]
        head = self._collected.head
        return {
            "intended_ns": self._ns(head, submit.intended_us),
            "submit_ns": self._ns(head, submit.submit_us),
            "accepted_ns": self._ns(head, submit.accepted_us) if submit.exit_status == 0 else None,
        }

    def ran(self, runs: list[tuple[str, PayloadRun]]) -> dict[str, Any]:
        if not runs:
            return {"nodes": []}
        runs = self._last_time(runs)
        starts = [self._ns(node, run.start_us) for node, run in runs]
        return {
            "nodes": sorted(node for node, _ in runs),
            "start_ns": min(starts),
            "all_started_ns": max(starts),
            "end_ns": max(self._ns(node, run.end_us) for node, run in runs),
            "exit_code": max(run.exit_code for _, run in runs),
        }

    def _last_time(self, runs: list[tuple[str, PayloadRun]]) -> list[tuple[str, PayloadRun]]:
        """Return the runs of the last time that a job ran: one that was requeued ran before."""
        asked = self._collected.nodes_requested.get(runs[0][1].job_id)
        if asked is None or len(runs) <= asked:
            return runs
        last_ns = max(self._ns(node, run.start_us) for node, run in runs)
        return [(node, run) for node, run in runs if self._ns(node, run.end_us) >= last_ns]

    def native(self, native_id: str | None) -> dict[str, Any]:
        times = self._collected.accounting.get(native_id) if native_id is not None else None
        if times is None:
            return {"native_id": native_id}
        return {
            "native_id": native_id,
            "native_state": times.state,
            "native_start_s": self._native_s(times.start_s),
            "native_end_s": self._native_s(times.end_s),
        }

    def _native_s(self, unix_s: float | None) -> float | None:
        return None if unix_s is None else self._ns(self._collected.head, unix_s * US_PER_S) / 1e9

    def _ns(self, node: str, node_us: float) -> int:
        return round((self._driver_us(node, node_us) - self._origin_us) * 1000)

    def _driver_us(self, node: str, node_us: float) -> float:
        clock = self._collected.clocks.get(node)
        if clock is None:
            raise GuestError("the clock of a node", node)
        return float(clock.to_driver_us(node_us))
