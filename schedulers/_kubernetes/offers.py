"""What a node offers to pods: slots, memory and GPUs, and labels by which it is chosen.

What counts is an extended resource: a kubelet can't offer more CPUs or memory than the node has,
nor GPUs that have no device.
"""

import re
from zlib import crc32

from schedulers.base import Node, Topology

SLOT = "campaign.dev/slot"
MEMORY = "campaign.dev/memory-mib"
GPU = "campaign.dev/gpu"
GROUP = "campaign.dev/group"
GPU_TYPE = "campaign.dev/gpu-type"
FEATURE = "feature.campaign.dev/"
HOST = "kubernetes.io/hostname"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


def kubernetes_name(name: str) -> str:
    """Return the name as objects and labels may have it; different ones stay different."""
    if _NAME.fullmatch(name):
        return name
    kept = re.sub("[^a-z0-9-]", "-", name.lower()).strip("-")
    return f"{kept}-{crc32(name.encode()):08x}".lstrip("-")


def offers_of(node: Node, topology: Topology) -> dict[str, str]:
    """Return the extended resources of a node; memory only where the cluster's groups have it."""
    found = {SLOT: str(node.slots)}
    if any(group.memory_mib is not None for group in topology.model.groups):
        found[MEMORY] = str(node.memory_mib)
    if node.gpus:
        found[GPU] = str(node.gpus)
    return found


def labels(node: Node) -> dict[str, str]:
    """Return the labels by which a node is chosen."""
    found = {f"{FEATURE}{kubernetes_name(feature)}": "true" for feature in node.features}
    if node.group:
        found[GROUP] = kubernetes_name(node.group)
    if node.gpu_type:
        found[GPU_TYPE] = kubernetes_name(node.gpu_type)
    return found
