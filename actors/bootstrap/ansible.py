"""Applies a bootstrap plan by ansible-playbook, as a site would that lives on Ansible; what
`apply.py` does by itself.

The playbook runs from a temporary folder with a configuration of its own: neither the user's
Ansible nor their SSH settings are read, and nothing is written elsewhere. Its processes know that
folder by name, and are found by it.
"""

import asyncio
import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actors.bootstrap.apply import BootstrapFailed
from actors.bootstrap.ssh import Identity, NodeUnreachable
from campaign.core.errors import CampaignError, ConfigError
from campaign.core.phase_clock import PhaseClock
from schedulers.ansible import Target, folder
from schedulers.base import BootstrapPlan, File

CONNECT_S = 60  # a key exchange between emulated, busy CPUs
LONGEST_LINE = 16_000_000
LAST_LINES = 40
KILL_ROUNDS = 500
_PREFIX = "campaign-play-"


@dataclass(frozen=True)
class Access:
    """How a node is reached: address and port, our key pair, and the public half of its host
    key."""

    door: tuple[str, int]
    client: Identity = field(repr=False)
    host_key: bytes


async def play(
    plan: BootstrapPlan,
    access: Mapping[str, Access],
    *,
    deadline: float,
    clock: PhaseClock,
) -> None:
    """Bring the nodes into the state that `plan` describes (see `schedulers.base.Step`).

    Played again, it changes nothing. `deadline` is in monotonic seconds; `clock` is told which
    stage begins. Raises BootstrapFailed with the evidence of the task that failed, or when time is
    over; NodeUnreachable where SSH fails; ConfigError without ansible-core. However it ends, no
    process and no file of it is left on this machine.
    """
    check_installed()
    clear_up()
    targets = [Target(node, "nodes", _reaching(way)) for node, way in access.items()]
    with tempfile.TemporaryDirectory(
        prefix=f"{_PREFIX}{os.getpid()}-", ignore_cleanup_errors=True
    ) as name:
        place = Path(name).resolve()
        write(place, (*folder(plan, targets), *_secrets_of(access)))
        transcript = Transcript(clock)
        async with _playbook(place, _environment(place)) as process:
            status = await _follow(process, transcript, deadline)
    if status != 0:
        raise transcript.failure(status)


def check_installed() -> None:
    """Raise ConfigError unless ansible-core is there."""
    if importlib.util.find_spec("ansible") is None:
        raise ConfigError(
            "bootstrap.via=ansible needs ansible-core, which is not installed",
            resolution="Install the extra: pip install 'hpc-campaign[ansible]' (or -e "
            "'.[ansible]' in the sources).",
        )


def write(place: Path, files: Iterable[File]) -> None:
    """Write `files` below `place` with their modes; the topmost folder of a secret is closed to
    others."""
    for file in files:
        path = place / file.path
        if file.secret:
            (place / Path(file.path).parts[0]).mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=file.mode)
        path.write_bytes(file.content)


def clear_up() -> None:
    """End and remove what a killed driver's playbooks left."""
    for place in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        owner = place.name.removeprefix(_PREFIX).partition("-")[0]
        if (
            owner.isdigit()
            and not Path("/proc", owner).exists()
            and place.stat().st_uid == os.getuid()
        ):
            _kill_all(place)
            shutil.rmtree(place, ignore_errors=True)


def _reaching(way: Access) -> dict[str, str | int]:
    key = "{{ inventory_dir }}/keys/{{ inventory_hostname }}"
    address, port = way.door
    return {"ansible_host": address, "ansible_port": port, "ansible_ssh_private_key_file": key}


def _secrets_of(access: Mapping[str, Access]) -> Iterator[File]:
    for node, way in access.items():
        yield File(f"keys/{node}", way.client.private, 0o600, secret=True)
    known = (
        "[{}]:{} ".format(*way.door) + f"{way.host_key.decode().strip()}\n"
        for way in access.values()
    )
    yield File("known_hosts", "".join(known).encode())


