"""Crash points: drivers killed before each step that changes the disk, one after the other.

A step is to open for writing, rename, make, remove or flush a file or a folder, of the results or
of MLflow's store; or to write a line of the ledger, in whose middle the driver is killed.
"""

import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from campaign.chaos.commanded import finish, undisturbed
from campaign.chaos.drivers import CommandCampaign, ForkedDriver
from campaign.chaos.kept import KeptCampaign, broken_now
from campaign.chaos.runs import ChaosRun
from campaign.records import ledger

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

SETTINGS = ("cluster.nodes=[1,4]", "search.trials=2", "search.batch=2")
"""A campaign of few steps, some of each kind."""
CAMPAIGNS = "2 simulated trials by the command line, killed at a crash point each"
"""The campaigns in the words of the report."""
FOLDERS = ("results", "mlruns")
"""The driver changes the first of these, its MLflow process the second."""
IN_A_LINE = "write"
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_EVENTS = frozenset({"os.rename", "os.remove", "os.rmdir", "os.truncate"})

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CrashPoint:
    """The step before which, or in which, a driver is killed: its number in a folder, from 0."""

    folder: str
    number: int
    step: str

    @property
    def what(self) -> str:
        """The point in words."""
        when = "in a" if self.step == IN_A_LINE else "before"
        return f"killed {when} {self.step} in {self.folder}"


def run_crash_points(most: int) -> Iterator[ChaosRun]:
    """Kill a driver at each crash point, and resume its campaign; yield each outcome.

    At most so many points (`most`) are tried, spread evenly over all.
    """
    with TemporaryDirectory(prefix="campaign-chaos-") as name:
        top = Path(name)
        points, calm = crash_points(top / "undisturbed")
        for index, point in enumerate(chosen(points, most)):
            outcome = run(point, top / str(index), calm)
            broken = "; ".join(outcome.broken) or "all held"
            _log.info("%s, step %d: %s", point.what, point.number, broken)
            yield outcome


def chosen(points: Sequence[CrashPoint], most: int) -> list[CrashPoint]:
    """Return at most so many of the points, spread evenly."""
    if most >= len(points):
        return list(points)
    return [points[at * len(points) // most] for at in range(most)]


def crash_points(folder: Path) -> tuple[list[CrashPoint], KeptCampaign]:
    """Run a campaign undisturbed in `folder`; return its crash points, and what it leaves."""
    counters = {name: StepCounter(folder / name, folder / f"steps-{name}") for name in FOLDERS}

    def install() -> None:
        for counter in counters.values():
            counter.install()

    calm, _ = undisturbed(SETTINGS, folder, install)
    points = [
        CrashPoint(name, number, step)
        for name, counter in counters.items()
        for number, step in enumerate(counter.steps())
    ]
    return points, calm


def run(point: CrashPoint, folder: Path, undisturbed: KeptCampaign) -> ChaosRun:
    """Run a campaign in `folder` whose first driver is killed at `point`, and resume it."""
    outcome = ChaosRun(point.number, label=f"{point.what}, step {point.number}")
    folder.mkdir()
    campaign = CommandCampaign(SETTINGS, folder)
    counter = StepCounter(folder / point.folder, folder / "steps", fatal=point.number)
    outcome.drivers += 1
    with ForkedDriver(campaign.arguments, folder / "said", counter.install) as driver:
        status = driver.wait()
    if status == -signal.SIGKILL:
        outcome.faults[point.what] += 1
    elif status != 0:
        outcome.broken.append(f"the driver ended with {status}: {driver.said[-2000:]}")
    outcome.broken += [f"after the kill: {line}" for line in broken_now(campaign)]
    finish(campaign, undisturbed, outcome)
    return outcome


class StepCounter:
    """Notes the steps that a driver and its MLflow process do in a folder, and kills both at one.

    The file `notes` gets the names of the steps. Without a `fatal` number nobody is killed.
    """

    def __init__(self, folder: Path, notes: Path, *, fatal: int | None = None) -> None:
        self._folder = str(folder)
        self._path = notes
        self._notes = -1
        self._fatal = fatal
        self._count = 0

    def steps(self) -> list[str]:
        """Return the names of the steps so far."""
        return self._path.read_text().split()

    def install(self) -> None:
        """Look at every step of this process from now on, and at those of its forks."""
        self._notes = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        fsync = os.fsync
        write_whole = ledger._write_whole

        def flush(fd: "FileDescriptorLike") -> None:
            descriptor = fd if isinstance(fd, int) else fd.fileno()
            self._step("fsync", Path(f"/proc/self/fd/{descriptor}").readlink())
            fsync(fd)

        def write(file: RawIOBase, line: bytes) -> None:
            path = Path(f"/proc/self/fd/{file.fileno()}").readlink()
            if self._count == self._fatal and self._is_watched(path):
                file.write(line[: len(line) // 2])
            self._step(IN_A_LINE, path)
            write_whole(file, line)

        os.fsync = flush
        ledger._write_whole = write
        # An audit hook sees what libraries do as well; it can't be removed from a process.
        sys.addaudithook(self._audit)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITING:
                self._step("open", path)
        elif event == "os.mkdir":
            # One that is there already changes nothing.
            if not os.path.lexists(arguments[0]):
                self._step("mkdir", arguments[0])
        elif event in _EVENTS:
            self._step(event.removeprefix("os."), arguments[0])

    def _is_watched(self, path: object) -> bool:
        if not isinstance(path, (str, os.PathLike)):
            return False
        place = str(os.fspath(path))
        # To open a lock file that is there changes nothing.
        return place.startswith(self._folder) and not place.endswith(".lock")

    def _step(self, what: str, path: object) -> None:
        if not self._is_watched(path):
            return
        if self._count == self._fatal:
            os.killpg(0, signal.SIGKILL)
        self._count += 1
        os.write(self._notes, f"{what}\n".encode())
