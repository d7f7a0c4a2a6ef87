"""Run commands in the guest, with a limit, and tell how they ended."""

import os
import select
import shlex
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from campaign.core.errors import command_failed

FOLDER = Path(__file__).resolve().parents[3]
"""Where the task was unpacked: the agent keeps its own files there."""


class TaskFailed(Exception):
    """The task can't go on; the arguments are `GuestResult`'s reason, brief and details."""

    def __init__(self, reason: str, brief: str, details: str = "") -> None:
        super().__init__(reason, brief, details)
        self.reason = reason
        self.brief = brief
        self.details = details


@dataclass(frozen=True)
class Ran:
    """How a command ended; `status` is None where its time was over, negative after a signal."""

    command: str
    status: int | None
    stdout: str
    stderr: str

    def told(self) -> str:
        """Return command, status and output, as errors have them."""
        return command_failed(self.command, self.status, self.stdout + self.stderr)


def run(command: Sequence[str], timeout_s: float, stdin: Path = Path(os.devnull)) -> Ran:
    """Run a command to its end, or end it and all of its group after `timeout_s`."""
    line = shlex.join(command)
    # Files and not pipes: a daemon that keeps a pipe open would be waited for.
    out = FOLDER / "stdout"
    err = FOLDER / "stderr"
    with stdin.open("rb") as source, out.open("wb") as stdout, err.open("wb") as stderr:
        try:
            process = subprocess.Popen(
                command,
                stdin=source,
                stdout=stdout,
                stderr=stderr,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            return Ran(line, 127, "", str(error))
        status = _ended(process, timeout_s)
    return Ran(line, status, text_of(out), text_of(err))


def _ended(process: "subprocess.Popen[bytes]", timeout_s: float) -> int | None:
    # subprocess would look every few hundredths of a second; a descriptor costs one wake-up.
    waiting = select.poll()
    descriptor = os.pidfd_open(process.pid)
    try:
        waiting.register(descriptor, select.POLLIN)
        if waiting.poll(min(max(timeout_s, 0.0) * 1000, 2**31 - 1)):
            return process.wait()
    finally:
        os.close(descriptor)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return None


def text_of(path: Path) -> str:
    return path.read_bytes().decode(errors="replace")
