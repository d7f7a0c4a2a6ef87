"""The validity gate: tells a data point from a trial that measured something else.

Each check is a row of `campaign.analysis.rules`. A trial is valid when all its values keep to
their limits. What happens to an invalid trial is decided elsewhere.
"""

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from campaign.analysis.dispatch import dispatch_lag_s
from campaign.analysis.rules import RULES
from campaign.core.jobs import PREEMPTED
from campaign.core.trials import Check
from campaign.schema.model import ValiditySettings
from schedulers.base import LaunchLimit

if TYPE_CHECKING:
    from campaign.guest.clocks import NodeClock

NS_PER_S = 1_000_000_000
Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]
Seconds = NDArray[np.float64]


def check_trial(
    jobs: pa.Table,
    *,
    slots: Mapping[str, int],
    clocks: Mapping[str, "NodeClock"],
    steal: Mapping[str, float],
    cpu_taken: float | None,
    dispatch_delay_s: float,
    vcpus_per_cpu: float,
    memory_promised: float,
    lost_nodes: Collection[str],
    console_faults: Collection[str],
    settings: ValiditySettings,
    launch_limit: LaunchLimit,
    resolution_s: float,
    dense: bool = False,
) -> tuple[Check, ...]:
    """Check a trial's jobs table (JOBS_SCHEMA) and what was seen around it.

    `slots` are those of each compute node and `clocks` the measured clocks of all nodes, by node
    name; `steal` is the CPU time that others took during the workload, as a fraction, by machine;
    `cpu_taken` is the share of the CPU time that nodes wanted and other programs of the host had
    (see `campaign.core.host_load`), None where that is unknown: then it isn't checked.
    `dispatch_delay_s` is how long the scheduler itself may wait before it looks at a job.
    `vcpus_per_cpu` and `memory_promised` are what a host had promised to nodes meanwhile, for each
    of its CPUs and of its memory. `launch_limit` and `resolution_s` are the
    scheduler's, as `check_accounts` has them, and `dense` too.
    """
    clock_error_s = max((clock.error_s for clock in clocks.values()), default=0.0)
    found = {
        "unmeasured clocks": len(set(slots) - set(clocks)),
        "clock error": clock_error_s,
        "CPU steal": max(steal.values(), default=0.0),
        "CPU time taken by others": cpu_taken or 0.0,
        "vCPUs per CPU": vcpus_per_cpu,
        "memory promised": memory_promised,
        "lost nodes": len(lost_nodes),
        "console faults": len(console_faults),
    }
    if cpu_taken is None:
        del found["CPU time taken by others"]
    # Others do no harm unless something came late. Many nodes on few CPUs wait for one another, and
    # a scheduler may be told to wait: neither is the doing of others.
    late = dispatch_lag_s(jobs) > dispatch_delay_s + launch_limit.latency_s / 2
    harmless = {} if late else {"CPU time taken by others": 1.0 - settings.max_cpu_taken}
    return (
        *check_schedule(jobs, slots=slots, settings=settings, clock_error_s=clock_error_s),
        *_checks(found, settings, harmless),
        *check_accounts(
            jobs,
            settings=settings,
            launch_limit=launch_limit,
            resolution_s=resolution_s,
            dense=dense,
        ),
    )


def check_accounts(
    jobs: pa.Table,
    *,
    settings: ValiditySettings,
    launch_limit: LaunchLimit,
    resolution_s: float,
    dense: bool = False,
) -> tuple[Check, ...]:
    """Check the scheduler's own accounts in a jobs table (JOBS_SCHEMA) against what was measured.

    A start may differ by what `launch_limit` allows for as many launches at once on a node as there
    were, and any time by `resolution_s`, that of these accounts, beside what `settings` allow. The
    nodes of a `dense` cluster share the CPUs of one VM, and count as one for that. Of the starts,
    the one that exceeds its own limit most is told, or that comes closest to it.
    """
    table = _Jobs(jobs, {})
    allowed_s = np.array(
        [launch_limit.allowed_s(count) for count in table.launches(launch_limit, dense)]
    )
    gaps_s = table.native_gaps_s("start")
    worst = int(np.argmax(gaps_s - allowed_s)) if gaps_s.size else None
    found = {
        "jobs missing in native accounting": int((table.missing("native_state") & table.ran).sum()),
        "gap to native starts": 0.0 if worst is None else float(gaps_s[worst]),
        "gap to native ends": float(table.native_gaps_s("end").max(initial=0.0)),
    }
    launch_s = launch_limit.latency_s if worst is None else float(allowed_s[worst])
    allowances = {
        "gap to native starts": launch_s + resolution_s,
        "gap to native ends": resolution_s,
    }
    return tuple(_checks(found, settings, allowances))


