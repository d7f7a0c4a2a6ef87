"""Gives guests in virtual time their slots, and has the golden cluster that they go on from."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from actors.clusters import guest_task
from actors.clusters.cluster_spec import ClusterSpec, VirtualTime
from actors.clusters.golden import GoldenSource
from actors.clusters.guest_outcome import failure_of, logs_of
from actors.clusters.identity import closed_credentials
from actors.clusters.virtual_guest import VirtualGuest
from actors.clusters.virtual_watch import VirtualWatch
from actors.hosts.interface import HostNodes, HostSnapshots
from actors.snapshots.registry import SnapshotOffer
from actors.snapshots.snapshot import Golden
from campaign.core import log
from campaign.core.phase_clock import PhaseClock
from campaign.core.phases import Phase

_log = logging.getLogger(__name__)


class VirtualCluster:
    """Clusters of `spec`, each of which is one guest in virtual time on `host`.

    `logs` are of a guest that should have become the golden cluster and didn't.
    """

    def __init__(self, spec: ClusterSpec, host: HostNodes, snapshots: HostSnapshots) -> None:
        self.limits = _limits_of(spec)
        self.logs: dict[str, bytes] = {}
        self._spec = spec
        self._host = host
        self._snapshots = snapshots

    async def golden(self, clock: PhaseClock) -> Golden:
        """Return the golden cluster, which is made where there is none.

        Raises the error that its guest's task ended with.
        """

        async def make(offer: SnapshotOffer) -> Golden:
            # The phases of whoever asks begin afterwards.
            return await self._make(offer, clock.part("making the golden cluster"))

        spec = self._spec
        source = GoldenSource(self._snapshots, spec.key_inputs(), spec.shape)
        return await source.get(clock, make)

    @asynccontextmanager
    async def placed(self, name: str, clock: PhaseClock) -> AsyncIterator[VirtualGuest]:
        """Give the block a guest in a slot of its own, and release it afterwards."""
        spec = self._spec
        expires = int(time.time() + spec.lease_s(1.0))
        with log.span(_log, f"acquiring a slot for {name}"):
            slot = await self._host.acquire(name, 1, spec.shape, expires)
        clock.reached(Phase.PLACED, Phase.STARTED)
        [head] = spec.topology(spec.largest).guests
        guest = VirtualGuest(self._host, slot, head, spec.bundle)
        try:
            yield guest
        finally:
            await guest.release()

    async def _make(self, offer: SnapshotOffer, clock: PhaseClock) -> Golden:
        spec = self._spec
        watch = VirtualWatch(clock)
        secrets = spec.scheduler.make_secrets(guest_task.seeded(offer.key.digest))
        topology = spec.topology(spec.largest)
        task = guest_task.golden_task(spec.bound, topology, spec.base_plan(secrets))
        name = spec.name("golden")
        with log.context(cluster=name):
            async with self.placed(name, clock) as guest:
                names = closed_credentials(topology, topology.head)
                await guest.boot_recorded(self._snapshots, offer.key, task, names)
                result = await guest.finish(0, self.limits.stuck_s, watch.look)
                if failure := failure_of(result, spec.bound):
                    self.logs |= logs_of(result, "golden")
                    raise failure
                return await guest.save(self._snapshots)


def _limits_of(spec: ClusterSpec) -> VirtualTime:
    if spec.virtual_time is None:
        raise ValueError("a cluster in virtual time needs a spec with virtual_time")
    return spec.virtual_time
