"""Measure how long a cluster takes from its request to its first finished job.

Clusters are booted and restored, all in one process, on one host, with the machinery that trials
use (`actors.clusters.provisioner`), one cluster after the other.
"""

import asyncio
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from actors.bootstrap.ansible import check_installed
from actors.clusters.cluster_spec import ClusterSpec
from actors.clusters.provisioner import Provisioner, ReadyCluster
from actors.hosts.host import Host
from actors.hosts.local import LocalHost
from actors.hosts.slot import NodeBoot, Slot
from actors.hosts.state_dir import state_dir_of
from actors.hypervisor.capacity import read_cpu_model
from actors.hypervisor.connection import Hypervisor
from actors.hypervisor.lease import Owner
from actors.snapshots.registry import SnapshotOffer
from actors.snapshots.sealing import drop_cache, read_all
from actors.snapshots.snapshot import Golden
from actors.snapshots.store import GoldenStore
from campaign.bench.clusters_table import (
    ANSIBLE,
    MOVED,
    RESTORED,
    ROWS,
    SSH,
    UNCACHED,
    ClusterMeasurements,
    ClusterSample,
    ReadTimes,
    as_json,
    as_svg,
    as_text,
)
from campaign.bench.results import BenchmarkResults
from campaign.config.compose import Composed, compose
from campaign.core.errors import BenchmarkError
from campaign.core.phase_clock import PhaseClock
from campaign.core.phases import Phase
from campaign.core.version import git_commit
from campaign.images.bundles.manifest import Bundle
from campaign.schema.hosts import HostSettings
from campaign.schema.settings import Scalar
from campaign.testbeds.preflight import bundles_for, check_capacity, check_ports

BASE = ("name=bench", "cluster.nodes=2", "scheduler.params={bf_interval: 7}")
"""The campaign that is measured unless overrides change it.

Its scheduler.params are those of row (c+).
"""
ROUND = (ANSIBLE, SSH, RESTORED, RESTORED, RESTORED, MOVED, UNCACHED)
"""The rows that one round measures.

Rounds interleave the ways, so that none has the machine's better hours to itself.
"""
_MORE_ROOM = "Raise hosts.*.golden_mib."

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OwnGolden(ClusterSpec):
    """A spec whose golden cluster is of this `run` alone, so that making it is measured, too."""

    run: str = field(kw_only=True)

    def key_inputs(self) -> dict[str, str]:
        """Return the inputs of the golden cluster's key, with this run among them."""
        return {**super().key_inputs(), "benchmark": self.run}


@dataclass(frozen=True)
class ClusterPlan:
    """What to measure: clusters of `spec.largest` compute nodes, in so many rounds.

    `moved` are the scheduler's settings of row (c+).
    """

    spec: OwnGolden
    moved: Mapping[str, Scalar]
    rounds: int


class TimedHypervisor(Hypervisor):
    """Notes when each node's memory and devices were loaded (monotonic seconds)."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.loads: list[tuple[float, float]] = []

    def load_devices(self, name: str, path: Path) -> None:
        """Load a node's devices, and note when that began and ended."""
        began = time.monotonic()
        super().load_devices(name, path)
        self.loads.append((began, time.monotonic()))


class TimedHost(Host):
    """A host that knows how long its last restore took, and the loading of memory in it."""

    def __init__(self, name: str, settings: HostSettings, bundle: Bundle, owner: Owner) -> None:
        super().__init__(name, settings, bundle, owner)
        untimed = self._hypervisor
        self._timed = self._hypervisor = TimedHypervisor(untimed.uri)
        untimed.close()
        self.restore_s: float | None = None

    @property
    def loads_s(self) -> tuple[float, ...]:
        """How long each node's loading took."""
        return tuple(end - begin for begin, end in self._timed.loads)

    @property
    def memory_s(self) -> float | None:
        """From the first node's loading to the last one's end, None without a restore."""
        loads = self._timed.loads
        return max(end for _, end in loads) - min(begin for begin, _ in loads) if loads else None

    def forget_times(self) -> None:
        """Begin anew."""
        self._timed.loads = []
        self.restore_s = None

    def restore(self, slot: Slot, boots: Sequence[NodeBoot], golden: Golden) -> None:
        """Restore nodes, and note how long that took."""
        began = time.monotonic()
        super().restore(slot, boots, golden)
        self.restore_s = time.monotonic() - began


