"""The life of a private libvirtd: found again by anybody, started once, ended for sure, with or
without root."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from actors.hypervisor import connection
from actors.hypervisor.connection import Hypervisor
from actors.hypervisor.daemon import PrivateLibvirtd, choose_uri
from actors.hypervisor.errors import DaemonError, HypervisorError
from actors.hypervisor.process import arguments

pytestmark = pytest.mark.vm

PROJECT = Path(__file__).parents[2]
START = """
import sys
from pathlib import Path
from actors.hypervisor.daemon import PrivateLibvirtd
daemon = PrivateLibvirtd(Path(sys.argv[1]))
print(daemon.start(), daemon.pid(), flush=True)
"""

# What libvirt 9 has written of a guest before its QEMU runs, shortened to what it insists on when
# it is read again.
UNBORN = """<domstatus state='paused' reason='starting up' pid='0'>
<monitor path='/nowhere' type='unix'/><job type='none' async='start' flags='0x1' asyncStarted='1'/>
<domain type='qemu' id='1'><name>unborn</name><uuid>0a7d8b4b-60d9-43a5-a623-10fef1bea06a</uuid>
<memory unit='MiB'>32</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator><controller type='usb' model='none'/>
<memballoon model='none'/></devices></domain></domstatus>"""


@pytest.fixture
def private(tmp_path):
    daemon = PrivateLibvirtd(tmp_path)
    yield daemon
    daemon.stop()


def started_by_another(
    state_dir: Path, then: str, prefix: tuple[str, ...] = ()
) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*prefix, sys.executable, "-c", START + then, str(state_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
        env=os.environ | {"PYTHONPATH": str(PROJECT), "PYTHONDONTWRITEBYTECODE": "1"},
    )


def test_it_outlives_the_process_that_started_it_and_is_found_again(private, tmp_path):
    driver = started_by_another(tmp_path, "sys.stdin.read()")
    uri, pid = driver.stdout.readline().split()
    driver.kill()
    driver.communicate()

    assert private.pid() == int(pid)
    assert private.start() == uri
    assert private.pid() == int(pid), "it is reused, not started again"
    with Hypervisor(uri) as hypervisor:
        assert hypervisor.versions().libvirt
    private.stop()
    assert private.pid() is None
    assert not arguments(int(pid))
    assert private.log.exists(), "logs are kept"
    private.stop()


def test_processes_that_start_it_at_once_share_one(private, tmp_path):
    with ThreadPoolExecutor() as pool:
        answers = list(
            pool.map(lambda _: started_by_another(tmp_path, "").communicate()[0], range(3))
        )
    assert len(set(answers)) == 1
    assert answers[0].split() == [private.uri, str(private.pid())]


def test_it_is_not_ended_under_another_process_that_uses_it(private, tmp_path):
    other = started_by_another(tmp_path, "sys.stdin.read()")
    _, pid = other.stdout.readline().split()
    private.start()
    private.stop()
    assert private.pid() == int(pid)
    other.kill()
    other.communicate()
    private.stop()
    assert private.pid() is None


def test_it_comes_back_after_a_crash_and_connections_recover(private):
    with Hypervisor(private.start(), revive=private.start) as hypervisor:
        for _ in range(3):
            crashed = private.pid()
            os.kill(crashed, signal.SIGKILL)
            assert hypervisor.guests() == []
            assert private.pid() != crashed


def test_one_that_hangs_holds_nobody_up_and_is_asked_again(private, monkeypatch):
    monkeypatch.setattr(connection, "_ANSWER_TIMEOUT_S", 1.0)
    with Hypervisor(private.start()) as hypervisor:
        os.kill(private.pid(), signal.SIGSTOP)
        try:
            with pytest.raises(HypervisorError, match="does not answer"):
                hypervisor.guests()
        finally:
            os.kill(private.pid(), signal.SIGCONT)
        assert hypervisor.guests() == []


def test_guests_that_a_killed_one_had_not_begun_to_start_are_forgotten(private):
    private.start()
    os.kill(private.pid(), signal.SIGKILL)
    while private.pid():
        time.sleep(0.01)
    folder = private.folder / ("run/qemu" if os.geteuid() == 0 else "run/libvirt/qemu/run")
    (folder / "unborn.xml").write_text(UNBORN)
    with Hypervisor(private.start()) as hypervisor:
        assert hypervisor.guests() == []


def test_its_places_are_its_own(private):
    """A machine's own libvirt, if it has one, must not notice."""
    before = sorted(Path("/run/libvirt").glob("libvirt-sock*"))
    Hypervisor(private.start()).close()
    assert sorted(Path("/run/libvirt").glob("libvirt-sock*")) == before
    assert not Path("/run/libvirtd.pid").exists() or Path("/run/libvirtd.pid").read_text() != str(
        private.pid()
    )


