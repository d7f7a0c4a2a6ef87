"""Measure the speed of virtual time: idle, and with queues of jobs, on clusters of several sizes.

One guest after the other, on one host, in this process, with the machinery that trials use: the
golden cluster, the agent, the instruments. A trial's configuring and its smoke test are left out.
"""

import asyncio
import io
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq

from actors.clusters import guest_task
from actors.clusters.cluster_spec import ClusterSpec, VirtualTime
from actors.clusters.guest_outcome import failure_of
from actors.clusters.virtual_cluster import VirtualCluster
from actors.hosts.host import Host
from actors.hosts.local import LocalHost
from actors.hypervisor.capacity import read_cpu_model
from actors.hypervisor.lease import Owner
from campaign.bench.results import BenchmarkResults
from campaign.bench.virtual_load import (
    QUEUES,
    USAGE_FILE,
    parse_usage,
    running,
    spans,
    submit_command,
    workload,
)
from campaign.bench.virtual_time_table import (
    GuestRound,
    Look,
    SpeedOfTime,
    TimeMeasurements,
    as_json,
    as_rows,
    as_text,
)
from campaign.config.compose import Composed, compose
from campaign.core.errors import BenchmarkError
from campaign.core.phase_clock import PhaseClock
from campaign.core.version import git_commit
from campaign.guest.exchange import GuestProgress
from campaign.guest.task import GuestFile, GuestResult, GuestTask
from campaign.images.bundles.manifest import Bundle
from campaign.testbeds.preflight import bundles_for, check_capacity

BASE = ("testbed=virtual-time", "name=bench")
SIZES = (16, 64, 256)
"""The numbers of nodes, unless overrides say another one."""

_log = logging.getLogger(__name__)


def run(overrides: Sequence[str], folder: Path, rounds: int) -> BenchmarkResults:
    """Measure clusters of the base campaign with `overrides`; nothing is written to `folder`.

    Raises CapacityError and ConfigError where a cluster doesn't fit, BenchmarkError where a guest
    did something else, and the errors of clusters that can't be had.
    """
    campaigns = campaigns_of(overrides)
    for nodes, composed in campaigns.items():
        check_capacity(composed.campaign, nodes)
    measured = measure(campaigns, rounds)
    rows = io.BytesIO()
    pq.write_table(as_rows(measured), rows)
    return BenchmarkResults(
        as_text(measured),
        {
            "virtual-time.txt": as_text(measured).encode(),
            "virtual-time.json": as_json(measured).encode(),
            "virtual-time.parquet": rows.getvalue(),
        },
    )


def campaigns_of(overrides: Sequence[str]) -> dict[int, Composed]:
    """Return the campaigns that are measured, by their number of nodes, the smallest first."""
    composed = [compose([*BASE, f"cluster.nodes={nodes}", *overrides]) for nodes in SIZES]
    return {one.space.node_counts()[1]: one for one in composed}


def measure(campaigns: Mapping[int, Composed], rounds: int) -> TimeMeasurements:
    """Open the first host, measure, and end all guests; the golden clusters stay."""
    any_one = next(iter(campaigns.values()))
    bundle = _bundle(any_one)
    name, settings = next(iter(any_one.campaign.hosts.items()))
    host = Host(name, settings, bundle, Owner.current())
    try:
        local = LocalHost(host, any_one.campaign.name)
        found: list[SpeedOfTime] = []
        for number in range(1, rounds + 1):
            # Rounds interleave the sizes, so that none has the machine's better hours to itself.
            for nodes, composed in campaigns.items():
                found += asyncio.run(_Guest(composed, nodes, bundle, local).speeds(number))
        return TimeMeasurements(_facts(any_one, host, rounds), found)
    finally:
        host.close()


def _bundle(composed: Composed) -> Bundle:
    scheduler = composed.scheduler
    names = {scheduler.name: composed.image_name(scheduler)}
    return bundles_for(composed.campaign.image, names, {})[scheduler.name]


