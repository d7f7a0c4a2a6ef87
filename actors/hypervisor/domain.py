"""The libvirt domain that makes a node: pure, nothing is started here.

A node boots its kernel directly, mounts one read-only disk that all nodes share, writes its console
to a file, and has two network cards. The management card is QEMU's user network with one forwarded
SSH port and no way out. The cluster card is a multicast group joined on 127.0.0.1, so that no
traffic leaves the loopback interface; in a cluster that spans hosts it is plugged into a bridge.
libvirt's own `<interface type='mcast'>` would send on the interface of the default route, so these
cards are QEMU arguments. PCI devices of the host's, and cards on further networks, are libvirt's to
take and to give back (`attached`). A guest in virtual time differs as `virtual_domain` says.
"""

import hashlib
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

from actors.hypervisor import attached, virtual_domain
from actors.hypervisor.errors import InvalidLease
from actors.hypervisor.lease import Lease, Owner
from actors.hypervisor.node_spec import MappedFiles, MemoryFile, Multicast, NodeSpec
from actors.hypervisor.overlay import Bridge

LEASE_NAMESPACE = "urn:hpc-campaign:lease:1"
LEASE_PREFIX = "campaign"
QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"
CREDENTIAL_FOLDER = "opt/io.systemd.credentials/"
"""The folder of QEMU's fw_cfg in which systemd looks for credentials."""
GUEST_ADDRESS = "10.0.2.15"
"""The address that QEMU's user network leases to its only guest."""
MANAGEMENT_CARD = "mgmt"
CLUSTER_CARD = "cluster"
"""QEMU's names of a node's two networks; if a cluster spans hosts, libvirt names the second."""
# QEMU 7.2 emulates CMPXCHG16B wrongly: guest kernels panic within minutes. And it moves "fast"
# strings byte by byte: without them kernels copy words, and processes start in four fifths of the
# time.
_BAD_WHERE_EMULATED = ("cx16", "erms")
_PCI_BUS = {"pc": "pci.0", "q35": "pcie.0"}
# Beyond the slots that libvirt hands out from the bottom.
_MANAGEMENT_SLOT = "0x10"
_CLUSTER_SLOT = "0x11"

ET.register_namespace(LEASE_PREFIX, LEASE_NAMESPACE)
ET.register_namespace("qemu", QEMU_NAMESPACE)


def domain_xml(spec: NodeSpec, *, run_as: tuple[int, int] | None = None) -> str:
    """Return the domain of `spec` as libvirt's XML.

    With `run_as` (uid, gid), QEMU runs as that user and libvirt changes no file's owner. Without it
    a privileged libvirtd would give our image and credential files to its own user; an unprivileged
    one runs everything as the caller and knows no other way, so there it must be left out.
    """
    domain = ET.Element("domain", {"type": "kvm" if spec.acceleration == "kvm" else "qemu"})
    _text(domain, "name", spec.name)
    ET.SubElement(domain, "metadata").append(lease_element(spec.lease))
    if not spec.mapped:
        # Fresh at each start: a restored kernel sees by it that it is a copy, and draws other
        # random numbers.
        ET.SubElement(domain, "genid")
    _text(domain, "memory", str(spec.memory_mib), unit="MiB")
    _text(domain, "vcpu", str(spec.vcpus))
    _add_boot(domain, spec)
    _add_machine(domain, spec)
    _add_devices(domain, spec)
    if run_as is not None:
        label = ET.SubElement(
            domain, "seclabel", {"type": "static", "model": "dac", "relabel": "no"}
        )
        # The plus sign tells libvirt that this is a number and not a user's name.
        _text(label, "label", f"+{run_as[0]}:+{run_as[1]}")
    commandline = ET.SubElement(domain, f"{{{QEMU_NAMESPACE}}}commandline")
    own = virtual_domain.arguments(spec, spec.mapped) if spec.mapped else _network_cards(spec)
    for argument in (*own, *_memory(spec)):
        ET.SubElement(commandline, f"{{{QEMU_NAMESPACE}}}arg", {"value": argument})
    return ET.tostring(domain, encoding="unicode")


