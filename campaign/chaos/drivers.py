"""Drivers of the real command, each a fork of this process, which has all of it imported.

A new process takes ten seconds of CPU time to import and compile what a campaign needs, a fork
takes none: that makes hundreds of drivers affordable.
"""

import contextlib
import ctypes
import multiprocessing
import os
import runpy
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

PR_SET_PDEATHSIG = 1  # prctl(2)
PR_SET_CHILD_SUBREAPER = 36
POLL_S = 0.01
DRIVER_TIMEOUT_S = 1800.0
"""How long a driver of a campaign of a few seconds may take, on a host that is very busy."""
_COMMAND = "campaign.search"
_BUG = 70  # the status of a driver that ended by an exception
_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_WARM = ("testbed=simulation", "name=warm", "search.trials=1", "cluster.nodes=2")


@dataclass(frozen=True)
class CommandCampaign:
    """A campaign by its command line; `results` and MLflow's store (`mlruns`) are in `folder`."""

    settings: tuple[str, ...]
    folder: Path
    name: str = "chaos"

    @property
    def results(self) -> Path:
        """The folder of all results, of which the campaign's is one."""
        return self.folder / "results"

    @property
    def mlruns(self) -> Path:
        """The folder of MLflow's store."""
        return self.folder / "mlruns"

    @property
    def arguments(self) -> list[str]:
        """The words of the command line."""
        return [
            "testbed=simulation",
            f"name={self.name}",
            f"output.results={self.results}",
            f"output.mlruns={self.mlruns}",
            *self.settings,
        ]


def warm_up() -> None:
    """Import and compile all that a driver needs, and become the parent of orphaned grandchildren.

    MLflow's process of a driver that was killed can be waited for then.
    """
    from campaign.config.compose import compose
    from campaign.execution.run import run
    from campaign.tracking import worker
    from campaign.tracking.store import open_store

    # A fork of a driver has MLflow imported; a new process would take seconds for that.
    worker.START = multiprocessing.get_context("fork")
    # On a busy host at low priority, MLflow gets a second of CPU time in minutes.
    worker.STALLED_S = DRIVER_TIMEOUT_S
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    with TemporaryDirectory(prefix="campaign-chaos-") as name, _muted():
        folder = Path(name)
        # In this process, so that its forks find MLflow imported.
        open_store(folder / "own")
        places = (f"output.results={folder / 'results'}", f"output.mlruns={folder / 'mlruns'}")
        run(compose([*_WARM, *places]))


@contextlib.contextmanager
def _muted() -> Iterator[None]:
    """Drop what is printed inside, also by processes that are started there."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(number) for number in (1, 2)]
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        for number in (1, 2):
            os.dup2(null, number)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, before in zip((1, 2), kept, strict=True):
            os.dup2(before, number)
            os.close(before)
        os.close(null)


class ForkedDriver:
    """A driver of a campaign: a fork that runs `python -m campaign.search`.

    What it prints is appended to the file `said`. `sabotage` is called in the fork before the
    command is. All processes of the driver are one process group, and have ended after the block.
    """

    def __init__(
        self, arguments: Sequence[str], said: Path, sabotage: Callable[[], object] | None = None
    ) -> None:
        self._said = said
        self._begins = said.stat().st_size if said.exists() else 0
        self._status: int | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        # A fork has our handlers until it has its own; no signal may meet these.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            self.pid = os.fork()
            if self.pid == 0:
                _become_driver(parent, arguments, said, sabotage)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        # In both, since nobody knows which of them runs first.
        with contextlib.suppress(PermissionError, ProcessLookupError):
            os.setpgid(self.pid, self.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    @property
    def status(self) -> int | None:
        """The exit status, less than 0 for the signal that ended it; None while it runs."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status

    @property
    def said(self) -> str:
        """All that was printed so far."""
        content = self._said.read_bytes()[self._begins :] if self._said.exists() else b""
        return content.decode(errors="replace")

    def wait(self, timeout_s: float = DRIVER_TIMEOUT_S) -> int | None:
        """Wait for the driver's end; return its exit status, None if it still runs then."""
        deadline = time.monotonic() + timeout_s
        while self.status is None and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return self.status

    def send(self, number: signal.Signals, *, group: bool = False) -> None:
        """Send a signal to the driver, or to all of its processes; none if it has ended."""
        if self.status is None:
            (os.killpg if group else os.kill)(self.pid, number)

    def end(self) -> None:
        """Kill all processes of the driver that are left, and wait until they are gone."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        if self._status is None:
            _, status = os.waitpid(self.pid, 0)
            self._status = os.waitstatus_to_exitcode(status)
        # What the driver had started is ours by now, as we are the reaper of orphans.
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-self.pid, 0)

    @property
    def answers_signals(self) -> bool:
        """Whether the driver is far enough to end in good order when it is told to."""
        try:
            lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        except OSError:
            return False
        masks = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Sig")}
        told = 1 << (signal.SIGTERM - 1)
        return bool(int(masks["SigCgt"], 16) & ~int(masks["SigBlk"], 16) & told)


def _become_driver(
    parent: int, arguments: Sequence[str], said: Path, sabotage: Callable[[], object] | None
) -> None:
    """Run the command in this process, a fork, and end it; never return.

    Whatever is raised: what this process has inherited is its parent's to clean up.
    """
    status = _BUG
    try:
        try:
            output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            for stream in (1, 2):
                os.dup2(output, stream)
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                return  # the parent died before it could take us along
            status = _carry_out(arguments, sabotage)
        finally:
            # The command's handlers would raise here what nobody catches.
            signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
            for child in multiprocessing.active_children():
                child.kill()
            sys.stdout.flush()
            sys.stderr.flush()
    finally:
        os._exit(status)


def _carry_out(arguments: Sequence[str], sabotage: Callable[[], object] | None) -> int:
    """Run the command, as in a new process; return its exit status."""
    os.setpgid(0, 0)
    # The handlers are those of the command that forks.
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    if sabotage:
        sabotage()
    sys.argv = [_COMMAND, *arguments]
    try:
        # Just as `python -m` does it.
        runpy.run_module(_COMMAND, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    except BaseException:  # noqa: BLE001 - as the interpreter does at the end of a process
        traceback.print_exc()
        return _BUG
    return 0
