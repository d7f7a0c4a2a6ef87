"""A cluster's own layer-2 network over several hosts: a bridge on each, joined by a VXLAN.

It needs root. VXLAN is RFC 7348. The names of the links are written into a run folder with a lease
before they are made, so the reaper finds them.
"""

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from actors.hypervisor import link_command

VXLAN_PORT = 4789
VXLAN_MTU = 1450
"""What is left of an Ethernet frame of 1500 bytes after VXLAN's headers."""


@dataclass(frozen=True)
class Bridge:
    """A bridge of the host's that a cluster's nodes are plugged into."""

    name: str
    mtu: int = 1500
    """The longest packet that gets through, in bytes."""


@dataclass(frozen=True)
class Overlay:
    """One cluster's VXLAN as one of its hosts sees it."""

    number: int
    address: str
    """The host's own address."""
    peers: tuple[str, ...]
    """The addresses of the other hosts."""

    @property
    def bridge(self) -> Bridge:
        """The bridge that it ends in on this host."""
        return Bridge(f"cbr-{self.number:06x}", VXLAN_MTU)

    @property
    def links(self) -> tuple[str, ...]:
        """The links that it consists of on this host."""
        return (self.bridge.name, f"cvx-{self.number:06x}")

    def build(self) -> None:
        """Make the links; NetworkUnusable says what was in the way.

        Frames go to every peer until it is known behind which an address is.
        """
        bridge, tunnel = self.links
        # By default a bridge holds a new port back for seconds, and withholds multicast from ports
        # where nobody has asked for it.
        _ip("link", "add", bridge, "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
        vxlan = ("id", self.number, "dstport", VXLAN_PORT, "local", self.address)
        _ip("link", "add", tunnel, "mtu", VXLAN_MTU, "type", "vxlan", *vxlan)
        for peer in self.peers:
            # The all-zero address says where frames for unknown addresses go. A multicast group,
            # the usual way, would need the network between the hosts to carry it.
            _run("bridge", "fdb", "append", "00:00:00:00:00:00", "dev", tunnel, "dst", peer)
        _ip("link", "set", tunnel, "master", bridge, "up")
        _ip("link", "set", bridge, "up")


def remove(links: Iterable[str]) -> None:
    """Remove links of ours; harmless where there are none."""
    for link in links:
        subprocess.run(
            (link_command.program("ip"), "link", "del", link),
            capture_output=True,
            check=False,
            timeout=link_command.COMMAND_TIMEOUT_S,
        )


def _ip(*arguments: object) -> None:
    _run("ip", *arguments)


def _run(program: str, *arguments: object) -> None:
    link_command.run(program, *arguments, fix=_FIX)


_FIX = (
    "A cluster that spans hosts needs root and iproute2 on each of them; or set hosts.*.bridge to "
    "a bridge that the site provides."
)
