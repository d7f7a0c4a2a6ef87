"""How long each thing that is asked of a cluster may take, and what makes these times longer.

Seconds are stated here for the reference machine (see `actors.hypervisor.calibration`) and
stretched for a host: by its calibration, by whether its guests are emulated, and by its pressure. A
phase of a cluster's life has a limit of its scheduler's (`schedulers.base.PhaseLimits`), stretched
likewise.
"""

from dataclasses import dataclass, fields
from typing import Self

ROOM = 2.0
"""The stated seconds of single questions are that many times what the reference machine needs at
most: they are stretched on hosts that are slower than that."""
MOST_PRESSURE = 3.0
"""The most by which pressure makes a limit longer. A host under more of it is better left than
waited for."""


@dataclass(frozen=True)
class TimeLimits:
    """The limits of what is asked of a cluster's nodes on one host, in seconds.

    Without arguments, they are those of the reference machine.
    """

    query_s: float = 60.0
    """For a question to a node: a command, files that are put there or fetched."""
    clock_s: float = 60.0
    """For one answer of a node's clock."""
    login_s: float = 60.0
    """For an SSH handshake, which is a key exchange between CPUs that may be emulated and busy."""
    set_clock_s: float = 30.0
    """For setting a restored node's clock."""
    probe_s: float = 30.0
    """For one try of a probe, which is tried again until its own deadline."""
    margin_s: float = 30.0
    """How much later than a command that the node itself limits the connection gives up."""
    loss_s: float = 60.0
    """For a scheduler to give up the jobs of a lost node."""
    logs_s: float = 60.0
    """For fetching all logs, after whatever a trial has ended with."""
    unanswered_s: float = 180.0
    """For a node that leaves questions unanswered while its jobs run: it is asked again."""
    stretch: float = 1.0
    """By how much limits are longer here that are stated elsewhere, as those of probes in plans."""

    @classmethod
    def on(cls, slowness: float, pressure: float = 1.0) -> Self:
        """Return the limits on a host.

        `slowness` is how many times longer than on the reference machine work takes on its nodes,
        `pressure` how many times longer it takes at present because of other programs; at most
        MOST_PRESSURE of it counts.
        """
        stretch = stretch_of(slowness, pressure)
        longer = max(1.0, stretch / ROOM)
        names = [one.name for one in fields(cls) if one.name != "stretch"]
        return cls(**{name: getattr(cls, name) * longer for name in names}, stretch=stretch)


def stretch_of(slowness: float, pressure: float = 1.0) -> float:
    """Return by how much a limit that is stated for the reference machine is longer on a host.

    The arguments are those of `TimeLimits.on`. No limit is ever shorter than it is stated.
    """
    return max(1.0, slowness) * min(MOST_PRESSURE, max(1.0, pressure))
