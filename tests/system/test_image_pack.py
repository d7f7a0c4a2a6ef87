"""A bundle packed of store paths boots as any other: to the /sbin/init that it links to, on a RAM
overlay."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from campaign.images.debian import builder
from campaign.images.packing import pack

pytestmark = [pytest.mark.vm, pytest.mark.timeout(300)]

INIT = """\
#!{busybox} sh
{busybox} mount >/dev/ttyS0
echo written >/etc/written && {busybox} cat /etc/written >/dev/ttyS0
echo "fw_cfg: $({busybox} ls /sys/firmware | {busybox} grep fw_cfg)" >/dev/ttyS0
{busybox} poweroff -f
"""


@pytest.fixture
def store_path():
    """A folder as if of a Nix store, outside those that a root file system is packed without."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder)


def boot(bundle):
    """What a node writes on its console until it powers itself off."""
    machine = [
        "-machine",
        "q35",
        "-accel",
        "tcg",
        "-cpu",
        "max,cx16=off",
        "-m",
        "256",
        "-nodefaults",
        "-display",
        "none",
    ]
    start = [
        "-kernel",
        bundle.kernel,
        "-initrd",
        bundle.initrd,
        "-append",
        bundle.manifest.kernel_cmdline,
        "-serial",
        "stdio",
    ]
    disk = [
        "-drive",
        f"file={bundle.root},format=raw,readonly=on,if=none,id=root",
        "-device",
        "virtio-blk-pci,drive=root",
    ]
    arguments = map(str, ["qemu-system-x86_64", "-no-reboot", *machine, *start, *disk])
    done = subprocess.run(
        list(arguments),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    return done.stdout


def test_a_packed_bundle_boots_to_its_init(bundle, store_path, tmp_path):
    initramfs = tmp_path / "initramfs"
    initramfs.mkdir()
    subprocess.run(
        ["cpio", "-id", "--quiet"], stdin=bundle.initrd.open("rb"), cwd=initramfs, check=True
    )
    busybox = store_path / "busybox"
    shutil.copy(initramfs / "bin/busybox", busybox)
    (store_path / "init").write_text(INIT.format(busybox=busybox))
    (store_path / "init").chmod(0o755)
    (tmp_path / "closure").write_text(f"{store_path}\n")
    wanted = pack.Description(
        name="tiny",
        system="x86_64-linux",
        kernel_cmdline=" ".join(builder.spec("_base").kernel_cmdline),
        kernel_version=bundle.manifest.kernel_version,
        kernel=bundle.kernel,
        drivers=initramfs / "modules",
        modules=builder.spec("_base").modules,
        memory_modules=builder.spec("_base").memory_modules,
        busybox=busybox,
        closure=tmp_path / "closure",
        links={"sbin/init": str(store_path / "init")},
        facts={},
    )
    made = pack.pack(wanted, tmp_path / "made")
    console = boot(made)
    assert "written" in console and "fw_cfg: qemu_fw_cfg" in console, console
    for mounted in (
        "overlay on / type overlay",
        "run on /run type tmpfs",
        "devtmpfs",
        "proc on /proc",
        "sys on /sys",
    ):
        assert mounted in console, console
