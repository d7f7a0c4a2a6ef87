"""What a node has of its host's: PCI devices passed through, and cards on further networks.

Pure: their elements of libvirt's XML, and which descriptions are refused. What libvirt has no
element for, a card's latency, is set by `actors.hypervisor.shaping`.
"""

import hashlib
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from campaign.schema.devices import LINK_PATTERN, NETWORK_PATTERN, PCI_PATTERN

KBYTE_PER_MBIT = 125
"""libvirt counts a rate in kilobytes a second, of 1000 bytes each."""
_TAP_PREFIX = "cnt-"
# The lowest bit of a unicast address's first byte is 0.
UNICAST_MAC = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}")


@dataclass(frozen=True)
class NetworkCard:
    """A node's card on the further network called `network`.

    `source` tells whether `where` is a bridge of the host's or a network of its libvirt. It sends
    and gets `rate_mbit` at most, and each frame to it is `latency_ms` late. `address` is what the
    node gives it, with the length of its prefix.
    """

    network: str
    source: Literal["bridge", "network"]
    where: str
    mac: str
    model: str = "virtio"
    rate_mbit: int | None = None
    latency_ms: float | None = None
    address: str | None = None

    def tap(self, domain: str) -> str:
        """Return the name of the link that is the card's other end on the host.

        libvirt would draw one of its own, which nobody else could foretell.
        """
        digest = hashlib.sha256(f"{domain}/{self.network}".encode()).hexdigest()
        return _TAP_PREFIX + digest[:10]


def add_hostdev(devices: ET.Element, address: str) -> None:
    """Add the PCI function at `address`, which libvirt takes from its driver and gives back."""
    hostdev = ET.SubElement(
        devices, "hostdev", {"mode": "subsystem", "type": "pci", "managed": "yes"}
    )
    domain, bus, slot, function = re.split(r"[:.]", address)
    parts = {"domain": domain, "bus": bus, "slot": slot, "function": function}
    source = ET.SubElement(hostdev, "source")
    ET.SubElement(source, "address", {name: f"0x{part}" for name, part in parts.items()})


def add_card(devices: ET.Element, card: NetworkCard, domain: str) -> None:
    """Add a card on a further network to the domain of that name."""
    interface = ET.SubElement(devices, "interface", {"type": card.source})
    ET.SubElement(interface, "mac", {"address": card.mac})
    ET.SubElement(interface, "source", {card.source: card.where})
    ET.SubElement(interface, "target", {"dev": card.tap(domain)})
    ET.SubElement(interface, "model", {"type": card.model})
    if card.rate_mbit is not None:
        bandwidth = ET.SubElement(interface, "bandwidth")
        for direction in ("inbound", "outbound"):
            average = str(card.rate_mbit * KBYTE_PER_MBIT)
            ET.SubElement(bandwidth, direction, {"average": average})
    # No boot ROM: the firmware would spend time on offering to boot from the network.
    ET.SubElement(interface, "rom", {"enabled": "no"})


def problems(
    devices: tuple[str, ...], cards: tuple[NetworkCard, ...]
) -> Iterator[tuple[str, object, str]]:
    """Yield field, value and rule of each value that can't be meant."""
    for address in devices:
        if not re.fullmatch(PCI_PATTERN, address):
            yield "devices", address, "must be a PCI address such as 0000:65:00.0"
    if len(set(devices)) < len(devices):
        yield "devices", devices, "must name each device once"
    for card in cards:
        pattern = LINK_PATTERN if card.source == "bridge" else NETWORK_PATTERN
        if card.source not in ("bridge", "network"):
            yield "cards", card.source, "must be a bridge or a network"
        if not re.fullmatch(pattern, card.where):
            yield "cards", card.where, f"must be the name of a {card.source}"
        if not UNICAST_MAC.fullmatch(card.mac):
            yield "cards", card.mac, "must be a unicast MAC address, in lower case"
        if card.model not in ("virtio", "e1000", "e1000e"):
            yield "cards", card.model, "must be virtio, e1000 or e1000e"
        if card.rate_mbit is not None and not 1 <= card.rate_mbit <= 400_000:
            yield "cards", card.rate_mbit, "must be 1..400000 Mbit/s"
        if card.latency_ms is not None and not 0.001 <= card.latency_ms <= 10_000:
            yield "cards", card.latency_ms, "must be 0.001..10000 ms"
    if len({card.network for card in cards}) < len(cards):
        yield "cards", [card.network for card in cards], "must be one for each network"
