"""The connection against libvirt's own test driver, the errors of a failed start, and the private
libvirtd's places."""

import dataclasses
import os
import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path

import libvirt
import pytest

from actors.hypervisor import daemon_setup
from actors.hypervisor.connection import Hypervisor
from actors.hypervisor.daemon import PrivateLibvirtd, choose_uri, short_folder
from actors.hypervisor.domain import LEASE_NAMESPACE, LEASE_PREFIX
from actors.hypervisor.errors import (
    DaemonError,
    DiskFull,
    FileUnusable,
    LibvirtUnreachable,
    MemoryExhausted,
    NodeGone,
    NodeNameTaken,
    NodeStartFailed,
    PortInUse,
)
from actors.hypervisor.start_failure import explain
from tests.unit.actors.hypervisor.test_domain import LEASE, SPEC


@pytest.fixture
def hypervisor():
    with Hypervisor("test:///default") as one:
        yield one


@pytest.fixture
def start(hypervisor, tmp_path):
    """Starts a node; the test driver keeps domains for the life of the process, so all are ended
    afterwards."""
    started = []

    def one(**changes):
        spec = dataclasses.replace(SPEC, **({"console_log": tmp_path / "console.log"} | changes))
        hypervisor.start(spec)
        started.append(spec.name)
        return spec.name

    yield one
    for name in started:
        hypervisor.destroy(name)


def test_importing_the_package_loads_no_libvirt():
    code = (
        "import sys, actors.hypervisor, actors.hypervisor.domain; sys.exit('libvirt' in "
        "sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_versions_are_told(hypervisor):
    versions = hypervisor.versions()
    assert versions.libvirt.count(".") == 2
    assert versions.kernel == os.uname().release
    assert versions.host


def test_only_domains_with_our_metadata_are_ours(hypervisor, start):
    name = start()
    assert len(hypervisor.guests()) > 1, "libvirt's test driver has a domain of its own"
    assert [(one.name, one.lease) for one in hypervisor.ours()] == [(name, LEASE)]
    assert hypervisor.ours(lambda lease: lease.campaign == "another") == []


def test_a_lease_that_can_not_be_read_makes_a_domain_foreign(hypervisor, start, caplog):
    name = start()
    broken = (
        libvirt.VIR_DOMAIN_METADATA_ELEMENT,
        "<lease owner='me'/>",
        LEASE_PREFIX,
        LEASE_NAMESPACE,
    )
    hypervisor._connection.lookupByName(name).setMetadata(*broken, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    assert hypervisor.ours() == []
    assert name in caplog.text


def test_destroying_is_idempotent_and_exact(hypervisor, start):
    name = start()
    (first,) = hypervisor.ours()
    assert hypervisor.state(name) == "running"
    assert hypervisor.destroy(name)
    assert not hypervisor.destroy(name)
    assert hypervisor.state(name) == "gone"
    with pytest.raises(NodeGone):
        hypervisor.renew(name, 5)
    start()
    assert not hypervisor.destroy_owned(first), "another domain has the name now"
    assert hypervisor.state(name) == "running"


def test_a_lease_is_renewed_in_place(hypervisor, start):
    name = start()
    renewed = hypervisor.renew(name, 2_000_000_000)
    assert [one.lease for one in hypervisor.ours()] == [renewed]
    assert renewed == dataclasses.replace(LEASE, expires=2_000_000_000)


def test_a_name_can_be_had_once(start):
    start()
    with pytest.raises(NodeNameTaken):
        start()


def test_a_console_log_that_can_not_be_written_stops_the_start(hypervisor, start, tmp_path):
    with pytest.raises(FileUnusable):
        start(console_log=tmp_path / "no" / "console.log")
    assert hypervisor.state(SPEC.name) == "gone"


def test_an_unreachable_libvirt_is_named_with_its_message_and_a_way_out(capfd):
    uri = "qemu+unix:///system?socket=/nonexistent/libvirt-sock"
    with pytest.raises(LibvirtUnreachable) as error:
        Hypervisor(uri)
    assert uri in error.value.brief
    assert "/nonexistent/libvirt-sock" in error.value.details
    assert "private" in error.value.resolution
    assert capfd.readouterr().err == "", "libvirt must not print to stderr by itself"


def test_a_libvirt_that_accepts_and_says_nothing_is_unreachable(tmp_path):
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(tmp_path / "s"))
        mute.listen()
        with pytest.raises(LibvirtUnreachable) as error:
            Hypervisor(f"qemu+unix:///system?socket={tmp_path}/s", open_timeout_s=0.3)
    assert "no answer" in error.value.details


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (
            "qemu: Could not set up host forwarding rule 'tcp:127.0.0.1:22001-10.0.2.15:22'",
            PortInUse,
        ),
        ("operation failed: domain 'c1-n0' already exists with uuid 7b0bef0e", NodeNameTaken),
        ("Cannot access storage file '/store/root.erofs': No such file or directory", FileUnusable),
        (
            "qemu: could not open kernel file '/store/kernel': No such file or directory",
            FileUnusable,
        ),
        ("Could not open '/store/root.erofs': Permission denied", FileUnusable),
        ("cannot write '/run/x.xml': No space left on device", DiskFull),
        ("cannot set up guest memory 'pc.ram': Cannot allocate memory", MemoryExhausted),
        ("something quite new", NodeStartFailed),
    ],
)
def test_a_failed_start_names_node_cause_and_cure(message, kind):
    error = explain(message, SPEC, "qemu:///system")
    assert type(error) is kind
    assert "c1-n0" in error.brief
    assert error.details == message
    assert error.resolution
    if kind is PortInUse:
        assert "22001" in error.brief


