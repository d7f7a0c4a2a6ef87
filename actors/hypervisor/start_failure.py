"""Finds the cause and the fix in what libvirt and QEMU say when a node doesn't start."""

import re

from actors.hypervisor.errors import (
    DiskFull,
    FileUnusable,
    MemoryExhausted,
    NodeNameTaken,
    NodeStartFailed,
    PortInUse,
)
from actors.hypervisor.node_spec import NodeSpec

# Ordered: the first that is found in the message decides.
_CAUSES: tuple[tuple[str, type[NodeStartFailed], str, str], ...] = (
    (
        r"Could not set up host forwarding rule",
        PortInUse,
        "TCP port 127.0.0.1:{ssh_port} is in use",
        "End what listens there (ss -ltnp shows it), or set hosts.*.ports to another range.",
    ),
    (
        r"PCI device .* (is in use|is already in use)|vfio.*(resource busy|not viable)",
        NodeStartFailed,
        "somebody else has one of its PCI devices",
        "End what uses it, or take it out of hosts.*.devices.",
    ),
    (
        r"interface MTU on|[Nn]etwork not found|network '.*' is not active",
        NodeStartFailed,
        "one of its networks isn't there",
        "Make the bridge or start the network, or name another one: cluster.networks.",
    ),
    (
        r"tc (qdisc|class|filter)",
        NodeStartFailed,
        "the host's kernel can't keep the rate of one of its cards",
        "Use a kernel with sch_htb, sch_sfq, cls_fw, cls_u32 and act_police, or leave "
        "cluster.networks.*.rate_mbit out.",
    ),
    (
        r"No space left on device|Disk quota exceeded",
        DiskFull,
        "there is no space left on the device",
        "Free some space where the run folder and libvirt's state folder are (df -h shows it).",
    ),
    (
        r"already exists with uuid|is already defined|domain .* already exists|already active",
        NodeNameTaken,
        "a domain named {name} exists already",
        "Remove what earlier runs left: hpc-campaign clean",
    ),
    (
        r"[Cc]annot allocate memory|[Cc]annot set up guest memory",
        MemoryExhausted,
        "the host has no {memory_mib} MiB of memory for it",
        "Use fewer or smaller nodes, or free memory.",
    ),
    (
        r"[Pp]ermission denied|Operation not permitted",
        FileUnusable,
        "libvirt or QEMU may not read one of its files",
        "Let the user that QEMU runs as read the image, the run folder and all folders above them.",
    ),
    (
        r"No such file or directory|[Cc]annot access storage file|could not open kernel "
        r"file|does not exist",
        FileUnusable,
        "one of its files is missing",
        "Verify the image, and build it again if it is damaged.",
    ),
)


def explain(message: str, spec: NodeSpec, uri: str) -> NodeStartFailed:
    """Return the error for libvirt's `message` about `spec`; its details are the message."""
    start = f"node {spec.name} can't be started at {uri}"
    for pattern, kind, cause, fix in _CAUSES:
        if re.search(pattern, message):
            reason = cause.format(
                ssh_port=spec.ssh_port, name=spec.name, memory_mib=spec.memory_mib
            )
            return kind(f"{start}: {reason}", message.strip(), fix)
    return NodeStartFailed(start, message.strip(), "Read the host's libvirt and QEMU logs.")
