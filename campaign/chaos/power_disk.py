"""A disk whose power can be cut: an ext4 file system in a file, shut down without its journal.

What a program has written but not flushed is lost then, as it is when a machine loses its power.
"""

import contextlib
import ctypes
import fcntl
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from campaign.core.errors import UsageError

SHUTDOWN = 0x8004587D
"""EXT4_IOC_SHUTDOWN, of the kernel's fs/ext4/ext4.h."""
WITHOUT_JOURNAL = 2
"""EXT4_GOING_FLAGS_NOLOGFLUSH: what the journal has in memory is lost, too."""
CLONE_NEWNS = 0x00020000  # unshare(2)
DISK_BYTES = 96 << 20
UNMOUNT_TIMEOUT_S = 60.0
POLL_S = 0.05


class PowerDisk:
    """A mounted disk of its own; `folder` is where."""

    def __init__(self, image: Path, folder: Path) -> None:
        self._image = image
        self.folder = folder
        self._mounted = False

    def mount(self) -> None:
        """Mount the disk, which replays its journal as after any power cut."""
        # The loop device goes with its mount: `mount` sets it up so.
        _do("mount", "-t", "ext4", "-o", "loop,nosuid,nodev", str(self._image), str(self.folder))
        self._mounted = True

    def cut(self) -> None:
        """Cut the power: nothing reaches the disk any more, and who writes gets an error."""
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(descriptor, SHUTDOWN, WITHOUT_JOURNAL.to_bytes(4, "little"))
        finally:
            os.close(descriptor)

    def unmount(self) -> None:
        """Unmount the disk, as soon as nobody has a file open there."""
        deadline = time.monotonic() + UNMOUNT_TIMEOUT_S
        while self._mounted:
            failure = _failure_of("umount", str(self.folder))
            if not failure:
                self._mounted = False
            elif time.monotonic() > deadline:
                raise _impossible(failure)
            else:
                time.sleep(POLL_S)


@contextlib.contextmanager
def power_disk() -> Iterator[PowerDisk]:
    """Make an empty disk and mount it; unmount and remove it at the end.

    Raises UsageError where that can't be done: it takes root, loop devices and ext4.
    """
    with TemporaryDirectory(prefix="campaign-chaos-") as name:
        image = Path(name) / "disk"
        with image.open("wb") as file:
            file.truncate(DISK_BYTES)
        # A whole disk is made here: lazily, the kernel would go on making it in the background.
        lazy = "lazy_itable_init=0,lazy_journal_init=0"
        _do("mkfs.ext4", "-q", "-F", "-E", lazy, str(image))
        folder = Path(name) / "mounted"
        folder.mkdir()
        disk = PowerDisk(image, folder)
        try:
            disk.mount()
            yield disk
        finally:
            disk.unmount()


def have_own_mounts() -> None:
    """Let this process and those that it starts have mounts of their own.

    They vanish with the last of these processes, and the loop devices with them, however it ends.
    Raises UsageError for who isn't root.
    """
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        raise _impossible(f"mounts of our own are refused: {os.strerror(ctypes.get_errno())}")
    # Without that, the system would see our mounts, and keep them.
    _do("mount", "--make-rprivate", "/")


def check_possible() -> None:
    """Try a power cut on an empty disk; raise UsageError where none is possible."""
    if os.geteuid() != 0:
        raise _impossible("only root may mount a disk")
    have_own_mounts()
    with power_disk() as disk:
        try:
            disk.cut()
        except OSError as error:
            raise _impossible(f"ext4 can't be shut down: {error.strerror}") from None


def _do(*command: str) -> None:
    failure = _failure_of(*command)
    if failure:
        raise _impossible(failure)


def _failure_of(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return f"{command[0]} is not installed"
    return f"{command[0]} failed: {done.stderr.strip()}" if done.returncode != 0 else ""


def _impossible(why: str) -> UsageError:
    return UsageError(
        f"the power can't be cut here: {why}",
        resolution="Run it as root on Linux, outside of containers, with e2fsprogs and loop "
        "devices (/dev/loop-control).",
    )
