"""Settings of PCI devices, which a host has and nodes ask for, and of further networks of nodes."""

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from campaign.schema.settings import NAME_PATTERN, Settings, setting

MOST_NETWORKS = 8
"""A node's machine has places for so many more cards."""
DeviceKind = Literal["gpu", "fpga", "nic", "other"]
LINK_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$"
"""The pattern of a network link's name on Linux."""
PCI_PATTERN = r"^[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$"
"""The pattern of a PCI function's address: domain, bus, slot and function."""
NETWORK_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,49}$"
"""The pattern of the name that a network has in libvirt."""

PciAddress = Annotated[str, Field(pattern=PCI_PATTERN)]
DeviceCounts = dict[DeviceKind, Annotated[int, Field(ge=1, le=8)]]
"""So many devices by kind."""
DEVICES_ALLOWED = "gpu | fpga | nic | other: [1 .. 8]"
"""What `DeviceCounts` may hold, in words."""


class DeviceSettings(Settings):
    """A PCI device of a host, which is passed through to one node at a time."""

    address: str = setting(
        help="its PCI address on the host, as `lspci -D` prints it, such as 0000:65:00.0",
        pattern=PCI_PATTERN,
    )
    kind: DeviceKind = setting(help="the kind by which nodes ask for it (cluster.devices)")
    companions: list[PciAddress] = setting(
        factory=list,
        help="further functions that go with it to the same node, such as a GPU's sound: whatever "
        "shares its IOMMU group",
        allowed="[PCI address, ..]",
    )

    @property
    def functions(self) -> tuple[str, ...]:
        """The addresses of all PCI functions that a node gets with it, its own first."""
        return (self.address, *self.companions)


class NetworkSettings(Settings):
    """A further network on which each compute node has a card, beside the cluster's own."""

    bridge: str | None = setting(
        None, help="a bridge of the host's that cards are plugged into", pattern=LINK_PATTERN
    )
    network: str | None = setting(
        None,
        help="a network of the host's libvirt instead, by its name there",
        pattern=NETWORK_PATTERN,
    )
    model: Literal["virtio", "e1000", "e1000e"] = setting(
        "virtio", help="what a card looks like to the node; our images have a driver for virtio"
    )
    first_address: str | None = setting(
        None,
        help="the first compute node's IPv4 address there, the others' follow; if not given, the "
        "card comes up without one",
        allowed="ADDRESS/PREFIX, such as 10.90.0.11/24",
    )
    rate_mbit: int | None = setting(
        None,
        help="what a card sends, and what it gets, at most",
        unit="Mbit/s",
        ge=1,
        le=400_000,
    )
    latency_ms: float | None = setting(
        None,
        help="delay of each frame on its way to a node, in either direction between two nodes",
        unit="ms",
        ge=0.001,
        le=10_000,
    )

    def address(self, place: int) -> ipaddress.IPv4Interface | None:
        """Return the address of compute node number `place`, from 0 on, with its prefix.

        None where the network gives no addresses, or where so many nodes have no room in it.
        """
        if self.first_address is None:
            return None
        first = ipaddress.IPv4Interface(self.first_address)
        network = first.network
        if int(first.ip) + place >= int(network.broadcast_address):
            return None
        return ipaddress.IPv4Interface(f"{first.ip + place}/{network.prefixlen}")

    @field_validator("first_address")
    @classmethod
    def _of_a_node(cls, text: str | None) -> str | None:
        if text is None:
            return None
        try:
            found = ipaddress.IPv4Interface(text)
        except ValueError:
            raise ValueError("not an IPv4 address with the length of its prefix") from None
        network = found.network
        if network.prefixlen > 30 or found.ip in (network[0], network[-1]):
            raise ValueError("not an address that a node of a network can have")
        return str(found)

    @model_validator(mode="after")
    def _of_one_origin(self) -> "NetworkSettings":
        if (self.bridge is None) == (self.network is None):
            raise ValueError("a network is either a bridge or a network of libvirt's: set one")
        return self


def _few_and_named(networks: dict[str, NetworkSettings]) -> dict[str, NetworkSettings]:
    if wrong := [name for name in networks if not re.fullmatch(NAME_PATTERN, name)]:
        raise ValueError(f"names of networks match {NAME_PATTERN}, but {wrong[0]!r} doesn't")
    if len(networks) > MOST_NETWORKS:
        raise ValueError(f"a node has places for {MOST_NETWORKS} cards, not {len(networks)}")
    return networks


Networks = Annotated[dict[str, NetworkSettings], AfterValidator(_few_and_named)]
"""Further networks of nodes, by name."""