def fingerprint(
    vcpus: int,
    memory_mib: int,
    acceleration: Literal["kvm", "tcg"],
    tb_cache_mib: int,
    *,
    exchange_size: int = 0,
) -> str:
    """Return a hash of what all nodes of one shape have in common as libvirt sees them.

    It is equal for two nodes where the memory of one fits the other. With `exchange_size` (bytes),
    they are guests in virtual time.
    """
    # What differs between nodes of one shape has a fixed value here.
    nowhere = Path("/")
    spec = NodeSpec(
        cluster="any",
        node="any",
        vcpus=vcpus,
        memory_mib=memory_mib,
        kernel=nowhere,
        initrd=nowhere,
        cmdline="",
        root=nowhere,
        acceleration=acceleration,
        tb_cache_mib=tb_cache_mib,
        ssh_port=1024,
        network=Multicast("239.0.0.1", 1024),
        management_mac="02:00:00:00:00:01",
        cluster_mac="02:00:00:00:00:02",
        credentials={},
        console_log=nowhere,
        lease=Lease(campaign="any", trial="any", expires=1, owner=Owner("any", "0" * 36, 1, 1)),
        memory=MemoryFile(nowhere, "restore"),
    )
    if exchange_size:
        mapped = MappedFiles(nowhere, exchange_size, root_size=exchange_size)
        spec = replace(spec, mapped=mapped, cmdline=virtual_domain.KERNEL_OPTIONS)
    return hashlib.sha256(domain_xml(spec).encode()).hexdigest()


def lease_element(lease: Lease) -> ET.Element:
    """Return the lease as an XML element of our own namespace."""
    return ET.Element(f"{{{LEASE_NAMESPACE}}}lease", lease.fields())


def parse_lease(text: str) -> Lease:
    """Return the lease in a domain's metadata element; InvalidLease if it is none."""
    try:
        element = ET.fromstring(text)  # noqa: S314 - libvirt has parsed and written this text
    except ET.ParseError as error:
        raise InvalidLease(f"a domain's lease is not XML: {error}", text) from error
    try:
        return Lease.from_fields(element.attrib)
    except InvalidLease as error:
        raise InvalidLease(error.brief, text) from error


def _add_boot(domain: ET.Element, spec: NodeSpec) -> None:
    """Add kernel, initrd, command line, and the credentials that give the node its identity."""
    os = ET.SubElement(domain, "os")
    _text(os, "type", "hvm", arch="x86_64", machine=spec.machine)
    _text(os, "kernel", str(spec.kernel))
    _text(os, "initrd", str(spec.initrd))
    _text(os, "cmdline", spec.cmdline)
    # fw_cfg and not SMBIOS: SMBIOS strings would show the secrets in QEMU's process arguments.
    if spec.credentials:
        info = ET.SubElement(domain, "sysinfo", {"type": "fwcfg"})
        for name, path in sorted(spec.credentials.items()):
            ET.SubElement(info, "entry", {"name": CREDENTIAL_FOLDER + name, "file": str(path)})


def _add_machine(domain: ET.Element, spec: NodeSpec) -> None:
    """Add CPU model and features, and that the guest never starts again after its end."""
    features = ET.SubElement(domain, "features")
    ET.SubElement(features, "acpi")
    if spec.acceleration == "kvm":
        cpu = ET.SubElement(domain, "cpu", {"mode": "host-passthrough"})
    else:
        _text(ET.SubElement(features, "tcg"), "tb-cache", str(spec.tb_cache_mib), unit="MiB")
        cpu = ET.SubElement(domain, "cpu", {"mode": "maximum"})
    topology = {"sockets": "1", "dies": "1", "cores": str(spec.vcpus), "threads": "1"}
    ET.SubElement(cpu, "topology", topology)
    if spec.acceleration == "tcg":
        slow = virtual_domain.SLOW_WHERE_COUNTED if spec.mapped else ()
        for feature in (*_BAD_WHERE_EMULATED, *slow):
            ET.SubElement(cpu, "feature", {"policy": "disable", "name": feature})
    domain.append(virtual_domain.clock() if spec.mapped else ET.Element("clock", {"offset": "utc"}))
    # By default libvirt starts a guest again that reboots.
    for event in ("on_poweroff", "on_reboot"):
        _text(domain, event, "destroy")
    _text(domain, "on_crash", virtual_domain.WHEN_HALTED if spec.mapped else "destroy")


