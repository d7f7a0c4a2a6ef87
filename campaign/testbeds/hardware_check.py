"""Checks, before anything starts, that hosts have the devices and networks that nodes ask for."""

from collections.abc import Iterator
from functools import partial

from actors.hypervisor.host_hardware import HostHardware, require
from campaign.core.errors import CampaignError
from campaign.schema.hosts import HostSettings
from campaign.schema.model import Campaign


def check_hardware(campaign: Campaign, largest: int) -> None:
    """Raise one HypervisorError for each setting that the hosts which are this machine can't obey.

    Only what a cluster of `largest` compute nodes asks for is looked at. A far host's actor looks
    when a cluster comes to it.
    """
    for error in hardware_errors(campaign, largest):
        raise error


def hardware_errors(campaign: Campaign, largest: int) -> Iterator[CampaignError]:
    """Yield what `check_hardware` would raise, all of it."""
    if campaign.testbed.kind != "libvirt":
        return
    for name, settings in campaign.local_hosts.items():
        if any(campaign.cluster.devices_by_node(largest)):
            where = f"hosts.{name}.devices"
            problems = HostHardware().device_problems(settings.devices)
            yield from _error(where, problems)
        if campaign.cluster.networks:
            known = partial(_networks_of, settings)
            problems = HostHardware().network_problems(campaign.cluster.networks, known)
            yield from _error(f"cluster.networks on the host {name}", problems)


def _error(setting: str, problems: Iterator[str]) -> Iterator[CampaignError]:
    try:
        require(setting, problems)
    except CampaignError as error:
        yield error


def _networks_of(settings: HostSettings) -> list[str]:
    from actors.hosts.state_dir import connected

    with connected(settings) as hypervisor:
        return hypervisor.networks()
