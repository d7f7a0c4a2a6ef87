"""Where a trial's cluster comes from: restored from a golden cluster, booted, or prefetched.

A golden cluster is a snapshot of a booted and joined cluster. It has all the nodes that a trial may
want, and their memory. A trial gets its head and its first nodes as they were when they were saved,
moved to the trial's parameters.
"""

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from actors.bootstrap.apply import BootstrapFailed, apply_plan
from actors.bootstrap.ssh import Remote
from actors.clusters.cluster_spec import ClusterLimits, ClusterSpec
from actors.clusters.failures import cause_of, run_all
from actors.clusters.golden import GoldenSource
from actors.clusters.identity import Keys, draw_keys, load_keys
from actors.clusters.live import LiveCluster, released_on_failure
from actors.hosts.interface import HostNodes, HostSnapshots
from actors.hosts.slot import Slot
from actors.snapshots.registry import SnapshotOffer
from actors.snapshots.snapshot import Golden
from campaign import guest
from campaign.core import log
from campaign.core.errors import CampaignError, command_failed
from campaign.core.host_load import slowing
from campaign.core.phase_clock import PhaseClock
from campaign.core.phases import Phase
from campaign.schema.settings import Scalar
from schedulers.base import BootstrapPlan, File, Params, Topology

PRESSURE_WINDOW_S = 30.0
"""The load of so many last seconds tells how much longer things take at present."""
GIVE_UP_AFTER = 3
"""Failures in a row after which golden clusters aren't tried any more: each costs a trial its
time."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReadyCluster:
    """A cluster whose nodes are all ready for jobs, under the parameters of `plan`.

    `golden_key` is that of the golden cluster it was restored from, or empty; `cold_because` says
    why it was booted although a golden one was wanted.
    """

    cluster: LiveCluster
    plan: BootstrapPlan
    golden_key: str
    cold_because: str = ""


class Provisioner:
    """Provides the clusters of a spec on one host, for one trial after the other.

    Three ways lead to a ReadyCluster; `provision` takes the first that is open:

    - prefetched: the next trial's cluster was restored while the trial before it still ran
      (`prefetch`), and resumed once that trial was `undisturbed`. It has the largest size and is
      shrunk to what the trial wants.
    - restored: a golden cluster exists, or is made now, once, and is restored in a fresh slot.
    - cold: the nodes are booted and bootstrapped. This way is taken when the spec asks for it
      (`cold_only`), when a golden cluster failed in this trial, and always once GIVE_UP_AFTER
      trials in a row have met such failures; `cold_because` keeps the reason.

    A restored cluster is reconfigured, a booted one is bootstrapped; on both a smoke test (a job
    across all nodes) must succeed before they are handed out. The caller releases what it was
    given, and calls `close` at the end, which releases what was prefetched in vain.
    """

    def __init__(
        self, spec: ClusterSpec, host: HostNodes, snapshots: HostSnapshots | None = None
    ) -> None:
        """Provide clusters on `host`; without `snapshots`, every cluster is booted."""
        self._undisturbed = asyncio.Event()
        self._undisturbed.set()
        self._spec = spec
        self._host = host
        self._snapshots = None if spec.cold_only else snapshots
        self._bound = spec.bound
        self._prefetched: asyncio.Task[LiveCluster | None] | None = None
        self._known_slowness: float | None = None
        self._failures = 0
        self._last_failure = ""
        self.cold_because = ""
        """Why the last cluster was booted, or was to be, although a golden one was wanted; empty if
        it wasn't."""

    async def provision(
        self, name: str, nodes: int, params: Mapping[str, Scalar], clock: PhaseClock
    ) -> ReadyCluster:
        """Return a pristine cluster with `nodes` compute nodes, ready for jobs, in the slot `name`.

        The caller releases it. `clock` is moved from phase to phase. Raises what a cold boot and
        its bootstrap can meet.
        """
        topology = self._spec.topology(nodes)
        wanted = self._spec.scheduler.Params(**params)
        self.cold_because = ""
        if self._snapshots is None:
            return await self._cold(name, topology, wanted, clock)
        if self._failures >= GIVE_UP_AFTER:
            self.cold_because = (
                f"golden clusters failed {self._failures} times, at last: {self._last_failure}"
            )
            return await self._cold(name, topology, wanted, clock)
        try:
            return await self._from_golden(self._snapshots, name, topology, wanted, clock)
        except (CampaignError, OSError, ExceptionGroup) as error:
            self.cold_because = self._last_failure = str(cause_of(error))
            _log.debug("a cold boot replaces the golden cluster: %s", self.cold_because)
            # A prefetched cluster comes from the same golden one, and the cold boot may need its
            # room.
            await self.close()
            clock.reached(Phase.FALLBACK, Phase.PLACED)
        ready = await self._cold(name, topology, wanted, clock)
        # Not counted where booting fails as well, as with parameters that a scheduler refuses.
        self._failures += 1
        return ready

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Keep the nodes of a prefetched cluster paused while the block measures or collects.

        Those that run already go on.
        """
        self._undisturbed.clear()
        try:
            yield
        finally:
            self._undisturbed.set()

    def prefetch(self) -> None:
        """Begin to restore the next trial's cluster, if there is room beside the present one.

        Its nodes are paused until nothing is `undisturbed` any more.
        """
        if self._prefetched is None and self._snapshots and self._failures < GIVE_UP_AFTER:
            self._prefetched = asyncio.create_task(self._prefetch(self._snapshots))

    async def close(self) -> None:
        """Release what was prefetched and is not needed."""
        cluster = await self._take_prefetched()
        if cluster:
            await cluster.release()

    async def _from_golden(
        self,
        snapshots: HostSnapshots,
        name: str,
        topology: Topology,
        params: Params,
        clock: PhaseClock,
    ) -> ReadyCluster:
        make = partial(self._make_golden, snapshots, clock)
        golden = await self._goldens(snapshots).get(clock, make)
        cluster = await self._take_prefetched()
        if cluster is None:
            cluster = await self._restored(snapshots, name, topology, golden, clock)
        async with released_on_failure(cluster):
            await cluster.shrink_to(topology)
            clock.reached(Phase.STARTED, Phase.REACHABLE)
            async with (await self.limits()).boot.deadline() as deadline:
                await cluster.resume(snapshots, topology.guests, deadline, clock)
            clock.reached(Phase.REACHABLE, Phase.READY)
            plan = self._bound.reconfigure(topology, params).by_guest(topology)
            await cluster.watch_during(self._reconfigure(cluster, plan, clock))
        self._failures = 0
        return ReadyCluster(cluster, plan, golden.digest)

    async def _cold(
        self, name: str, topology: Topology, params: Params, clock: PhaseClock
    ) -> ReadyCluster:
        cluster = await self._placed(name, topology, clock)
        async with released_on_failure(cluster):
            clock.detail(f"booting {_counted(topology)}")
            await cluster.boot()
            await self._reach(cluster, clock)
            plan = self._spec.cold_plan(topology, params)
            await cluster.watch_during(self._configure(cluster, plan, clock, fresh=True))
        return ReadyCluster(cluster, plan, "", self.cold_because)

    async def _make_golden(
        self, snapshots: HostSnapshots, clock: PhaseClock, offer: SnapshotOffer
    ) -> Golden:
        # The trial's own phases begin afterwards.
        making = clock.part("making the golden cluster")
        topology = self._spec.topology(self._spec.largest)
        name = self._spec.name("golden")
        with log.context(cluster=name):
            cluster = await self._placed(name, topology, making)
            try:
                making.detail(f"booting {_counted(topology)}")
                await cluster.boot_recorded(snapshots, offer.key)
                await self._reach(cluster, making)
                await cluster.watch_during(
                    self._configure(cluster, self._spec.base_plan(), making, fresh=True)
                )
                return await cluster.save(snapshots)
            finally:
                # Saved nodes stand still for good; trials get restored copies of them.
                await cluster.release()

    async def _reach(self, cluster: LiveCluster, clock: PhaseClock) -> None:
        clock.reached(Phase.STARTED, Phase.REACHABLE)
        async with (await self.limits()).boot.deadline() as deadline:
            await cluster.reach(deadline, clock)
        clock.reached(Phase.REACHABLE, Phase.READY)

    async def _placed(self, name: str, topology: Topology, clock: PhaseClock) -> LiveCluster:
        slot = await self._acquire(name, topology)
        clock.reached(Phase.PLACED, Phase.STARTED)
        return await self._live_cluster(slot, topology, draw_keys(topology))

    async def _restored(
        self,
        snapshots: HostSnapshots,
        name: str,
        topology: Topology,
        golden: Golden,
        clock: PhaseClock,
    ) -> LiveCluster:
        slot = await self._acquire(name, topology)
        clock.reached(Phase.PLACED, Phase.STARTED)
        cluster = await self._live_cluster(slot, topology, load_keys(golden.identity))
        async with released_on_failure(cluster):
            await cluster.restore(snapshots, golden)
        return cluster

    async def _live_cluster(self, slot: Slot, topology: Topology, keys: Keys) -> LiveCluster:
        questions = (await self.limits()).questions
        bundle = self._spec.bundle
        cards = self._spec.cards(topology, slot.cluster)
        return LiveCluster(self._host, slot, topology, bundle, keys, limits=questions, cards=cards)

    async def _prefetch(self, snapshots: HostSnapshots) -> LiveCluster | None:
        """Restore the next trial's cluster; return None where that isn't possible."""
        name = self._spec.name("next")
        with log.context(cluster=name):
            try:
                with log.span(_log, "prefetching the next trial's cluster"):
                    return await self._restore_next(snapshots, name)
            except (CampaignError, OSError, ExceptionGroup) as error:
                # No room, or a failure that the next trial will meet again and then report.
                _log.debug("nothing was prefetched: %s", cause_of(error))
                return None

    async def _restore_next(self, snapshots: HostSnapshots, name: str) -> LiveCluster | None:
        """Return the largest cluster, restored; nodes that only larger trials want stay paused."""
        offer = await self._goldens(snapshots).offer(make=False)
        if offer.golden is None:
            return None
        topology = self._spec.topology(self._spec.largest)
        # Preemptible: a trial that needs the room now comes before one that is only expected.
        slot = await self._acquire(name, topology, preemptible=True)
        cluster = await self._live_cluster(slot, topology, load_keys(offer.golden.identity))
        async with released_on_failure(cluster):
            await cluster.restore(snapshots, offer.golden)
            # Every trial wants these nodes; the others may be dropped without ever having run.
            certain = self._spec.topology(self._spec.smallest).guests
            # Running nodes need CPUs, which the present trial's head needs to answer with.
            await self._undisturbed.wait()
            async with (await self.limits()).boot.deadline() as deadline:
                # A clock of its own: the phases of the trial that runs meanwhile must not move.
                await cluster.resume(snapshots, certain, deadline, PhaseClock())
        return cluster

    async def _take_prefetched(self) -> LiveCluster | None:
        """Return the prefetched cluster, which is the caller's then.

        Return None if there is none, or if its room was needed by others.
        """
        if self._prefetched is None:
            return None
        cluster = await self._prefetched
        self._prefetched = None
        if cluster is None:
            return None
        try:
            await self._host.pin(cluster.slot, await self._expiry())
        except CampaignError:
            await cluster.release()
            return None
        return cluster

    async def _reconfigure(
        self, cluster: LiveCluster, plan: BootstrapPlan, clock: PhaseClock
    ) -> None:
        """Apply `plan` to a restored cluster, whose VMs may have more nodes than it."""
        query_s = (await self.limits()).questions.query_s
        await run_all(
            *(
                cluster.remotes[name].succeed(self._bound.stop_command(nodes), timeout_s=query_s)
                for name, nodes in self._spec.surplus(cluster.topology).items()
            )
        )
        await self._configure(cluster, plan, clock)

    async def _configure(
        self,
        cluster: LiveCluster,
        plan: BootstrapPlan,
        clock: PhaseClock,
        *,
        fresh: bool = False,
    ) -> None:
        """Apply `plan`, and see a job run across all nodes.

        A `fresh` cluster gets the instruments first; a restored one has them.
        """
        limits = await self.limits()
        if fresh:
            tools = [File(path, content, mode=0o755) for path, content in guest.files().items()]
            query_s = limits.questions.query_s
            await run_all(*(_equip(remote, tools, query_s) for remote in cluster.remotes.values()))
        async with limits.configure.deadline() as deadline:
            if self._spec.via == "ansible":
                # Ansible's module takes time to import, which only its users need.
                from actors.bootstrap.ansible import play

                await play(plan, cluster.access(), deadline=deadline, clock=clock)
            else:
                questions = limits.questions
                await apply_plan(
                    plan, cluster.remotes, deadline=deadline, clock=clock, limits=questions
                )
        with log.span(_log, "the smoke test, a job across all nodes"):
            async with limits.smoke_test.deadline(), clock.waiting("a job across all nodes"):
                await self._smoke_test(cluster, limits)

    async def _smoke_test(self, cluster: LiveCluster, limits: ClusterLimits) -> None:
        # The node ends the command itself: nothing of it is left when the connection gives up.
        command = self._bound.smoke_test_command(cluster.topology)
        limit_s = limits.smoke_test.seconds
        limited = ("timeout", f"{limit_s:g}", *command)
        head = cluster.remotes[cluster.topology.head.name]
        output = await head.run(limited, timeout_s=limit_s + limits.questions.query_s)
        if not output.ok:
            raise BootstrapFailed(
                "a job across all nodes failed",
                command_failed(command, output.status, output.stderr or output.stdout),
            )

    def _goldens(self, snapshots: HostSnapshots) -> GoldenSource:
        return GoldenSource(snapshots, self._spec.key_inputs(), self._spec.shape)

    async def _acquire(self, name: str, topology: Topology, *, preemptible: bool = False) -> Slot:
        count = len(topology.guests)
        with log.span(_log, f"acquiring a slot for {name}"):
            return await self._host.acquire(
                name,
                count,
                self._spec.shape,
                await self._expiry(),
                preemptible=preemptible,
                devices=self._spec.devices(topology),
            )

    async def _expiry(self) -> int:
        return int(time.time() + self._spec.lease_s(await self._slowness()))

    async def limits(self) -> ClusterLimits:
        """Return the limits on this host, as slow and as busy as it is now."""
        return self._spec.limits(await self._slowness(), await self._pressure())

    async def _pressure(self) -> float:
        try:
            load = await self._host.load(PRESSURE_WINDOW_S)
        except (CampaignError, OSError) as error:
            # Limits are only shorter without it.
            _log.debug("the host's load isn't known: %s", error)
            return 1.0
        return max(map(slowing, load.values()), default=1.0)

    async def _slowness(self) -> float:
        if self._known_slowness is None:
            self._known_slowness = (await self._host.facts()).slowness
        return self._known_slowness


def _counted(topology: Topology) -> str:
    nodes = f"{len(topology.nodes)} nodes"
    return f"{nodes} in one VM" if topology.dense else nodes


async def _equip(remote: Remote, tools: list[File], timeout_s: float) -> None:
    await remote.put(tools, timeout_s=timeout_s)
    # Jobs write their times into the instruments' folder, whichever user they run as.
    await remote.succeed(("chmod", "1777", guest.FOLDER), timeout_s=timeout_s)
