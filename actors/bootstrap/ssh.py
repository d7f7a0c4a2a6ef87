"""SSH to nodes with asyncssh: pinned host keys, a deadline on everything, many nodes at once.

A `Remote` is one open connection to one node. Connections stay open for a cluster's life, since a
key exchange costs more than a second on an emulated CPU.
"""

import asyncio
import io
import logging
import shlex
import socket
import tarfile
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import asyncssh

from campaign.core.archives import BadArchive, plain_files
from campaign.core.errors import InfrastructureError, command_failed
from campaign.core.time_limits import TimeLimits
from schedulers.base import File

KEEPALIVE_S = 5
KEEPALIVE_MISSES = 6
RETRY_S = 0.2
GREETING_TIMEOUT_S = 1.5
OUTPUT_LIMIT = 128_000_000
"""What a command on a node may print, and the files that it sends may hold, in bytes."""
CHUNK = 1 << 16  # bytes that are read from a node at once
SHOWN_COMMAND = 120
"""In messages and in the log, so many characters of a command are shown."""
DEFAULT_LIMITS = TimeLimits()
"""The limits of nodes whose host isn't known."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Output:
    """How a command on a node ended: its exit status and both of its outputs."""

    status: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        return self.status == 0


class NodeUnreachable(InfrastructureError):
    """A node's SSH didn't answer in time, or its connection broke."""


class RemoteCommandFailed(InfrastructureError):
    """A command on a node ended with an error, didn't end in time, or printed too much."""


