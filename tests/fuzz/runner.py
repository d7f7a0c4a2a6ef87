"""Runs the cases of a family in a process of its own, whose memory and time are limited.

A case survives if it ends in time, without more memory than it may have, in a result or in an error
of ours. Each is drawn from the family's name, the seed and its own number alone, so it can be run
again by these.
"""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType

from campaign.core.errors import CampaignError
from tests.fuzz.families import FAMILIES

CPU_S = 5.0
"""The CPU time of a case before it counts as a hang: a busy machine makes nothing hang."""
DEADLY_CPU_S = 60
"""The CPU time after which a process is killed that answers no signal."""
MEMORY = 2**30
"""The bytes that a process may take beyond what it had before its first case."""
PROGRESS = "progress.json"


class HangError(BaseException):
    """A case took too much CPU time; no `except Exception` holds this up."""


@dataclass
class Tally:
    """What became of the cases so far; `accepted` are those that weren't refused."""

    tried: int = 0
    survived: int = 0
    accepted: int = 0
    faults: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Count the cases of another process as well."""
        self.tried += other.tried
        self.survived += other.survived
        self.accepted += other.accepted
        self.faults += other.faults


def run(family: str, *, first: int, last: int, seed: int) -> Tally:
    """Run the cases `first` to `last` (excluded), in as many processes as it takes."""
    tally = Tally()
    while first < last:
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            command = [sys.executable, "-m", "tests.fuzz", family, "--inside", folder]
            numbers = ["--first", str(first), "--last", str(last), "--seed", str(seed)]
            ended = subprocess.run([*command, *numbers], check=False)
            found = _read(Path(folder))
        tally.add(found)
        first += found.tried
        if first < last:
            # It died in a case, or before the first one.
            what = f"its process ended with status {ended.returncode}"
            tally.add(Tally(tried=1, faults=[f"{_name(family, seed, first)}: {what}"]))
            first += 1
    return tally


def run_inside(family: str, folder: Path, *, first: int, last: int, seed: int) -> None:
    """Run the cases in this process, and keep the tally in `folder` after each."""
    work = folder / "work"
    work.mkdir()
    os.chdir(work)
    case = FAMILIES[family].prepared()(work)
    _limit_memory()
    signal.signal(signal.SIGPROF, _hang)
    tally = Tally()
    for number in range(first, last):
        draw = random.Random(f"{family} {seed} {number}")
        try:
            with _limited():
                tally.accepted += case(draw, number)
            tally.survived += 1
        except CampaignError as error:
            fault = "" if str(error).strip() else "an error without words"
            tally.survived += not fault
            tally.faults += [f"{_name(family, seed, number)}: {fault}"] if fault else []
        except (KeyboardInterrupt, SystemExit):  # this process was told to end
            raise
        except BaseException:  # noqa: BLE001 - whatever it is, it is a fault
            tally.faults.append(f"{_name(family, seed, number)}:\n{traceback.format_exc(-12)}")
        tally.tried += 1
        _keep(folder, tally)


def _name(family: str, seed: int, number: int) -> str:
    return f"python -m tests.fuzz {family} --seed {seed} --first {number} --cases 1"


def _keep(folder: Path, tally: Tally) -> None:
    draft = folder / "draft.json"
    draft.write_text(json.dumps(asdict(tally)))
    draft.rename(folder / PROGRESS)


def _read(folder: Path) -> Tally:
    file = folder / PROGRESS
    return Tally(**json.loads(file.read_text())) if file.is_file() else Tally()


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _hang(_number: int, _frame: FrameType | None) -> None:
    raise HangError(f"more than {CPU_S:g} s of CPU time")


@contextmanager
def _limited() -> Iterator[None]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    deadly = int(used.ru_utime + used.ru_stime) + DEADLY_CPU_S
    resource.setrlimit(resource.RLIMIT_CPU, (deadly, resource.RLIM_INFINITY))
    signal.setitimer(signal.ITIMER_PROF, CPU_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
