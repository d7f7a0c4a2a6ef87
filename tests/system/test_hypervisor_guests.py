"""Real guests under a private libvirtd: they start, speak, keep to the loopback interface, and are
cleaned up after."""

import base64
import dataclasses
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import asyncssh
import psutil
import pytest

from actors.hypervisor import connection, run_folder
from actors.hypervisor.capacity import node_resources
from actors.hypervisor.connection import Hypervisor
from actors.hypervisor.console import console_tail, kernel_fault
from actors.hypervisor.daemon import PrivateLibvirtd
from actors.hypervisor.errors import FileUnusable, GuestsRunning, PortInUse
from actors.hypervisor.lease import Lease, Owner
from actors.hypervisor.node_spec import Multicast, NodeSpec
from actors.hypervisor.ports import free_ports
from actors.hypervisor.probe import acceleration
from actors.hypervisor.process import arguments
from actors.hypervisor.reaper import reap
from campaign.images.bundles.manifest import Bundle
from tests.processes import command_lines

pytestmark = [pytest.mark.vm, pytest.mark.timeout(300)]

GROUP = "239.77.99.1"
MANAGEMENT_MAC = "52:54:00:99:00:01"
CLUSTER_MAC = "52:54:00:99:00:02"
# A guest of somebody else: no kernel, no disk, no lease.
FOREIGN = """<domain type='qemu'><name>somebody-elses</name>
<memory unit='MiB'>32</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><devices><controller type='usb' model='none'/>
<memballoon model='none'/></devices></domain>"""


@pytest.fixture(scope="module")
def private(tmp_path_factory):
    """A private libvirtd; afterwards neither it nor any guest of it is left."""
    daemon = PrivateLibvirtd(tmp_path_factory.mktemp("state"))
    daemon.start()
    yield daemon
    daemon.start()
    with Hypervisor(daemon.uri) as hypervisor:
        for name in hypervisor.guests():
            hypervisor.destroy(name)
    pid = daemon.pid()
    daemon.stop()
    assert not Path(f"/proc/{pid}").exists()


@pytest.fixture
def hypervisor(private):
    with Hypervisor(private.start()) as one:
        yield one
        for name in one.guests():
            one.destroy(name)


@pytest.fixture
def spec(bundle, tmp_path) -> NodeSpec:
    return node_spec(bundle, tmp_path / "run", Owner.current(), "n0")


def node_spec(bundle: Bundle, run_root: Path, owner: Owner, node: str) -> NodeSpec:
    """A node of the bundle whose cluster card comes up with an address, with its run folder
    made."""
    lease = Lease("hypervisor-test", "1", int(time.time()) + 3600, owner)
    credentials = {"system.hostname": node.encode(), "tmpfiles.extra": guest_files()}
    folder = run_folder.create(run_root, f"test-{node}", lease, credentials)
    (port,) = free_ports(1, range(28000, 28999))
    return NodeSpec(
        cluster="test",
        node=node,
        vcpus=2,
        memory_mib=512,
        kernel=bundle.kernel,
        initrd=bundle.initrd,
        cmdline=bundle.manifest.kernel_cmdline.replace("quiet", ""),
        root=bundle.root,
        acceleration="tcg",
        tb_cache_mib=64,
        ssh_port=port,
        network=Multicast(GROUP, 17099),
        management_mac=MANAGEMENT_MAC,
        cluster_mac=CLUSTER_MAC,
        credentials=folder.credentials,
        console_log=folder.console_log,
        lease=lease,
    )


def guest_files() -> bytes:
    """The addresses of both cards and an SSH host key, as tmpfiles.d lines."""
    key = asyncssh.generate_private_key("ssh-ed25519").export_private_key()
    management = f"[Match]\nMACAddress={MANAGEMENT_MAC}\n[Network]\nAddress=10.0.2.15/24\n".encode()
    cluster = f"[Match]\nMACAddress={CLUSTER_MAC}\n[Network]\nAddress=10.99.0.1/24\n".encode()
    files = (
        ("/etc/systemd/network/10-management.network", "0644", management),
        ("/etc/systemd/network/20-cluster.network", "0644", cluster),
        ("/etc/ssh/ssh_host_ed25519_key", "0600", key),
    )
    lines = (
        f"f+~ {path} {mode} root root - {base64.b64encode(content).decode()}"
        for path, mode, content in files
    )
    return "\n".join(lines).encode() + b"\n"


def greeting(port: int) -> bytes:
    """The first bytes that a server behind the port says; nothing if there is none yet."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            return connection.recv(4)
    except OSError:
        return b""


def wait_for(what: Callable[[], object], spec: NodeSpec, seconds: float = 200) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, (
            f"waited {seconds} s in vain; console:\n{console_tail(spec.console_log)}"
        )
        time.sleep(0.2)


def loopback_listener() -> socket.socket:
    """Hears what is sent to the cluster's multicast group over the loopback interface, and over no
    other."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((GROUP, 17099))
    membership = struct.pack("4s4s", socket.inet_aton(GROUP), socket.inet_aton("127.0.0.1"))
    listener.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    listener.settimeout(150)
    return listener


