"""What happens to a cluster of Slurm's while its workload runs: reservations, and node events."""

from collections.abc import Iterator
from math import ceil

from campaign.core.cluster import Reservation
from schedulers.base import TimedCommand, Topology
from schedulers.node_events import nodes_of
from schedulers.slurm.cluster_conf import WHOLE

_STATES = {
    # A node that is down is used again as soon as its daemon answers: one that is drained isn't.
    "down": ("State=DOWN", "State=DRAIN"),
    "drain": ("State=DRAIN",),
    "up": ("State=RESUME",),
}


def timed_commands(topology: Topology) -> Iterator[TimedCommand]:
    """Yield the commands by their seconds after the workload's start.

    A reservation is made at once, whenever it begins: jobs may already wait for it.
    """
    for reservation in topology.model.reservations:
        yield 0.0, ("scontrol", "create", "reservation", *_reservation(reservation, topology))
    for event in topology.model.events:
        for state in _STATES[event.becomes]:
            reason = () if event.becomes == "up" else ("Reason=event",)
            names = ",".join(nodes_of(event, topology))
            yield event.at_s, ("scontrol", "update", f"NodeName={names}", state, *reason)


def _reservation(reservation: Reservation, topology: Topology) -> Iterator[str]:
    yield f"ReservationName={reservation.name}"
    yield f"StartTime=now+{ceil(reservation.start_s)}"
    yield f"Duration={max(1, ceil(reservation.duration_s / 60))}"
    if reservation.group is not None:
        of_group = [node.name for node in topology.compute if node.group == reservation.group]
        yield f"Nodes={','.join(of_group[: reservation.nodes])}"
    elif reservation.nodes is not None:
        yield f"NodeCnt={reservation.nodes}"
        if topology.model.partitions:
            yield f"PartitionName={WHOLE}"
    else:
        yield "Nodes=ALL"
    if reservation.users or not reservation.accounts:
        yield f"Users={','.join(reservation.users) or 'root'}"
    if reservation.accounts:
        yield f"Accounts={','.join(reservation.accounts)}"
    if reservation.maintenance:
        yield "Flags=MAINT,IGNORE_JOBS"
