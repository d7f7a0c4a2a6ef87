"""The measuring instruments that are put on nodes, and the parsers of the files they write.

`run-job` is the payload of every job, `submit-agent` submits on the head node, `clock` answers what
time it is. All are bash without further processes, except for a payload that burns CPU time. They
keep their files in FOLDER, each named below.
"""

import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from campaign.core.errors import InfrastructureError
from schedulers.base import TimedCommand
from schedulers.commands import NATIVE_ID

if TYPE_CHECKING:
    from campaign.core.jobs import Job

FOLDER = "/run/campaign"
JOBS_FILE = f"{FOLDER}/jobs.tsv"
SUBMITS_FILE = f"{FOLDER}/submits.tsv"
EVENTS_FILE = f"{FOLDER}/events.tsv"
SCHEDULE_FILE = f"{FOLDER}/schedule.tsv"
SESSION_FILE = f"{FOLDER}/session"
STARTED_FILE = f"{FOLDER}/agent.t0"
DONE_FILE = f"{FOLDER}/agent.done"
INSTRUMENTS = ("run-job", "submit-agent", "clock")
T = TypeVar("T")
_ESCAPES = {"\\\\": "\\", "\\t": "\t", "\\n": "\n"}


class GuestError(InfrastructureError):
    """A measuring instrument wrote a line that can't be read; `raw` is the line."""

    def __init__(self, what: str, raw: str) -> None:
        super().__init__(f"can't read {what}: {raw!r}")
        self.args = (what, raw)
        self.raw = raw


@dataclass(frozen=True)
class PayloadRun:
    """One run of a job's payload on one node; times are microseconds since 1970 on its clock."""

    job_id: int
    node: str
    start_us: int
    end_us: int
    exit_code: int


@dataclass(frozen=True)
class Submission:
    """The submission of one job; times are microseconds since 1970 on the head node's clock.

    `exit_status` and `output` are those of the scheduler's submit command.
    """

    job_id: int
    intended_us: int
    submit_us: int
    accepted_us: int
    exit_status: int
    output: str


def files() -> dict[str, bytes]:
    """Return the instruments by the path that they must have on a node, with mode 0755.

    A node may forbid to execute what is below /run, so they are run by bash (see `*_command`).
    """
    here = Path(__file__).parent
    return {f"{FOLDER}/{name}": (here / name).read_bytes() for name in INSTRUMENTS}


def payload(job: "Job", kind: str, nodes: int, node: str = "") -> str:
    """Return the shell command that a job runs on each of its `nodes` nodes.

    `kind` is that of `Workload.payload`. With `burn`, ceil(width / nodes) CPUs are kept busy on
    each node: as many as hold the job's slots there. `node` is what the shell expands to the name
    of the node (see `BoundScheduler.payload_node`).
    """
    command = f'/bin/bash {FOLDER}/run-job {job.job_id} {job.runtime_s:.6f} "{node}"'
    return f"{command} {ceil(job.width / nodes)}" if kind == "burn" else command


def agent_command() -> tuple[str, ...]:
    """Return the command that submits by SCHEDULE_FILE on the head node.

    When everything is submitted, DONE_FILE exists.
    """
    return ("/bin/bash", f"{FOLDER}/submit-agent", SCHEDULE_FILE)


def clock_command() -> tuple[str, ...]:
    """Return the command that answers each line on its standard input with the node's time.

    An answer is a line with seconds since 1970 (see `campaign.guest.clocks.parse_clock`).
    """
    return ("/bin/bash", f"{FOLDER}/clock")


def schedule(
    commands: Iterable[tuple["Job", Sequence[str]]], events: Sequence[TimedCommand] = ()
) -> bytes:
    """Return the content of SCHEDULE_FILE: jobs in order of arrival, each with its command.

    The command submits the job; where a session submits (see SESSION_FILE), it is the line that the
    session is given instead. `events` are run at their times, before jobs of the same moment. They
    may go on after the last job: a line says that all are submitted.
    """
    jobs = [
        (round(job.arrival_s * 1e6), str(job.job_id), _shell(command)) for job, command in commands
    ]
    others = [(round(at_s * 1e6), "-", _shell(command)) for at_s, command in events]
    if others and jobs:
        jobs.append((jobs[-1][0], ".", ":"))
    # Sorting is stable: what happens comes first, and jobs stay in their order.
    lines = sorted([*others, *jobs], key=lambda line: line[0])
    return "".join(f"{at}\t{job}\t{command}\n" for at, job, command in lines).encode()


def _shell(command: Sequence[str]) -> str:
    """Return the command as the agent's shell reads it, with native ids put in."""
    return " ".join(_shell_word(word) for word in command)


def _shell_word(word: str) -> str:
    # Numbers of jobs stand at the odd places.
    parts = NATIVE_ID.split(word)
    return "".join(
        f'"${{ids[{part}]}}"' if place % 2 else (shlex.quote(part) if part or not place else "")
        for place, part in enumerate(parts)
    )


def failed_events(text: str) -> list[str]:
    """Return what those commands of EVENTS_FILE have said that failed, with the commands.

    Raises GuestError for a torn or foreign line.
    """

    def said(fields: list[str], line: str) -> str:
        status = _whole("an event", fields[0], line)
        return f"{fields[1]} exited with {status}: {_unescaped(fields[2])}" if status else ""

    return list(filter(None, _rows("an event", 3, text, said)))


def session(command: Sequence[str]) -> bytes:
    """Return the content of SESSION_FILE, which starts the program that stays and submits.

    `command` is that of `BoundScheduler.session_command`.
    """
    return f"exec {shlex.join(command)}\n".encode()


def parse_started(text: str) -> int:
    """Return the start of the workload: microseconds since 1970 on the head node's clock.

    Raises GuestError for anything but a number.
    """
    return _whole("the start of submit-agent", text.strip(), text)


def parse_runs(text: str) -> list[PayloadRun]:
    """Return the runs in the lines of JOBS_FILE. Raises GuestError for a torn or foreign line."""

    def run(fields: list[str], line: str) -> PayloadRun:
        job, start, end, code = (_whole("a line of run-job", fields[i], line) for i in (0, 2, 3, 4))
        return PayloadRun(job, fields[1], start, end, code)

    return _rows("a line of run-job", 5, text, run)


def parse_submits(text: str) -> list[Submission]:
    """Return the submissions in the lines of SUBMITS_FILE.

    Raises GuestError for a torn or foreign line.
    """

    def submit(fields: list[str], line: str) -> Submission:
        job, intended, begun, accepted, status = (
            _whole("a line of submit-agent", field, line) for field in fields[:5]
        )
        return Submission(job, intended, begun, accepted, status, _unescaped(fields[5]))

    return _rows("a line of submit-agent", 6, text, submit)


def _rows(what: str, width: int, text: str, build: Callable[[list[str], str], T]) -> list[T]:
    rows = []
    for line in text.splitlines(keepends=True):
        fields = line.rstrip("\n").split("\t")
        if len(fields) != width or not line.endswith("\n"):
            raise GuestError(what, line)
        rows.append(build(fields, line))
    return rows


def _whole(what: str, field: str, line: str) -> int:
    if not re.fullmatch(r"\d{1,18}", field):
        raise GuestError(what, line)
    return int(field)


def _unescaped(field: str) -> str:
    return re.sub(r"\\[\\tn]", lambda match: _ESCAPES[match.group()], field)
