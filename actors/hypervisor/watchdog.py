"""The watchdog of a process that has VMs: when that process dies, the watchdog ends its VMs.

`python -m actors.hypervisor.watchdog URI STATE_DIR` reads the names of clusters from its standard
input, a line each. The input ends when the process at its other end does, however it ends, since
the kernel closes its files. Unless that process has dismissed the watchdog, the clusters' domains
and run folders are removed, and whatever else has no valid lease any more. Leases that run out
while the process lives, because it hangs, are seen to as well.
"""

import contextlib
import select
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import IO

from actors.hypervisor.connection import Hypervisor
from actors.hypervisor.daemon import PrivateLibvirtd, choose_uri
from actors.hypervisor.errors import HypervisorError
from actors.hypervisor.lease import Lease
from actors.hypervisor.reaper import reap
from actors.hypervisor.run_folder import RUN_FOLDERS, all_folders

FAREWELL = "."
CHECK_INTERVAL_S = 30.0
SEARCH_TIMEOUT_S = 60.0
"""For how long after a process's death its clusters are looked for: libvirt may still be starting
some for it."""
SETTLED_S = 3.0
"""The search ends when nothing was found for this long."""


class Watchdog:
    """This process's watchdog for the clusters that it starts through one libvirt.

    If it can't be started, or was killed, nothing fails: it is a precaution, beside leases and the
    reaper.
    """

    def __init__(self, uri: str, state_dir: Path) -> None:
        self._input: IO[str] | None = None
        # Forked twice: Ray ends the children of a worker that it ends.
        command = [
            "setsid",
            "--fork",
            sys.executable,
            "-m",
            "actors.hypervisor.watchdog",
            uri,
            str(state_dir),
        ]
        quiet = subprocess.DEVNULL
        with contextlib.suppress(OSError):
            started = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, text=True
            )
            # Only setsid is waited for, which ends as soon as it has forked.
            started.wait()
            self._input = started.stdin

    def watch(self, cluster: str) -> None:
        """Have this cluster ended when this process dies."""
        self._send(cluster)

    def dismiss(self) -> None:
        """End the watchdog: this process has ended its clusters itself."""
        self._send(FAREWELL)
        if self._input:
            self._input.close()
            self._input = None

    def _send(self, line: str) -> None:
        try:
            if self._input:
                self._input.write(line + "\n")
                self._input.flush()
        except OSError:
            self._input = None


def serve(
    names: IO[str], uri: str, state_dir: Path, *, interval_s: float = CHECK_INTERVAL_S
) -> None:
    """Be the watchdog of whoever writes `names`; leases are checked every `interval_s`."""
    clusters: set[str] = set()
    while True:
        readable, _, _ = select.select([names], [], [], interval_s)
        # A timeout counts as an empty line, since "" would be the end of the input.
        line = names.readline() if readable else "\n"
        if line.strip() == FAREWELL:
            return
        if not line:
            break
        if line.strip():
            clusters.add(line.strip())
        else:
            _reap_orphans((), uri, state_dir)
    _end(clusters, uri, state_dir)


def _end(clusters: Collection[str], uri: str, state_dir: Path) -> None:
    """Remove what the dead process had, until nothing of it has been seen for a while."""
    deadline = time.monotonic() + SEARCH_TIMEOUT_S
    quiet_since = time.monotonic()
    while time.monotonic() < deadline and time.monotonic() - quiet_since < SETTLED_S:
        if _reap_orphans(clusters, uri, state_dir):
            quiet_since = time.monotonic()
        time.sleep(0.5)
    if uri == PrivateLibvirtd(state_dir).uri:
        with contextlib.suppress(HypervisorError):  # another campaign's guests may run under it
            PrivateLibvirtd(state_dir).stop()


def _reap_orphans(clusters: Collection[str], uri: str, state_dir: Path) -> bool:
    """Remove what has no valid lease; return True if there was anything to remove."""
    # A connection may start a libvirtd, so none is made where there is nothing to remove.
    if not any(
        lease.trial in clusters or lease.lapsed(time.time()) for lease in _leases(state_dir)
    ):
        return False
    # The private libvirtd may have ended meanwhile; "private" starts it again.
    setting = "private" if uri == PrivateLibvirtd(state_dir).uri else uri
    with (
        contextlib.suppress(HypervisorError),
        Hypervisor(choose_uri(setting, state_dir)) as hypervisor,
    ):
        reap(hypervisor, state_dir / RUN_FOLDERS, clusters=clusters)
    return True


def _leases(state_dir: Path) -> list[Lease]:
    found = []
    for folder in all_folders(state_dir / RUN_FOLDERS):
        try:
            found.append(folder.lease())
        except HypervisorError:
            continue
    return found


if __name__ == "__main__":
    serve(sys.stdin, sys.argv[1], Path(sys.argv[2]))
