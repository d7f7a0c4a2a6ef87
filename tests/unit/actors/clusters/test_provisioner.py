"""Where clusters come from: restored, prefetched or booted; and what a failure leaves."""

import asyncio
from types import SimpleNamespace

import pytest

from actors.bootstrap.apply import BootstrapFailed
from actors.bootstrap.ssh import Output
from actors.clusters.cluster_spec import ClusterSpec
from actors.clusters.provisioner import GIVE_UP_AFTER, Provisioner
from campaign.core.host_load import LoadSample
from campaign.core.phase_clock import PhaseClock
from campaign.schema.model import ClusterSettings
from schedulers.base import PhaseLimits
from tests.fakes.clock import RecordingClock
from tests.fakes.host import FakeHost, FakeRemote
from tests.fakes.scheduler import SMOKE_TEST, FakeScheduler


def provisioner_on(host, start="golden"):
    bundle = SimpleNamespace(hash="0" * 64, manifest=SimpleNamespace(name="fake", facts={}))
    settings = ClusterSettings(start=start)
    spec = ClusterSpec("test", FakeScheduler(), settings, bundle, 1, 3)
    return Provisioner(spec, host, host)


async def provided(supplier, nodes=2, clock=None):
    """A ready cluster, which is released at once."""
    ready = await supplier.provision(f"t{nodes}", nodes, {}, clock or PhaseClock())
    assert ready.cluster.state == "reached"
    assert sorted(ready.cluster.remotes) == sorted(n.name for n in ready.cluster.topology.nodes)
    assert len(ready.cluster.topology.compute) == nodes
    await ready.cluster.release()
    return ready


def test_a_golden_cluster_is_made_once_and_restored_for_each_trial(remotes):
    async def run():
        host = FakeHost()
        supplier = provisioner_on(host)
        clock = RecordingClock()
        first = await provided(supplier, 2, clock)
        second = await provided(supplier, 1)
        assert host.made == 1
        assert first.golden_key == second.golden_key != ""
        assert host.slots == {}
        return clock

    clock = asyncio.run(run())
    assert list(clock.phases) == ["golden", "placed", "started", "reachable"]
    assert "making the golden cluster: booting 4 nodes" in clock.details
    assert clock.details[-1] == "a job across all nodes"


def test_a_cold_cluster_is_booted_and_gets_the_instruments(remotes):
    async def run():
        return await provided(provisioner_on(FakeHost(), start="cold"))

    ready = asyncio.run(run())
    assert (ready.golden_key, ready.cold_because) == ("", "")
    for remote in remotes.values():
        assert [command[0] for command in remote.commands[:2]] == ["put", "chmod"]
    assert ("timeout", "120", *SMOKE_TEST) in remotes["head"].commands


def test_the_prefetched_cluster_is_taken_and_shrunk(remotes):
    async def run():
        host = FakeHost()
        supplier = provisioner_on(host)
        await provided(supplier)
        supplier.prefetch()
        waiting = await supplier._prefetched
        assert sorted(waiting.remotes) == ["head", "n1"]
        ready = await provided(supplier, 2)
        assert ready.cluster is waiting
        assert host.slots == {}

    asyncio.run(run())


def test_a_prefetched_cluster_whose_room_was_needed_is_replaced(remotes):
    async def run():
        host = FakeHost()
        supplier = provisioner_on(host)
        await provided(supplier)
        supplier.prefetch()
        waiting = await supplier._prefetched
        await host.release(waiting.slot)
        ready = await provided(supplier)
        assert ready.cluster is not waiting
        assert ready.golden_key
        assert waiting.state == "released"

    asyncio.run(run())


def test_what_was_prefetched_in_vain_is_released(remotes):
    async def run():
        host = FakeHost()
        supplier = provisioner_on(host)
        await provided(supplier)
        supplier.prefetch()
        await supplier.close()
        assert host.slots == {}

    asyncio.run(run())


def test_a_golden_cluster_that_cannot_be_restored_is_replaced_by_a_cold_boot(remotes):
    async def run():
        host = FakeHost(refuses=["restore"])
        clock = PhaseClock()
        ready = await provided(provisioner_on(host), 2, clock)
        assert host.slots == {}
        return ready, clock

    ready, clock = asyncio.run(run())
    assert (ready.golden_key, ready.cold_because) == ("", "restore is refused")
    assert "fallback" in clock.phases


def test_golden_clusters_are_given_up_after_failures_in_a_row(remotes):
    async def run():
        host = FakeHost(refuses=["restore"])
        supplier = provisioner_on(host)
        for _ in range(GIVE_UP_AFTER):
            await provided(supplier)
        clock = PhaseClock()
        ready = await provided(supplier, 2, clock)
        assert "fallback" not in clock.phases
        return ready.cold_because

    why = asyncio.run(run())
    assert why == f"golden clusters failed {GIVE_UP_AFTER} times, at last: restore is refused"


def test_a_failed_smoke_test_shows_command_exit_status_and_output(remotes, monkeypatch):
    async def refuse(self, command, *, timeout_s, stdin=None):
        return (
            Output(1, "", "no such partition") if command[2:] == SMOKE_TEST else Output(0, "", "")
        )

    monkeypatch.setattr(FakeRemote, "run", refuse)
    host = FakeHost()
    with pytest.raises(BootstrapFailed) as failed:
        asyncio.run(provided(provisioner_on(host, start="cold")))
    assert failed.value.details.splitlines() == [
        "command: srun true",
        "exit status: 1",
        "output: no such partition",
    ]
    assert host.slots == {}


def test_a_smoke_test_that_takes_too_long_names_its_phase_and_limit(remotes, monkeypatch):
    """As `timeout` on the node ends it, on a host that is slower than the reference machine."""
    limited = ("timeout", "0.3", *SMOKE_TEST)
    limits = PhaseLimits(boot_s=60.0, configure_s=60.0, smoke_test_s=0.1)
    monkeypatch.setattr(FakeScheduler, "phase_limits", limits)

    async def too_slow(self, command, *, timeout_s, stdin=None):
        if command != limited:
            return Output(0, "", "")
        await asyncio.sleep(0.3)
        return Output(124, "", "")

    monkeypatch.setattr(FakeRemote, "run", too_slow)
    host = FakeHost(slowness=3.0)
    with pytest.raises(BootstrapFailed) as failed:
        asyncio.run(provided(provisioner_on(host, start="cold")))
    assert failed.value.brief == (
        "phase 'smoke test' of fake took longer than 0.3 s "
        "(limit 0.1 s x 3.0 for this host's speed)"
    )
    assert "exit status: 124" in failed.value.details
    assert host.slots == {}


def test_limits_grow_with_what_others_take_of_the_host_at_present(remotes):
    async def run():
        host = FakeHost()
        supplier = provisioner_on(host)
        quiet = await supplier.limits()
        # Half of the time for which nodes wanted a CPU, others had it.
        host.samples = [LoadSample(0.0, 10.0, 2, 1.0, foreign_cpus=2.0, waited_s=10.0, ran_s=10.0)]
        busy = await supplier.limits()
        assert busy.collect.seconds == pytest.approx(2 * quiet.collect.seconds)
        assert busy.questions.stretch == pytest.approx(2.0)
        host.refuses.add("load")
        assert await supplier.limits() == quiet

    asyncio.run(run())
