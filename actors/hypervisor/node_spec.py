"""What a node is: its size, its files, its network, and for a guest in virtual time what it maps.

InvalidNodeSpec is raised at once for values that can't be meant, since they go into libvirt's XML
and QEMU's arguments.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from actors.hypervisor import attached
from actors.hypervisor.attached import UNICAST_MAC, NetworkCard
from actors.hypervisor.errors import InvalidNodeSpec
from actors.hypervisor.lease import Lease
from actors.hypervisor.overlay import Bridge

MAPPED_ALIGNMENT = 2 * 2**20
"""QEMU maps files as memory devices whose sizes are multiples of so many bytes."""
MACHINES = ("pc", "q35")

_HOST_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
# QEMU's fw_cfg names have 55 characters, 27 of which are systemd's folder of credentials there.
_CREDENTIAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,27}")
_LINK = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}")  # the kernel's names have 15 characters
# XML 1.0 can't express most of the excluded characters, not even escaped.
_XML_TEXT = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]*")


@dataclass(frozen=True)
class Multicast:
    """The multicast group and UDP port that are one cluster's own layer-2 network."""

    group: str
    port: int


@dataclass(frozen=True)
class MemoryFile:
    """The file that is a node's memory: one to `record` into, or a golden one to `restore` from.

    A restored node maps the file privately: it reads what the golden node had, straight from the
    page cache, and keeps what it writes to itself. It starts paused and waits for the state of its
    devices.
    """

    path: Path
    use: Literal["record", "restore"]


@dataclass(frozen=True)
class MappedFiles:
    """What a guest in virtual time has as memory, where others have a network and a disk.

    The guest can write to the `exchange`. Sizes are in bytes; the root is `NodeSpec.root`.
    """

    exchange: Path
    exchange_size: int
    root_size: int


