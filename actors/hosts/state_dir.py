"""A host's state folder: where its parts stand, and how to look at or sweep a host from outside."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from actors.hosts.actor_log import sweep_logs
from actors.hypervisor import run_folder
from actors.hypervisor.connection import Hypervisor
from actors.hypervisor.daemon import PrivateLibvirtd, choose_uri
from actors.hypervisor.errors import HypervisorError
from actors.hypervisor.reaper import Reaped, reap
from actors.snapshots.store import GoldenStore
from campaign.core.files import user_path
from campaign.schema.hosts import HostSettings


def state_dir_of(settings: HostSettings) -> Path:
    """Return a host's state folder."""
    return user_path(settings.state_dir).absolute()


def run_root(state_dir: Path) -> Path:
    """Return the folder in which the run folders of nodes stand."""
    return state_dir / run_folder.RUN_FOLDERS


def golden_store(settings: HostSettings) -> GoldenStore:
    """Return the store in which a host keeps its golden clusters."""
    return GoldenStore(state_dir_of(settings) / "golden", settings.golden_mib)


def sweep(settings: HostSettings, *, everything: bool = False) -> Reaped:
    """Remove what dead drivers left on a host; with `everything`, live campaigns' domains too.

    Old logs go as well.
    """
    sweep_logs(state_dir_of(settings), time.time())
    with connected(settings) as hypervisor:
        return reap(hypervisor, run_root(state_dir_of(settings)), now=time.time(), all=everything)


@contextlib.contextmanager
def connected(settings: HostSettings) -> Iterator[Hypervisor]:
    """Connect to a host's libvirt for a short time.

    A private libvirtd is ended afterwards unless others need it.
    """
    state_dir = state_dir_of(settings)
    try:
        with Hypervisor(choose_uri(settings.uri, state_dir)) as hypervisor:
            yield hypervisor
    finally:
        end_private_libvirtd(state_dir)


def end_private_libvirtd(state_dir: Path) -> None:
    """End the private libvirtd of a state folder unless others need it."""
    with contextlib.suppress(HypervisorError):  # another campaign's guests may still run under it
        PrivateLibvirtd(state_dir).stop()
