"""Golden clusters on real VMs: pristine whatever happened before, cold when damaged, and nothing is
left of them."""

import asyncio
import os
import socket
import time
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from actors.clusters.cluster_spec import ClusterSpec
from actors.clusters.identity import load_keys
from actors.clusters.live import LiveCluster
from actors.clusters.provisioner import Provisioner
from actors.clusters.trial_run import TrialRun, TrialSpec
from actors.hosts.local import LocalHost
from actors.snapshots.snapshot import GoldenDamaged
from campaign.core.jobs import WORKLOAD_SCHEMA, Workload
from campaign.core.phase_clock import PhaseClock
from campaign.core.trials import Trial
from campaign.schema.model import ClusterSettings, ValiditySettings
from schedulers.registry import adapter, names
from tests.system.conftest import processes_naming
from tests.system.trials import host_on, provisioner_on

pytestmark = [pytest.mark.vm, pytest.mark.timeout(600)]

CYCLES = int(os.environ.get("CAMPAIGN_TEST_CYCLES", "8"))
# Every file but those that a daemon writes by itself, times in them; and the contents of all that
# isn't the image's.
LISTING = r"""
find / -xdev \( -path /var/log -o -path /var/lib/slurm -o -path /run/log \) -prune \
    -o -printf '%y %m %u %g %s %p %l\n' | sort
find /etc /root /tmp /run/campaign -xdev -type f -exec sha256sum {} + | sort -k2
"""


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("golden")


@pytest.fixture(scope="module")
def host(state_dir, bundle):
    with host_on(state_dir, bundle) as opened:
        yield opened


@pytest.fixture(scope="module")
def cluster_spec(bundle):
    return ClusterSpec(
        campaign="test",
        scheduler=adapter("slurm"),
        settings=ClusterSettings(),
        bundle=bundle,
        smallest=1,
        largest=2,
    )


@asynccontextmanager
async def cluster_of(provisioner, nodes=2, **params):
    """A cluster that is ready for jobs, and its phases."""
    clock = PhaseClock()
    ready = await provisioner.provision(provisioner._spec.name("test"), nodes, params, clock)
    try:
        yield ready, clock.phases
    finally:
        await ready.cluster.release()


async def on_head(ready, command, timeout_s=120):
    return await ready.cluster.remotes["head"].succeed(("bash", "-c", command), timeout_s=timeout_s)


def test_a_golden_cluster_is_made_once_and_restored_at_every_size(host, cluster_spec):
    async def live():
        provisioner = provisioner_on(host, cluster_spec)
        async with cluster_of(provisioner) as (first, phases):
            assert phases["golden"] > 0
            assert (await on_head(first, "sinfo -h -o %D")).strip() == "2"
        async with cluster_of(provisioner, nodes=1, bf_interval=7) as (second, phases):
            assert "golden" not in phases or phases["golden"] < 2
            assert first.golden_key == second.golden_key != ""
            assert (await on_head(second, "sinfo -h -t idle -o %D,%N")).strip() == "1,n1"
            assert "bf_interval=7" in await on_head(
                second, "scontrol show config | grep SchedulerParameters"
            )
            assert sorted(second.cluster.remotes) == ["head", "n1"]
        return provisioner

    asyncio.run(live())


