"""SSH against a real server on loopback: pinned keys, deadlines, broken connections, files."""

import asyncio
import contextlib
import os
import pwd
import subprocess
import tarfile
import time
from io import BytesIO

import asyncssh
import pytest

from actors.bootstrap import ssh as module
from actors.bootstrap.ssh import (
    NodeUnreachable,
    Remote,
    RemoteCommandFailed,
    files_of,
    make_identity,
    tar_of,
)
from campaign.core.archives import BadArchive
from schedulers.base import File

HOST = make_identity("host")
CLIENT = make_identity("client")


async def _shell(process):
    """Run the asked command by a real shell, and hand on its pipes and status, as sshd does."""
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_shell(
        process.command, stdin=pipe, stdout=pipe, stderr=pipe
    )
    feeding = asyncio.create_task(_feed(process, child))
    try:
        await asyncio.gather(
            _hand_on(child.stdout, process.stdout), _hand_on(child.stderr, process.stderr)
        )
        status = await child.wait()
        if not process.is_closing():
            process.exit(status)
    finally:
        feeding.cancel()
        # Where the test ends first, nothing of the command may be left to the garbage collector.
        child._transport.close()


async def _feed(process, child):
    """Hand on what the client sends; when it closes the channel, the command ends too."""
    with contextlib.suppress(OSError, asyncssh.Error):
        await _hand_on(process.stdin, child.stdin)
        child.stdin.close()
    while not process.is_closing():
        await asyncio.sleep(0.02)
    if child.returncode is None:
        child.kill()


async def _hand_on(source, sink):
    while (data := await source.read(65536)) and not sink.is_closing():
        sink.write(data)


@contextlib.asynccontextmanager
async def server(identity=HOST, **other):
    """An SSH server on loopback; yields it and its port."""
    listening = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[asyncssh.import_private_key(identity.private)],
        authorized_client_keys=asyncssh.import_authorized_keys(CLIENT.public.decode()),
        **{"process_factory": _shell, "encoding": None, **other},
    )
    try:
        yield listening, listening.get_port()
    finally:
        listening.close()


@contextlib.asynccontextmanager
async def connected():
    async with server() as (_, port):
        remote = await Remote.connect(
            "n1", ("127.0.0.1", port), CLIENT, HOST.public, time.monotonic() + 30
        )
        try:
            yield remote
        finally:
            remote.close()


def on_node(action):
    """Run `action` with an open connection, and return what it returned."""

    async def run():
        async with connected() as remote:
            return await action(remote)

    return asyncio.run(run())


def test_a_command_gives_status_and_both_outputs():
    output = on_node(
        lambda r: r.run(
            ("bash", "-c", "cat; echo 'a  b' >&2; exit 3"), timeout_s=20, stdin=b"in\xff"
        )
    )
    assert (output.status, output.stdout, output.stderr, output.ok) == (
        3,
        "in\udcff",
        "a  b\n",
        False,
    )


def test_words_reach_the_command_as_they_are():
    words = ["a b", "$HOME", "'", "*", "\n", ""]
    output = on_node(lambda r: r.succeed(("printf", "<%s>", *words), timeout_s=20))
    assert output == "".join(f"<{word}>" for word in words)


def test_a_command_that_must_succeed_raises_with_its_own_words():
    with pytest.raises(RemoteCommandFailed, match="exited with 2") as caught:
        on_node(lambda r: r.succeed(("ls", "/nonexistent"), timeout_s=20))
    assert "/nonexistent" in caught.value.details and caught.value.brief.startswith("n1: `ls")


def test_a_command_beyond_its_time_is_an_error_and_the_connection_lives():
    async def action(remote):
        with pytest.raises(RemoteCommandFailed, match=r"`sleep 30` didn't end within 0.2 s"):
            await remote.run(("sleep", "30"), timeout_s=0.2)
        return await remote.succeed(("echo", "still"), timeout_s=20)

    assert on_node(action) == "still\n"


def test_a_node_that_never_begins_a_command_is_not_waited_for_longer_than_its_time():
    class NeverBegins(asyncssh.SSHServer):
        def session_requested(self):
            return asyncio.get_running_loop().create_future()

    async def run():
        async with server(server_factory=NeverBegins, process_factory=None) as (_, port):
            remote = await Remote.connect(
                "n1", ("127.0.0.1", port), CLIENT, HOST.public, time.monotonic() + 30
            )
            with pytest.raises(RemoteCommandFailed, match=r"`true` didn't end within 0.3 s"):
                await asyncio.wait_for(remote.run(("true",), timeout_s=0.3), 20)
            remote.close()

    asyncio.run(run())


