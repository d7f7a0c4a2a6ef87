"""The state of a node's devices, to a file and back: what a memory file lacks of a whole snapshot.

QEMU calls it migration. Memory that is shared with a file is left out of the stream, so half a
megabyte remains, which takes a hundredth of a second. libvirt's API can't do this, so QEMU is asked
through its monitor.
"""

import os
import time
from pathlib import Path
from typing import Any

from actors.hypervisor.errors import SnapshotFailed
from actors.hypervisor.monitor import ask

STREAM_TIMEOUT_S = 60.0
# A stream takes about a hundredth of a second, so a coarse poll would be most of the wait.
POLL_S = 0.002
_STREAM = "snapshot"  # QEMU's name for the open file
_MEMORY_IS_ELSEWHERE = {"capability": "x-ignore-shared", "state": True}


def save_devices(domain: Any, path: Path) -> None:
    """Write the state of the devices of the suspended `domain` to the new file `path`."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    _stream(domain, handle, "migrate")


def save_devices_at_once(domain: Any, path: Path) -> None:
    """Write the state of the devices of `domain`, which has halted, to the new file `path`.

    QEMU's own loop does it, which may read the clocks of a guest that counts instructions (see
    `virtual_domain`); the thread that `save_devices` starts in QEMU may not, and QEMU would abort.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        # QEMU's user needs no right to the path: the file is open already.
        opened = f"/proc/{os.getpid()}/fd/{handle}"
        ask(domain, "xen-save-devices-state", {"filename": opened, "live": False})
    finally:
        os.close(handle)


def load_devices(domain: Any, path: Path) -> None:
    """Read the state of devices from `path` into `domain`, started with `-incoming defer`."""
    _stream(domain, os.open(path, os.O_RDONLY), "migrate-incoming")


def _stream(domain: Any, handle: int, command: str) -> None:
    """Let QEMU migrate to or from an open file, and wait until it has."""
    try:
        ask(domain, "migrate-set-capabilities", {"capabilities": [_MEMORY_IS_ELSEWHERE]})
        # QEMU is handed the open file, so its user needs no right to the path.
        ask(domain, "getfd", {"fdname": _STREAM}, file=handle)
        ask(domain, command, {"uri": f"fd:{_STREAM}"})
    finally:
        # QEMU has its own copy of the descriptor by now.
        os.close(handle)
    deadline = time.monotonic() + STREAM_TIMEOUT_S
    while (status := ask(domain, "query-migrate", {}).get("status")) != "completed":
        if status in ("failed", "cancelled"):
            raise SnapshotFailed(
                f"{domain.name()}: QEMU couldn't {command} its devices", str(status)
            )
        if time.monotonic() > deadline:
            raise SnapshotFailed(
                f"{domain.name()}: QEMU didn't {command} its devices within {STREAM_TIMEOUT_S:g} s"
            )
        time.sleep(POLL_S)
