"""Whether a host can give nodes what they ask for: PCI devices, bridges, rates and latencies.

All of it is looked for before anything starts. What is missing is a line each, for one error
together.
"""

import os
import platform
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

from actors.hypervisor import link_command, shaping
from actors.hypervisor.errors import HypervisorError
from campaign.schema.devices import DeviceSettings, NetworkSettings

VFIO = "vfio-pci"
CLASSES = {"gpu": ("03", "12"), "fpga": ("05", "0b", "12", "ff"), "nic": ("02",)}
"""The PCI base classes that devices of a kind have: displays and processing accelerators, network
controllers; FPGAs call themselves by what they hold."""
_BRIDGE_CLASS = "06"
"""The base class of PCI bridges, which stay the host's and share groups with what they lead to."""
_NO_IOMMU = (
    "it is in no IOMMU group: switch VT-d or AMD-Vi on in the firmware, and boot the host with "
    "intel_iommu=on (AMD's is on by itself)"
)


class HostHardware:
    """The devices of this machine, as its kernel shows them below `root`, and its links.

    `links` returns the names of its links, of one kind or all.
    """

    def __init__(
        self,
        root: Path = Path("/"),
        *,
        privileged: bool | None = None,
        links: Callable[..., Collection[str]] = link_command.links,
    ) -> None:
        self._pci = root / "sys/bus/pci/devices"
        self._links = links
        self._root = root
        self._privileged = os.geteuid() == 0 if privileged is None else privileged

    def device_problems(self, devices: Mapping[str, DeviceSettings]) -> Iterator[str]:
        """Yield what keeps each of the devices from being passed through, by its name."""
        if not devices:
            return
        if not self._privileged:
            yield "passing devices through is root's alone: run the campaign there as root"
        if not self._has_vfio():
            yield f"the kernel has no driver {VFIO}: modprobe {VFIO}"
        for name, device in devices.items():
            others = {
                one: other
                for other, owner in devices.items()
                if other != name
                for one in owner.functions
            }
            for problem in self._of_device(device, others):
                yield f"{name} ({device.address}): {problem}"

    def network_problems(
        self,
        networks: Mapping[str, NetworkSettings],
        known: Callable[[], Collection[str]],
        refused: Callable[..., Mapping[str, str]] = shaping.refused,
    ) -> Iterator[str]:
        """Yield what keeps each of the networks from being had, by its name.

        `known` returns the active networks of the host's libvirt; `refused` is `shaping.refused`.
        """
        if not networks:
            return
        if not self._privileged:
            # An unprivileged libvirt can't make taps; its helper for them knows no rate.
            yield "cards on further networks are root's alone: run the campaign there as root"
            return
        found = known() if any(one.network for one in networks.values()) else ()
        for name, one in networks.items():
            if one.bridge and one.bridge not in self._links("bridge"):
                what = "is no bridge" if one.bridge in self._links() else "doesn't exist"
                yield f"{name}: the bridge {one.bridge} {what} (ip link show type bridge)"
            if one.network and one.network not in found:
                yield f"{name}: libvirt has no active network {one.network} (virsh net-list)"
        rated = [name for name, one in networks.items() if one.rate_mbit is not None]
        late = [name for name, one in networks.items() if one.latency_ms is not None]
        said = refused(rate=bool(rated), latency=bool(late))
        for field, names in (("rate", rated), ("latency", late)):
            if field in said:
                unit = {"rate": "rate_mbit", "latency": "latency_ms"}[field]
                yield f"{', '.join(names)}: the kernel can't do {unit}: {said[field]}"

    def _of_device(self, device: DeviceSettings, others: Mapping[str, str]) -> Iterator[str]:
        there = True
        for address in device.functions:
            if not (self._pci / address).is_dir():
                there = False
                yield f"there is no PCI device {address} on the host (lspci -D lists them)"
        if not there:
            return
        base = self._class(device.address)
        wanted = CLASSES.get(device.kind)
        if wanted and base not in wanted:
            yield f"it is no {device.kind}: its PCI class is {base}, not {' or '.join(wanted)}"
        for address in device.functions:
            group = self._pci / address / "iommu_group"
            if not group.exists():
                yield _NO_IOMMU
                return
            for member in sorted(one.name for one in (group / "devices").iterdir()):
                if member not in device.functions:
                    yield from self._of_neighbour(member, others)

    def _of_neighbour(self, address: str, others: Mapping[str, str]) -> Iterator[str]:
        """Yield why a function in the same IOMMU group can't stay where it is."""
        if address in others:
            yield f"it shares its IOMMU group with {others[address]}: both go to one node, or none"
            return
        driver = self._pci / address / "driver"
        bound = driver.resolve().name if driver.exists() else VFIO
        if self._class(address) != _BRIDGE_CLASS and bound != VFIO:
            yield (
                f"{address} is in its IOMMU group and the host's (driver {bound}): add it to "
                f"companions, or bind it to {VFIO}"
            )

    def _class(self, address: str) -> str:
        """Return the base class of a function, as two hexadecimal digits."""
        return (self._pci / address / "class").read_text(encoding="ascii").strip()[2:4]

    def _has_vfio(self) -> bool:
        if (self._root / "sys/bus/pci/drivers" / VFIO).is_dir():
            return True
        modules = self._root / "lib/modules" / platform.release()
        lists = [modules / name for name in ("modules.dep", "modules.builtin")]
        return any(f"/{VFIO}.ko" in one.read_text() for one in lists if one.is_file())


def require_devices(host: str, devices: Mapping[str, DeviceSettings]) -> None:
    """Raise HypervisorError unless this machine can pass the devices of `host` through."""
    require(f"hosts.{host}.devices", HostHardware().device_problems(devices))


def require(setting: str, problems: Iterable[str]) -> None:
    """Raise one HypervisorError about a setting if there are any problems with it."""
    found = list(problems)
    if found:
        raise HypervisorError(
            f"{setting}: {found[0] if len(found) == 1 else f'{len(found)} things are missing'}",
            "" if len(found) == 1 else "\n".join(found),
            "Change the setting, or the host; docs/hosts.md says what it needs.",
        )
