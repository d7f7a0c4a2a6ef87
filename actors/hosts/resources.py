"""What a host has for nodes, and what nodes occupy there."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from actors.hosts.device_leases import device_resources
from actors.hosts.slot import NodeShape
from actors.hypervisor import virtual_domain
from actors.hypervisor.capacity import Resources, node_resources, read_host
from campaign.guest import exchange
from campaign.schema.hosts import HostSettings

TB_CACHE_MIB = 128
"""Translation cache of an emulated node: unbounded, it grows to three times the guest's memory."""
VCPUS_PER_CPU = 8
"""Nodes sleep most of the time, so a host's CPUs may be promised several times over."""
EXCHANGE_DISK_MIB = exchange.RESERVED // 2**20
"""What the exchange of a guest in virtual time takes on the disk: its task and its result."""


def host_resources(settings: HostSettings, state_dir: Path) -> Resources:
    """Return what this machine has free for nodes, within the limits of a host's settings."""
    low, high = settings.ports
    found = read_host(state_dir, ports=high - low + 1, vcpus_per_cpu=VCPUS_PER_CPU)
    memory = found.memory_mib if settings.memory_mib is None else settings.memory_mib
    devices = device_resources([{device.kind: 1} for device in settings.devices.values()])
    return replace(found, memory_mib=memory, vcpus=settings.vcpus or found.vcpus) + devices


def cluster_resources(nodes: int, shape: NodeShape, kind: Literal["kvm", "tcg"]) -> Resources:
    """Return what `nodes` VMs occupy, the emulator's own memory included.

    A guest in virtual time skips idleness instead of sleeping, so each keeps a CPU busy. All of a
    host map one root image, which costs its memory once, whatever their number.
    """
    if shape.clock == "virtual":
        guest = node_resources(
            vcpus=shape.vcpus,
            memory_mib=shape.memory_mib,
            tb_cache_mib=virtual_domain.TB_CACHE_MIB,
            acceleration="tcg",
            disk_mib=EXCHANGE_DISK_MIB,
            cpus=1,
        )
        return guest * nodes
    node = node_resources(
        vcpus=shape.vcpus, memory_mib=shape.memory_mib, tb_cache_mib=TB_CACHE_MIB, acceleration=kind
    )
    return node * nodes
