"""SSH to nodes with asyncssh: pinned host keys, a deadline on everything, many nodes at once.

A `Remote` is one open connection to one node. Connections stay open for a cluster's life, since a
key exchange costs more than a second on an emulated CPU.
"""

import asyncio
import io
import shlex
import socket
import tarfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import asyncssh

from campaign.core.errors import InfrastructureError
from schedulers.base import File

KEEPALIVE_S = 5
KEEPALIVE_MISSES = 6
RETRY_S = 0.2
GREETING_S = 1.5
LOGIN_S = 60.0  # a key exchange between emulated, busy CPUs


@dataclass(frozen=True)
class Output:
    """What a command on a node came to."""

    status: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        return self.status == 0


class NodeUnreachable(InfrastructureError):
    """A node's SSH didn't answer in time, or its connection broke."""


class RemoteCommandFailed(InfrastructureError):
    """A command on a node ended with an error, or didn't end in time."""


@dataclass(frozen=True)
class Identity:
    """A key pair: `private` and `public` in OpenSSH's formats."""

    private: bytes
    public: bytes


def make_identity(comment: str) -> Identity:
    """Draw an ed25519 key pair."""
    key = asyncssh.generate_private_key("ssh-ed25519", comment)
    return Identity(key.export_private_key(), key.export_public_key())


class Remote:
    """An open connection to `node`. Every method raises NodeUnreachable when the connection
    breaks."""

    def __init__(self, node: str, connection: asyncssh.SSHClientConnection) -> None:
        self.node = node
        self._connection = connection

    @classmethod
    async def connect(
        cls, node: str, door: tuple[str, int], client: Identity, host_key: bytes, deadline: float
    ) -> "Remote":
        """Connect to the node's `door` (address and port), trying until `deadline` (monotonic
        seconds).

        A host key other than `host_key` is refused at once: somebody else answers there.
        """
        options: dict[str, Any] = {
            "username": "root",
            "client_keys": [asyncssh.import_private_key(client.private)],
            "known_hosts": ([asyncssh.import_public_key(host_key)], [], []),
            "config": None,
            "agent_path": None,
            "keepalive_interval": KEEPALIVE_S,
            "keepalive_count_max": KEEPALIVE_MISSES,
            "login_timeout": LOGIN_S,
        }
        last = "no answer"
        (address, port) = door
        while (left := deadline - time.monotonic()) > 0:
            try:
                greeted = await asyncio.wait_for(_greeted(address, port), min(left, GREETING_S))
                connecting = asyncssh.connect(address, port, sock=greeted, **options)
                return cls(node, await asyncio.wait_for(connecting, min(left, LOGIN_S)))
            except asyncssh.HostKeyNotVerifiable as error:
                raise NodeUnreachable(
                    f"{node} ({address}:{port}) shows a wrong SSH host key: {error}"
                ) from None
            except (OSError, asyncssh.Error, TimeoutError) as error:
                last = str(error) or last
            await asyncio.sleep(min(RETRY_S, max(0.0, deadline - time.monotonic())))
        raise NodeUnreachable(f"{node} ({address}:{port}) can't be reached by SSH in time: {last}")

    async def run(
        self, command: Sequence[str], *, timeout_s: float, stdin: bytes | None = None
    ) -> Output:
        """Run `command` as root and return what came of it, whatever its status."""
        line = shlex.join(command)
        deadline = time.monotonic() + timeout_s
        try:
            # asyncssh's own timeout leaves out the time until the node has begun, if it ever does.
            beginning = self._connection.create_process(line, input=stdin, encoding=None)
            process = await asyncio.wait_for(beginning, timeout_s)
            done = await process.wait(timeout=max(0.0, deadline - time.monotonic()))
        except (asyncssh.TimeoutError, TimeoutError):
            raise RemoteCommandFailed(
                f"{self.node}: `{_short(line)}` didn't end within {timeout_s:g} s"
            ) from None
        except (OSError, asyncssh.Error) as error:
            raise NodeUnreachable(
                f"{self.node}: connection lost during `{_short(line)}`: {error}"
            ) from None
        if done.exit_status is None:
            raise NodeUnreachable(f"{self.node}: connection lost during `{_short(line)}`")
        return Output(done.exit_status, _text(done.stdout), _text(done.stderr))

    async def succeed(
        self, command: Sequence[str], *, timeout_s: float, stdin: bytes | None = None
    ) -> str:
        """Run `command` and return its standard output; RemoteCommandFailed unless it exits with
        0."""
        output = await self.run(command, timeout_s=timeout_s, stdin=stdin)
        if not output.ok:
            raise RemoteCommandFailed(
                f"{self.node}: `{_short(shlex.join(command))}` exited with {output.status}",
                (output.stderr or output.stdout).strip()[-2000:],
            )
        return output.stdout

    async def put(self, files: Iterable[File], *, timeout_s: float) -> None:
        """Write files with their owners and modes, in one round trip. Parent folders are made as
        needed."""
        archive = tar_of(files)
        if archive:
            await self.succeed(
                ("tar", "-xpf", "-", "-C", "/", "--no-overwrite-dir"),
                timeout_s=timeout_s,
                stdin=archive,
            )

    async def get(self, path: str, *, timeout_s: float, limit: int = 64_000_000) -> bytes:
        """The last `limit` bytes of a file; empty where there is none."""
        command = f"tail -c {limit} {shlex.quote(path)} 2>/dev/null || true"
        done = await self.run(("sh", "-c", command), timeout_s=timeout_s)
        return done.stdout.encode(errors="surrogateescape")

    async def fetch(self, paths: Sequence[str], *, timeout_s: float) -> dict[str, bytes]:
        """The contents of those of the files that there are, in one round trip."""
        names = [path.lstrip("/") for path in paths]
        # A log may grow while it is read, which tar reports by its exit status.
        archive = await self.run(
            ("tar", "-cf", "-", "-C", "/", "--ignore-failed-read", *names), timeout_s=timeout_s
        )
        return files_of(archive.stdout.encode(errors="surrogateescape"))

    async def open_shell(self, command: Sequence[str]) -> "asyncssh.SSHClientProcess[str]":
        """Start `command` and leave its pipes open."""
        try:
            return await self._connection.create_process(shlex.join(command))
        except (OSError, asyncssh.Error) as error:
            raise NodeUnreachable(
                f"{self.node}: `{_short(shlex.join(command))}` can't be started: {error}"
            ) from None

    def close(self) -> None:
        """Cut the connection."""
        self._connection.abort()