def test_another_host_key_is_refused_at_once():
    async def run():
        async with server(make_identity("stranger")) as (_, port):
            await Remote.connect(
                "n1", ("127.0.0.1", port), CLIENT, HOST.public, time.monotonic() + 600
            )

    with pytest.raises(NodeUnreachable, match="shows a wrong SSH host key"):
        asyncio.run(run())


def test_a_connection_cut_in_mid_command_is_an_unreachable_node():
    async def action(remote):
        async def cut():
            await asyncio.sleep(0.2)
            remote.close()

        await asyncio.gather(remote.run(("sleep", "30"), timeout_s=60), cut())

    with pytest.raises(NodeUnreachable, match="n1: connection lost during `sleep 30`"):
        on_node(action)


def test_a_node_that_kills_the_session_is_an_unreachable_node():
    async def action(remote):
        remote.close()
        await remote.run(("true",), timeout_s=20)

    with pytest.raises(NodeUnreachable, match="n1"):
        on_node(action)


def _connect_to(handler, seconds):
    """Connect to a server of plain TCP."""

    async def run():
        listening = await asyncio.start_server(handler, "127.0.0.1", 0)
        async with listening:
            port = listening.sockets[0].getsockname()[1]
            await Remote.connect(
                "n1", ("127.0.0.1", port), CLIENT, HOST.public, time.monotonic() + seconds
            )

    asyncio.run(run())


def test_a_server_that_accepts_but_never_greets_is_given_up_at_the_deadline(monkeypatch):
    monkeypatch.setattr(module, "GREETING_TIMEOUT_S", 0.05)
    calls = []

    async def silent(reader, writer):
        calls.append(await reader.read())
        writer.close()

    with pytest.raises(NodeUnreachable, match="can't be reached by SSH in time"):
        _connect_to(silent, 0.8)
    assert len(calls) > 1  # it asks anew: a forwarded port is silent before its guest listens