class _TooMuchOutput(Exception):
    """A command printed more than it may."""


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
    """An open connection to `node`, whose commands run as root.

    Every method raises NodeUnreachable when the connection breaks. Each command is logged with its
    exit status and duration; standard input and output, which may be secret, are not.
    """

    def __init__(
        self,
        node: str,
        connection: asyncssh.SSHClientConnection,
        connect: Callable[[float], Awaitable[asyncssh.SSHClientConnection]],
    ) -> None:
        self.node = node
        self._connection = connection
        self._connect = connect
        self._broken = False
        self._renewing = asyncio.Lock()

    @classmethod
    async def connect(
        cls,
        node: str,
        endpoint: tuple[str, int],
        client: Identity,
        host_key: bytes,
        deadline: float,
        *,
        limits: TimeLimits = DEFAULT_LIMITS,
    ) -> "Remote":
        """Connect to the node's `endpoint` (address and port), trying until `deadline`.

        `deadline` is in monotonic seconds. Raises NodeUnreachable then, and at once for a host key
        other than `host_key`: somebody else answers there.
        """
        options: dict[str, Any] = {
            "username": "root",
            "client_keys": [asyncssh.import_private_key(client.private)],
            # asyncssh's three lists: trusted host keys, trusted authorities, revoked keys.
            "known_hosts": ([asyncssh.import_public_key(host_key)], [], []),
            # Neither the user's SSH configuration nor an SSH agent has a say.
            "config": None,
            "agent_path": None,
            "keepalive_interval": KEEPALIVE_S,
            "keepalive_count_max": KEEPALIVE_MISSES,
            "login_timeout": limits.login_s,
        }
        connect = partial(_connected, node, endpoint, options)
        return cls(node, await connect(deadline), connect)

    async def renew(self, deadline: float) -> None:
        """Connect again if the connection has broken; else do nothing.

        Raises what `connect` raises. Programs that were started over the old connection have lost
        it.
        """
        # Several questions may have noticed the break: the first connects for all.
        async with self._renewing:
            if self._broken:
                self._connection.abort()
                self._connection = await self._connect(deadline)
                self._broken = False

    async def run(
        self, command: Sequence[str], *, timeout_s: float, stdin: bytes | None = None
    ) -> Output:
        """Run `command` and return how it ended, whatever its exit status.

        Raises RemoteCommandFailed when it doesn't end within `timeout_s`, or prints more than
        OUTPUT_LIMIT: nodes run what isn't ours, so they mustn't fill this process' memory.
        """
        line = shlex.join(command)
        begun = time.monotonic()
        connection = self._connection
        try:
            # asyncssh's own timeout leaves out the time until the node has begun, if it ever does.
            async with asyncio.timeout(timeout_s):
                process = await connection.create_process(line, input=stdin, encoding=None)
                stdout, stderr = await _outputs(process, OUTPUT_LIMIT)
                done = await process.wait()
        except _TooMuchOutput:
            process.close()
            raise RemoteCommandFailed(
                f"{self.node}: `{_short(line)}` printed more than {OUTPUT_LIMIT:,} bytes",
                command_failed(line, None, ""),
            ) from None
        except TimeoutError:
            raise RemoteCommandFailed(
                f"{self.node}: `{_short(line)}` didn't end within {timeout_s:g} s",
                command_failed(line, None, ""),
            ) from None
        except (OSError, asyncssh.Error) as error:
            self._lose(connection)
            raise NodeUnreachable(
                f"{self.node}: connection lost during `{_short(line)}`: {error}"
            ) from None
        # A connection that ends quietly leaves no exit status.
        if done.exit_status is None:
            self._lose(connection)
            raise NodeUnreachable(f"{self.node}: connection lost during `{_short(line)}`")
        took = time.monotonic() - begun
        status = done.exit_status
        _log.debug("%s: `%s` exited with %d after %.3f s", self.node, _short(line), status, took)
        return Output(done.exit_status, _text(stdout), _text(stderr))

    async def succeed(
        self, command: Sequence[str], *, timeout_s: float, stdin: bytes | None = None
    ) -> str:
        """Run `command` and return its standard output.

        Raises RemoteCommandFailed unless it exits with 0 within `timeout_s`.
        """
        output = await self.run(command, timeout_s=timeout_s, stdin=stdin)
        if not output.ok:
            raise RemoteCommandFailed(
                f"{self.node}: `{_short(shlex.join(command))}` exited with {output.status}",
                command_failed(command, output.status, output.stderr or output.stdout),
            )
        return output.stdout

    async def put(self, files: Iterable[File], *, timeout_s: float) -> None:
        """Write files with their owners and modes, in one round trip.

        Parent folders are made as needed.
        """
        archive = tar_of(files)
        if archive:
            await self.succeed(
                ("tar", "-xpf", "-", "-C", "/", "--no-overwrite-dir"),
                timeout_s=timeout_s,
                stdin=archive,
            )

    async def get(self, path: str, *, timeout_s: float, limit: int = 64_000_000) -> bytes:
        """Return the last `limit` bytes of a file; nothing where there is none."""
        command = f"tail -c {limit} {shlex.quote(path)} 2>/dev/null || true"
        done = await self.run(("sh", "-c", command), timeout_s=timeout_s)
        # `Output` holds text; surrogateescape gives back the very bytes that it was decoded from.
        return done.stdout.encode(errors="surrogateescape")

    async def fetch(self, paths: Sequence[str], *, timeout_s: float) -> dict[str, bytes]:
        """Return the contents of those of the files that exist, by path, in one round trip.

        Raises BadArchive when what the node sends isn't a plain archive of at most OUTPUT_LIMIT
        bytes.
        """
        names = [path.lstrip("/") for path in paths]
        # A log may grow while it is read, which tar reports by its exit status.
        archive = await self.run(
            ("tar", "-cf", "-", "-C", "/", "--ignore-failed-read", *names), timeout_s=timeout_s
        )
        try:
            return files_of(archive.stdout.encode(errors="surrogateescape"))
        except BadArchive as error:
            raise BadArchive(f"{self.node}: {error.brief}") from None

    async def open_shell(self, command: Sequence[str]) -> "asyncssh.SSHClientProcess[str]":
        """Start `command` and leave its pipes open."""
        connection = self._connection
        try:
            return await connection.create_process(shlex.join(command))
        except (OSError, asyncssh.Error) as error:
            self._lose(connection)
            raise NodeUnreachable(
                f"{self.node}: `{_short(shlex.join(command))}` can't be started: {error}"
            ) from None

    def _lose(self, connection: asyncssh.SSHClientConnection) -> None:
        # What still ran over an older connection says nothing of the present one.
        if connection is self._connection:
            self._broken = True

    def close(self) -> None:
        """Cut the connection."""
        # Not close(), which says goodbye first: the node may be gone.
        self._connection.abort()