def check_schedule(
    jobs: pa.Table,
    *,
    slots: Mapping[str, int],
    settings: ValiditySettings,
    clock_error_s: float = 0.0,
) -> tuple[Check, ...]:
    """Make the checks that need only the jobs table (JOBS_SCHEMA) and the nodes' slots.

    `slots` are those of the compute nodes, by name. A table in which no job has nodes doesn't say
    where jobs ran: checks over nodes are then left out. Overlaps within `clock_error_s` don't
    count.
    """
    table = _Jobs(jobs, slots)
    found: dict[str, float] = {
        "jobs not submitted": int(table.missing("submit_ns").sum()),
        "incomplete jobs": int((~table.complete()).sum()),
    }
    if table.placed:
        found["jobs on other nodes than asked for"] = int((table.ran & ~table.as_asked()).sum())
        found["slots overbooked on a node"] = table.overload(round(clock_error_s * NS_PER_S))
    found["times out of order"] = table.out_of_order_s()
    found["submission lag"] = table.lag_s()
    return tuple(_checks(found, settings))


def valid(checks: Iterable[Check]) -> bool:
    """Return True if a trial with these checks is a data point."""
    return all(check.ok for check in checks)


def reason(checks: Iterable[Check]) -> str:
    """Return why a trial is invalid, on one line; empty if it is valid."""
    failed = (check for check in checks if not check.ok)
    return "; ".join(
        f"{check.name}: {check.value:.3g} {check.unit} (limit {check.limit:.3g})"
        for check in failed
    )


def _checks(
    found: Mapping[str, float],
    settings: ValiditySettings,
    allowances: Mapping[str, float] | None = None,
) -> Iterable[Check]:
    for name, value in found.items():
        limit = getattr(settings, RULES[name].limit) + (allowances or {}).get(name, 0.0)
        yield Check(name=name, value=value, limit=limit, unit=RULES[name].unit, ok=value <= limit)


