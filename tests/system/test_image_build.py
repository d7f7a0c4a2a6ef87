"""The Debian builder for real: two builds give one hash, the result keeps the guest contract, and
it boots."""

import base64
import contextlib
import logging
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from campaign.core.errors import ImageError
from campaign.images.bundles import tools
from campaign.images.bundles.store import Store
from campaign.images.debian import builder, lock

pytestmark = pytest.mark.timeout(900)

MAC = "52:54:00:12:34:56"
BOOT_SECONDS = 240  # a deadline for a loaded machine, not a promise


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    return [Store(tmp_path_factory.mktemp(name)) for name in ("first", "second")]


@pytest.fixture(scope="module")
def said():
    """The messages that building logs."""
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = logging.getLogger("campaign.images")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield messages
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


@pytest.fixture(scope="module")
def bundle(stores, said):
    missing = tools.missing_tools()
    if missing:
        pytest.skip(f"cannot build: {tools.install_command(missing)}")
    try:
        return builder.build(store=stores[0], locked=False)
    except ImageError as error:
        if "apt-get failed" in error.brief:
            pytest.skip(f"no package mirror within reach: {error}")
        raise


@pytest.fixture(scope="module")
def root(bundle, tmp_path_factory):
    """The root file system, unpacked."""
    folder = tmp_path_factory.mktemp("unpacked") / "root"
    tools.run(["fsck.erofs", f"--extract={folder}", str(bundle.root)])
    return folder


def test_two_builds_of_one_list_give_one_hash(bundle, stores, image_store):
    same = [
        one for one in Store(image_store).bundles() if one.manifest.recipe == bundle.manifest.recipe
    ]
    again = same[0] if same else builder.build(store=stores[1], locked=False)
    assert again.hash == bundle.hash
    assert again.manifest == bundle.manifest


def test_the_bundle_records_what_it_is_made_of(bundle, stores, said):
    used = lock.read(bundle.path / "lock.json")
    assert used.versions == bundle.manifest.packages
    drift = lock.differences(lock.read(builder.lock_path("slurm")), used)
    assert [line for line in drift if not any(line in spoken for spoken in said)] == []
    stores[0].verify(bundle, deep=True)


def test_a_build_leaves_nothing_but_the_bundle(bundle, stores):
    visible = [path for path in stores[0].path.iterdir() if not path.name.startswith(".")]
    assert visible == [bundle.path]
    assert list(stores[0].path.glob(".making-*")) == []


INSTALL = """
import sys
from pathlib import Path
from campaign.images.debian import builder
work = Path(sys.argv[1])
builder._root_file(builder.spec("slurm"), builder._Contents([], []), work, work / "root.erofs")
"""
MOUNTS_AND_STAYS = """#!/bin/sh
mkdir "$TMPDIR/proc" && mount -t proc proc "$TMPDIR/proc" && touch "$TMPDIR/mounted" && sleep 300
"""


def test_a_killed_build_takes_its_mounts_and_processes_with_it(tmp_path):
    """With something in the place of mmdebstrap that stays where that mounts the guest's /proc."""
    programs = tmp_path / "bin"
    work = tmp_path / "work"
    programs.mkdir()
    work.mkdir()
    (programs / "mmdebstrap").write_text(MOUNTS_AND_STAYS)
    (programs / "mmdebstrap").chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    process = subprocess.Popen([sys.executable, "-c", INSTALL, str(work)], env=environment)
    until(lambda: (work / "mounted").exists() or process.poll() is not None)
    assert process.poll() is None and processes_that_mount_below(work)
    process.kill()
    process.wait()
    until(lambda: not processes_that_mount_below(work))


