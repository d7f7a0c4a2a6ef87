"""A node with a card on a bridge, in the network namespace of this process: is it reached there?

Run as a program, in a fresh namespace, with a folder and an image store. It writes what it saw as
JSON. A kernel that knows rates and latencies gets both; on one that doesn't, the node must not
start with them.
"""

import asyncio
import json
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from actors.clusters.attachments import cards_of
from actors.clusters.identity import draw_keys
from actors.clusters.live import LiveCluster
from actors.hosts.host import Host
from actors.hosts.local import LocalHost
from actors.hosts.slot import NodeShape
from actors.hypervisor import shaping
from actors.hypervisor.errors import HypervisorError
from actors.hypervisor.host_hardware import HostHardware
from actors.hypervisor.lease import Owner
from campaign.core.phase_clock import PhaseClock
from campaign.images.bundles.store import Store
from campaign.schema.hosts import HostSettings
from campaign.schema.model import ClusterSettings
from schedulers.base import Node, Topology

TIMEOUT_S = 240.0
BRIDGE = "br0"
OF_HOST = "10.90.0.1"
NODE = Node("n1", "compute", "10.42.0.2", 1, 512)
PLAIN = {"bridge": BRIDGE, "first_address": "10.90.0.11/24"}
LATENCY_MS = 20


def settings(**shaped) -> ClusterSettings:
    return ClusterSettings.model_validate({"networks": {"fabric": PLAIN | shaped}})


@contextmanager
def host_of(folder: Path, store: Path):
    bundle = next(one for one in Store(store).bundles() if one.manifest.name == "slurm")
    uri = {"uri": "private", "state_dir": str(folder), "acceleration": "tcg"}
    host = Host("test", HostSettings(**uri), bundle, Owner.current())
    try:
        yield host, bundle
    finally:
        host.close()


async def boot(host, bundle, cluster, name):
    """The node of a cluster, started and reached; it is released in any case."""
    local = LocalHost(host)
    topology = Topology("campaign", (NODE,))
    expires = int(time.time() + 2 * TIMEOUT_S)
    slot = await local.acquire(name, 1, NodeShape(1, NODE.memory_mib), expires)
    cards = cards_of(cluster, 1, name)
    keys = draw_keys(topology)
    live = LiveCluster(local, slot, topology, bundle, keys, cards=cards)
    try:
        await live.boot()
        await live.reach(time.monotonic() + TIMEOUT_S, PhaseClock())
        node = live.remotes[NODE.name]
        inside = await node.succeed(("ip", "-brief", "addr"), timeout_s=60)
        # What comes back passes the card's tap on its way to the node.
        pinged = await node.run(("ping", "-c", "3", "-W", "20", OF_HOST), timeout_s=120)
        tap = cards[NODE.name][0].tap(f"{name}-{NODE.name}")
        return {"inside": inside, "pinged": pinged.stdout, **seen_from_host(tap)}
    finally:
        await live.release()


def seen_from_host(tap):
    """What the bridge and the tap's queues say."""
    return {
        "ports": said("ip", "-brief", "link", "show", "master", BRIDGE),
        "tap": tap,
        "queues": said("tc", "qdisc", "show", "dev", tap),
    }


def refused(host, bundle, **shaped):
    """What the start of a node says whose card can't be shaped; None if it starts."""
    try:
        asyncio.run(
            boot(host, bundle, settings(**shaped), f"no-{'-'.join(shaped)}"[:20].replace("_", "-"))
        )
    except HypervisorError as error:
        return error.brief
    return None


def said(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    return done.stdout + done.stderr


def main(folder: Path, store: Path) -> None:
    for command in (
        "ip link set lo up",
        f"ip link add {BRIDGE} type bridge forward_delay 0",
        f"ip addr add {OF_HOST}/24 dev {BRIDGE}",
        f"ip link set {BRIDGE} up",
    ):
        subprocess.run(command.split(), check=True)
    unable = shaping.refused(rate=True, latency=True)
    wanted = {"rate": {"rate_mbit": 100}, "latency": {"latency_ms": LATENCY_MS}}
    able = {}
    for what, setting in wanted.items():
        able |= {} if what in unable else setting
    networks = settings(**able).networks
    found = {"unable": unable, "problems": list(HostHardware().network_problems(networks, tuple))}
    with host_of(folder, store) as (host, bundle):
        found["refused"] = {what: refused(host, bundle, **wanted[what]) for what in unable}
        found["left"] = host._hypervisor.guests()
        found |= asyncio.run(boot(host, bundle, settings(**able), "fine"))
        found["after"] = said("ip", "-brief", "link", "show", "master", BRIDGE)
        found["guests"] = host._hypervisor.guests()
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
