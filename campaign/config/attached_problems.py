"""Devices and further networks of nodes that can't be had as they are described."""

import ipaddress
from collections.abc import Iterator

from campaign.schema.devices import NetworkSettings
from campaign.schema.model import Campaign
from search.space import Problem, Space

TAKEN = {
    "10.0.2.0/24": "each node's network for SSH",
    "10.42.0.0/16": "the cluster's own network",
}
"""The networks that nodes have in any case, and what they are."""


def attached_problems(campaign: Campaign, space: Space) -> Iterator[Problem]:
    """Yield devices that two hosts of this machine name, and addresses that nodes can't have."""
    if campaign.testbed.kind != "libvirt":
        return
    yield from _named_twice(campaign)
    largest = space.node_counts()[1]
    for name, network in campaign.cluster.networks.items():
        if network.first_address is not None:
            path = f"cluster.networks.{name}.first_address"
            for allowed, why in _of_addresses(network, largest, campaign.testbed.parallel):
                yield Problem(path, network.first_address, allowed, why)


def _of_addresses(
    network: NetworkSettings, largest: int, parallel: int
) -> Iterator[tuple[str, str]]:
    if network.address(largest - 1) is None:
        yield "a longer network", f"{largest} compute nodes have no room in it from there on"
    for taken, what in TAKEN.items():
        own = ipaddress.IPv4Interface(network.first_address or "").network
        if own.overlaps(ipaddress.IPv4Network(taken)):
            yield f"a network beside {taken}", f"that is {what}"
    if parallel > 1:
        yield (
            "testbed.parallel=1, or cards without an address",
            "nodes of clusters that run side by side would have the same addresses",
        )


def _named_twice(campaign: Campaign) -> Iterator[Problem]:
    owners: dict[str, str] = {}
    for name, host in campaign.local_hosts.items():
        for device, settings in host.devices.items():
            for address in settings.functions:
                if address in owners:
                    path = f"hosts.{name}.devices.{device}"
                    why = f"it is a device of the host {owners[address]}, which is this machine too"
                    yield Problem(path, address, "one host's", why)
            owners |= dict.fromkeys(settings.functions, name)