async def _connected(
    node: str, endpoint: tuple[str, int], options: dict[str, Any], deadline: float
) -> asyncssh.SSHClientConnection:
    """Return a connection, tried for until `deadline`; see `Remote.connect`."""
    last = "no answer"
    address, port = endpoint
    begun = time.monotonic()
    while (left := deadline - time.monotonic()) > 0:
        try:
            async with asyncio.timeout(min(left, GREETING_TIMEOUT_S)):
                greeted = await _greeted(address, port)
            async with asyncio.timeout(min(left, options["login_timeout"])):
                connection = await asyncssh.connect(address, port, sock=greeted, **options)
            _log.debug("%s: connected after %.3f s", node, time.monotonic() - begun)
            return connection
        except asyncssh.HostKeyNotVerifiable as error:
            raise NodeUnreachable(
                f"{node} ({address}:{port}) shows a wrong SSH host key: {error}"
            ) from None
        except (OSError, asyncssh.Error, TimeoutError) as error:
            # A TimeoutError has no text, so the last error that has one is kept.
            last = str(error) or last
        await asyncio.sleep(min(RETRY_S, max(0.0, deadline - time.monotonic())))
    raise NodeUnreachable(f"{node} ({address}:{port}) can't be reached by SSH in time: {last}")


async def _greeted(host: str, port: int) -> socket.socket:
    """Return a connection on which an SSH server has sent its greeting, which is not read yet.

    Raises OSError when something else answers. QEMU accepts a forwarded connection long before its
    guest listens, and repeats its call to the guest after 6, 12, 24 seconds only; so the caller
    connects anew each time, with a short timeout. The connection is used further, since a server
    starts processes for each one, which takes half a second on an emulated CPU.
    """
    loop = asyncio.get_running_loop()
    opened = socket.socket()
    try:
        opened.setblocking(False)
        await loop.sock_connect(opened, (host, port))
        # Waits without reading, so that asyncssh still finds the greeting there.
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
    """Return a tar archive of `files`, to be unpacked at `/`; nothing when there are none.

    Equal files give equal bytes.
    """
    buffer = io.BytesIO()
    count = 0
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for file in files:
            # Its time stays 0, so that equal files give equal bytes.
            entry = tarfile.TarInfo(file.path.lstrip("/"))
            entry.size = len(file.content)
            entry.mode = file.mode
            entry.uname = entry.gname = file.owner
            archive.addfile(entry, io.BytesIO(file.content))
            count += 1
    return buffer.getvalue() if count else b""


def files_of(archive: bytes, *, limit: int = OUTPUT_LIMIT) -> dict[str, bytes]:
    """Return the plain files of an uncompressed tar archive by absolute path.

    Nothing for no archive. Raises BadArchive for what is no such archive, for a sparse file, and
    for files of more than `limit` bytes together: an archive of a kilobyte can claim gigabytes.
    """
    if not archive:
        return {}
    return {f"/{name}": content for name, content in plain_files(archive, limit).items()}


async def _outputs(process: "asyncssh.SSHClientProcess[bytes]", limit: int) -> tuple[bytes, bytes]:
    """Return all that a process prints; raise _TooMuchOutput beyond `limit` bytes in all."""
    left = limit

    async def read(stream: "asyncssh.SSHReader[bytes]") -> bytes:
        nonlocal left
        parts = []
        while part := await stream.read(CHUNK):
            left -= len(part)
            if left < 0:
                raise _TooMuchOutput
            parts.append(part)
        return b"".join(parts)

    try:
        async with asyncio.TaskGroup() as both:
            stdout = both.create_task(read(process.stdout))
            stderr = both.create_task(read(process.stderr))
    except ExceptionGroup as group:
        # Both readers fail for the same reason: the first one's is enough.
        raise group.exceptions[0] from None
    return stdout.result(), stderr.result()


def _text(raw: bytes) -> str:
    return raw.decode(errors="surrogateescape")


def _short(line: str) -> str:
    shown = " ".join(line.split())
    return shown if len(shown) <= SHOWN_COMMAND else f"{shown[: SHOWN_COMMAND - 3]}..."
