"""The program in a guest in virtual time: does the task of its exchange, and halts the guest.

    python3 trial_agent.py EXCHANGE [HALT ...]

It travels in the task (`campaign.guest.task`), with `campaign.guest.agent` and the words of the
project's errors, and needs nothing else but the standard library. Whatever happens, it leaves a
result with a reason, and takes the next task when the guest goes on. HALT is a command to run where
there is no device that halts.
"""

import io
import json
import mmap
import os
import re
import sys
import tarfile
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from campaign.core.errors import OUTPUT_TAIL
from campaign.guest.agent.channel import Exchange, Teller
from campaign.guest.agent.commands import FOLDER, TaskFailed, run, text_of
from campaign.guest.agent.replaying import Health, Replaying

HALTING = ("0x1b36", "0x0011")
"""Vendor and device of QEMU's pvpanic-pci, which stops the guest at the next instruction."""
LONGEST_PAUSE_S = 5.0
"""Between two tries of a probe: its own interval doubles up to this."""
LONGEST_TRY_S = 120.0
SHOWN_UNITS = 5
DOING = FOLDER / "doing"
DONE = FOLDER / "done"
REPLAYED = ("ok", "stalled", "unfinished", "daemon_died")
"""How a task may end whose replay has begun, so that there is something to collect."""


class TaskWork:
    """The work on one task: what each field of `GuestTask` asks for, in their order."""

    def __init__(self, task: dict[str, Any], teller: Teller) -> None:
        self._task = task
        self._teller = teller
        self._health = Health(task["health_command"])
        self.outputs: dict[str, str] = {}
        self.pending = ""

    def do(self) -> None:
        """Do all of it, or raise TaskFailed."""
        self._configure()
        if self._task["smoke_test"]:
            with self._teller.phase("smoke test"):
                self._smoke_test()
        if self._task["settle_s"]:
            with self._teller.phase("settling"):
                time.sleep(self._task["settle_s"])
        with self._teller.phase("checks"):
            self._health.check()
            for wanted in self._task["checks"]:
                self._ask(wanted)
        if self._task["replay"] is not None:
            self._replay()

    def _configure(self) -> None:
        deadline = time.monotonic() + self._task["configure_s"]
        for number, stage in enumerate(self._task["stages"]):
            with self._teller.phase(f"stage {stage['name']}", "files, commands and units"):
                self._run_script(number, stage, deadline)
                for probe in stage["probes"]:
                    self._teller.tell(waits_for=probe["what"])
                    self._wait_for(probe, stage, deadline)

    def _run_script(self, number: int, stage: dict[str, Any], deadline: float) -> None:
        # As a file: of a large cluster it is longer than an argument may be.
        script = FOLDER / "stage.sh"
        script.write_text(stage["script"])
        archive = FOLDER / f"stage{number}.tar"
        command = ("bash", "-eu", str(script))
        stdin = archive if archive.stat().st_size else Path(os.devnull)
        ran = run(command, deadline - time.monotonic(), stdin)
        if ran.status != 0:
            brief = f"stage {stage['name']} of the plan failed"
            raise TaskFailed("stage_failed", brief, "\n".join([ran.told(), *_units(stage)]))

    def _wait_for(self, probe: dict[str, Any], stage: dict[str, Any], deadline: float) -> None:
        until = min(deadline, time.monotonic() + probe["deadline_s"])
        pattern = re.compile(probe["expect"])
        pause_s = probe["interval_s"]
        while True:
            # Even a late try gets a second to answer in.
            left_s = max(1.0, until - time.monotonic())
            ran = run(probe["command"], min(left_s, LONGEST_TRY_S))
            if ran.status == 0 and pattern.fullmatch(ran.stdout.strip()):
                return
            if time.monotonic() + pause_s >= until:
                brief = f"{probe['what']} didn't come true within {probe['deadline_s']:g} s"
                raise TaskFailed("probe_failed", brief, "\n".join([ran.told(), *_units(stage)]))
            time.sleep(pause_s)
            pause_s = max(probe["interval_s"], min(2 * pause_s, LONGEST_PAUSE_S))

    def _smoke_test(self) -> None:
        ran = run(self._task["smoke_test"], self._task["smoke_test_s"])
        if ran.status != 0:
            raise TaskFailed("smoke_test_failed", "no job runs on all nodes", ran.told())

    def _ask(self, wanted: dict[str, Any]) -> None:
        ran = run(wanted["command"], wanted["timeout_s"])
        self.outputs[wanted["name"]] = ran.stdout
        if ran.status != 0 and wanted["needed"]:
            raise TaskFailed("check_failed", f"{wanted['name']} can't be had", ran.told())

    def _replay(self) -> None:
        replaying = Replaying(self._task["replay"], self._health, self._teller)
        reason = ""
        try:
            with self._teller.phase("workload"):
                replaying.run()
            reason = "ok"
        except TaskFailed as failed:
            reason = failed.reason
            raise
        finally:
            self.pending = replaying.pending
            if reason in REPLAYED:
                with self._teller.phase("collecting"):
                    self._collect(needed=reason == "ok")

    def _collect(self, *, needed: bool) -> None:
        for wanted in self._task["collect"]:
            # Why the replay failed must not be hidden by what can't be collected after it.
            self._ask(wanted | {"needed": needed and wanted["needed"]})