class _Jobs:
    """The columns of a jobs table, and what the checks find in them.

    `slots` are those of each compute node.
    """

    def __init__(self, jobs: pa.Table, slots: Mapping[str, int]) -> None:
        self._table = jobs.combine_chunks()
        self._slots = slots
        self.ran: Flags = ~(self.missing("start_ns") | self.missing("end_ns"))

    @property
    def placed(self) -> bool:
        """True unless no job of the table has nodes: then it doesn't say where jobs ran."""
        nodes = self._table.column("nodes")
        return nodes.null_count < len(nodes) or not len(nodes)

    def missing(self, name: str) -> Flags:
        """Return which jobs have no value in the column `name`."""
        return np.asarray(pc.is_null(self._table.column(name)).to_numpy(), dtype=np.bool_)

    def complete(self) -> Flags:
        """Return which jobs ended well, on every node that they asked for if nodes are known.

        One that was ended to make room for another is what the policy wanted of it.
        """
        gave_way = pc.fill_null(pc.equal(self._table.column("native_state"), PREEMPTED), False)
        well = (self._whole("exit_code", -1) == 0) | np.asarray(gave_way.to_numpy(), np.bool_)
        ended: Flags = well & ~self.missing("end_ns")
        if not self.placed:
            return ended
        return np.asarray(ended & (self._node_counts() == self._whole("nodes_requested", -1)))

    def as_asked(self) -> Flags:
        """Return which jobs ran on as many different nodes of the cluster as they asked for."""
        counts = self._node_counts()
        job = self._places[0]
        known = np.bincount(job, minlength=counts.size)  # different nodes of the cluster
        return np.asarray((known == counts) & (counts == self._whole("nodes_requested", -1)))

    def overload(self, margin_ns: int) -> int:
        """Return the most slots in use on a node beyond those that it has; 0 if there were none.

        A job's slots on one of several nodes aren't known, but at least those that its other nodes
        can't hold are. A job counts as running when it is for certain, given that two clocks may
        disagree by twice their error.
        """
        job, node = self._places
        begin = self._whole("start_ns") + margin_ns
        end = self._whole("end_ns") - margin_ns
        certain = (self.ran & (begin < end))[job]
        job = job[certain]
        node = node[certain]
        if not job.size:
            return 0
        room = np.array(list(self._slots.values()), dtype=np.int64)
        # At most: all slots of the job's nodes but this one.
        held_elsewhere = np.bincount(job, room[node]).astype(np.int64)[job] - room[node]
        least = np.maximum(1, self._whole("width")[job] - held_elsewhere)
        where = np.concatenate([node, node])
        times = np.concatenate([begin[job], end[job]])
        return max(
            0, int((_peaks(where, times, np.concatenate([least, -least]), room.size) - room).max())
        )

    def out_of_order_s(self) -> float:
        """Return the longest time (s) by which a job's times are in the wrong order.

        A job is that started before its submission, or ended before its start.
        """
        submit, start, end = (self._whole(f"{name}_ns") for name in ("submit", "start", "end"))
        return max(
            _longest_s(submit - start, ~self.missing("submit_ns") & ~self.missing("start_ns")),
            _longest_s(start - end, self.ran),
        )

    def lag_s(self) -> float:
        """Return how late the latest submission was after its intended time, in seconds."""
        lag = self._whole("submit_ns") - self._whole("intended_ns")
        return _longest_s(lag, ~self.missing("submit_ns") & ~self.missing("intended_ns"))

    def native_gaps_s(self, moment: str) -> Seconds:
        """Return the gap (s) between our and the scheduler's own account of each job.

        `moment` is "start" or "end". The gap is 0 where either isn't known.
        """
        native = pc.fill_null(self._table.column(f"native_{moment}_s"), 0.0).to_numpy()
        gap = np.abs(self._whole(f"{moment}_ns") / NS_PER_S - native)
        return np.asarray(np.where(self._known(moment), gap, 0.0), dtype=np.float64)

    def launches(self, limit: LaunchLimit, dense: bool) -> Counts:
        """Return how many jobs were launched at once on a node of each job, the job included.

        In a `dense` cluster, the nodes of all jobs count, one by one.

        It is the most on any of its nodes. A launch lasts from the job's start by the scheduler's
        accounts to its first instruction; another one counts if it falls into that time, or into
        the first `latency_s` of `limit` of it where it lasted longer.
        """
        names = pc.list_flatten(self._table.column("nodes"))
        node = np.asarray(pc.index_in(names, value_set=names.unique()).to_numpy(), dtype=np.int64)
        if dense:
            node = np.zeros_like(node)
        job = np.repeat(np.arange(self._table.num_rows), self._node_counts())
        known = self._known("start")[job]
        job = job[known]
        node = node[known]
        native = pc.fill_null(self._table.column("native_start_s"), 0.0).to_numpy()[job]
        begun = self._whole("start_ns")[job] / NS_PER_S
        until = np.minimum(native + limit.latency_s, np.maximum(begun, native))
        counts = np.ones(self._table.num_rows, dtype=np.int64)
        for place in np.unique(node):
            here = node == place
            # Those that had begun to be launched by then, less those that already ran before.
            came = np.searchsorted(np.sort(native[here]), until[here], side="right")
            ran = np.searchsorted(np.sort(begun[here]), native[here], side="left")
            np.maximum.at(counts, job[here], came - ran)
        return counts

    def _known(self, moment: str) -> Flags:
        return np.asarray(self.ran & ~self.missing(f"native_{moment}_s"), dtype=np.bool_)

    def _whole(self, name: str, absent: int = 0) -> Counts:
        return np.asarray(pc.fill_null(self._table.column(name), absent).to_numpy(), dtype=np.int64)

    def _node_counts(self) -> Counts:
        lengths = pc.list_value_length(self._table.column("nodes"))
        return np.asarray(pc.fill_null(lengths, 0).to_numpy(), dtype=np.int64)

    @cached_property
    def _places(self) -> tuple[Counts, Counts]:
        """Pairs of a job's row and the index of a node on which it ran, each pair once."""
        names = pc.list_flatten(self._table.column("nodes"))
        found = pc.fill_null(
            pc.index_in(names, value_set=pa.array(list(self._slots), pa.string())), -1
        )
        node = np.asarray(found.to_numpy(), dtype=np.int64)
        job = np.repeat(np.arange(self._table.num_rows), self._node_counts())
        # A job and a node as one number, so that each pair is counted once.
        pairs = np.sort((job * len(self._slots) + node)[node >= 0])
        pairs = pairs[np.diff(pairs, prepend=-1) > 0]
        return np.divmod(pairs, max(1, len(self._slots)))


def _peaks(where: Counts, times: Counts, changes: Counts, places: int) -> Counts:
    """Return the highest sum of changes at each place; at one instant, ends come first."""
    order = np.lexsort((changes, times, where))
    # all changes of a place add up to none
    where = where[order]
    sums = np.cumsum(changes[order])
    first = np.flatnonzero(np.diff(where, prepend=-1))
    peaks = np.zeros(places, dtype=np.int64)
    peaks[where[first]] = np.maximum.reduceat(sums, first)
    return peaks


def _longest_s(times_ns: Counts, known: Flags) -> float:
    return float(times_ns[known].max(initial=0)) / NS_PER_S
