"""Nodes in folders of this machine: real files, a real shell and a tiny systemd, reached directly
or by a real SSH."""

import asyncio
import contextlib
import os
import pwd
from pathlib import Path

import asyncssh

from actors.bootstrap.ssh import Output, make_identity
from schedulers.base import File

SYSTEMD = Path(__file__).with_name("systemd")
ME = pwd.getpwuid(os.getuid()).pw_name


class LocalNode:
    """A node in a folder: commands run here, with a systemd and a home of its own."""

    def __init__(self, folder: Path, node="n1"):
        self.node = node
        self.root = folder / node
        self.units = folder / f"{node}.units"
        self.home = folder / f"{node}.home"
        for made in (self.root, self.units, self.home):
            made.mkdir()
        self.environment = os.environ | {
            "PATH": f"{SYSTEMD}:{os.environ['PATH']}",
            "FAKE_SYSTEMD": str(self.units),
            "HOME": str(self.home),
        }
        self.trips = 0

    async def run(self, command, *, timeout_s, stdin=None):
        """As `actors.bootstrap.ssh.Remote.run`."""
        self.trips += 1
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=pipe, env=self.environment
        )
        out, err = await asyncio.wait_for(child.communicate(stdin), timeout_s)
        return Output(child.returncode, out.decode(), err.decode())

    def path(self, name):
        return str(self.root / name)

    def file(self, name, content=b"x", mode=0o644, **options):
        return File(self.path(name), content, mode, ME, **options)

    @property
    def log(self):
        """What systemd was asked for, the questions left out."""
        log = self.units / "log"
        return (
            [line for line in log.read_text().splitlines() if "asked" not in line]
            if log.exists()
            else []
        )

    def state(self):
        """All that applying can change: files with inode and times, units with their processes."""
        stats = {path: path.lstat() for path in self.root.rglob("*") if path.is_file()}
        files = {
            p: (s.st_ino, s.st_mtime_ns, s.st_mode, s.st_uid, p.read_bytes())
            for p, s in stats.items()
        }
        return files, {unit.name: unit.read_text() for unit in self.units.glob("*.service")}

    def left(self):
        """What of it another way of applying must leave as well: contents, modes, owners, running
        units."""
        files, units = self.state()
        return {path.relative_to(self.root): kept[2:] for path, kept in files.items()}, set(units)


@contextlib.asynccontextmanager
async def ssh_server(node, client):
    """An SSH server in front of `node` that lets `client` in; yields its port and the public half
    of its host key."""
    host = make_identity(node.node)

    async def shell(process):
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_shell(
            process.command, stdin=pipe, stdout=pipe, stderr=pipe, env=node.environment
        )
        feeding = asyncio.create_task(_hand_on(process.stdin, child.stdin, close=True))
        await asyncio.gather(
            _hand_on(child.stdout, process.stdout), _hand_on(child.stderr, process.stderr)
        )
        process.exit(await child.wait())
        feeding.cancel()

    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[asyncssh.import_private_key(host.private)],
        authorized_client_keys=asyncssh.import_authorized_keys(client.public.decode()),
        process_factory=shell,
        sftp_factory=True,
        encoding=None,
    )
    try:
        yield server.get_port(), host.public
    finally:
        server.close()


async def _hand_on(source, sink, *, close=False):
    with contextlib.suppress(OSError, asyncssh.Error):
        while data := await source.read(65536):
            sink.write(data)
        if close:
            sink.close()
