"""The validity gate: whether a trial's jobs table is a data point, or shows that something else was measured.

Each check has a value and a limit; a trial is valid when all keep theirs. Nothing here decides what to do about it.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from campaign.trials import Check

if TYPE_CHECKING:
    import pyarrow as pa

    from campaign.guest.clocks import NodeClock
    from campaign.model import ValiditySettings

NS_PER_S = 1e9
Row = dict[str, Any]


def judge(
    jobs: "pa.Table",
    *,
    slots: Mapping[str, int],
    clocks: Mapping[str, "NodeClock"],
    steal: Mapping[str, float],
    lost_nodes: Collection[str],
    console_faults: Collection[str],
    settings: "ValiditySettings",
    resolution_s: float,
) -> tuple[Check, ...]:
    """Check a trial's jobs table (JOBS_SCHEMA) and what was seen around it.

    `slots` are those of each compute node and `clocks` the measured clocks of all nodes, by node name; `steal` is the
    CPU time that others took during the workload, as a fraction, by machine; `resolution_s` is that of the scheduler's
    own accounting.
    """
    rows = jobs.to_pylist()
    ran = [row for row in rows if row["start_ns"] is not None and row["end_ns"] is not None]
    clock_error_s = max((clock.error_s for clock in clocks.values()), default=0.0)
    native_limit_s = settings.max_native_gap_s + resolution_s
    return (
        _check("incomplete jobs", sum(not _complete(row) for row in rows), 0, "jobs"),
        _check("jobs on other nodes than asked for", sum(not _as_asked(row, slots) for row in ran), 0, "jobs"),
        _check("slots overbooked on a node", _overload(ran, slots, clock_error_s), 0, "slots"),
        _check("unmeasured clocks", len(set(slots) - set(clocks)), 0, "nodes"),
        _check("clock error", clock_error_s, settings.max_clock_error_s, "s"),
        _check("submission lag", max(map(_lag_s, rows), default=0.0), settings.max_submit_lag_s, "s"),
        _check("CPU steal", max(steal.values(), default=0.0), settings.max_steal, "fraction"),
        _check("lost nodes", len(lost_nodes), 0, "nodes"),
        _check("console faults", len(console_faults), 0, "faults"),
        _check("jobs missing in native accounting", sum(row["native_state"] is None for row in ran), 0, "jobs"),
        _check("gap to native accounting", max(map(_native_gap_s, ran), default=0.0), native_limit_s, "s"),
    )


def valid(checks: Iterable[Check]) -> bool:
    """Whether a trial with these checks is a data point."""
    return all(check.ok for check in checks)


def reason(checks: Iterable[Check]) -> str:
    """Why a trial is invalid, on one line; empty when it isn't."""
    failed = (check for check in checks if not check.ok)
    return "; ".join(f"{check.name}: {check.value:.3g} {check.unit} (limit {check.limit:.3g})" for check in failed)


def _check(name: str, value: float, limit: float, unit: str) -> Check:
    return Check(name=name, value=value, limit=limit, unit=unit, ok=value <= limit)


def _complete(row: Row) -> bool:
    """Ended well on every node that it asked for."""
    return row["exit_code"] == 0 and row["end_ns"] is not None and len(row["nodes"] or ()) == row["nodes_requested"]


def _as_asked(row: Row, slots: Mapping[str, int]) -> bool:
    """On as many nodes as it asked for, all of them the cluster's and no two the same."""
    nodes = row["nodes"]
    return len(nodes) == len(set(nodes)) == row["nodes_requested"] and set(nodes) <= set(slots)


def _lag_s(row: Row) -> float:
    if row["submit_ns"] is None or row["intended_ns"] is None:
        return 0.0  # a job that was never submitted is incomplete
    return float(row["submit_ns"] - row["intended_ns"]) / NS_PER_S


def _native_gap_s(row: Row) -> float:
    pairs = (("start_ns", "native_start_s"), ("end_ns", "native_end_s"))
    return max((abs(row[ours] / NS_PER_S - row[its]) for ours, its in pairs if row[its] is not None), default=0.0)


def _overload(rows: list[Row], slots: Mapping[str, int], clock_error_s: float) -> int:
    """The most slots that were in use on a node beyond those it has; 0 if never any.

    A job's slots on one of several nodes aren't known, but at least those that its other nodes can't hold are. A job
    counts as running when it is for certain, given that two clocks may disagree by twice their error.
    """
    changes: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
    margin_ns = clock_error_s * NS_PER_S
    for row in rows:
        begin, end = row["start_ns"] + margin_ns, row["end_ns"] - margin_ns
        known = [node for node in row["nodes"] if node in slots]
        for node in known if begin < end else ():
            least = max(1, row["width"] - sum(slots[other] for other in known if other != node))
            changes[node] += [(begin, least), (end, -least)]
    return max([0, *(_peak(events) - slots[node] for node, events in changes.items())])


def _peak(events: list[tuple[float, int]]) -> int:
    """The highest sum of changes; at one instant, ends come before beginnings."""
    return max(accumulate(change for _, change in sorted(events)))
