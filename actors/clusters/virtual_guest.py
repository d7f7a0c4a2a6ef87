"""The one guest of a cluster in virtual time: booted or restored, resumed, waited for, released.

Nobody can log in to it. Its host gives it a task, reads how far it is, and gets its result.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from actors.clusters.failures import NodeLost
from actors.clusters.identity import macs
from actors.clusters.standstill import StandstillWatch, where
from actors.hosts.interface import HostNodes, HostSnapshots
from actors.hosts.slot import NodeBoot, NodeState, Slot
from actors.snapshots.snapshot import Golden, SnapshotKey
from campaign.core import log
from campaign.core.errors import InfrastructureError
from campaign.guest.exchange import GuestProgress
from campaign.guest.task import GuestResult, GuestTask, pack, unpack
from campaign.images.bundles.manifest import Bundle

POLL_S = 1.0
HALTED = "halted"

_log = logging.getLogger(__name__)


class VirtualGuest:
    """The guest `name` in `slot` of `host`, whose image is `image`.

    First `boot_recorded` or `restore` and `resume`, then `finish`, then `save` if it was recorded.
    `release` may be called at any time, also again.
    """

    def __init__(self, host: HostNodes, slot: Slot, name: str, image: Bundle) -> None:
        self.slot = slot
        self.name = name
        self.cpu_s = 0.0
        """The CPU time that its emulator had used when it was last looked at."""
        self._host = host
        self._image = image
        self._task = GuestTask()

    async def boot_recorded(
        self,
        snapshots: HostSnapshots,
        key: SnapshotKey,
        task: GuestTask,
        credentials: Mapping[str, bytes],
    ) -> None:
        """Start the guest with its first task, such that it can be saved under `key`."""
        with self._step("booting"):
            boot = await asyncio.to_thread(self._boot, task, 0, credentials)
            await snapshots.start_recorded(self.slot, [boot], key)

    async def restore(self, snapshots: HostSnapshots, golden: Golden, task: GuestTask) -> None:
        """Load the guest from a golden cluster, with another task; it is paused."""
        with self._step("restoring"):
            # It has read its credentials before it was saved.
            boot = await asyncio.to_thread(self._boot, task, 1, {})
            await snapshots.restore(self.slot, [boot], golden)

    async def resume(self, snapshots: HostSnapshots) -> None:
        """Let the restored guest run."""
        with self._step("resuming"):
            await snapshots.resume(self.slot, [self.name])

    async def finish(
        self, number: int, stuck_s: float, look: Callable[[GuestProgress | None, float], None]
    ) -> GuestResult:
        """Wait until the guest has done task `number` and has halted; return its result.

        `look` is told its progress and its CPU time at each turn. Raises NodeLost where its VM
        ended or its kernel failed, and InfrastructureError where it halted before it was done or
        where its clock stands still (see `StandstillWatch`).
        """
        watch = StandstillWatch(stuck_s)
        while True:
            # In this order: what a guest that has halted says is its last word.
            state = await self._alive()
            progress = await self._host.progress(self.slot, self.name)
            try:
                self.cpu_s = await self._host.cpu_s(self.slot, self.name)
            except InfrastructureError:
                await self._alive()  # a guest that has just ended explains it
                raise
            look(progress, self.cpu_s)
            if state.state == HALTED:
                if progress is None or (progress.number, progress.state) != (number, "done"):
                    raise InfrastructureError(
                        f"the guest halted before its task was done, at {where(progress)}",
                        state.console,
                    )
                return await self._result()
            if hung := watch.observe(progress, self.cpu_s, time.monotonic()):
                raise InfrastructureError(
                    hung,
                    state.console,
                    "Raise testbed.stuck_s if it was merely slow; if it used no CPU time, look "
                    "whether something has stopped its QEMU.",
                )
            await asyncio.sleep(POLL_S)

    async def save(self, snapshots: HostSnapshots) -> Golden:
        """Keep the halted guest, which was booted for it, as a golden cluster."""
        with self._step("saving"):
            return await snapshots.save(self.slot, [self.name], {})

    async def release(self) -> None:
        """End the guest and give the slot back; harmless when repeated."""
        with self._step("releasing"):
            await self._host.release(self.slot)

    async def _alive(self) -> NodeState:
        """Return the guest's state; NodeLost, with where it was, if it runs no more."""
        [state] = await self._host.states(self.slot, [self.name])
        if state.state in ("running", HALTED) and not state.fault:
            return state
        why = state.fault or f"its VM is {state.state}"
        at = where(await self._host.progress(self.slot, self.name))
        raise NodeLost(self.name, f"{why}, at {at}", state.console)

    async def _result(self) -> GuestResult:
        content = await self._host.result(self.slot, self.name)
        return await asyncio.to_thread(unpack, content, self._task)

    def _boot(self, task: GuestTask, number: int, credentials: Mapping[str, bytes]) -> NodeBoot:
        content = pack(task)
        self._task = task
        return NodeBoot(
            self.name, self._image, macs(0), credentials, task=content, task_number=number
        )

    def _step(self, what: str) -> AbstractContextManager[None]:
        return log.span(_log, f"{what} the guest of {self.slot.cluster}")
