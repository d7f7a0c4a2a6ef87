"""How much a host can carry, counted before anything starts.

Counted are memory with the emulator's share, vCPUs, whole CPUs, ports, disk and PCI devices.
Memory and CPUs come from psutil and the kernel; the limits of control groups are read here, since
psutil knows none.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from campaign.schema.devices import DeviceKind

# Resident memory of QEMU beyond guest memory and translation cache: program, device models, and the
# emulator's tables. Measured under TCG: 110 MiB (QEMU 7.2, 2 vCPUs, a guest that uses its memory,
# caches of 64 and 128 MiB). KVM needs no tables; its figure is an estimate.
KVM_OVERHEAD_MIB = 64
TCG_OVERHEAD_MIB = 128
_MIB = 1024 * 1024
_UNITS = {
    "memory_mib": "MiB of memory",
    "vcpus": "vCPUs",
    "ports": "TCP ports",
    "disk_mib": "MiB of disk",
    "cpus": "whole CPUs",
    "gpus": "GPUs",
    "fpgas": "FPGAs",
    "nics": "network controllers to pass through",
    "other_devices": "other PCI devices to pass through",
}
DEVICES: dict[DeviceKind, str] = {
    "gpu": "gpus",
    "fpga": "fpgas",
    "nic": "nics",
    "other": "other_devices",
}
"""The resource that counts the PCI devices of a kind."""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """An amount of everything that nodes occupy on a host: MiB, CPUs and TCP ports.

    A CPU is promised to several vCPUs, whose guests sleep most of the time. `cpus` counts those of
    guests that never sleep: such a one has a CPU for itself. PCI devices that are passed through
    are counted by kind.
    """

    memory_mib: int = 0
    vcpus: int = 0
    ports: int = 0
    disk_mib: int = 0
    cpus: int = 0
    gpus: int = 0
    fpgas: int = 0
    nics: int = 0
    other_devices: int = 0

    def __add__(self, other: "Resources") -> "Resources":
        return Resources(**{name: getattr(self, name) + getattr(other, name) for name in _UNITS})

    def __sub__(self, other: "Resources") -> "Resources":
        return Resources(**{name: getattr(self, name) - getattr(other, name) for name in _UNITS})

    def __mul__(self, times: int) -> "Resources":
        return Resources(**{name: getattr(self, name) * times for name in _UNITS})


@dataclass(frozen=True)
class Shortfall:
    """What nodes that don't fit need, and what is free."""

    needed: Resources
    free: Resources

    @property
    def short(self) -> tuple[str, ...]:
        """The names of the resources that do not suffice."""
        return tuple(
            name for name in _UNITS if getattr(self.needed, name) > getattr(self.free, name)
        )

    def __str__(self) -> str:
        return "; ".join(
            f"{getattr(self.needed, name)} {_UNITS[name]} are needed, "
            f"{max(0, getattr(self.free, name))} are free"
            for name in self.short
        )


@dataclass(frozen=True)
class Capacity:
    """What a host has for nodes in all, and how much of it is reserved for clusters."""

    total: Resources
    reserved: Resources = Resources()

    @property
    def free(self) -> Resources:
        """What isn't reserved yet."""
        return self.total - self.reserved

    def reserve(self, needed: Resources) -> "Capacity":
        """Return the capacity with `needed` reserved as well; ask `fits` first."""
        return Capacity(self.total, self.reserved + needed)

    def release(self, given: Resources) -> "Capacity":
        """Return the capacity with `given` free again."""
        return Capacity(self.total, self.reserved - given)

    def fits(self, needed: Resources) -> Shortfall | None:
        """Return None if `needed` is free, else what is missing."""
        shortfall = Shortfall(needed, self.free)
        return shortfall if shortfall.short else None


def node_resources(
    *,
    vcpus: int,
    memory_mib: int,
    tb_cache_mib: int,
    acceleration: Literal["kvm", "tcg"],
    disk_mib: int = 8,
    cpus: int = 0,
) -> Resources:
    """Return what one node occupies.

    That is its memory and the emulator's, its vCPUs, the `cpus` that it has for itself, one port
    for SSH, and `disk_mib` for its logs and what else it writes.
    """
    emulator = KVM_OVERHEAD_MIB if acceleration == "kvm" else TCG_OVERHEAD_MIB + tb_cache_mib
    return Resources(
        memory_mib=memory_mib + emulator, vcpus=vcpus, ports=1, disk_mib=disk_mib, cpus=cpus
    )


def read_host(
    folder: Path,
    *,
    ports: int,
    memory_kept_mib: int = 1024,
    vcpus_per_cpu: float = 2.0,
    root: Path = Path("/"),
) -> Resources:
    """Return what this machine has for nodes right now.

    That is the memory that is available, less `memory_kept_mib` for everybody else; each CPU that
    we may use, and `vcpus_per_cpu` virtual CPUs for it; the free disk below `folder`; and `ports`
    as configured. The limits of our control groups count. `root` stands for / in tests.
    """
    memory = min(
        [
            float(psutil.virtual_memory().available),
            *(_cgroup_memory(group) for group in _own_cgroups(root)),
        ]
    )
    cpus = available_cpus(root)
    return Resources(
        memory_mib=max(0, int(memory // _MIB) - memory_kept_mib),
        vcpus=max(1, int(cpus * vcpus_per_cpu)),
        ports=ports,
        # The folder may not exist yet; its nearest parent is on the disk that it will be on.
        disk_mib=shutil.disk_usage(_existing(folder)).free // _MIB,
        cpus=max(1, int(cpus)),
    )


def available_cpus(root: Path = Path("/")) -> float:
    """Return how many CPUs' worth of time we may use."""
    return min(
        [
            # os.cpu_count() would also count CPUs that an affinity mask or a cpuset keeps us from.
            float(len(os.sched_getaffinity(0))),
            *(_cgroup_cpus(group) for group in _own_cgroups(root)),
        ]
    )


def memory_total_mib() -> float:
    """Return the memory of this machine in MiB."""
    return float(psutil.virtual_memory().total) / _MIB


def read_cpu_model(root: Path = Path("/")) -> str:
    """Return the name of this machine's CPU model; "unknown" where the kernel doesn't tell."""
    # psutil doesn't know it.
    lines = (root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        "unknown",
    )


def _existing(folder: Path) -> Path:
    return next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())


def _own_cgroups(root: Path) -> list[Path]:
    """Return our cgroup (version 2) and those above it, of which each may set a limit."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    own = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), None)
    # Without a line of version 2 ("0::") only version 1 is mounted, whose limits aren't read.
    if own is None:
        return []
    top = root / "sys/fs/cgroup"
    leaf = top / own.lstrip("/")
    return [group for group in (leaf, *leaf.parents) if group.is_relative_to(top)]


def _cgroup_memory(group: Path) -> float:
    """Return the bytes that the group may still take; infinite without a limit."""
    limit = _number(group / "memory.max")
    used = _number(group / "memory.current")
    return float("inf") if limit is None or used is None else limit - used


def _cgroup_cpus(group: Path) -> float:
    """Return how many CPUs' worth of time the group may use; infinite without a limit."""
    try:
        quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
        return int(quota) / int(period)
    # Without a limit the quota is the word "max", and the root group has no such file.
    except (OSError, ValueError):
        return float("inf")


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    # Without a limit the file holds the word "max", and the root group has no such file.
    except (OSError, ValueError):
        return None