def until(true, seconds=60):
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def processes_that_mount_below(folder):
    """The processes, this one too, that see a file system mounted somewhere below `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            if f" {folder}/" in (process / "mounts").read_text():
                found.append(process.name)
    return found


def test_no_secret_and_no_identity_is_baked_in(root):
    assert list(root.glob("etc/ssh/ssh_host_*")) == []
    assert not (root / "etc/munge/munge.key").exists()
    assert not (root / "etc/hostname").exists()
    assert not (root / "var/lib/systemd/random-seed").exists()
    assert (root / "etc/machine-id").read_bytes() == b""


def test_nothing_is_dated_by_the_build_and_nothing_logged(root):
    newest = max(
        path.lstat().st_mtime
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink()
    )
    assert newest <= builder.spec("slurm").epoch
    assert [
        path for path in (root / "var/log").rglob("*") if path.is_file() and not path.is_symlink()
    ] == []


def test_only_the_node_target_is_started(root):
    assert (root / "etc/systemd/system/default.target").readlink().name == "node.target"
    assert list(root.glob("etc/systemd/system/*.wants/*")) == []


def test_the_facts_hold_in_the_image(root, bundle):
    facts = bundle.manifest.facts
    for name in ("unit.munge", "unit.slurmctld", "unit.slurmd"):
        assert (root / "usr/lib/systemd/system" / facts[name]).is_file(), name
    users = [line.split(":")[0] for line in (root / "etc/passwd").read_text().splitlines()]
    assert {facts["munge.user"], "slurm"} <= set(users)
    for name in ("munge.key", "slurm.conf", "slurm.controller_defaults", "slurm.node_defaults"):
        assert (root / facts[name].lstrip("/")).parent.is_dir(), name


def test_python_finds_its_byte_code_and_never_asks_the_source(root):
    library = next(root.glob("usr/lib/python3.*"))
    compiled = {path.name.split(".")[0]: path for path in library.glob("__pycache__/*.pyc")}
    assert {path.stem for path in library.glob("*.py")} <= set(compiled)
    flags = {int.from_bytes(path.read_bytes()[4:8], "little") for path in library.rglob("*.pyc")}
    assert flags == {
        0b01
    }  # named by a hash that is not checked; 0 would be dated, and here all dates are one


def test_a_job_launch_loads_no_graphics_libraries(root):
    assert list(root.glob("usr/lib/*/libhwloc.so.*"))
    assert list(root.rglob("hwloc_*.so")) == []


def keypair(path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path.read_text(), path.with_suffix(".pub").read_text()


def credentials(folder):
    """A node's identity as the contract has it; each in a file."""
    host, public = keypair(folder / "host")
    _, login = keypair(folder / "login")
    network = f"[Match]\nMACAddress={MAC}\n\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\n"
    files = [
        ("/etc/ssh/ssh_host_ed25519_key", "0600", host),
        ("/etc/systemd/network/10-management.network", "0644", network),
    ]
    lines = [
        f"f~ {path} {mode} root root - {base64.b64encode(text.encode()).decode()}"
        for path, mode, text in files
    ]
    wanted = {
        "system.hostname": "n7",
        "ssh.authorized_keys.root": login,
        "tmpfiles.extra": "\n".join(lines) + "\n",
    }
    for name, text in wanted.items():
        (folder / name).write_text(text)
    (folder / "known").write_text(f"node {public}")
    return list(wanted)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def node(bundle, tmp_path):
    """A guest booted straight by QEMU, as the contract says; a function that runs a command in
    it."""
    if not shutil.which("qemu-system-x86_64"):
        pytest.skip("no qemu-system-x86_64")
    names = credentials(tmp_path)
    port = free_port()
    console = tmp_path / "console"
    firmware = [
        word
        for name in names
        for word in ("-fw_cfg", f"name=opt/io.systemd.credentials/{name},file={tmp_path / name}")
    ]
    machine = ["-machine", "q35", "-accel", "tcg,tb-size=128", "-cpu", "max,cx16=off", "-m", "512"]
    boot = [
        "-kernel",
        bundle.kernel,
        "-initrd",
        bundle.initrd,
        "-append",
        bundle.manifest.kernel_cmdline,
    ]
    disk = [
        "-drive",
        f"file={bundle.root},format=raw,readonly=on,if=none,id=root",
        "-device",
        "virtio-blk-pci,drive=root",
    ]
    nic = [
        "-netdev",
        f"user,id=m,hostfwd=tcp:127.0.0.1:{port}-:22",
        "-device",
        f"virtio-net-pci,netdev=m,mac={MAC},romfile=",
    ]
    quiet = ["-nodefaults", "-display", "none", "-serial", f"file:{console}"]
    arguments = map(str, ["qemu-system-x86_64", *machine, *boot, *disk, *nic, *quiet, *firmware])
    guest = subprocess.Popen(list(arguments), stdin=subprocess.DEVNULL)
    options = [
        "-F",
        "none",
        "-o",
        "BatchMode=yes",
        "-o",
        "StrictHostKeyChecking=yes",
        "-o",
        "HostKeyAlias=node",
    ]
    keys = [
        "-i",
        str(tmp_path / "login"),
        "-o",
        f"UserKnownHostsFile={tmp_path / 'known'}",
        "-o",
        "ConnectTimeout=30",
    ]

    def run(command):
        ssh = ["ssh", *options, *keys, "-p", str(port), "root@127.0.0.1", command]
        return subprocess.run(ssh, check=False, capture_output=True, text=True, timeout=120)

    try:
        deadline = time.monotonic() + BOOT_SECONDS
        while (answer := run("true")).returncode:
            assert guest.poll() is None, console.read_text()
            assert time.monotonic() < deadline, f"{answer.stderr}\n{console.read_text()}"
            time.sleep(0.5)
        yield lambda command: run(command).stdout.strip()
    finally:
        guest.kill()
        guest.wait()


@pytest.mark.vm
def test_a_node_boots_with_the_identity_it_was_given(node):
    assert (
        node("hostname") == "n7"
    )  # SSH has checked the host key that was given, and used the login key
    assert "10.0.2.15/24" in node("ip -brief address")
    assert node("systemctl --failed --no-legend") == ""
    assert node("systemctl is-active munge slurmctld slurmd").split() == ["inactive"] * 3
    assert node("stat -c %a /etc/ssh/ssh_host_ed25519_key") == "600"
    assert node("touch /etc/written && echo done") == "done"
    assert float(node("echo $EPOCHREALTIME")) > 0
    # What Ansible's modules are made of.
    modules = "base64,ctypes,grp,json,platform,pwd,selectors,shlex,ssl,subprocess,tempfile,zipfile"
    assert node(f"python3 -c 'import {modules}; print(\"imported\")'") == "imported"
