"""Clusters whose nodes share one VM: how it is booted, shrunk and asked."""

import asyncio
import time
from types import SimpleNamespace

from actors.clusters.cluster_spec import ClusterSpec
from actors.clusters.identity import credentials, draw_keys, macs, topology_of
from actors.clusters.live import LiveCluster
from actors.clusters.provisioner import Provisioner
from actors.clusters.replay import Replay
from actors.hosts.slot import NodeShape
from campaign.core.phase_clock import PhaseClock
from campaign.core.time_limits import TimeLimits
from campaign.schema.model import ClusterSettings
from campaign.schema.workload import WorkloadSettings
from campaign.workloads import load
from schedulers.base import BootstrapPlan, File, Stage, Step
from tests.adapters import bound
from tests.fakes.clock import RecordingClock
from tests.fakes.host import FakeHost, FakeRemote
from tests.fakes.scheduler import FakeScheduler

DENSE = topology_of(3, 4, 256, dense=True)
SLURM = bound("slurm")


class SharingScheduler(FakeScheduler):
    """A scheduler with a file for each node, and a daemon to be stopped."""

    memory_mib = 300

    def plan(self, topology, params, secrets):
        steps = {
            node.name: Step(files=(File(f"/etc/{node.name}", b""),)) for node in topology.nodes
        }
        return BootstrapPlan((Stage("nodes", steps),))

    def stop_command(self, nodes):
        return ("stop", *(node.name for node in nodes))


def spec_of(largest=3, **settings):
    bundle = SimpleNamespace(hash="0" * 64, manifest=SimpleNamespace(name="fake", facts={}))
    chosen = ClusterSettings(dense=True, **settings)
    return ClusterSpec("test", SharingScheduler(), chosen, bundle, 1, largest)


def test_it_is_one_vm_that_is_reached_and_watched(remotes):
    async def run():
        host = FakeHost()
        slot = await host.acquire("c", len(DENSE.guests), NodeShape(1, 512), 0)
        cluster = LiveCluster(host, slot, DENSE, None, draw_keys(DENSE))
        await cluster.boot()
        assert host.slots == {"c": {"head": "running"}}
        await cluster.reach(time.monotonic() + 60, PhaseClock())
        assert set(cluster.remotes) == set(cluster.access()) == {"head"}
        assert [state.name for state in await cluster.node_states()] == ["head"]
        await cluster.release()

    asyncio.run(run())


def test_its_vm_knows_all_nodes_by_name_and_has_no_cluster_network():
    keys = draw_keys(DENSE)
    assert set(keys.hosts) == {"head"}
    told = credentials(DENSE, DENSE.head, keys, macs(0))["tmpfiles.extra"].decode()
    assert "10-management.network" in told and "20-cluster.network" not in told
    told = credentials(topology_of(1, 4, 256), DENSE.head, keys, macs(0))
    assert told["system.hostname"] == b"head"


def test_nodes_that_a_trial_does_not_want_are_stopped_before_it_is_reconfigured(remotes):
    async def run():
        host = FakeHost()
        supplier = Provisioner(spec_of(), host, host)
        for nodes in (1, 3):
            ready = await supplier.provision(f"t{nodes}", nodes, {}, PhaseClock())
            assert list(host.slots[f"t{nodes}"]) == ["head"]
            assert len(ready.cluster.topology.compute) == nodes
            await ready.cluster.release()
            stopped = [command for command in remotes["head"].commands if command[0] == "stop"]
            assert stopped == ([("stop", "n2", "n3")] if nodes == 1 else [])

    asyncio.run(run())


def test_a_plan_is_applied_and_kept_by_vm(remotes):
    async def run():
        host = FakeHost()
        clock = RecordingClock()
        ready = await Provisioner(spec_of(start="cold"), host).provision("t", 2, {}, clock)
        assert set(ready.plan.stages[0].steps) == {"head"}
        assert {file.path for _, file in ready.plan.files()} == {"/etc/head", "/etc/n1", "/etc/n2"}
        assert "booting 3 nodes in one VM" in clock.details

    asyncio.run(run())


def test_the_memory_of_a_node_does_not_depend_on_how_many_there_are():
    spec = spec_of(memory_mib=4096)
    assert spec.shape.memory_mib == 4096
    assert {node.memory_mib for node in spec.topology(3).nodes} == {SharingScheduler.memory_mib}


def test_many_nodes_in_one_vm_have_longer_to_start():
    few, many = (spec_of(largest).limits(1.0) for largest in (1, 640))
    assert many.configure.seconds > few.configure.seconds
    assert many.smoke_test.seconds > few.smoke_test.seconds
    assert many.boot.seconds == few.boot.seconds


def test_daemons_and_logs_of_all_nodes_are_those_of_one_vm():
    class Asked(FakeRemote):
        async def fetch(self, paths, *, timeout_s):
            return dict.fromkeys(paths, b"text")

    async def run():
        remote = Asked("head")
        workload = load(WorkloadSettings(jobs=2), slots=4)
        replay = Replay(
            workload, SLURM, DENSE, {"head": remote}, PhaseClock(), questions=TimeLimits()
        )
        await replay._health.check()
        assert remote.commands == [SLURM.health_command(DENSE.nodes)]
        logs = await replay.logs()
        assert all(any(node.name in path for path in logs) for node in DENSE.compute)

    asyncio.run(run())