@dataclass(frozen=True, kw_only=True)
class NodeSpec:
    """One node of a cluster. InvalidNodeSpec is raised at once for a value that can't be meant.

    Files are absolute paths on the libvirt host. `credentials` maps systemd credential names to
    files, so that secrets stand in files that only we can read and not in process arguments.
    `tb_cache_mib` bounds the translation cache of the software emulator and means nothing under
    KVM. `machine` is QEMU's: "pc" boots faster than "q35". With `mapped` it is a guest in virtual
    time, of which port, network and addresses say nothing: it has no network. `devices` are the
    addresses of PCI functions that are passed through, `cards` those on further networks; a node
    with either is neither saved nor restored, and not in virtual time.
    """

    cluster: str
    node: str
    vcpus: int
    memory_mib: int
    kernel: Path
    initrd: Path
    cmdline: str
    root: Path
    acceleration: Literal["kvm", "tcg"]
    tb_cache_mib: int
    ssh_port: int
    network: Multicast | Bridge
    management_mac: str
    cluster_mac: str
    credentials: Mapping[str, Path]
    console_log: Path
    lease: Lease
    machine: Literal["pc", "q35"] = "pc"
    ssh_address: str = "127.0.0.1"
    memory: MemoryFile | None = None
    mapped: MappedFiles | None = None
    devices: tuple[str, ...] = ()
    cards: tuple[NetworkCard, ...] = ()

    @property
    def name(self) -> str:
        """The domain's name."""
        return f"{self.cluster}-{self.node}"

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that must exist before the node can start."""
        memory = [self.memory.path] if self.memory else []
        mapped = [self.mapped.exchange] if self.mapped else []
        named = (self.kernel, self.initrd, self.root, *self.credentials.values())
        return (*named, *memory, *mapped)

    def __post_init__(self) -> None:
        _check_names(self)
        _check_numbers(self)
        _check_network(self)
        _check_attached(self)
        for path in (*self.files, self.console_log):
            if not path.is_absolute() or not _XML_TEXT.fullmatch(str(path)):
                raise _invalid(
                    self, "file", path, "must be an absolute path without control characters"
                )
        # These stand in QEMU's own arguments.
        options = {"memory": self.memory.path} if self.memory else {}
        if self.mapped:
            _check_mapped(self, self.mapped)
            options |= {"exchange": self.mapped.exchange, "root": self.root}
        for field, path in options.items():
            if "," in str(path):
                rule = "must hold no comma: QEMU separates options by them"
                raise _invalid(self, field, path, rule)


def _check_names(spec: NodeSpec) -> None:
    for field, value in (("cluster", spec.cluster), ("node", spec.node)):
        if not _HOST_LABEL.fullmatch(value):
            raise _invalid(
                spec,
                field,
                value,
                "must be a host name label: a-z, 0-9 and -, at most 32 characters",
            )
    for name in spec.credentials:
        if not _CREDENTIAL.fullmatch(name):
            raise _invalid(
                spec,
                "credentials",
                name,
                "credential names are A-Z a-z 0-9 . _ -, at most 28 characters",
            )
    if not _XML_TEXT.fullmatch(spec.cmdline):
        raise _invalid(spec, "cmdline", spec.cmdline, "must hold no control characters")
    for field, value, allowed in (
        ("acceleration", spec.acceleration, ("kvm", "tcg")),
        ("machine", spec.machine, MACHINES),
    ):
        if value not in allowed:
            raise _invalid(spec, field, value, f"must be one of {', '.join(allowed)}")


def _check_numbers(spec: NodeSpec) -> None:
    for field, value, low, high in (
        ("vcpus", spec.vcpus, 1, 255),
        ("memory_mib", spec.memory_mib, 64, 2**24),
        ("tb_cache_mib", spec.tb_cache_mib, 8, 2**16),
        ("ssh_port", spec.ssh_port, 1024, 65535),
        *(
            [("network.port", spec.network.port, 1024, 65535)]
            if isinstance(spec.network, Multicast)
            else []
        ),
    ):
        if not low <= value <= high:
            raise _invalid(spec, field, value, f"must be {low}..{high}")


def _check_mapped(spec: NodeSpec, mapped: MappedFiles) -> None:
    # Instructions are counted by the emulator, and on one CPU only.
    for field, value, only in (
        ("vcpus", spec.vcpus, 1),
        ("acceleration", spec.acceleration, "tcg"),
        ("machine", spec.machine, "pc"),
    ):
        if value != only:
            raise _invalid(spec, field, value, f"must be {only} in virtual time")
    for field, size, fix in (
        ("exchange_size", mapped.exchange_size, ""),
        ("root_size", mapped.root_size, ": build the image anew"),
    ):
        if size <= 0 or size % MAPPED_ALIGNMENT:
            rule = f"must be a multiple of {MAPPED_ALIGNMENT} bytes to be mapped as memory{fix}"
            raise _invalid(spec, field, size, rule)


def _check_network(spec: NodeSpec) -> None:
    for field, mac in (("management_mac", spec.management_mac), ("cluster_mac", spec.cluster_mac)):
        if not UNICAST_MAC.fullmatch(mac):
            raise _invalid(
                spec,
                field,
                mac,
                "must be a unicast MAC address such as 52:54:00:12:34:56, in lower case",
            )
    if spec.management_mac == spec.cluster_mac:
        raise _invalid(spec, "cluster_mac", spec.cluster_mac, "must differ from management_mac")
    if _address(spec.ssh_address) is None:
        raise _invalid(spec, "ssh_address", spec.ssh_address, "must be an IPv4 address")
    if isinstance(spec.network, Bridge):
        if not _LINK.fullmatch(spec.network.name):
            raise _invalid(
                spec, "network.name", spec.network.name, "must be the name of a network link"
            )
        return
    group = _address(spec.network.group)
    if group is None or group not in ipaddress.IPv4Network("239.0.0.0/8"):
        raise _invalid(
            spec, "network.group", spec.network.group, "must be an IPv4 address in 239.0.0.0/8"
        )


def _check_attached(spec: NodeSpec) -> None:
    for field, value, rule in attached.problems(spec.devices, spec.cards):
        raise _invalid(spec, field, value, rule)
    for field, given in (("devices", spec.devices), ("cards", spec.cards)):
        if not given:
            continue
        # A real device's state can't be saved, and another node's card would have the same address.
        if spec.memory:
            raise _invalid(spec, field, given, "must be empty for a node that is saved or restored")
        if spec.mapped:
            raise _invalid(spec, field, given, "must be empty in virtual time")


def _address(text: str) -> ipaddress.IPv4Address | None:
    try:
        return ipaddress.IPv4Address(text)
    except ValueError:
        return None


def _invalid(spec: NodeSpec, field: str, value: object, rule: str) -> InvalidNodeSpec:
    return InvalidNodeSpec(
        f"node {spec.node!r} of cluster {spec.cluster!r}: {field} is {value!r}, but it {rule}"
    )
