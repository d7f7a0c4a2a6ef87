"""Starts a node with all that it has of its host's: what libvirt doesn't set comes afterwards."""

from actors.hypervisor import shaping
from actors.hypervisor.connection import Hypervisor
from actors.hypervisor.errors import NetworkUnusable
from actors.hypervisor.node_spec import NodeSpec


def start_attached(hypervisor: Hypervisor, spec: NodeSpec) -> None:
    """Start a node, and set the latencies of its cards.

    Raises what `Hypervisor.start` raises, and NetworkUnusable; nothing is left running then.
    """
    hypervisor.start(spec)
    try:
        for card in spec.cards:
            shaping.delay(card, spec.name)
    except NetworkUnusable:
        hypervisor.destroy(spec.name)
        raise
