"""Single trials on real VMs, for tests: a small cluster, its evaluation, and the connections to its
nodes."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pyarrow as pa

from actors.clusters.cluster_spec import ClusterSpec
from actors.clusters.identity import draw_keys
from actors.clusters.live import LiveCluster
from actors.clusters.provisioner import Provisioner
from actors.clusters.trial_run import TrialRun, TrialSpec
from actors.hosts.host import Host
from actors.hosts.local import LocalHost
from actors.hosts.slot import NodeShape
from actors.hypervisor.lease import Owner
from campaign.core.jobs import WORKLOAD_SCHEMA, Workload
from campaign.core.phase_clock import PhaseClock
from campaign.core.trials import Trial
from campaign.images.bundles.manifest import Bundle
from campaign.schema.hosts import HostSettings
from campaign.schema.model import ClusterSettings, ValiditySettings
from schedulers.base import Topology
from schedulers.registry import adapter

TIMEOUT_S = 600.0  # emulated nodes on a busy machine: a module of Ansible's takes seconds


def cluster_on(local, bundle, *, runtime_s=60.0, width=1, payload="sleep", **cluster) -> TrialRun:
    """A cluster for a trial of one compute node and two jobs, long and narrow if nothing else is
    said."""
    job = {
        "arrival_s": 0.0,
        "width": width,
        "runtime_s": runtime_s,
        "requested_s": 300.0,
        "user": 1,
    }
    jobs = pa.Table.from_pylist(
        [{"job_id": number, **job} for number in (1, 2)], schema=WORKLOAD_SCHEMA
    )
    cluster_spec = ClusterSpec(
        campaign="test",
        scheduler=adapter("slurm"),
        settings=ClusterSettings(**cluster),
        bundle=bundle,
        smallest=1,
        largest=2,
    )
    spec = TrialSpec(
        trial=Trial(number=0, point={}),
        scheduler="slurm",
        nodes=1,
        params={},
        validity=ValiditySettings(),
        workload=Workload("two jobs", jobs, payload=payload),
    )
    return TrialRun(cluster_spec, spec, local, Provisioner(cluster_spec, local, local))


def provisioner_on(host: Host, cluster_spec: ClusterSpec) -> Provisioner:
    """Provide clusters, restored ones too, on a host in this process."""
    local = LocalHost(host)
    return Provisioner(cluster_spec, local, local)


@contextmanager
def host_on(folder: Path, bundle: Bundle) -> Iterator[Host]:
    """A host with a libvirt of its own that keeps everything in `folder`; its nodes are all gone at
    the end."""
    opened = Host(
        "test", HostSettings(uri="private", state_dir=str(folder)), bundle, Owner.current()
    )
    yield opened
    assert opened._hypervisor.ours() == []
    opened.close()


@asynccontextmanager
async def booted(
    host: Host, bundle: Bundle, name: str, topology: Topology
) -> AsyncIterator[LiveCluster]:
    """The nodes of a topology, booted, reached by SSH, and with no scheduler on them."""
    local = LocalHost(host)
    nodes = topology.nodes
    slot = await local.acquire(
        name, len(nodes), NodeShape(1, nodes[0].memory_mib), int(time.time() + 2 * TIMEOUT_S)
    )
    cluster = LiveCluster(local, slot, topology, bundle, draw_keys(topology))
    try:
        await cluster.boot()
        await cluster.reach(time.monotonic() + TIMEOUT_S, PhaseClock())
        yield cluster
    finally:
        await cluster.release()


async def evaluate(cluster, disturb=None):
    """Evaluate; as soon as jobs run, `disturb` the cluster."""
    evaluation = asyncio.create_task(cluster.evaluate())
    while not evaluation.done():
        if disturb and cluster.status.phase == "workload" and "jobs done" in cluster.status.detail:
            await asyncio.sleep(3)
            await disturb()
            disturb = None
        await asyncio.sleep(0.2)
    return await evaluation


async def until_running(remotes, bound, count=1):
    """Wait until the scheduler says that so many jobs run, and their payloads have begun."""
    while True:
        listed = await remotes["head"].run(bound.pending_command(), timeout_s=60)
        if listed.ok and list(bound.parse_pending(listed.stdout).values()).count("") >= count:
            break
        await asyncio.sleep(0.5)
    await asyncio.sleep(3)


def remotes_of(monkeypatch):
    """The connections that a cluster makes, by node."""
    from actors.clusters import live as module

    made = {}
    connect = module.Remote.connect.__func__

    async def recorded(cls, node, *arguments, **options):
        made[node] = await connect(cls, node, *arguments, **options)
        return made[node]

    monkeypatch.setattr(module.Remote, "connect", classmethod(recorded))
    return made
