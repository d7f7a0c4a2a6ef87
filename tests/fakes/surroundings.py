"""What can be done to a process before a command of the project begins in it, each by name."""

import itertools
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


class _Untracked:
    """Stands for the process that logs to MLflow, and for its tracker: both take seconds."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __enter__(self) -> "_Untracked":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def _ignore(self, *_: Any, **__: Any) -> None:
        pass

    asked = started = running = finished = concluded = finish = _ignore
    start = sync = plot = _ignore


def tracking() -> tuple[Any, ...]:
    """What logs to MLflow."""
    from campaign.execution import run
    from campaign.tracking import of_campaign

    return (run.MlflowWorker, of_campaign.Tracker)


def track(these: tuple[Any, ...]) -> None:
    """Let these log to MLflow."""
    from campaign.execution import run
    from campaign.tracking import of_campaign

    run.MlflowWorker, of_campaign.Tracker = these


def untracked() -> None:
    """Log nothing to MLflow."""
    track((_Untracked, _Untracked))


def umask(mask: int) -> None:
    """Take rights away from what is made."""
    os.umask(mask)


def limit(name: str, value: int) -> None:
    """Set a limit of the process, such as RLIMIT_NOFILE."""
    kind = getattr(resource, name)
    resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))


def clock(ahead_s: float) -> None:
    """Set the clock ahead by so much, or back."""
    real = time.time
    time.time = lambda: real() + ahead_s
    time.time_ns = lambda: int((real() + ahead_s) * 1e9)


def clock_at(now: float, step_s: float = 0.0) -> None:
    """Let the clock stand at `now`, or go by `step_s` at each look."""
    looks = itertools.count()
    time.time = lambda: now + step_s * next(looks)
    time.time_ns = lambda: int(time.time() * 1e9)


def time_zone() -> None:
    """Take the time zone of the environment."""
    time.tzset()


def closed(*numbers: int) -> None:
    """Close standard streams, as `>&-` does."""
    for number in numbers:
        os.close(number)
        setattr(sys, ("stdin", "stdout", "stderr")[number], None)


def full(number: int) -> None:
    """Let a standard stream go to a device that is full."""
    os.dup2(os.open("/dev/full", os.O_WRONLY), number)
    _reopen()


def unread(number: int) -> None:
    """Let a standard stream go into a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    os.dup2(writing, number)
    _reopen()


def _reopen() -> None:
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115


def encoded(encoding: str) -> None:
    """Let the standard streams take the characters of an encoding alone."""
    sys.stdout = open(1, "w", encoding=encoding, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding=encoding, errors="backslashreplace", closefd=False)  # noqa: SIM115


def no_folder() -> None:
    """Stand in a folder that is removed."""
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    Path(folder).rmdir()


class _InThisProcess(_Untracked):
    """Logs to MLflow when the campaign ends, and in this process, which has imported it."""

    def __init__(self, *known: Any) -> None:
        self._known = known

    def finish(self, front: Any) -> None:
        from campaign.tracking.worker import bring_up_to_date

        tracker, results, history, wanted = self._known
        bring_up_to_date(tracker, results, history.final(), front, wanted)


def tracked_here() -> None:
    """Log to MLflow in this process."""
    _, tracker = tracking()
    track((_InThisProcess, tracker))


def struck(line: int, how: str, folder: str) -> None:
    """Do something to the folder of a running campaign before a line of its ledger is written."""
    from campaign.records.ledger import Ledger

    append = Ledger.append
    lines = itertools.count(1)

    def striking(self: Ledger, event: str, **values: Any) -> None:
        if next(lines) == line:
            STRIKES[how](Path(folder))
        append(self, event, **values)

    Ledger.append = striking  # type: ignore[method-assign]


def struck_in_a_trial(number: int, how: str, folder: str) -> None:
    """Do the same while a trial runs."""
    from campaign.execution import executor

    judge = executor.judge

    def striking(trial: Any, *known: Any, **named: Any) -> Any:
        if trial.number == number:
            STRIKES[how](Path(folder))
        return judge(trial, *known, **named)

    executor.judge = striking


def _replaced(folder: Path) -> None:
    copy = shutil.copy(folder / "ledger.jsonl", folder / "copy")
    Path(copy).rename(folder / "ledger.jsonl")


def _added(folder: Path) -> None:
    with (folder / "ledger.jsonl").open("ab") as file:
        file.write(b"{}\n")


STRIKES = {
    "replaced": _replaced,
    "removed": lambda folder: (folder / "ledger.jsonl").unlink(),
    "emptied": lambda folder: os.truncate(folder / "ledger.jsonl", 0),
    "cut": lambda folder: os.truncate(folder / "ledger.jsonl", 99),
    "added to": _added,
    "moved": lambda folder: (folder / "ledger.jsonl").rename(folder / "moved"),
    "its folder is removed": shutil.rmtree,
    "its folder is moved": lambda folder: folder.rename(folder.with_name("moved")),
    "all results are removed": lambda folder: shutil.rmtree(folder.parent),
    "its folder is another one": lambda folder: (
        folder.rename(folder.with_name("moved")),
        folder.mkdir(),
    ),
}
