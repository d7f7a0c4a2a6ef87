"""What a guest in virtual time is to do, and what it brings home: values, and how they are packed.

A task is plain commands and files, so that the program in the guest (`trial_agent.py`, which
travels in the task) knows no scheduler. All seconds are those of the guest's clock.
"""

import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from campaign.core.archives import plain_files
from campaign.guest import GuestError
from schedulers.base import Probe, Unit

AGENT = "trial_agent.py"
TASK = "task.json"
RESULT = "result.json"
REPLAY_FILES = "replay.tar"
RESULT_LIMIT = 256 << 20
"""Bytes of all that a guest brings home."""
Reason = Literal[
    "ok",
    "stage_failed",
    "probe_failed",
    "smoke_test_failed",
    "check_failed",
    "daemon_died",
    "stalled",
    "unfinished",
    "agent_failed",
]
"""How a task ended.

stage_failed: a plan's script exited non-zero or took too long; probe_failed: a probe never came
true; check_failed: a command whose output is needed failed; daemon_died: the health command failed,
or jobs were left and the scheduler didn't say which; stalled: nothing has ended for
`longest_s + stall_s` although jobs are there; unfinished: the workload's deadline passed;
agent_failed: the submit agent or the agent itself broke.
"""


@dataclass(frozen=True)
class GuestStage:
    """One stage of a plan, for all nodes of the guest at once.

    `script` is bash and stops at its first failure (`actors.bootstrap.apply.script_of`); `archive`
    is the tar of its files, on its standard input. Then the probes are asked, one after the other;
    `units` are asked for their state where the stage fails.
    """

    name: str
    script: str
    archive: bytes = field(default=b"", repr=False)
    probes: tuple[Probe, ...] = ()
    units: tuple[Unit, ...] = ()


@dataclass(frozen=True)
class GuestCommand:
    """A command whose standard output is brought home under `name`.

    Where it fails or takes longer than `timeout_s`, the task ends as check_failed if it is
    `needed`; else what it printed is brought home all the same.
    """

    name: str
    command: tuple[str, ...]
    timeout_s: float = 600.0
    needed: bool = True


@dataclass(frozen=True)
class GuestReplay:
    """A workload to replay.

    `archive` is a tar, to be unpacked at `/`, of instruments, job scripts and schedule.
    `submit_command` runs until all is submitted and leaves `done_file` then; `jobs_file` and
    `submits_file` are what the instruments write. `lines` says per job how many lines it will have
    in `jobs_file` once it has ended: one per node.

    `idle_command` exits 0 when the scheduler has no job left, 1 while it has some; anything else
    means that it doesn't answer. It is asked rarely, since a client costs as much as hours of
    idleness: when all jobs seem done, and where nothing has ended for `quiet_s` after all was
    submitted, or for `longest_s + stall_s`. In the last case the task ends as stalled, with the
    output of `pending_command` (`BoundScheduler.pending_command`) in `GuestResult.pending`.
    """

    archive: bytes = field(repr=False)
    submit_command: tuple[str, ...]
    lines: Mapping[int, int]
    jobs_file: str
    submits_file: str
    done_file: str
    pending_command: tuple[str, ...]
    idle_command: tuple[str, ...]
    longest_s: float
    stall_s: float
    deadline_s: float
    poll_s: float = 60.0
    health_s: float = 1800.0
    quiet_s: float = 7200.0
    ask_s: float = 300.0
    """The limit of a question to the scheduler."""


@dataclass(frozen=True)
class GuestFile:
    """A file to bring home if it is there: of a longer one, the last `limit` bytes."""

    path: str
    limit: int = 1_000_000


@dataclass(frozen=True)
class GuestTask:
    """All that a guest does between two halts, in the order of the fields.

    `configure_s` is the limit of all stages together, `smoke_test_s` that of the smoke test.
    Afterwards the guest idles for `settle_s`. `checks` run before the replay, `collect` after it.
    `health_command` exits 0 while every daemon lives; it is asked once before the workload begins,
    then every `GuestReplay.health_s` and whenever something is strange. `files` come home however
    the task ends.
    """

    stages: tuple[GuestStage, ...] = ()
    configure_s: float = 3600.0
    smoke_test: tuple[str, ...] = ()
    smoke_test_s: float = 600.0
    settle_s: float = 0.0
    health_command: tuple[str, ...] = ()
    checks: tuple[GuestCommand, ...] = ()
    replay: GuestReplay | None = None
    collect: tuple[GuestCommand, ...] = ()
    files: tuple[GuestFile, ...] = ()


@dataclass(frozen=True)
class GuestResult:
    """What a guest brings home.

    `reason` says how the task ended; `brief` says it in a sentence, `details` has the evidence (a
    command with exit status and output, as `campaign.core.errors.command_failed` words it, ends of
    logs, a traceback). `outputs` are of the commands in `checks` and `collect`, by name; `files` by
    path, those that were there. `pending` is what the scheduler said of jobs that were left.
    `phases_s` has how long each phase took, `virtual_s` is the guest's age at the end.
    """

    number: int
    reason: Reason
    brief: str = ""
    details: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    pending: str = ""
    phases_s: Mapping[str, float] = field(default_factory=dict)
    virtual_s: float = 0.0
    workload_s: float = 0.0


def pack(task: GuestTask) -> bytes:
    """Return the task as the content of an exchange, with the agent; equal tasks, equal bytes."""
    members = _agent_files()
    told = asdict(task)
    for number, stage in enumerate(told["stages"]):
        members[f"stage{number}.tar"] = stage.pop("archive")
    if told["replay"] is not None:
        members[REPLAY_FILES] = told["replay"].pop("archive")
    members[TASK] = json.dumps(told).encode()
    return archive_of(members)


def _agent_files() -> dict[str, bytes]:
    here = Path(__file__).parent
    # In the guest, the packages above the agent's parts are empty.
    found = {AGENT: (here / AGENT).read_bytes()}
    found |= {f"campaign/{package}__init__.py": b"" for package in ("", "core/", "guest/")}
    parts = [*sorted((here / "agent").glob("*.py")), here.parent / "core/errors.py"]
    root = here.parents[1]
    return found | {str(path.relative_to(root)): path.read_bytes() for path in parts}


def archive_of(members: Mapping[str, bytes]) -> bytes:
    """Return a tar archive of `members` by name, in their order; equal ones give equal bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def unpack(content: bytes, task: GuestTask) -> GuestResult:
    """Return the result of `task` that `campaign.guest.exchange.read_result` gave.

    Of its files, those that the task asked for. Raises GuestError or BadArchive for anything else.
    """
    members = plain_files(content, RESULT_LIMIT)
    asked = {file.path: file.limit for file in task.files}
    found = {f"/{name.removeprefix('files/')}": data for name, data in members.items()}
    files = {path: found[path][-limit:] for path, limit in asked.items() if path in found}
    try:
        told: dict[str, Any] = json.loads(members[RESULT])
        return TypeAdapter(GuestResult).validate_python(told | {"files": files})
    except (KeyError, TypeError, ValueError) as error:
        raise GuestError("the result of a guest", f"{type(error).__name__}: {error}") from error