def test_a_guest_boots_and_keeps_to_the_loopback_interface(hypervisor, spec):
    with loopback_listener() as listener:
        hypervisor.start(spec)
        wait_for(lambda: "Linux version" in console_tail(spec.console_log, 10_000), spec)
        assert hypervisor.state(spec.name) == "running"
        assert [(one.name, one.lease) for one in hypervisor.ours()] == [(spec.name, spec.lease)]
        frame = listener.recv(65536)
        assert frame[6:12] == bytes.fromhex(CLUSTER_MAC.replace(":", "")), (
            "the guest's own Ethernet frame"
        )
        wait_for(lambda: greeting(spec.ssh_port) == b"SSH-", spec)
    used = hypervisor.usage(spec.name)
    assert used.cpu_seconds > 0
    promised = node_resources(
        vcpus=2, memory_mib=512, tb_cache_mib=64, acceleration="tcg"
    ).memory_mib
    assert 0 < used.resident_mib <= promised
    assert kernel_fault(console_tail(spec.console_log, 10_000)) is None
    assert hypervisor.destroy(spec.name)
    assert hypervisor.state(spec.name) == "gone"
    assert free_ports(1, range(spec.ssh_port, spec.ssh_port + 1)) == (spec.ssh_port,)


def test_what_stands_in_the_way_of_a_start_is_named_and_nothing_is_left(hypervisor, spec):
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", spec.ssh_port))
        other.listen()
        with pytest.raises(PortInUse, match=str(spec.ssh_port)):
            hypervisor.start(spec)
    missing = spec.kernel.with_name("no-such-kernel")
    with pytest.raises(FileUnusable) as error:
        hypervisor.start(dataclasses.replace(spec, kernel=missing))
    assert "no-such-kernel" in error.value.details
    assert hypervisor.guests() == []


DRIVER = """
import sys
from pathlib import Path
from actors.hypervisor.connection import Hypervisor
from actors.hypervisor.lease import Owner
from campaign.images.bundles.manifest import read
from tests.system.test_hypervisor_guests import node_spec
uri, bundle, run_root = sys.argv[1:]
Hypervisor(uri).start(node_spec(read(Path(bundle)), Path(run_root), Owner.current(), "orphan"))
print("started", flush=True)
sys.stdin.read()
"""


def start_driver(uri: str, bundle: Bundle, run_root: Path) -> "subprocess.Popen[str]":
    """Another process that starts a node and answers for it."""
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, uri, str(bundle.path), str(run_root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert driver.stdout.readline() == "started\n"
    return driver


def test_what_a_killed_driver_left_is_removed_and_nothing_else(hypervisor, spec, bundle, tmp_path):
    run_root = tmp_path / "run"
    hypervisor._connection.createXML(FOREIGN)
    hypervisor.start(spec)
    driver = start_driver(hypervisor.uri, bundle, run_root)
    assert reap(hypervisor, run_root).domains == (), "its owner lives"

    driver.kill()
    driver.communicate()
    assert "test-orphan" in hypervisor.guests(), "a guest outlives its driver"
    reaped = reap(hypervisor, run_root)

    assert reaped.domains == ("test-orphan",)
    assert reaped.kept == (spec.name,)
    assert set(hypervisor.guests()) == {"somebody-elses", spec.name}
    assert [one.path.name for one in run_folder.all_folders(run_root)] == [spec.name]
    reap(hypervisor, run_root, all=True)
    assert hypervisor.guests() == ["somebody-elses"]
    assert run_folder.all_folders(run_root) == []


def test_guests_outlive_their_libvirtd_and_the_next_one_knows_them(private, spec):
    with Hypervisor(private.start()) as first:
        first.start(spec)
    with pytest.raises(GuestsRunning, match=str(private.folder)):
        private.stop()
    crashed = private.pid()
    os.kill(crashed, signal.SIGKILL)
    with Hypervisor(private.start()) as second:
        assert private.pid() != crashed
        assert [(one.name, one.lease) for one in second.ours()] == [(spec.name, spec.lease)]
        assert second.state(spec.name) == "running"
        second.destroy(spec.name)
        wait_for(lambda: second.state(spec.name) == "gone", spec, 30)


def test_a_guest_is_ended_even_if_its_libvirtd_hangs(private, spec, monkeypatch):
    with Hypervisor(private.start()) as hypervisor:
        hypervisor.start(spec)
        (own,) = hypervisor.ours()
        monkeypatch.setattr(connection, "_ANSWER_TIMEOUT_S", 1.0)
        os.kill(private.pid(), signal.SIGSTOP)
        try:
            assert hypervisor.destroy_owned(own)
            emulators = [
                pid for pid in psutil.pids() if f"guest={spec.name}," in " ".join(arguments(pid))
            ]
        finally:
            os.kill(private.pid(), signal.SIGCONT)
        assert emulators == []
        wait_for(lambda: hypervisor.state(spec.name) == "gone", spec, 30)


def test_the_probe_answers_and_leaves_no_qemu(bundle, tmp_path):
    answer = acceleration(bundle.kernel, bundle.initrd, tmp_path)
    assert answer.kind in ("kvm", "tcg")
    assert answer.reason
    assert acceleration(bundle.kernel, bundle.initrd, tmp_path) == answer
    commands = [" ".join(words) for _, words in command_lines()]
    kernel = str(bundle.kernel)
    assert not [
        one for one in commands if "qemu-system" in one and "-accel kvm" in one and kernel in one
    ]
