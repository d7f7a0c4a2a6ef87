"""The nodes of a slot as their hypervisor must know them, and what of a host shapes them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from actors.hosts.resources import TB_CACHE_MIB
from actors.hosts.slot import NodeBoot, NodeShape, Slot
from actors.hypervisor import run_folder, virtual_domain
from actors.hypervisor.capacity import read_cpu_model
from actors.hypervisor.domain import fingerprint
from actors.hypervisor.node_spec import MappedFiles, MemoryFile, NodeSpec
from actors.hypervisor.run_folder import RunFolder
from campaign.guest import exchange


def hardware(shape: NodeShape, kind: Literal["kvm", "tcg"], qemu: str) -> dict[str, str]:
    """Return what of this host shapes the memory and the devices of a node.

    Nothing of the host but its QEMU shapes a guest in virtual time.
    """
    if shape.clock == "virtual":
        return {
            "acceleration": "tcg",
            "clock": "virtual",
            "cpu": "emulated",
            "qemu": qemu,
            "domain": fingerprint(
                shape.vcpus,
                shape.memory_mib,
                "tcg",
                virtual_domain.TB_CACHE_MIB,
                exchange_size=exchange.SIZE,
            ),
        }
    return {
        "acceleration": kind,
        # Under KVM a guest sees the host's own CPU, and its memory fits no other model.
        "cpu": read_cpu_model() if kind == "kvm" else "emulated",
        "qemu": qemu,
        "domain": fingerprint(shape.vcpus, shape.memory_mib, kind, TB_CACHE_MIB),
    }


def node_specs(
    run_root: Path,
    slot: Slot,
    boots: Sequence[NodeBoot],
    memory: Mapping[str, MemoryFile],
    kind: Literal["kvm", "tcg"],
) -> list[NodeSpec]:
    """Make the run folders of nodes, and return the nodes; `memory` is by the node's name."""
    devices = slot.devices or ((),) * len(boots)
    specs = [
        _node_spec(
            replace(slot, lease=replace(slot.lease, devices=own)), boot, port, run_root, kind
        )
        for boot, port, own in zip(boots, slot.ports, devices, strict=True)
    ]
    return [replace(spec, memory=memory.get(spec.node)) for spec in specs]


def _folder(run_root: Path, slot: Slot, boot: NodeBoot) -> RunFolder:
    def fill(folder: RunFolder) -> None:
        if slot.shape.clock == "virtual":
            exchange.create(folder.exchange, boot.task, boot.task_number)
            folder.exchange.chmod(0o600)

    name = f"{slot.cluster}-{boot.name}"
    return run_folder.create(run_root, name, slot.lease, boot.credentials, fill=fill)


def _node_spec(
    slot: Slot, boot: NodeBoot, port: int, run_root: Path, kind: Literal["kvm", "tcg"]
) -> NodeSpec:
    """Make a node's run folder, and return the node; the slot's lease is its own, with devices."""
    folder = _folder(run_root, slot, boot)
    spec = NodeSpec(
        cluster=slot.cluster,
        node=boot.name,
        vcpus=slot.shape.vcpus,
        memory_mib=slot.shape.memory_mib,
        kernel=boot.image.kernel,
        initrd=boot.image.initrd,
        cmdline=boot.image.manifest.kernel_cmdline,
        root=boot.image.root,
        acceleration="tcg" if slot.shape.clock == "virtual" else kind,
        tb_cache_mib=TB_CACHE_MIB,
        ssh_port=port,
        ssh_address=slot.address,
        network=slot.network,
        management_mac=boot.macs[0],
        cluster_mac=boot.macs[1],
        credentials=folder.credentials,
        console_log=folder.console_log,
        lease=slot.lease,
        # What is behind a PCI Express link needs a machine that has such links.
        machine="q35" if slot.lease.devices else "pc",
        devices=slot.lease.devices,
        cards=boot.cards,
    )
    return _in_virtual_time(spec, folder) if slot.shape.clock == "virtual" else spec


def _in_virtual_time(spec: NodeSpec, folder: RunFolder) -> NodeSpec:
    return replace(
        spec,
        cmdline=f"{spec.cmdline} {virtual_domain.KERNEL_OPTIONS}",
        tb_cache_mib=virtual_domain.TB_CACHE_MIB,
        mapped=MappedFiles(
            folder.exchange, folder.exchange.stat().st_size, spec.root.stat().st_size
        ),
    )
