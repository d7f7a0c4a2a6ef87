"""The measuring instruments that are put on nodes, and how what they wrote is read.

`run-job` is the payload of every job, `submit-agent` submits on the head node, `clock` answers what
time it is. All are bash without further processes, but for a payload that burns CPU time; they keep
their files in FOLDER, each named below.
"""

import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from campaign.core.errors import InfrastructureError

if TYPE_CHECKING:
    from campaign.core.jobs import Job

FOLDER = "/run/campaign"
JOBS_FILE = f"{FOLDER}/jobs.tsv"
SUBMITS_FILE = f"{FOLDER}/submits.tsv"
SCHEDULE_FILE = f"{FOLDER}/schedule.tsv"
SESSION_FILE = f"{FOLDER}/session"
STARTED_FILE = f"{FOLDER}/agent.t0"
DONE_FILE = f"{FOLDER}/agent.done"
INSTRUMENTS = ("run-job", "submit-agent", "clock")
Row = TypeVar("Row")
_ESCAPES = {"\\\\": "\\", "\\t": "\t", "\\n": "\n"}


class GuestError(InfrastructureError):
    """A measuring instrument left something we can't read; `raw` is the line."""

    def __init__(self, what: str, raw: str) -> None:
        super().__init__(f"can't read {what}: {raw!r}")
        self.args = (what, raw)
        self.raw = raw


@dataclass(frozen=True)
class Run:
    """A payload on one node: microseconds since 1970 on that node's clock."""

    job_id: int
    host: str
    start_us: int
    end_us: int
    exit_code: int


@dataclass(frozen=True)
class Submit:
    """A submission: microseconds since 1970 on the head node's clock; `output` is the submit
    command's."""

    job_id: int
    intended_us: int
    submit_us: int
    accepted_us: int
    exit_status: int
    output: str


def files() -> dict[str, bytes]:
    """The instruments by the path they must have on a node (mode 0755; /run may forbid execution:
    see *_command)."""
    here = Path(__file__).parent
    return {f"{FOLDER}/{name}": (here / name).read_bytes() for name in INSTRUMENTS}


def payload(job: "Job", kind: str, nodes: int) -> str:
    """The shell command that a job runs on each of its `nodes`; `kind` is that of Workload.payload.

    With `burn`, as many CPUs are kept busy on each node as hold the job's slots: ceil(width /
    nodes).
    """
    command = f"/bin/bash {FOLDER}/run-job {job.job_id} {job.runtime_s:.6f}"
    return f"{command} {ceil(job.width / nodes)}" if kind == "burn" else command


def agent_command() -> tuple[str, ...]:
    """Replays SCHEDULE_FILE on the head node; DONE_FILE exists when all is submitted."""
    return ("/bin/bash", f"{FOLDER}/submit-agent", SCHEDULE_FILE)


def clock_command() -> tuple[str, ...]:
    """Answers each line on its standard input with the node's time in seconds since 1970."""
    return ("/bin/bash", f"{FOLDER}/clock")


def schedule(commands: Iterable[tuple["Job", Sequence[str]]]) -> bytes:
    """What `submit-agent` replays: each job's arrival and the command that submits it, or what a
    session is handed instead, in order of arrival."""
    lines = (
        f"{round(job.arrival_s * 1e6)}\t{job.job_id}\t{shlex.join(command)}\n"
        for job, command in commands
    )
    return "".join(lines).encode()


def session(command: Sequence[str]) -> bytes:
    """SESSION_FILE: the program that stays and submits (see BoundScheduler.session_command)."""
    return f"exec {shlex.join(command)}\n".encode()


def parse_started(text: str) -> int:
    """The start of the workload: microseconds since 1970 on the head node's clock."""
    return _whole("the start of submit-agent", text.strip(), text)


def parse_runs(text: str) -> list[Run]:
    """The lines of JOBS_FILE. Raises GuestError for a torn or foreign one."""

    def run(fields: list[str], line: str) -> Run:
        job, start, end, code = (_whole("a line of run-job", fields[i], line) for i in (0, 2, 3, 4))
        return Run(job, fields[1], start, end, code)

    return _rows("a line of run-job", 5, text, run)


def parse_submits(text: str) -> list[Submit]:
    """The lines of SUBMITS_FILE. Raises GuestError for a torn or foreign one."""

    def submit(fields: list[str], line: str) -> Submit:
        job, intended, begun, accepted, status = (
            _whole("a line of submit-agent", field, line) for field in fields[:5]
        )
        return Submit(job, intended, begun, accepted, status, _unescaped(fields[5]))

    return _rows("a line of submit-agent", 6, text, submit)


def _rows(what: str, width: int, text: str, build: Callable[[list[str], str], Row]) -> list[Row]:
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