def run(overrides: Sequence[str], folder: Path, rounds: int) -> BenchmarkResults:
    """Measure clusters of the base campaign with `overrides`; nothing is written to `folder`.

    Raises CapacityError and ConfigError where the clusters don't fit, and what `measure` raises.
    """
    composed = compose([*BASE, *overrides])
    smallest, largest = composed.space.node_counts()
    check_capacity(composed.campaign, largest)
    check_ports(composed.campaign.local_hosts, smallest + 1)
    plan = _plan(composed, rounds)
    name, settings = next(iter(composed.campaign.hosts.items()))
    measured = measure(plan, name, settings, _facts(composed, plan))
    table = as_text(measured)
    return BenchmarkResults.of(
        table, bench_txt=table, bench_json=as_json(measured), bench_svg=as_svg(measured)
    )


def measure(
    plan: ClusterPlan, name: str, settings: HostSettings, facts: Mapping[str, Any]
) -> ClusterMeasurements:
    """Open the host `name`, measure, and leave nothing behind, the golden cluster included.

    `facts` are put beside those of the host. Takes minutes for each round. Raises BenchmarkError
    for a sample that isn't what it should be, ConfigError without ansible-core, and the errors of
    clusters that can't be had.
    """
    # First, so that nothing is measured for minutes before it turns out to be missing.
    check_installed()
    host = TimedHost(name, settings, plan.spec.bundle, Owner.current())
    bench = _ClusterBench(plan, host)
    try:
        return asyncio.run(bench.run({**facts, **_facts_of(host)}))
    finally:
        host.close()
        if bench.key:
            # Its key holds this run alone, so nobody could ever use it again.
            GoldenStore(state_dir_of(settings) / "golden", settings.golden_mib).discard(bench.key)


def _plan(composed: Composed, rounds: int) -> ClusterPlan:
    point = composed.baseline.point
    nodes = composed.space.nodes(point)
    spec = OwnGolden(
        campaign=composed.campaign.name,
        scheduler=composed.scheduler,
        settings=composed.campaign.cluster,
        bundle=_bundle(composed),
        smallest=nodes,
        largest=nodes,
        run=f"{time.time_ns()}-{os.getpid()}",
    )
    return ClusterPlan(spec, composed.space.params(point), rounds)


def _bundle(composed: Composed) -> Bundle:
    """Return the image as a campaign that begins now would get it."""
    scheduler = composed.scheduler
    names = {scheduler.name: composed.image_name(scheduler)}
    return bundles_for(composed.campaign.image, names, {})[scheduler.name]


def _facts(composed: Composed, plan: ClusterPlan) -> dict[str, str]:
    cluster = plan.spec.settings
    moved = " ".join(f"{name}={value}" for name, value in plan.moved.items())
    return {
        "measured": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": git_commit(),
        "image": plan.spec.bundle.hash,
        "scheduler": composed.scheduler.name,
        "cluster": f"a head and {plan.spec.largest} compute nodes, each {cluster.vcpus} vCPU, "
        f"{cluster.memory_mib} MiB",
        "(c+) is moved to": moved or "the same settings",
        "rounds": str(plan.rounds),
    }


