"""Which of a host's PCI devices each node gets: a device belongs to one VM at a time.

What is given is on the disk, as a run folder whose lease names the devices. So the campaigns that
share a host's state folder see what each other has, and what a dead driver had is free again when
its folders have been reaped. Between state folders, the kernel itself lets nobody open a device
twice.
"""

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from actors.hypervisor import run_folder
from actors.hypervisor.capacity import DEVICES, Resources
from actors.hypervisor.errors import InvalidLease
from actors.hypervisor.lease import Lease
from campaign.core import files
from campaign.core.errors import CapacityError
from campaign.schema.devices import DeviceKind, DeviceSettings

Wanted = Mapping[DeviceKind, int]
"""So many devices of each kind."""


def device_resources(wanted: Sequence[Wanted]) -> Resources:
    """Return the devices that nodes occupy, which ask for so many each."""
    counts = Counter[DeviceKind]()
    for of_node in wanted:
        counts.update(of_node)
    return Resources(**{DEVICES[kind]: count for kind, count in counts.items()})


def lease_devices(
    run_root: Path, lease: Lease, devices: Mapping[str, DeviceSettings], wanted: Sequence[Wanted]
) -> tuple[tuple[str, ...], ...]:
    """Give each node of a cluster the devices that it wants, until the cluster's folders go.

    `devices` are the host's. Returns the PCI addresses of each node's, in the order of `wanted`.
    Raises CapacityError where there aren't enough that nobody has.
    """
    if not any(wanted):
        return ()
    run_root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with files.exclusive_lock(run_root / ".devices"):
        taken = leased_devices(run_root)
        free = {name: one for name, one in devices.items() if taken.isdisjoint(one.functions)}
        given = tuple(_take(free, of_node) for of_node in wanted)
        whole = replace(lease, devices=tuple(one for of_node in given for one in of_node))
        run_folder.create(run_root, lease.trial + run_folder.DEVICES_SUFFIX, whole, {})
    return given


def leased_devices(run_root: Path) -> set[str]:
    """Return the PCI addresses of all devices that somebody has a lease of."""
    found = set[str]()
    for folder in run_folder.all_folders(run_root):
        # A folder that goes meanwhile, or that nobody can read, keeps no device.
        with contextlib.suppress(InvalidLease):
            found.update(folder.lease().devices)
    return found


def _take(free: dict[str, DeviceSettings], wanted: Wanted) -> tuple[str, ...]:
    """Take devices out of `free`, and return the addresses of their functions."""
    taken: list[str] = []
    for kind, count in wanted.items():
        fitting = [name for name, device in free.items() if device.kind == kind]
        if len(fitting) < count:
            raise CapacityError(
                f"a node asks for {count} {kind}, but the host has {len(fitting)} left that "
                "nobody has"
            )
        for name in fitting[:count]:
            taken += free.pop(name).functions
    return tuple(taken)