async def _greeted(host: str, port: int) -> socket.socket:
    """A connection on which an SSH server has greeted, which is still to be read; OSError when none
    does.

    QEMU accepts a forwarded connection long before its guest listens, and repeats its call to the
    guest after 6, 12, 24 seconds only. So one asks anew each time, with little patience. The
    greeted connection is used: a server starts processes for each, which takes an emulated one half
    a second.
    """
    loop = asyncio.get_running_loop()
    opened = socket.socket()
    try:
        opened.setblocking(False)
        await loop.sock_connect(opened, (host, port))
        readable = asyncio.Event()
        loop.add_reader(opened, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(opened)
        greeting = opened.recv(4, socket.MSG_PEEK)
        if greeting != b"SSH-":
            raise OSError(f"no SSH server answers yet ({greeting!r})")
    except BaseException:
        opened.close()
        raise
    return opened


def tar_of(files: Iterable[File]) -> bytes:
    """A tar archive of `files`, for unpacking at `/`; empty when there are none. Equal files give
    equal bytes."""
    buffer = io.BytesIO()
    count = 0
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for file in files:
            entry = tarfile.TarInfo(file.path.lstrip("/"))
            entry.size = len(file.content)
            entry.mode = file.mode
            entry.uname = entry.gname = file.owner
            archive.addfile(entry, io.BytesIO(file.content))
            count += 1
    return buffer.getvalue() if count else b""


def files_of(archive: bytes) -> dict[str, bytes]:
    """The plain files in a tar archive by absolute path; empty for no archive."""
    if not archive:
        return {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        found = {f"/{entry.name}": opened.extractfile(entry) for entry in opened if entry.isfile()}
        return {path: file.read() for path, file in found.items() if file}


def _text(raw: bytes | str | None) -> str:
    return raw.decode(errors="surrogateescape") if isinstance(raw, bytes) else raw or ""


def _short(line: str) -> str:
    return line if len(line) <= 120 else f"{line[:117]}..."
