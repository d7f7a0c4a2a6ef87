"""Applies a bootstrap plan by ansible-playbook, as a site would that lives on Ansible.

It does what `apply.py` does by itself. The playbook runs from a temporary folder with a
configuration of its own: neither the user's Ansible nor their SSH settings are read, and nothing is
written elsewhere. Its processes know that folder by name, and are found by it.

Files and processes are handled in threads: the event loop that awaits a playbook also watches the
cluster's nodes.
"""

import asyncio
import contextlib
import importlib.util
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from actors.bootstrap.apply import BootstrapFailed
from actors.bootstrap.playbook_events import COMMAND, Transcript
from actors.bootstrap.ssh import Identity
from campaign.core import log
from campaign.core.errors import ConfigError, command_failed
from campaign.core.phase_clock import PhaseClock
from schedulers.ansible import Target, folder
from schedulers.base import BootstrapPlan, File

CONNECT_TIMEOUT_S = 60  # a key exchange between emulated, busy CPUs
LONGEST_LINE = 16_000_000
KILL_TIMEOUT_S = 10.0
KILL_POLL_S = 0.02
CALLBACKS = Path(__file__).parent / "ansible_callbacks"
_PREFIX = "campaign-play-"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Access:
    """How a node is reached by SSH.

    `endpoint` is its address and port, `client` our key pair, `host_key` the public half of its
    own key.
    """

    endpoint: tuple[str, int]
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
    stage begins. Raises BootstrapFailed with the result of the task that failed, or when time is
    over; NodeUnreachable where SSH fails; ConfigError without ansible-core. However it ends, no
    process and no file of it is left on this machine.
    """
    check_installed()
    await asyncio.to_thread(clear_up)
    targets = [Target(node, "nodes", _variables(way)) for node, way in access.items()]
    async with _temporary_folder() as place:
        files = (*folder(plan, targets), *_secrets_of(access))
        await asyncio.to_thread(write, place, files)
        transcript = Transcript(clock)
        with log.span(_log, f"ansible-playbook on {', '.join(access)}"):
            async with _playbook(place, _environment(place)) as process:
                status = await _follow(process, transcript, deadline)
    if status != 0:
        raise transcript.failure(status)


def check_installed() -> None:
    """Raise ConfigError unless ansible-core is installed."""
    # Importing Ansible takes time, and here only whether it is there matters.
    if importlib.util.find_spec("ansible") is None:
        raise ConfigError(
            "bootstrap.via=ansible needs ansible-core, which is not installed",
            resolution="Install the extra: pip install 'hpc-campaign[ansible]' (or -e "
            "'.[ansible]' in the sources).",
        )


def write(place: Path, files: Iterable[File]) -> None:
    """Write `files` below `place` with their modes.

    The topmost folder of a secret file is closed to other users.
    """
    for file in files:
        path = place / file.path
        if file.secret:
            (place / Path(file.path).parts[0]).mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Made with its mode while it is empty, so that no secret is ever readable by others.
        path.touch(mode=file.mode)
        path.write_bytes(file.content)


def clear_up() -> None:
    """End the processes and remove the folders that the playbooks of a killed driver left."""
    for place in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        owner = place.name.removeprefix(_PREFIX).partition("-")[0]
        # A pid that is in use again only puts the clean-up off. Other users may have folders of
        # this name too, hence the owner's check.
        if (
            owner.isdigit()
            and not psutil.pid_exists(int(owner))
            and place.stat().st_uid == os.getuid()
        ):
            _kill_all(place)
            shutil.rmtree(place, ignore_errors=True)


@asynccontextmanager
async def _temporary_folder() -> AsyncIterator[Path]:
    place = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-")).resolve()
    try:
        yield place
    finally:
        # A thread that was begun runs to its end, even if we are cancelled once more.
        await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)


def _variables(way: Access) -> dict[str, str | int]:
    key = "{{ inventory_dir }}/keys/{{ inventory_hostname }}"
    address, port = way.endpoint
    return {"ansible_host": address, "ansible_port": port, "ansible_ssh_private_key_file": key}


def _secrets_of(access: Mapping[str, Access]) -> Iterator[File]:
    for node, way in access.items():
        yield File(f"keys/{node}", way.client.private, 0o600, secret=True)
    known = (
        "[{}]:{} ".format(*way.endpoint) + f"{way.host_key.decode().strip()}\n"
        for way in access.values()
    )
    yield File("known_hosts", "".join(known).encode())


def _environment(place: Path) -> dict[str, str]:
    """Return our environment, in which only we have a say on Ansible and SSH."""
    options = {
        "UserKnownHostsFile": str(place / "known_hosts"),
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        # Without these two, SSH would also offer keys of the user's own.
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
        "ANSIBLE_TIMEOUT": str(CONNECT_TIMEOUT_S),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
        "ANSIBLE_STDOUT_CALLBACK": "campaign_events",
        # Ansible refuses to start without a UTF-8 locale.
        "LC_ALL": "C.UTF-8",
    }


@asynccontextmanager
async def _playbook(
    place: Path, environment: Mapping[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run ansible-playbook on `place`; at the end, kill whatever still runs of it.

    The kernel kills it too when this process dies.
    """
    process = await asyncio.create_subprocess_exec(
        *("setpriv", "--pdeathsig", "KILL"),
        # By module, so that it is the Ansible of this Python, whichever is on PATH.
        *(sys.executable, "-m", "ansible", "playbook", "playbook.yml"),
        cwd=place,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        # One pipe for both, so that warnings keep their place among the events.
        stderr=asyncio.subprocess.STDOUT,
        # A line may hold the whole result of a task; asyncio's default limit is 64 KiB.
        limit=LONGEST_LINE,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        await asyncio.to_thread(_kill_all, place)
        await process.wait()


async def _follow(
    process: asyncio.subprocess.Process, transcript: Transcript, deadline: float
) -> int:
    """Read what the playbook prints, and return its exit status.

    Raises BootstrapFailed at the deadline.
    """
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            async for line in process.stdout:
                transcript.read(line.decode(errors="replace").rstrip())
            return await process.wait()
    except TimeoutError:
        raise BootstrapFailed(
            f"the playbook didn't end in time; it was at {transcript.where}",
            command_failed(COMMAND, None, transcript.tail),
            "Raise cluster.bootstrap_deadline_s.",
        ) from None


def _kill_all(place: Path) -> None:
    """Kill every process that a playbook on `place` started, until there are none.

    Ansible's workers and SSH's shared connections each lead a session of their own, and the latter
    are no children of anybody's: neither a process group nor a tree of processes holds them all. So
    they are looked for again until none is found. They aren't waited for, since asyncio waits for
    the one that is our child.
    """
    until = time.monotonic() + KILL_TIMEOUT_S
    while found := list(_processes_of(place)):
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        if time.monotonic() > until:
            pids = ", ".join(str(process.pid) for process in found)
            _log.warning("processes of a playbook can't be killed: %s", pids)
            return
        time.sleep(KILL_POLL_S)


def _processes_of(place: Path) -> Iterator[psutil.Process]:
    """Yield the processes that have the playbook's environment, and SSH's shared connections.

    The latter show the path of their socket in the place of command line and environment.
    """
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):  # it ended, or is another user's
            shared = " ".join(process.cmdline()).startswith(f"ssh: {place}")
            config = "" if shared else process.environ().get("ANSIBLE_CONFIG", "")
            if shared or config.startswith(f"{place}/"):
                yield process