@pytest.mark.parametrize(
    ("message", "cause", "setting"),
    [
        (
            "Requested operation is not valid: PCI device 0000:65:00.0 is in use by driver QEMU, "
            "domain c2-n1",
            "somebody else has one of its PCI devices",
            "hosts.*.devices",
        ),
        (
            "vfio 0000:65:00.0: failed to open /dev/vfio/12: Device or resource busy",
            "somebody else has one of its PCI devices",
            "hosts.*.devices",
        ),
        (
            "Cannot get interface MTU on 'br0': No such device",
            "one of its networks isn't there",
            "cluster.networks",
        ),
        (
            "Network not found: no network with matching name 'fabric'",
            "one of its networks isn't there",
            "cluster.networks",
        ),
        (
            "internal error: Child process (tc qdisc add dev cnt-0 parent 1:1 handle 2: sfq "
            "perturb 10) unexpected exit status 2: Error: Specified qdisc kind is unknown.",
            "can't keep the rate",
            "rate_mbit",
        ),
    ],
)
def test_a_start_that_fails_by_what_a_node_has_of_its_host_names_the_setting(
    message, cause, setting
):
    error = explain(message, SPEC, "qemu:///system")
    assert cause in error.brief and setting in error.resolution and error.details == message


def test_socket_paths_stay_short_enough_for_the_kernel(tmp_path):
    assert short_folder(Path("/var/x")) == Path("/var/x/libvirt")
    deep = tmp_path / ("d" * 100)
    folder = short_folder(deep)
    assert not folder.is_relative_to(deep)
    assert folder == short_folder(deep)
    assert folder != short_folder(tmp_path / ("e" * 100))
    for place in (PrivateLibvirtd(Path("/var/x")), PrivateLibvirtd(deep)):
        assert len(place.uri.split("socket=")[1]) < 108


def test_a_folder_of_somebody_else_is_not_used(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "libvirt").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DaemonError, match="somebody else"):
        daemon_setup.make_own_folder(tmp_path / "libvirt")
    daemon_setup.make_own_folder(tmp_path / "mine")
    assert stat.S_IMODE((tmp_path / "mine").stat().st_mode) == 0o700


def test_a_stale_or_foreign_pid_is_not_taken_for_ours(tmp_path):
    private = PrivateLibvirtd(tmp_path)
    private.folder.mkdir(parents=True, exist_ok=True)
    pid_file = private.folder / "libvirtd.pid"
    for content in ("", "soup", str(os.getpid()), str(2**22)):
        pid_file.write_text(content)
        assert private.pid() is None
    private.stop()  # ends nobody
    pid_file.unlink()


def test_a_uri_of_the_users_choice_is_taken_as_it_is(tmp_path):
    assert choose_uri("test:///default", tmp_path) == "test:///default"


def test_without_a_libvirtd_the_private_one_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(DaemonError) as error:
        PrivateLibvirtd(tmp_path).start()
    assert "Install" in error.value.resolution