def _environment(place: Path) -> dict[str, str]:
    """Our environment, in which only we have a say on Ansible and SSH."""
    options = {
        "UserKnownHostsFile": str(place / "known_hosts"),
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
    }
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ANSIBLE_", "SSH_"))
    }
    return kept | {
        "ANSIBLE_CONFIG": str(place / "ansible.cfg"),
        "ANSIBLE_HOME": str(place / "home"),
        "ANSIBLE_LOCAL_TEMP": str(place / "home" / "tmp"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(place / "cp"),
        "ANSIBLE_SSH_COMMON_ARGS": " ".join(
            ["-F", "/dev/null", *(f"-o {k}={v}" for k, v in options.items())]
        ),
        "ANSIBLE_TIMEOUT": str(CONNECT_S),
        "ANSIBLE_NOCOLOR": "1",
        "LC_ALL": "C.UTF-8",
    }


@asynccontextmanager
async def _playbook(
    place: Path, environment: Mapping[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    """ansible-playbook on `place`; at the end, whatever still runs of it is killed. It doesn't
    outlive us either."""
    process = await asyncio.create_subprocess_exec(
        *(
            "setpriv",
            "--pdeathsig",
            "KILL",
            sys.executable,
            "-m",
            "ansible",
            "playbook",
            "playbook.yml",
        ),
        cwd=place,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=LONGEST_LINE,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        _kill_all(place)
        await process.wait()


async def _follow(
    process: asyncio.subprocess.Process, transcript: "Transcript", deadline: float
) -> int:
    """Read what the playbook says, and return its exit status; BootstrapFailed at the deadline."""
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            async for line in process.stdout:
                transcript.read(line.decode(errors="replace").rstrip())
            return await process.wait()
    except TimeoutError:
        brief = (
            "the playbook didn't end in time (cluster.bootstrap_deadline_s); it was at "
            f"{transcript.where}"
        )
        raise BootstrapFailed(brief, transcript.tail) from None


class Transcript:
    """What ansible-playbook prints, line by line: where it is, what failed first, and its last
    lines."""

    def __init__(self, clock: PhaseClock) -> None:
        self._clock = clock
        self._play = self._task = ""
        self._failed: tuple[str, str, str, str] | None = None  # task, node, how, what it says
        self._last: deque[str] = deque(maxlen=LAST_LINES)

    def read(self, line: str) -> None:
        """Take in one line."""
        self._last.append(line)
        if begun := re.match(r"(PLAY|TASK) \[(.*)\] \**$", line):
            if begun[1] == "PLAY":
                self._play = begun[2]
                self._task = ""
                self._clock.detail(begun[2])
            else:
                self._task = begun[2]
        elif failed := re.match(
            r"(?:fatal|failed): \[(.*?)\](?: \(.*?\))?: (FAILED|UNREACHABLE)! => (.*)$", line
        ):
            self._failed = self._failed or (self._task, failed[1], failed[2], failed[3])
        elif failed := re.match(r"failed: \[(.*?)\] (\(item=.*?\)) => (.*)$", line):
            self._failed = self._failed or (
                f"{self._task} {failed[2]}",
                failed[1],
                "FAILED",
                failed[3],
            )

    @property
    def where(self) -> str:
        """The play and task that began last."""
        return ", ".join(part for part in (self._play, self._task) if part) or "its start"

    @property
    def tail(self) -> str:
        """The last lines."""
        return "\n".join(self._last)

    def failure(self, status: int) -> CampaignError:
        """The error that a playbook which ended with `status` is."""
        if self._failed is None:
            return BootstrapFailed(
                f"ansible-playbook ended with status {status} at {self.where}", self.tail
            )
        task, node, how, result = self._failed
        if how == "UNREACHABLE":
            return NodeUnreachable(
                f"{node} can't be reached by Ansible's SSH in `{task}`", evidence(result)
            )
        return BootstrapFailed(f"{node}: the playbook's task `{task}` failed", evidence(result))


def evidence(result: str) -> str:
    """A task's result, which Ansible prints as JSON, as people read it; the raw text where it is
    something else."""
    try:
        said: Any = json.loads(result)
    except ValueError:
        return result
    wanted = (
        ("msg", "stdout", "stderr", "module_stdout", "module_stderr")
        if isinstance(said, dict)
        else ()
    )
    found = [f"{name}: {str(said[name]).strip()[-2000:]}" for name in wanted if said.get(name)]
    return "\n".join(found) or result


def _kill_all(place: Path) -> None:
    """Kill every process that a playbook on `place` started, until there are none.

    Ansible's workers and SSH's shared connections each lead a session of their own, so no process
    group holds them.
    """
    for _ in range(KILL_ROUNDS):
        found = [
            process
            for process in Path("/proc").glob("[0-9]*")
            if _is_of(process, str(place).encode())
        ]
        if not found:
            return
        for process in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process.name), signal.SIGKILL)
        time.sleep(0.01)


def _is_of(process: Path, place: bytes) -> bool:
    """Whether a process has the playbook's environment, or is a shared connection of SSH, which
    gives that up."""
    try:
        shared = (process / "cmdline").read_bytes().startswith(b"ssh: " + place)
        return shared or b"ANSIBLE_CONFIG=" + place in (process / "environ").read_bytes()
    except OSError:
        return False  # it ended, or is another user's