def test_a_restored_node_has_our_time_and_random_numbers_of_its_own(host, cluster_spec):
    async def look():
        async with cluster_of(provisioner_on(host, cluster_spec)) as (ready, _):
            texts = [
                await remote.succeed(
                    ("bash", "-c", "echo $EPOCHREALTIME; cat /proc/sys/kernel/random/uuid"),
                    timeout_s=60,
                )
                for remote in ready.cluster.remotes.values()
            ]
            return [(float(text.split()[0]) - time.time(), text.split()[1]) for text in texts]

    first = asyncio.run(look())
    second = asyncio.run(look())
    assert all(abs(gap) < 5 for gap, _ in first + second)
    assert len({number for _, number in first + second}) == 6


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", names())
def test_a_golden_cluster_does_not_age(host, bundle_of, name, monkeypatch):
    """Restored a day after it was saved, whole and smaller: its daemons must not mind that their
    time jumps."""
    scheduler = adapter(name)
    cluster = ClusterSettings(memory_mib=max(512, scheduler.memory_mib))
    cluster_spec = ClusterSpec(
        "test", scheduler, cluster, bundle_of(scheduler.image), smallest=1, largest=2
    )

    async def jobs_run(nodes):
        """A provisioner hands out no cluster on which a job hasn't run across all nodes; another
        one follows at leisure."""
        async with cluster_of(provisioner_on(host, cluster_spec), nodes) as (ready, _):
            await asyncio.sleep(3)
            again = cluster_spec.bound.smoke_test_command(cluster_spec.topology(nodes))
            await ready.cluster.remotes["head"].succeed(again, timeout_s=180)
            return ready.golden_key

    made = asyncio.run(jobs_run(2))
    tomorrow = SimpleNamespace(time=lambda: time.time() + 86_400, monotonic=time.monotonic)
    monkeypatch.setattr("actors.clusters.live.time", tomorrow)
    assert [asyncio.run(jobs_run(nodes)) for nodes in (2, 1)] == [made, made] != ["", ""]


def test_what_a_filthy_trial_leaves_behind_is_not_met_by_the_next(host, cluster_spec):
    async def inspect(ready):
        seen = {
            name: await remote.succeed(("bash", "-c", LISTING), timeout_s=120)
            for name, remote in ready.cluster.remotes.items()
        }
        seen["the queue"] = await on_head(ready, "squeue -h | wc -l; sbatch --parsable --wrap true")
        return {f"{where}: {line}" for where, text in seen.items() for line in text.splitlines()}

    async def spoil(ready):
        await on_head(ready, "sbatch --array=1-1000 --nodes=2 --wrap 'sleep 1000'")
        for remote in ready.cluster.remotes.values():
            await remote.run(
                ("bash", "-c", "rm -rf /etc/munge; head -c 400M /dev/zero >/filth"), timeout_s=120
            )
            await remote.run(
                ("systemctl", "kill", "--signal=KILL", "munge", "slurmd", "slurmctld"), timeout_s=60
            )

    async def live():
        provisioner = provisioner_on(host, cluster_spec)
        async with cluster_of(provisioner) as (clean, _):
            before = await inspect(clean)
            await spoil(clean)
        async with cluster_of(provisioner) as (pristine, _):
            return before, await inspect(pristine)

    before, after = asyncio.run(live())
    assert before ^ after == set()


def test_a_trial_measures_the_same_after_a_filthy_one(host, cluster_spec):
    job = {"arrival_s": 0.0, "width": 2, "runtime_s": 2.0, "requested_s": 60.0, "user": 1}
    jobs = pa.Table.from_pylist(
        [{"job_id": number, **job} for number in range(1, 7)], schema=WORKLOAD_SCHEMA
    )
    spec = TrialSpec(
        Trial(number=0, point={}), "slurm", 2, {}, ValiditySettings(), Workload("six", jobs)
    )

    async def live():
        provisioner = provisioner_on(host, cluster_spec)
        results = []
        for filthy in (True, False):
            results.append(
                await TrialRun(cluster_spec, spec, LocalHost(host), provisioner).evaluate()
            )
            if filthy:
                async with cluster_of(provisioner) as (ready, _):
                    await on_head(
                        ready,
                        "sbatch --array=1-1000 --wrap 'sleep 1000'; kill -9 $(pidof slurmctld)",
                    )
        return results

    results = asyncio.run(live())
    assert [result.outcome for result in results] == ["ok", "ok"], [
        result.reason for result in results
    ]
    assert all(result.provenance.start == "golden" for result in results)
    first, second = (max(result.jobs.column("end_ns").to_pylist()) for result in results)
    assert 0.5 < second / first < 2


def test_a_snapshot_that_qemu_refuses_is_replaced_by_a_cold_boot(host, cluster_spec, monkeypatch):
    async def live():
        provisioner = provisioner_on(host, cluster_spec)
        async with cluster_of(provisioner, nodes=1):
            pass
        monkeypatch.setattr(
            "actors.hosts.node_specs.TB_CACHE_MIB", 64
        )  # shapes no memory, so this one would work
        monkeypatch.setattr(host._hypervisor, "load_devices", refuse)
        async with cluster_of(provisioner, nodes=1) as (ready, _):
            return ready

    def refuse(name, path):
        raise GoldenDamaged(f"{name} can't be restored from {path.name}")

    ready = asyncio.run(live())
    assert ready.golden_key == ""
    assert "can't be restored" in ready.cold_because