def test_something_else_on_the_port_is_named():
    async def web(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\n")
        writer.close()

    with pytest.raises(NodeUnreachable, match="no SSH server answers yet"):
        _connect_to(web, 2.0)


def test_a_closed_port_is_given_up_at_the_deadline():
    async def run():
        async with server() as (_, port):
            pass
        await Remote.connect("n1", ("127.0.0.1", port), CLIENT, HOST.public, time.monotonic() + 0.3)

    with pytest.raises(NodeUnreachable, match="can't be reached by SSH in time"):
        asyncio.run(run())


def test_files_go_and_come_back(tmp_path):
    content = bytes(range(256)) * 50
    me = pwd.getpwuid(os.getuid()).pw_name

    async def action(remote):
        files = [
            File(f"{tmp_path}/new/dir/a b", content, 0o640, me),
            File(f"{tmp_path}/empty", b"", 0o755, me),
        ]
        await remote.put(files, timeout_s=30)
        await remote.put([], timeout_s=30)
        path = f"{tmp_path}/new/dir/a b"
        whole, tail, none = [
            await remote.get(*arguments, timeout_s=30, **limits)
            for arguments, limits in [
                ((path,), {}),
                ((path,), {"limit": 3}),
                ((f"{tmp_path}/none",), {}),
            ]
        ]
        return whole, tail, none

    assert on_node(action) == (content, content[-3:], b"")
    assert (tmp_path / "new/dir/a b").stat().st_mode & 0o7777 == 0o640
    assert (tmp_path / "empty").stat().st_mode & 0o7777 == 0o755


def test_an_archive_unpacks_with_modes_and_owners(tmp_path):
    files = [File("/etc/munge/key", b"k" * 1024, 0o400, "munge"), File("/run/x", b"", 0o755)]
    archive = tar_of(files)
    with tarfile.open(fileobj=BytesIO(archive)) as opened:
        members = [(m.name, m.mode, m.uname, m.gname, m.size, m.mtime) for m in opened]
    assert members == [
        ("etc/munge/key", 0o400, "munge", "munge", 1024, 0),
        ("run/x", 0o755, "root", "root", 0, 0),
    ]
    subprocess.run(["tar", "-xp", "-C", tmp_path, "--no-same-owner"], input=archive, check=True)
    assert (tmp_path / "etc/munge/key").read_bytes() == b"k" * 1024
    assert (tmp_path / "etc/munge/key").stat().st_mode & 0o7777 == 0o400


def archive_with(*, kind: bytes = tarfile.REGTYPE, size: int = 3, mode: str = "w") -> bytes:
    """An archive of one file, whose header may lie about it."""
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as opened:
        entry = tarfile.TarInfo("log")
        entry.size = 3
        opened.addfile(entry, BytesIO(b"abc"))
        if mode == "w":
            entry.type = kind
            entry.size = size
            header = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
    if mode != "w":
        return buffer.getvalue()
    if kind == tarfile.GNUTYPE_SPARSE:
        # One piece of 3 bytes at 0, and the size that the file claims to have.
        header[386:410] = b"00000000000\0" + b"00000000003\0"
        header[483:495] = f"{3 << 30:011o}\0".encode()
        header[148:156] = b" " * 8
        header[148:156] = f"{sum(header):06o}\0 ".encode()
    return bytes(header) + buffer.getvalue()[512:]


def test_files_of_an_archive_are_read():
    assert files_of(archive_with()) == {"/log": b"abc"}
    assert files_of(b"") == {}


@pytest.mark.parametrize(
    ("archive", "says"),
    [
        (archive_with(kind=tarfile.GNUTYPE_SPARSE), "a sparse file, 'log'"),
        (archive_with(size=5000), "holds more than 4,000 bytes"),
        (archive_with(mode="w:gz"), "can't be read"),
        (archive_with(mode="w:xz"), "can't be read"),
        (archive_with(mode="w:bz2"), "can't be read"),
        (archive_with(size=3000)[:1024], "can't be read"),
        (b"no archive" * 100, "can't be read"),
    ],
    # Not by their bytes: a packed archive holds the time at which it was made.
    ids=["sparse", "large", "gz", "xz", "bz2", "cut off", "none"],
)
def test_archives_of_nodes_have_a_budget_and_are_neither_packed_nor_sparse(archive, says):
    with pytest.raises(BadArchive, match=says):
        files_of(archive, limit=4000)


def test_fetched_archive_that_is_none_names_the_node(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "files_of", lambda archive: files_of(b"x" * 600))
    with pytest.raises(BadArchive, match=r"^n1: an archive of the node"):
        on_node(lambda r: r.fetch(("/etc/hostname",), timeout_s=20))


@pytest.mark.parametrize("where", ["", ">&2"])
def test_a_command_that_prints_without_end_is_an_error_and_the_connection_lives(monkeypatch, where):
    monkeypatch.setattr(module, "OUTPUT_LIMIT", 1_000_000)

    async def action(remote):
        with pytest.raises(RemoteCommandFailed, match=r"`.*yes.*` printed more than 1,000,000"):
            await remote.run(("sh", "-c", f"yes {where}"), timeout_s=60)
        return await remote.succeed(("head", "-c", "900000", "/dev/zero"), timeout_s=20)

    assert len(on_node(action)) == 900_000


def test_equal_files_give_equal_archives():
    files = [File("/a", b"1"), File("/b", b"2")]
    assert tar_of(files) == tar_of(iter(files)) != tar_of(reversed(files))
    assert tar_of([]) == b""


def test_a_shell_stays_open():
    async def action(remote):
        process = await remote.open_shell(
            ("bash", "-c", "while read line; do echo got $line; done")
        )
        answers = []
        for word in ("one", "two"):
            process.stdin.write(f"{word}\n")
            answers.append(await asyncio.wait_for(process.stdout.readline(), 20))
        process.stdin.write_eof()
        return answers

    assert on_node(action) == ["got one\n", "got two\n"]


def test_commands_are_logged_with_status_and_duration_and_without_what_they_read(caplog):
    with caplog.at_level("DEBUG", "actors.bootstrap.ssh"):
        on_node(lambda r: r.run(("bash", "-c", "cat\nexit 3"), timeout_s=20, stdin=b"a secret"))
    connected_to, ran = (record.getMessage() for record in caplog.records)
    assert connected_to.startswith("n1: connected after ")
    assert ran.startswith("n1: `bash -c 'cat exit 3'` exited with 3 after ")
    assert "secret" not in caplog.text


def test_a_connection_that_broke_is_made_anew_and_one_that_holds_is_kept():
    async def action(remote):
        held = remote._connection
        await remote.renew(time.monotonic() + 60)
        assert remote._connection is held
        remote.close()
        with pytest.raises(NodeUnreachable):
            await remote.run(("true",), timeout_s=60)
        await remote.renew(time.monotonic() + 60)
        return await remote.succeed(("echo", "again"), timeout_s=60)

    assert on_node(action) == "again\n"


def test_a_connection_that_broke_under_several_commands_is_made_anew_once():
    async def action(remote):
        held = remote._connection
        made = []
        connect = remote._connect

        async def counted(deadline):
            made.append(await connect(deadline))
            return made[-1]

        remote._connect = counted

        async def run():
            with pytest.raises(NodeUnreachable):
                await remote.run(("sleep", "60"), timeout_s=120)
            await remote.renew(time.monotonic() + 60)

        running = [asyncio.create_task(run()) for _ in range(3)]
        await asyncio.sleep(0.2)
        held.abort()
        await asyncio.gather(*running)
        assert remote._connection is made[0] and len(made) == 1
        remote._lose(held)
        await remote.renew(time.monotonic() + 60)
        assert len(made) == 1
        return await remote.succeed(("echo", "again"), timeout_s=60)

    assert on_node(action) == "again\n"