def _facts(composed: Composed, host: Host, rounds: int) -> dict[str, str]:
    idle, queued, *_ = spans()
    return {
        "measured": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": git_commit(),
        "scheduler": composed.scheduler.name,
        "cpu": f"{os.cpu_count()} of {read_cpu_model()}",
        "qemu": host.facts.versions.qemu,
        "spans": f"idle {idle.end_s:.0f} virtual s, then {queued.end_s - queued.begin_s:.0f} for "
        f"each queue",
        "rounds": str(rounds),
    }


class _Guest:
    """A cluster in virtual time of so many nodes, on which one workload is replayed."""

    def __init__(self, composed: Composed, nodes: int, bundle: Bundle, host: LocalHost) -> None:
        testbed = composed.campaign.testbed
        self._spec = ClusterSpec(
            campaign=composed.campaign.name,
            scheduler=composed.scheduler,
            settings=composed.campaign.cluster,
            bundle=bundle,
            smallest=nodes,
            largest=nodes,
            virtual_time=VirtualTime(testbed.real_deadline_s, testbed.stuck_s),
        )
        self._nodes = nodes
        self._host = host
        self._looks: list[Look] = []
        self._began_s = 0.0

    async def speeds(self, number: int) -> list[SpeedOfTime]:
        """Return the speed over each span of round `number`."""
        result = await self._replay()
        check_queue(result, self._spec, self._nodes)
        samples = parse_usage(result.files[USAGE_FILE].decode())
        load = os.getloadavg()[0]
        seen = GuestRound(self._nodes, number, self._began_s, self._looks, samples, load)
        found = [seen.over(span) for span in spans()]
        for one in found:
            what = f"{one.nodes} nodes, {one.queue} jobs in the queue"
            _log.info("round %d: %s: %.1f virtual seconds per CPU second", number, what, one.speed)
        return found

    async def _replay(self) -> GuestResult:
        spec = self._spec
        clock = PhaseClock()
        clock.begin()
        cluster = VirtualCluster(spec, self._host, self._host)
        golden = await cluster.golden(clock)
        async with cluster.placed(spec.name("speed"), clock) as placed:
            await placed.restore(self._host, golden, self._task())
            await placed.resume(self._host)
            return await placed.finish(1, cluster.limits.stuck_s, self._look)

    def _task(self) -> GuestTask:
        spec = self._spec
        topology = spec.topology(self._nodes)
        jobs = workload(self._nodes, spec.settings.slots_per_node)
        end_s = spans()[-1].end_s
        # No job ends, so the deadline ends the replay, whatever it would call a stall.
        replay = guest_task.replay_of(jobs, spec.bound, topology, deadline_s=end_s, stall_s=end_s)
        return GuestTask(
            health_command=spec.bound.health_command(topology.nodes),
            replay=replace(replay, submit_command=submit_command()),
            files=(GuestFile(USAGE_FILE),),
        )

    def _look(self, progress: GuestProgress | None, cpu_s: float) -> None:
        if progress is None or not progress.workload_s:
            return
        self._began_s = progress.virtual_s - progress.workload_s
        # What a guest has just said is of this moment; it says nothing new for a minute of its own.
        if not self._looks or progress.virtual_s > self._looks[-1].virtual_s:
            self._looks.append(Look(progress.virtual_s, cpu_s))


def check_queue(result: GuestResult, spec: ClusterSpec, nodes: int) -> None:
    """Raise an error unless the guest did what was meant to be measured.

    At its end, so many jobs must run as take all nodes, and so many must wait as the last span has.
    """
    if result.reason != "unfinished":
        raise failure_of(result, spec.bound) or BenchmarkError(
            "the guest did all its jobs, although none should have ended"
        )
    waits = list(spec.bound.parse_pending(result.pending).values())
    run = waits.count("")
    if (run, len(waits) - run) != (running(nodes), QUEUES[-1]):
        raise BenchmarkError(
            f"{nodes} nodes: {run} jobs ran and {len(waits) - run} waited; {running(nodes)} "
            f"should have run and {QUEUES[-1]} waited",
            result.pending,
        )