def _units(stage: dict[str, Any]) -> list[str]:
    """Return what units of the stage report of themselves: the first few that don't run."""
    shown: list[str] = []
    for unit in stage["units"]:
        if run(("systemctl", "is-active", "--quiet", unit["name"]), LONGEST_TRY_S).status == 0:
            continue
        status = ("systemctl", "status", "--no-pager", "--lines=15", unit["name"])
        logged = _end_of(unit["log"], OUTPUT_TAIL) if unit["log"] else None
        shown += [run(status, LONGEST_TRY_S).stdout, (logged or b"").decode(errors="replace")]
        if len(shown) >= 2 * SHOWN_UNITS:
            break
    return [text.strip() for text in shown if text.strip()]


def _end_of(path: str, limit: int) -> bytes | None:
    try:
        with Path(path).open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - limit))
            return file.read(limit)
    except OSError:
        return None


def work_on(exchange: Exchange, teller: Teller, length: int) -> bytes:
    """Do the task in the exchange, which has `length` bytes, and return its result as a tar."""
    result: dict[str, Any] = {"number": teller.number, "reason": "ok", "brief": "", "details": ""}
    wanted: Sequence[dict[str, Any]] = ()
    work = None
    try:
        members = exchange.members(length)
        for name, content in members.items():
            if name.endswith(".tar"):
                (FOLDER / name).write_bytes(content)
        task = json.loads(members["task.json"])
        wanted = task["files"]
        work = TaskWork(task, teller)
        work.do()
    except TaskFailed as failed:
        result |= {"reason": failed.reason, "brief": failed.brief, "details": failed.details}
    except Exception:  # noqa: BLE001 - a guest that said nothing would be waited for in vain
        result |= _broken("the agent in the guest failed", traceback.format_exc())
    if work is not None:
        result |= {"outputs": work.outputs, "pending": work.pending}
    files = {one["path"]: _end_of(one["path"], one["limit"]) for one in wanted}
    found = {f"files{path}": content for path, content in files.items() if content is not None}
    return _packed(result, teller, found)


def _packed(result: Mapping[str, Any], teller: Teller, files: Mapping[str, bytes]) -> bytes:
    told = {
        **result,
        "phases_s": teller.phases_s,
        "virtual_s": time.monotonic(),
        "workload_s": teller.workload_s,
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in {"result.json": json.dumps(told).encode(), **files}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _broken(brief: str, details: str) -> dict[str, str]:
    return {"reason": "agent_failed", "brief": brief, "details": details}


def halt(instead: Sequence[str]) -> None:
    """Stop the guest at this instruction; return when it goes on. `instead` is run if not empty."""
    if instead:
        run(instead, LONGEST_TRY_S)
        return
    for device in sorted(Path("/sys/bus/pci/devices").iterdir()):
        if (text_of(device / "vendor").strip(), text_of(device / "device").strip()) == HALTING:
            (device / "enable").write_text("1")
            descriptor = os.open(device / "resource0", os.O_RDWR | os.O_SYNC)
            with mmap.mmap(descriptor, os.fstat(descriptor).st_size) as registers:
                registers[0:1] = b"\1"
            os.close(descriptor)
            return
    sys.stderr.write("trial_agent: there is no pvpanic-pci to halt by\n")


def main(exchange_path: str, instead: Sequence[str]) -> None:
    """Do one task after the other, for ever."""
    exchange = Exchange(exchange_path)
    last = int(DONE.read_text()) if DONE.exists() else -1
    begun = time.monotonic()
    while True:
        head = exchange.head()
        number = head.get("number", -1)
        if number <= last:
            time.sleep(1)
            continue
        teller = Teller(exchange, number)
        if last < 0:
            teller.phases_s["boot"] = begun
        if DOING.exists():
            brief = "the agent in the guest was ended while it worked"
            content = _packed({"number": number, **_broken(brief, "")}, teller, {})
        else:
            DOING.touch()
            content = work_on(exchange, teller, head["length"])
        try:
            exchange.leave(content)
        except TaskFailed as failed:
            content = _packed({"number": number, **_broken(failed.brief, "")}, teller, {})
            exchange.leave(content)
        DONE.write_text(str(number))
        DOING.unlink()
        teller.tell("done", len(content), waits_for="")
        halt(instead)
        last = number


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
