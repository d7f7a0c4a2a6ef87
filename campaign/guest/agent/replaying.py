"""Replay a workload in the guest, and wait for its end at little cost.

Between two looks the agent sleeps: a process that it starts costs as much as hours of an idle
guest. So it reads what the instruments write, and asks the scheduler when all seems done or wrong.
"""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from campaign.guest.agent.channel import Teller
from campaign.guest.agent.commands import FOLDER, Ran, TaskFailed, run, text_of

HEALTH_S = 300.0
SHOWN = 300
"""Of what the health command prints, so many characters stand in the reason."""


class Replaying:
    """One replay of a workload: `GuestReplay` says what each field of `wanted` means."""

    def __init__(self, wanted: dict[str, Any], health: "Health", teller: Teller) -> None:
        self._wanted = wanted
        self._health = health
        self._teller = teller
        self._lines = {int(job): count for job, count in wanted["lines"].items()}
        self._jobs = Tail(wanted["jobs_file"])
        self._submits = Tail(wanted["submits_file"])
        self._seen: dict[int, int] = {}
        self._ended: set[int] = set()
        self._submitted = 0
        self._forgotten = 0
        self._last = 0.0
        self._asked = 0.0
        self.pending = ""

    def run(self) -> None:
        """Replay until no job is left; raise TaskFailed where that doesn't come."""
        for kept in ("jobs_file", "submits_file", "done_file"):
            Path(self._wanted[kept]).unlink(missing_ok=True)
        unpack = ("tar", "-xpmf", "-", "-C", "/", "--no-overwrite-dir")
        unpacked = run(unpack, self._wanted["ask_s"], FOLDER / "replay.tar")
        if unpacked.status != 0:
            raise TaskFailed("agent_failed", "the job scripts can't be unpacked", unpacked.told())
        started = time.monotonic()
        self._last = self._asked = started
        with (FOLDER / "submitting").open("wb") as said:
            submitting = subprocess.Popen(
                self._wanted["submit_command"],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        try:
            self._wait(started, submitting)
        finally:
            self._teller.workload_s = time.monotonic() - started
            if submitting.poll() is None:
                os.killpg(submitting.pid, signal.SIGKILL)
                submitting.wait()

    def _wait(self, started: float, submitting: "subprocess.Popen[bytes]") -> None:
        while True:
            time.sleep(self._wanted["poll_s"])
            # In this order: a done_file that is there means that all submissions can be read.
            gone = submitting.poll()
            submitted = Path(self._wanted["done_file"]).exists()
            now = time.monotonic()
            self._look(now)
            self._teller.workload_s = now - started
            self._teller.tell(jobs_done=len(self._ended), jobs_total=len(self._lines))
            if not submitted and gone is not None:
                said = Ran(shlex.join(self._wanted["submit_command"]), gone, "", self._said())
                brief = "the submit agent ended before all jobs were submitted"
                raise TaskFailed("agent_failed", brief, said.told())
            if self._over(now, submitted):
                return
            if now - started > self._wanted["deadline_s"]:
                left = len(self._lines) - len(self._ended)
                raise self._left(
                    "unfinished",
                    f"the workload didn't end in {self._wanted['deadline_s']:g} virtual seconds: "
                    f"{left} of {len(self._lines)} jobs are left",
                )
            self._health.check_each(self._wanted["health_s"])

    def _look(self, now: float) -> None:
        """Read what the instruments have written since the last look."""
        changed = False
        for fields in self._jobs.lines():
            job = int(fields[0])
            self._seen[job] = self._seen.get(job, 0) + 1
            changed = True
            if self._seen[job] >= self._lines.get(job, 1):
                self._ended.add(job)
        for fields in self._submits.lines():
            self._submitted += 1
            changed = True
            if fields[4] != "0":  # refused: it will never run
                self._ended.add(int(fields[0]))
        if changed:
            self._last = now

    def _over(self, now: float, submitted: bool) -> bool:
        """Return whether no job is left; raise TaskFailed when the workload has stalled."""
        wanted = self._wanted
        waited_s = now - self._last
        asked_s = now - self._asked
        left = self._submitted - len(self._ended) - self._forgotten
        if left <= 0 and not submitted:
            self._last = now  # nothing is due before the next arrival
            return False
        # Seem all jobs done, the last may still be ending: it is asked for ever more rarely.
        pause_s = wanted["quiet_s"] if left > 0 else min(wanted["quiet_s"], waited_s / 2)
        if submitted and min(asked_s, waited_s) >= pause_s and self._idle(now):
            return True
        if waited_s <= wanted["longest_s"] + wanted["stall_s"]:
            return False
        if not self._idle(now):
            brief = f"no job has ended for {waited_s:.0f} virtual seconds, and some are left"
            raise self._left("stalled", brief)
        # Jobs may end without a word, as killed ones do: they are not waited for.
        self._forgotten += left
        return submitted

    def _idle(self, now: float) -> bool:
        self._asked = now
        said = run(self._wanted["idle_command"], self._wanted["ask_s"])
        if said.status not in (0, 1):
            self._health.check()
        return said.status == 0

    def _left(self, reason: str, brief: str) -> TaskFailed:
        said = run(self._wanted["pending_command"], self._wanted["ask_s"])
        self.pending = said.stdout
        if said.status == 0:
            return TaskFailed(reason, brief, said.told())
        self._health.check()
        deaf = f"the scheduler doesn't answer although its daemons live; {brief}"
        return TaskFailed("daemon_died", deaf, said.told())

    def _said(self) -> str:
        return text_of(FOLDER / "submitting")


class Tail:
    """What is added to a file of lines with tabs; nothing as long as the file isn't there."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._offset = 0

    def lines(self) -> list[list[str]]:
        """Return the fields of the lines that are complete since the last call."""
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            return []
        if size == self._offset:
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._offset += len(whole) + len(newline)
        text = whole.decode(errors="replace")
        return [line.split("\t") for line in text.split("\n")] if newline else []


class Health:
    """Whether the scheduler's daemons live, as its own command says; no command, no question."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = tuple(command)
        self._checked = time.monotonic()

    def check(self) -> None:
        """Raise TaskFailed when a daemon doesn't live."""
        self._checked = time.monotonic()
        if not self._command:
            return
        said = run(self._command, HEALTH_S)
        if said.status != 0:
            which = " ".join(said.stdout.split())[:SHOWN] or "it doesn't say which"
            brief = f"a daemon of the scheduler died ({which})"
            raise TaskFailed("daemon_died", brief, said.told())

    def check_each(self, interval_s: float) -> None:
        """Check if the last check is so long ago."""
        if time.monotonic() - self._checked >= interval_s:
            self.check()