def _add_devices(domain: ET.Element, spec: NodeSpec) -> None:
    devices = ET.SubElement(domain, "devices")
    if not spec.mapped:
        _add_disk(devices, spec.root)
    # libvirt adds a USB controller and a memory balloon unless told otherwise; nodes use neither.
    ET.SubElement(devices, "controller", {"type": "usb", "model": "none"})
    if isinstance(spec.network, Bridge) and not spec.mapped:
        card = ET.SubElement(devices, "interface", {"type": "bridge"})
        ET.SubElement(card, "mac", {"address": spec.cluster_mac})
        ET.SubElement(card, "source", {"bridge": spec.network.name})
        ET.SubElement(card, "model", {"type": "virtio"})
        ET.SubElement(card, "mtu", {"size": str(spec.network.mtu)})
        # No boot ROM, as for the cards in `_network_cards`.
        ET.SubElement(card, "rom", {"enabled": "no"})
    for further in spec.cards:
        attached.add_card(devices, further, spec.name)
    for address in spec.devices:
        attached.add_hostdev(devices, address)
    serial = ET.SubElement(devices, "serial", {"type": "file"})
    ET.SubElement(serial, "source", {"path": str(spec.console_log), "append": "on"})
    ET.SubElement(serial, "target", {"port": "0"})
    ET.SubElement(devices, "memballoon", {"model": "none"})


def _add_disk(devices: ET.Element, root: Path) -> None:
    disk = ET.SubElement(devices, "disk", {"type": "file", "device": "disk"})
    ET.SubElement(disk, "driver", {"name": "qemu", "type": "raw"})
    ET.SubElement(disk, "source", {"file": str(root)})
    ET.SubElement(disk, "target", {"dev": "vda", "bus": "virtio"})
    # Read-only lets several QEMUs lock the image; shareable tells libvirt that others have it too.
    ET.SubElement(disk, "readonly")
    ET.SubElement(disk, "shareable")


def _network_cards(spec: NodeSpec) -> Iterator[str]:
    # Every value in these arguments is a number or an address that `NodeSpec` has checked.
    bus = _PCI_BUS[spec.machine]
    forward = f"hostfwd=tcp:{spec.ssh_address}:{spec.ssh_port}-{GUEST_ADDRESS}:22"
    management = f"user,id={MANAGEMENT_CARD},restrict=on,ipv6=off,{forward}"
    cards = [(management, spec.management_mac, _MANAGEMENT_SLOT)]
    if isinstance(spec.network, Multicast):
        group = f"{spec.network.group}:{spec.network.port}"
        cluster = f"socket,id={CLUSTER_CARD},mcast={group},localaddr=127.0.0.1"
        cards.append((cluster, spec.cluster_mac, _CLUSTER_SLOT))
    for netdev, mac, slot in cards:
        name = netdev.split(",")[1].removeprefix("id=")
        # No boot ROM: the firmware would spend time on offering to boot from the network.
        device = f"virtio-net-pci,netdev={name},mac={mac},bus={bus},addr={slot},romfile="
        yield from ("-netdev", netdev, "-device", device)


def _memory(spec: NodeSpec) -> Iterator[str]:
    # libvirt can put memory into a file, but not into one that we name.
    if spec.memory is None:
        return
    # Shared while recording, so that the file is the memory; private when restoring, so that any
    # number of clusters can map the same golden file.
    share = "on" if spec.memory.use == "record" else "off"
    where = f"size={spec.memory_mib}M,mem-path={spec.memory.path},share={share}"
    file = f"memory-backend-file,id=memory,{where}"
    # QEMU merges a second -machine into libvirt's own.
    yield from ("-object", file, "-machine", "memory-backend=memory")
    if spec.memory.use == "restore":
        # QEMU waits until its monitor names the stream (`device_state.load_devices`).
        yield from ("-incoming", "defer")


def _text(parent: ET.Element, tag: str, text: str, **attributes: str) -> None:
    ET.SubElement(parent, tag, attributes).text = text
