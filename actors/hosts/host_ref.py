"""What the pool of hosts tells others of a host: that it has changed, and how to use it."""

from dataclasses import dataclass

from actors.hosts.actor_log import LogPlace
from actors.hosts.host_actor import HostActor
from actors.hosts.remote_call import RemoteActor
from actors.hosts.slot import HostFacts


@dataclass(frozen=True)
class HostChange:
    """A host that has opened, with its facts; or that is out of service, and why."""

    host: str
    facts: HostFacts | None = None
    why: str = ""
    gone: bool = False
    """True if what the host had is lost."""


@dataclass(frozen=True)
class HostRef:
    """An open host, as the actor of a cluster needs to know it."""

    name: str
    actor: RemoteActor[HostActor]
    address: str
    """The address at which other hosts of the cluster reach it."""
    local: bool
    """True if it is the driver's machine."""
    bridge: str | None
    """The bridge that joins it to other hosts, if the site has one."""
    log_place: LogPlace | None = None
    """Where actors there write their logs, if anybody wants them."""