class _ClusterBench:
    """One run of the benchmark. `key` is its golden cluster's, None while there can be none."""

    def __init__(self, plan: ClusterPlan, host: TimedHost) -> None:
        self._plan = plan
        self._host = host
        self._local = LocalHost(host, plan.spec.campaign)
        booting = _starting(plan.spec, "cold")
        restoring = _starting(plan.spec, "golden")
        self._provisioners = {
            ANSIBLE: Provisioner(replace(booting, via="ansible"), self._local),
            SSH: Provisioner(replace(booting, via="ssh"), self._local),
            **dict.fromkeys(
                (RESTORED, MOVED, UNCACHED),
                Provisioner(replace(restoring, via="ssh"), self._local, self._local),
            ),
        }
        self.key: str | None = None

    async def run(self, facts: Mapping[str, Any]) -> ClusterMeasurements:
        making_s, golden = await self._make_golden()
        samples: list[ClusterSample] = []
        floors: list[ReadTimes] = []
        for number in range(1, self._plan.rounds + 1):
            for row in ROUND:
                samples.append(await self._sample(row, golden))
                took_s = samples[-1].seconds
                _log.info("round %d/%d: %s: %.2f s", number, self._plan.rounds, ROWS[row], took_s)
            floors.append(await asyncio.to_thread(floor_of, golden))
        return ClusterMeasurements(facts, making_s, read_all(golden), samples, floors)

    async def _make_golden(self) -> tuple[float, Golden]:
        """Have the golden cluster made by a first request, which counts for nothing else."""
        _log.info("making the golden cluster (once)")
        nothing = await self._offer()
        # The lookup has taken the lock, which the provisioner needs in order to make the cluster.
        await self._local.unlock(nothing.key)
        self.key = nothing.key.digest
        phases, _ = await self._lived(RESTORED)
        made = await self._offer()
        if made.golden is None:
            raise BenchmarkError(
                "the golden cluster was removed as soon as it was made", resolution=_MORE_ROOM
            )
        _log.info("the golden cluster took %.1f s", phases[Phase.GOLDEN])
        return phases[Phase.GOLDEN], made.golden

    async def _offer(self) -> SnapshotOffer:
        return await self._local.lookup(
            self._plan.spec.key_inputs(), self._plan.spec.shape, make=True
        )

    async def _sample(self, row: str, golden: Golden) -> ClusterSample:
        if row in (RESTORED, MOVED):
            # Into the page cache, where the trial before leaves them.
            await asyncio.to_thread(read_all, golden)
        elif row == UNCACHED:
            await asyncio.to_thread(drop_cache, golden)
        load = os.getloadavg()[0]
        self._host.forget_times()
        phases, torn_down_s = await self._lived(row)
        host = self._host
        return ClusterSample(
            row, phases, torn_down_s, load, host.restore_s, host.memory_s, host.loads_s
        )

    async def _lived(self, row: str) -> tuple[dict[Phase, float], float]:
        """Run a cluster from its request to its end.

        Returns its phases up to the first job's end, and the seconds of its teardown.
        """
        spec = self._plan.spec
        clock = PhaseClock()
        params = self._plan.moved if row == MOVED else {}
        ready = await self._provisioners[row].provision(spec.name(row), spec.largest, params, clock)
        clock.reached(Phase.READY, Phase.TORN_DOWN)
        phases = dict(clock.phases)
        try:
            check_origin(row, ready)
        finally:
            await ready.cluster.release()
        clock.reached(Phase.TORN_DOWN, Phase.JUDGED)
        return phases, clock.phases[Phase.TORN_DOWN]


def check_origin(row: str, ready: ReadyCluster) -> None:
    """Raise BenchmarkError unless the cluster came about as its row says."""
    if (row in (ANSIBLE, SSH)) == bool(ready.golden_key):
        came = "was restored" if ready.golden_key else "was booted"
        raise BenchmarkError(f"{ROWS[row]}: the cluster {came}", ready.cold_because)


def floor_of(golden: Golden) -> ReadTimes:
    """Read the files of `golden` once from the disk, and then once from the page cache."""
    drop_cache(golden)
    began = time.monotonic()
    read_all(golden)
    between = time.monotonic()
    read_all(golden)
    return ReadTimes(cached_s=time.monotonic() - between, disk_s=between - began)


def _starting(spec: OwnGolden, start: Literal["golden", "cold"]) -> OwnGolden:
    return replace(spec, settings=spec.settings.model_copy(update={"start": start}))


def _facts_of(host: Host) -> dict[str, Any]:
    return {"cpu": read_cpu_model(), "cpus": os.cpu_count(), "host": asdict(host.facts)}
