"""Samples a host's load for as long as it is open, in a thread of the process that serves it."""

import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from actors.hosts.state_dir import run_root, state_dir_of
from actors.hypervisor.errors import HypervisorError
from actors.hypervisor.host_reading import HostReader, HostReading, sample_between
from actors.hypervisor.lease import Owner
from actors.hypervisor.run_folder import all_folders
from campaign.core.host_load import LoadSample
from campaign.schema.hosts import HostSettings

INTERVAL_S = 5.0
COST_FACTOR = 100
"""Reading may take no more than one part in so many of the time of one CPU: on a machine with tens
of thousands of processes, samples are further apart."""
KEPT = 20_000
"""The newest samples, more than a day of them; what is older is forgotten."""
FRESH_S = 1.0
"""A sample that is no older than this is as good as one that is taken now."""

_log = logging.getLogger(__name__)


class LoadSampler:
    """Keeps the samples between one reading and the next. All methods may be called in any thread.

    Where a reading fails, its time belongs to the next sample.
    """

    def __init__(
        self, read: Callable[[], HostReading], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._clock = clock
        self._mutex = threading.Lock()
        self._last: HostReading | None = None
        self._samples: deque[tuple[float, LoadSample]] = deque(maxlen=KEPT)
        self._ended = threading.Event()
        self._failed = False
        self.take()

    def start(self) -> None:
        """Take a sample now, and one every few seconds until `stop`."""
        threading.Thread(target=self._run, name="load sampler", daemon=True).start()

    def stop(self) -> None:
        """End the sampling; what was sampled stays."""
        self._ended.set()

    def take(self) -> float:
        """Read, keep the sample since the last reading, and return what that cost, in seconds."""
        with self._mutex:
            begun = time.thread_time()
            try:
                now = self._read()
            except (OSError, ValueError, IndexError) as error:
                if not self._failed:
                    _log.warning("the load of this machine can't be read: %s", error)
                self._failed = True
                return time.thread_time() - begun
            if self._last is not None and now.at_s > self._last.at_s:
                self._samples.append((now.at_s, sample_between(self._last, now)))
            self._last = now
            return time.thread_time() - begun

    def samples_until_now(self, window_s: float) -> list[LoadSample]:
        """Return what `samples` does, with one that ends now."""
        last = self._last
        if last is None or self._clock() > last.at_s + FRESH_S:
            self.take()
        return self.samples(window_s)

    def samples(self, window_s: float) -> list[LoadSample]:
        """Return the samples of which a part is within the last `window_s` seconds, in order."""
        now = self._clock()
        with self._mutex:
            kept = list(self._samples)
        return [replace(one, ago_s=now - at_s) for at_s, one in kept if now - at_s <= window_s]

    def _run(self) -> None:
        cost_s = self.take()
        while not self._ended.wait(max(INTERVAL_S, COST_FACTOR * cost_s)):
            cost_s = self.take()


def sampler_for(settings: HostSettings, owner: Owner, *, driver_here: bool) -> LoadSampler:
    """Return the sampler of a host whose nodes have leases of `owner`.

    The campaign's own processes are this one with its parent, which is Ray's daemon with all its
    workers on this machine, and the owner's, if the driver is on this machine.
    """
    own = {os.getpid(), os.getppid(), *([owner.pid] if driver_here else [])}
    reader = HostReader(own - {0, 1}, lambda: _domains_of(settings, owner))
    return LoadSampler(reader.read)


def _domains_of(settings: HostSettings, owner: Owner) -> set[str]:
    found = set()
    for folder in all_folders(run_root(state_dir_of(settings))):
        # A folder may vanish meanwhile.
        with contextlib.suppress(HypervisorError, OSError):
            if folder.of_node and folder.lease().owner == owner:
                found.add(folder.path.name)
    return found
