"""The nodes of a slot as their hypervisor must know them, and what of a host shapes them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from actors.hosts.resources import TB_CACHE_MIB
from actors.hosts.slot import NodeBoot, NodeShape, Slot
from actors.hypervisor import run_folder
from actors.hypervisor.capacity import read_cpu_model
from actors.hypervisor.domain import MemoryFile, NodeSpec, fingerprint
from actors.hypervisor.run_folder import RunFolder
from campaign.guest import exchange


def hardware(shape: NodeShape, kind: Literal["kvm", "tcg"], qemu: str) -> dict[str, str]:
    """Return what of this host shapes the memory and the devices of a node."""
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
    return [
        _node_spec(slot, boot, port, folder=_folder(run_root, slot, boot), kind=kind, memory=memory)
        for boot, port in zip(boots, slot.ports, strict=True)
    ]


def _folder(run_root: Path, slot: Slot, boot: NodeBoot) -> RunFolder:
    def fill(folder: RunFolder) -> None:
        if slot.shape.clock == "virtual":
            exchange.create(folder.exchange, boot.task, boot.task_number)

    name = f"{slot.cluster}-{boot.name}"
    return run_folder.create(run_root, name, slot.lease, boot.credentials, fill=fill)


def _node_spec(
    slot: Slot,
    boot: NodeBoot,
    port: int,
    *,
    folder: RunFolder,
    kind: Literal["kvm", "tcg"],
    memory: Mapping[str, MemoryFile],
) -> NodeSpec:
    return NodeSpec(
        cluster=slot.cluster,
        node=boot.name,
        vcpus=slot.shape.vcpus,
        memory_mib=slot.shape.memory_mib,
        kernel=boot.image.kernel,
        initrd=boot.image.initrd,
        cmdline=boot.image.manifest.kernel_cmdline,
        root=boot.image.root,
        acceleration=kind,
        tb_cache_mib=TB_CACHE_MIB,
        ssh_port=port,
        ssh_address=slot.address,
        network=slot.network,
        management_mac=boot.macs[0],
        cluster_mac=boot.macs[1],
        credentials=folder.credentials,
        console_log=folder.console_log,
        lease=slot.lease,
        memory=memory.get(boot.name),
    )
