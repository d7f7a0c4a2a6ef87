"""A driver that runs beside the test: it is followed line by line, and none is waited for without
an end."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
STACKS_S = 10.0


class Driver:
    """A campaign that was started; `said` are the lines of its progress so far."""

    def __init__(
        self, command: Sequence[object], environment: dict[str, str] | None = None
    ) -> None:
        # On SIGABRT, Python shows where each of its threads is.
        environment = dict(os.environ if environment is None else environment) | {
            "PYTHONFAULTHANDLER": "1"
        }
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([*map(str, command)], cwd=ROOT, env=environment, **pipes)
        self.said: list[str] = []
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def until(self, wanted: Callable[[list[str]], object], seconds: float) -> None:
        """Wait until what it has said is what is wanted; AssertionError with all of it if it ends
        before, or isn't."""
        deadline = time.monotonic() + seconds
        with self._more:
            while not wanted(self.said):
                if not self._reader.is_alive():
                    raise AssertionError(f"the driver ended by itself:\n{''.join(self.said)}")
                if time.monotonic() > deadline:
                    break
                self._more.wait(0.5)
            else:
                return
        self._abort(f"it wasn't that far after {seconds:g} s")

    def finish(self, seconds: float) -> str:
        """All that it has said when it has ended well; AssertionError if it hasn't in time, or with
        another status."""
        self._reader.join(seconds)
        if self._reader.is_alive():
            self._abort(f"it hasn't ended after {seconds:g} s")
        said = "".join(self.said)
        assert self.process.wait() == 0, said
        return said

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            with self._more:
                self.said.append(line)
                self._more.notify_all()

    def _abort(self, why: str) -> None:
        self.process.send_signal(signal.SIGABRT)
        self._reader.join(STACKS_S)
        self.kill()
        raise AssertionError(f"{why}:\n{''.join(self.said)}")
