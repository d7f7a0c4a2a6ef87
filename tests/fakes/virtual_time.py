"""Hours that pass in a moment: an event loop whose time jumps to whatever is waited for next."""

import asyncio
import selectors
import time


class _Jumping(selectors.SelectSelector):
    """Never waits: moves `clock` on by as long as it was to wait, where nothing is ready."""

    def __init__(self, clock):
        super().__init__()
        self._clock = clock

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise AssertionError("nothing is ready, and nothing ever will be")
            self._clock.now += max(0.0, timeout)
        return ready


class VirtualTime:
    """A clock that all of this process reads while `run` runs; `now` is seconds since its begin."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        self._monkeypatch = monkeypatch

    def run(self, work):
        """Return what the coroutine `work` returns, at once, however long it sleeps."""
        began = time.time()
        with self._monkeypatch.context() as patch:
            patch.setattr(time, "monotonic", lambda: self.now)
            patch.setattr(time, "time", lambda: began + self.now)
            with asyncio.Runner(
                loop_factory=lambda: asyncio.SelectorEventLoop(_Jumping(self))
            ) as runner:
                return runner.run(work)
