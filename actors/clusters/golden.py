"""Finds a host's golden cluster; where there is none, one trial makes it and the others wait."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from actors.hosts.interface import HostSnapshots
from actors.hosts.slot import NodeShape
from actors.snapshots.registry import SnapshotOffer
from actors.snapshots.snapshot import Golden
from campaign.core import log
from campaign.core.phase_clock import PhaseClock
from campaign.core.phases import Phase

OFFER_POLL_S = 1.0

_log = logging.getLogger(__name__)


class GoldenSource:
    """The golden cluster of these inputs on the host of `snapshots`."""

    def __init__(
        self, snapshots: HostSnapshots, key_inputs: Mapping[str, str], shape: NodeShape
    ) -> None:
        self._snapshots = snapshots
        self._key_inputs = key_inputs
        self._shape = shape

    async def get(
        self, clock: PhaseClock, make: Callable[[SnapshotOffer], Awaitable[Golden]]
    ) -> Golden:
        """Return the golden cluster, which `make` makes now if there is none yet."""
        with log.span(_log, "looking up the golden cluster"):
            offer = await self._found_or_turn(clock)
        if offer.golden:
            return offer.golden
        try:
            with (
                log.context(phase=Phase.GOLDEN.value),
                log.span(_log, "making the golden cluster"),
            ):
                return await make(offer)
        finally:
            # After a failure too, since other trials wait until the lock is free.
            await self._snapshots.unlock(offer.key)
            clock.reached(Phase.GOLDEN, Phase.PLACED)

    async def offer(self, *, make: bool) -> SnapshotOffer:
        """Return what there is now; with `make`, it may be the caller's to make."""
        return await self._snapshots.lookup(self._key_inputs, self._shape, make=make)

    async def _found_or_turn(self, clock: PhaseClock) -> SnapshotOffer:
        """Wait for an offer that has a golden cluster, or that is ours to make."""
        while True:
            offer = await self.offer(make=True)
            if offer.golden or offer.yours:
                return offer
            clock.detail("waiting for the golden cluster, which another trial makes")
            await asyncio.sleep(OFFER_POLL_S)
