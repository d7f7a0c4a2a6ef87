"""A cluster's reservations, the changes of its nodes, and who gives way, as arrays."""

import numpy as np

from campaign.core.cluster import ClusterModel, NodeEvent, Partition, Qos, Reservation
from campaign.core.errors import SchedulerError
from campaign.schema.cluster import PreemptMode
from campaign.simulation.engine import NS
from campaign.simulation.site_arrays import (
    CANCELLED,
    CHANGE,
    CLASS,
    DOWN,
    DRAINED,
    REQUEUED,
    RESERVATION_ROW,
    STAYS,
    UP,
    Flags,
    Ints,
    Records,
    records,
)
from schedulers.base import Topology

BECOMES = {"off": STAYS, "requeue": REQUEUED, "cancel": CANCELLED}
BECOMING = {"down": DOWN, "drain": DRAINED, "up": UP}
MOST = 65_535
"""The most that counts of the priority of a quality of service whose jobs give way."""


def reserved(topology: Topology, clock: int) -> tuple[Records, Flags]:
    """Return the reservations, each of whole minutes, and flags of their nodes.

    The workload begins at `clock` (ns).
    """
    found = topology.model.reservations
    begin = np.array([np.ceil(each.start_s) for each in found], np.int64) * NS + clock
    lasting = np.array([max(1, -(-each.duration_s // 60)) for each in found], np.int64) * 60 * NS
    rows: list[Flags] = []
    for number, each in enumerate(found):
        rows.append(_nodes(each, topology, begin, begin + lasting, rows, number))
    shape = (len(found), len(topology.compute))
    table = records(
        RESERVATION_ROW,
        len(found),
        begin=begin,
        end=begin + lasting,
        everything=[each.nodes is None and each.group is None for each in found],
        maintenance=[each.maintenance for each in found],
    )
    return table, np.array(rows, np.bool_).reshape(shape)


def changes_of(topology: Topology, clock: int) -> Records:
    """Return what happens to nodes, by time; the workload begins at `clock` (ns)."""
    rows = [
        (int(np.rint(event.at_s * NS)) + clock, node, int(BECOMING[event.becomes]))
        for event in topology.model.events
        for node in _changed(event, topology)
    ]
    table = np.array(sorted(rows, key=lambda row: row[0]), np.int64).reshape(-1, 3)
    columns = dict(zip(("time", "node", "becomes"), table.T, strict=True))
    return records(CHANGE, len(table), **columns)


def classes_of(model: ClusterModel) -> tuple[Records, Flags, Flags]:
    """Return who gives way to whom: by partition, or by quality of service, or nobody.

    That is the classes, which of them may take from which, and which come before which. The last
    class is of jobs that have none.
    """
    _refuse_suspension(model)
    if any(each.preempt != "off" for each in model.partitions):
        becomes = [each.preempt for each in model.partitions]
        tiers = np.array([each.priority_tier for each in model.partitions])
        above = tiers[:, None] > tiers[None, :]
        # A higher tier comes first anyway.
        return _classes(becomes, tiers, above, np.zeros_like(above))
    names = [each.name for each in model.qos]
    above = np.array([[other in each.preempts for other in names] for each in model.qos], np.bool_)
    above = above.reshape(len(names), len(names))
    default = _mode(model, above)
    becomes = [each.preempt if each.preempt != "off" else default for each in model.qos]
    ranks = np.array([min(each.priority, MOST) for each in model.qos], np.int64)
    return _classes(becomes, ranks, above, above)


def standing_of(model: ClusterModel, partition: Ints, qos: list[str | None]) -> Ints:
    """Return the class of each job."""
    if any(each.preempt != "off" for each in model.partitions):
        return partition
    places = {each.name: at for at, each in enumerate(model.qos)}
    return np.array([places.get(name or "", len(places)) for name in qos], np.int64)


def _mode(model: ClusterModel, above: Flags) -> PreemptMode:
    """Return what becomes of jobs that give way though their quality of service doesn't say it."""
    modes = {each.preempt for at, each in enumerate(model.qos) if above[:, at].any()}
    known: tuple[PreemptMode, ...] = ("requeue", "cancel")
    return next((mode for mode in known if mode in modes), "off")


def _classes(
    becomes: list[PreemptMode], rank: Ints, above: Flags, first: Flags
) -> tuple[Records, Flags, Flags]:
    table = records(
        CLASS,
        len(becomes) + 1,
        becomes=[int(BECOMES[mode]) for mode in [*becomes, "off"]],
        rank=[*rank.tolist(), 0],
    )
    return table, np.pad(above, (0, 1)), np.pad(first, (0, 1))


def _refuse_suspension(model: ClusterModel) -> None:
    both: list[Partition | Qos] = [*model.partitions, *model.qos]
    for each in both:
        if each.preempt == "suspend":
            raise SchedulerError(
                f"{each.name}: preempt=suspend isn't simulated",
                resolution="Set preempt=requeue or cancel, or use testbed=virtual-time.",
            )


def _nodes(
    reservation: Reservation,
    topology: Topology,
    begin: Ints,
    end: Ints,
    earlier: list[Flags],
    number: int,
) -> Flags:
    """Return the nodes of a reservation: where none are named, the first that are not reserved."""
    nodes = topology.compute
    group = reservation.group
    free = np.array([group is None or node.group == group for node in nodes], np.bool_)
    if reservation.nodes is None:
        return free
    if group is None:
        for other, row in enumerate(earlier):
            if begin[other] < end[number] and end[other] > begin[number]:
                free &= ~row
    return free & (np.cumsum(free) <= reservation.nodes)


def _changed(event: NodeEvent, topology: Topology) -> list[int]:
    nodes = topology.compute
    if event.node is not None:
        return [at for at, node in enumerate(nodes) if node.name == event.node]
    return [at for at, node in enumerate(nodes) if node.group == event.group][: event.count]