def test_the_next_cluster_is_made_ahead_and_gives_way_to_who_needs_its_room(host, cluster_spec):
    local = LocalHost(host)

    async def live():
        provisioner = Provisioner(cluster_spec, local, local)
        async with cluster_of(provisioner):
            provisioner.prefetch()
            await provisioner._prefetched
            ahead = local.slots[-1]
        async with cluster_of(provisioner, nodes=1) as (ready, phases):
            assert ready.cluster.slot == ahead
            assert phases["started"] < 1
        provisioner.prefetch()
        cluster = await provisioner._prefetched
        host.release(cluster.slot)  # as acquire does when room is short
        async with cluster_of(provisioner, nodes=1) as (ready, _):
            assert ready.golden_key
            assert ready.cluster.slot != cluster.slot
        provisioner.prefetch()
        await provisioner.close()

    asyncio.run(live())
    assert host._hypervisor.ours() == []
    assert host._slots.all_slots() == []


def usage(host, state_dir):
    """What a cycle could leak: domains, processes, ports, files, our descriptors; and hundreds of
    MiB of our memory."""
    domains = host._hypervisor.guests()
    processes = processes_naming(str(state_dir))
    low = host._settings.ports[0]
    ports = [port for port in range(low, low + 40) if not free(port)]
    files = [path for folder in ("nodes", "golden") for path in (state_dir / folder).rglob("*")]
    descriptors = list(Path("/proc/self/fd").iterdir())
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return (
        len(domains),
        len(processes),
        len(ports),
        len(files),
        len(descriptors),
        round(resident / 2**20, -2),
    )


def free(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_many_restores_leave_nothing_and_stay_as_fast(host, cluster_spec, state_dir):
    local = LocalHost(host)

    async def cycle(golden):
        began = time.monotonic()
        topology = cluster_spec.topology(1)
        slot = await local.acquire(
            cluster_spec.name("cycle"), 2, cluster_spec.shape, int(began) + 10**9
        )
        cluster = LiveCluster(
            local, slot, topology, cluster_spec.bundle, load_keys(golden.identity)
        )
        await cluster.restore(local, golden)
        await cluster.resume(local, topology.guests, began + 120, PhaseClock())
        await cluster.release()
        return time.monotonic() - began

    async def live():
        async with cluster_of(Provisioner(cluster_spec, local, local), nodes=1):
            pass
        golden = (
            await local.lookup(cluster_spec.key_inputs(), cluster_spec.shape, make=True)
        ).golden
        before = usage(host, state_dir)
        seconds = [await cycle(golden) for _ in range(CYCLES)]
        return before, usage(host, state_dir), seconds

    before, after, seconds = asyncio.run(live())
    assert after == before
    half = CYCLES // 2
    assert sum(seconds[half:]) < 1.5 * sum(seconds[:half]), seconds


def flip_a_byte(golden):
    """Spoil the memory of a golden cluster; test_golden_damage.py knows more ways."""
    with golden.ram("n1").open("r+b") as file:
        file.seek(100 * 2**20)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))


def test_a_damaged_golden_cluster_is_never_restored_but_replaced_by_a_cold_boot(host, cluster_spec):
    local = LocalHost(host)

    async def live():
        provisioner = Provisioner(cluster_spec, local, local)
        async with cluster_of(provisioner, nodes=1) as (sound, _):
            assert sound.golden_key
        offer = await local.lookup(cluster_spec.key_inputs(), cluster_spec.shape, make=False)
        flip_a_byte(offer.golden)
        async with cluster_of(provisioner, nodes=1) as (ready, phases):
            return ready, phases, await on_head(ready, "sinfo -h -t idle -o %D")

    ready, phases, idle = asyncio.run(live())
    assert (ready.golden_key, idle.strip()) == ("", "1")
    assert "golden cluster file" in ready.cold_because
    assert "fallback" in phases
