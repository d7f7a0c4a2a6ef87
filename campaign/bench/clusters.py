"""Measures how long a cluster takes from its request to its first finished job: booted, and
restored from memory.

All in one process, on one host, with the machinery that trials use (`actors.clusters.provisioner`),
one cluster after the other.
"""

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
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
from campaign.bench.budgets import (
    ANSIBLE,
    MOVED,
    RESTORED,
    ROWS,
    SSH,
    UNCACHED,
    Floor,
    Measured,
    Sample,
)
from campaign.core.errors import CampaignError
from campaign.core.phase_clock import PhaseClock
from campaign.core.phases import Phase
from campaign.images.bundles.manifest import Bundle
from campaign.schema.hosts import HostSettings
from campaign.schema.settings import Scalar

ROUND = (ANSIBLE, SSH, RESTORED, RESTORED, RESTORED, MOVED, UNCACHED)
"""What one round measures; rounds interleave the ways, so that none has the machine's better hours
to itself."""

_ROOM = "Raise hosts.*.golden_mib."

Say = Callable[[str], None]


class BenchFailed(CampaignError):
    """A sample isn't what its row says, so there is no benchmark."""


@dataclass(frozen=True)
class OwnGolden(ClusterSpec):
    """A spec whose golden cluster is of this `run` alone, so that making it is measured
    too."""

    run: str = field(kw_only=True)

    def key_inputs(self) -> dict[str, str]:
        return {**super().key_inputs(), "benchmark": self.run}


@dataclass(frozen=True)
class Plan:
    """What to measure: clusters of `spec.largest` compute nodes; `moved` are the scheduler's
    settings of (c+)."""

    spec: OwnGolden
    moved: Mapping[str, Scalar]
    rounds: int


class TimedHypervisor(Hypervisor):
    """Notes when the loading of each node's memory and devices began and ended (monotonic
    seconds)."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.loads: list[tuple[float, float]] = []

    def load_devices(self, name: str, path: Path) -> None:
        began = time.monotonic()
        super().load_devices(name, path)
        self.loads.append((began, time.monotonic()))


class TimedHost(Host):
    """A host that knows how long its last restore took: as a whole, and the loading of memory and
    devices alone."""

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
        began = time.monotonic()
        super().restore(slot, boots, golden)
        self.restore_s = time.monotonic() - began


def measure(
    plan: Plan, name: str, settings: HostSettings, facts: Mapping[str, Any], say: Say
) -> Measured:
    """Open the host `name`, measure, and leave nothing behind, the golden cluster included.

    `facts` are put beside those of the host. Raises BenchFailed for a sample that isn't what it
    should be, ConfigError without ansible-core, and what clusters can meet. Takes minutes for each
    round.
    """
    check_installed()
    host = TimedHost(name, settings, plan.spec.bundle, Owner.current())
    bench = _Bench(plan, host, say)
    try:
        return asyncio.run(bench.run({**facts, **_facts_of(host)}))
    finally:
        host.close()
        if bench.key:
            GoldenStore(state_dir_of(settings) / "golden", settings.golden_mib).discard(bench.key)


class _Bench:
    """One run. `key` is its golden cluster's, None while there can be none."""

    def __init__(self, plan: Plan, host: TimedHost, say: Say) -> None:
        self._plan = plan
        self._host = host
        self._say = say
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

    async def run(self, facts: Mapping[str, Any]) -> Measured:
        making_s, golden = await self._make_golden()
        samples: list[Sample] = []
        floors: list[Floor] = []
        for number in range(1, self._plan.rounds + 1):
            for row in ROUND:
                samples.append(await self._sample(row, golden))
                self._say(
                    f"round {number}/{self._plan.rounds}: {ROWS[row]}: {samples[-1].seconds:.2f} s"
                )
            floors.append(await asyncio.to_thread(floor_of, golden))
        return Measured(facts, making_s, read_all(golden), samples, floors)

    async def _make_golden(self) -> tuple[float, Golden]:
        """The first restored cluster has the golden one made; it counts for nothing else."""
        self._say("making the golden cluster (once)")
        nothing = await self._offer()
        await self._local.unlock(nothing.key)
        self.key = nothing.key.digest
        phases, _ = await self._lived(RESTORED)
        made = await self._offer()
        if made.golden is None:
            raise BenchFailed(
                "the golden cluster was removed as soon as it was made", resolution=_ROOM
            )
        self._say(f"the golden cluster took {phases[Phase.GOLDEN]:.1f} s")
        return phases[Phase.GOLDEN], made.golden

    async def _offer(self) -> SnapshotOffer:
        return await self._local.lookup(
            self._plan.spec.key_inputs(), self._plan.spec.shape, make=True
        )

    async def _sample(self, row: str, golden: Golden) -> Sample:
        if row in (RESTORED, MOVED):
            await asyncio.to_thread(
                read_all, golden
            )  # into the page cache, where the trial before leaves them
        elif row == UNCACHED:
            await asyncio.to_thread(drop_cache, golden)
        load = os.getloadavg()[0]
        self._host.forget_times()
        phases, torn_down_s = await self._lived(row)
        host = self._host
        return Sample(row, phases, torn_down_s, load, host.restore_s, host.memory_s, host.loads_s)

    async def _lived(self, row: str) -> tuple[dict[Phase, float], float]:
        """A cluster from its request to its end: its phases up to the first job's end, and its
        teardown."""
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
    """Raise BenchFailed unless the cluster came about as its row says."""
    if (row in (ANSIBLE, SSH)) == bool(ready.golden_key):
        came = "was restored" if ready.golden_key else "was booted"
        raise BenchFailed(f"{ROWS[row]}: the cluster {came}", ready.cold_because)


def floor_of(golden: Golden) -> Floor:
    """Read the files of `golden` once from the disk, and, as they are in the page cache then, once
    from there."""
    drop_cache(golden)
    began = time.monotonic()
    read_all(golden)
    between = time.monotonic()
    read_all(golden)
    return Floor(cached_s=time.monotonic() - between, disk_s=between - began)


def _starting(spec: OwnGolden, start: Literal["golden", "cold"]) -> OwnGolden:
    return replace(spec, settings=spec.settings.model_copy(update={"start": start}))


def _facts_of(host: Host) -> dict[str, Any]:
    return {"cpu": read_cpu_model(), "cpus": os.cpu_count(), "host": asdict(host.facts)}