def test_a_start_that_fails_shows_the_end_of_the_log(private):
    private.folder.mkdir(parents=True)
    socket = Path(private.uri.split("socket=")[1])
    (socket / "in-the-way").mkdir(parents=True)  # a folder stands where the socket would be
    with pytest.raises(DaemonError) as error:
        private.start()
    assert "libvirt-sock" in error.value.details
    assert str(private.log) in error.value.resolution
    assert private.pid() is None


def test_the_private_one_can_be_chosen(private, tmp_path):
    assert choose_uri("private", tmp_path) == private.uri
    assert private.pid() is not None


@pytest.mark.skipif(os.geteuid() != 0, reason="without root the other tests show it already")
def test_it_needs_no_root():
    """The same as an unprivileged user: a session libvirtd whose folders are private."""
    folder = Path(f"/tmp/campaign-test-{os.getpid()}")
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)
    prefix = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    then = """
daemon.stop()
import psutil
processes = [one.info for one in psutil.process_iter(["uids", "cmdline"])]
programs = [one["cmdline"][0] for one in processes if one["cmdline"] and one["uids"].real == 65534]
print(daemon.pid(), [one for one in programs if one.endswith(("libvirtd", "virtlogd"))])
"""
    try:
        output, _ = started_by_another(folder, then, prefix).communicate()
        started, stopped = output.splitlines()
        assert started.startswith("qemu+unix:///session?socket=")
        assert stopped == "None []", "neither it nor a virtlogd of it is left"
    finally:
        subprocess.run(["rm", "-rf", str(folder)], check=True)


FULL_DISK = """
import sys
from pathlib import Path
from actors.hypervisor import run_folder
from actors.hypervisor.daemon import PrivateLibvirtd
from actors.hypervisor.errors import DaemonError, DiskFull
from actors.hypervisor.lease import Lease, Owner
disk = Path(sys.argv[1])
lease = Lease("c", "1", 2_000_000_000, Owner.current())
try:
    run_folder.create(disk / "run", "c1-n0", lease, {"key": b"x" * 500_000})
except DiskFull as error:
    print("DiskFull", [one.name for one in (disk / "run").iterdir()])
(disk / "rest").write_bytes(b"x" * 4096)
try:
    while True:
        with (disk / "rest").open("ab") as rest:
            rest.write(b"x" * 4096)
except OSError:
    pass
try:
    PrivateLibvirtd(disk).start()
except DaemonError as error:
    print("DaemonError", "No space left on device" in error.details)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_is_named_and_nothing_is_left(tmp_path):
    mount = 'mount -t tmpfs -o size=128k none "$0" && exec "$@"'
    command = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        mount,
        str(tmp_path),
        sys.executable,
        "-c",
        FULL_DISK,
        str(tmp_path),
    ]
    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert ended.stdout.splitlines() == ["DiskFull ['.lock']", "DaemonError True"], ended.stderr


WITHOUT_QEMU_USER = """
for name in passwd group; do
    grep -v ^libvirt-qemu: /etc/$name > "$1/$name" && mount --bind "$1/$name" /etc/$name
done
shift
exec "$@"
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's libvirtd looks for the user")
def test_it_starts_on_a_machine_without_libvirts_own_user(private, tmp_path):
    folder = tmp_path / "etc"
    folder.mkdir()
    fresh = ("unshare", "--mount", "sh", "-c", WITHOUT_QEMU_USER, "sh", str(folder))
    driver = started_by_another(tmp_path, "", fresh)
    said, _ = driver.communicate(timeout=60)
    assert driver.returncode == 0
    assert int(said.split()[1]) == private.pid()
