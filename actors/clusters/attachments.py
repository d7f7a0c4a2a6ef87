"""What the settings give each VM of a cluster beside its size: devices, and further networks.

Compute nodes have them, the head has none; nor has a VM that many nodes share, or one in virtual
time. Pure.
"""

import hashlib

from actors.hosts.device_leases import Wanted
from actors.hypervisor.attached import NetworkCard
from campaign.schema.devices import NetworkSettings
from campaign.schema.model import ClusterSettings
from schedulers.base import node_name


def devices_of(settings: ClusterSettings, nodes: int) -> tuple[Wanted, ...]:
    """Return the devices that each VM of a cluster wants, the head's first.

    The cluster has so many compute nodes. The answer is empty if none of them wants any.
    """
    wanted = () if settings.dense else settings.devices_by_node(nodes)
    return ({}, *wanted) if any(wanted) else ()


def cards_of(
    settings: ClusterSettings, nodes: int, cluster: str
) -> dict[str, tuple[NetworkCard, ...]]:
    """Return the cards on further networks of each VM that has some, by the VM's name.

    `cluster` is the name of the slot, by which the cards of clusters on one network differ.
    """
    if not settings.networks or settings.dense:
        return {}
    return {
        node_name(place + 1): tuple(
            _card(name, network, cluster, place) for name, network in networks.items()
        )
        for place, networks in enumerate(settings.networks_by_node(nodes))
    }


def _card(name: str, network: NetworkSettings, cluster: str, place: int) -> NetworkCard:
    address = network.address(place)
    return NetworkCard(
        network=name,
        source="bridge" if network.bridge else "network",
        where=network.bridge or network.network or "",
        mac=_mac(f"{cluster}/{name}/{place}"),
        model=network.model,
        rate_mbit=network.rate_mbit,
        latency_ms=network.latency_ms,
        address=str(address) if address else None,
    )


def _mac(what: str) -> str:
    """Return a locally administered MAC address that two cards hardly ever share.

    A site's network may join many clusters, unlike those on which `identity.macs` are.
    """
    digest = hashlib.sha256(what.encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x02, 0x0C, *digest[:4]))
