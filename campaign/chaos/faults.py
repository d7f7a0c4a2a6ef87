"""The faults that are injected from outside into a campaign on VMs."""

import contextlib
import os
import random
import re
import signal
from collections.abc import Callable
from typing import Literal

from actors.hypervisor import watchdog
from actors.hypervisor.connection import Hypervisor
from actors.hypervisor.daemon import PrivateLibvirtd
from actors.hypervisor.domain import CLUSTER_CARD, MANAGEMENT_CARD
from actors.hypervisor.errors import HypervisorError
from actors.hypervisor.run_folder import RUN_FOLDERS
from campaign.chaos.environment import HOSTS, NAME, ChaosEnvironment

FROZEN_S = 10.0
FULL_S = 60.0  # longer than a trial takes, so that something is to be written meanwhile
LATE_S = 5.0
SLOW_S = 20.0
SLOW_BYTES = 128 * 2**10
CUT_S = 15.0
LOST_S = 0.3
KEPT_S = 1.0
LOSSES = 10
"""Packets are lost for some tenths of a second, then for a while not, so many times.

The two don't add up to a second: what a kernel repeats once a second (its question for an address)
would be lost each time, and with it everything.
"""

# names in QEMU
_VOID = "chaos-void"
_LOSS = "chaos-loss"

FaultInjector = Callable[[ChaosEnvironment], bool]
"""Injects a fault; returns False where there is nothing yet that it could hit."""
GuestRequest = Callable[[Hypervisor, str], object]
"""A request to the libvirt of the guest that is named."""


def drawn(seed: int, clock: Literal["real", "virtual"] = "real") -> list[str]:
    """Return the faults of a seed, in their order, for guests with such a clock.

    Each kind is the first of some seed's; up to three others follow it.
    """
    draw = random.Random(seed)  # noqa: S311 - no secret
    kinds = sorted(FAULTS_BY_CLOCK[clock])
    first = kinds.pop(seed % len(kinds))
    return [first, *draw.sample(kinds, draw.randint(1, 3))]


def _kill(pattern: str, number: signal.Signals = signal.SIGKILL) -> FaultInjector:
    """Return the fault that sends a signal to one of the campaign's processes that match."""

    def inject(environment: ChaosEnvironment) -> bool:
        found = environment.processes(pattern)
        if found:
            # It may have ended by itself since it was found.
            with contextlib.suppress(ProcessLookupError):
                os.kill(environment.draw.choice(found), number)
        return bool(found)

    return inject


def _libvirtd_killed(environment: ChaosEnvironment) -> bool:
    pid = PrivateLibvirtd(environment.states / environment.draw.choice(HOSTS)).pid()
    if pid:
        os.kill(pid, signal.SIGKILL)
    return bool(pid)


def _driver_killed(environment: ChaosEnvironment) -> bool:
    if environment.driver is None or environment.driver.poll() is not None:
        return False
    environment.driver.kill()
    return True


def _guest_frozen(environment: ChaosEnvironment) -> bool:
    """Stop a guest's QEMU for a while."""
    found = environment.processes("qemu-system")
    if not found:
        return False
    pid = environment.draw.choice(found)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        # Not a plain sleep, since nothing needs to stay frozen when the driver has ended.
        environment.wait(FROZEN_S)
        os.kill(pid, signal.SIGCONT)
    return True


def _guest_stopped(environment: ChaosEnvironment) -> bool:
    """Stop the QEMU of a trial's guest for good."""
    found = environment.processes(rf"qemu-system.*guest={NAME}-t")
    if found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(environment.draw.choice(found), signal.SIGSTOP)
    return bool(found)


def _exchange_removed(environment: ChaosEnvironment) -> bool:
    """Remove the file by which the host and a trial's guest talk."""
    found = sorted(environment.states.glob(f"*/{RUN_FOLDERS}/{NAME}-t*/exchange"))
    if found:
        environment.draw.choice(found).unlink(missing_ok=True)
    return bool(found)


def _golden_damaged(environment: ChaosEnvironment) -> bool:
    """Put a damaged file in the place of one of a golden cluster; who uses that keeps the old."""
    found = sorted(environment.states.glob("*/golden/[0-9a-f]*/*.state"))
    if not found:
        return False
    state = environment.draw.choice(found)
    damaged = state.with_name(".damaged")
    # It may be evicted or discarded meanwhile.
    with contextlib.suppress(FileNotFoundError):
        content = bytearray(state.read_bytes())
        content[len(content) // 2] ^= 1
        damaged.write_bytes(content)
        damaged.rename(state)
    return True


def _on_a_guest(
    begin: GuestRequest, end: GuestRequest, lasts_s: float, *, times: int = 1, pause_s: float = 0.0
) -> FaultInjector:
    """Return the fault that a request to the libvirt of one trial's guest begins, and one ends."""

    def inject(environment: ChaosEnvironment) -> bool:
        found = environment.guests()
        injected = False
        if not found:
            return False
        uri, guest = environment.draw.choice(found)
        # The guest may end meanwhile.
        with contextlib.suppress(HypervisorError), Hypervisor(uri) as hypervisor:
            for _ in range(times):
                begin(hypervisor, guest)
                injected = True
                environment.wait(lasts_s)
                end(hypervisor, guest)
                environment.wait(pause_s)
        return injected

    return inject


def _unplugged(card: str) -> GuestRequest:
    """Return the request that loses all that a card sends or would receive; its link stays up."""

    def request(hypervisor: Hypervisor, guest: str) -> None:
        # QEMU has no filter that drops packets, so they are sent to a device that swallows them.
        hypervisor.ask_monitor(
            guest, "chardev-add", {"id": _VOID, "backend": {"type": "null", "data": {}}}
        )
        loss = {
            "qom-type": "filter-redirector",
            "id": _LOSS,
            "netdev": card,
            "queue": "all",
            "outdev": _VOID,
        }
        hypervisor.ask_monitor(guest, "object-add", loss)

    return request


def _plugged_in(hypervisor: Hypervisor, guest: str) -> None:
    # The filter uses the device, so it goes first.
    hypervisor.ask_monitor(guest, "object-del", {"id": _LOSS})
    hypervisor.ask_monitor(guest, "chardev-remove", {"id": _VOID})


def _disk_of(bytes_per_s: int) -> GuestRequest:
    """Return the request that limits how fast the guest's disk reads; 0 lifts the limit."""
    limits = {"bps": bytes_per_s, "bps_rd": 0, "bps_wr": 0, "iops": 0, "iops_rd": 0, "iops_wr": 0}
    disk = {"id": "/machine/peripheral/virtio-disk0/virtio-backend", **limits}
    return lambda hypervisor, guest: hypervisor.ask_monitor(guest, "block_set_io_throttle", disk)


def _disk_full(environment: ChaosEnvironment) -> bool:
    """Fill the small disk of the results, for a while or until the driver has ended by that."""
    filler = environment.folder / "results" / "filler"
    # Writing ends by the very error that fills the disk.
    with contextlib.suppress(OSError), filler.open("wb") as file:
        while True:
            file.write(bytes(2**20))
    environment.wait(FULL_S)
    filler.unlink(missing_ok=True)
    return True


FAULTS: dict[str, FaultInjector] = {
    "guest killed": _kill("qemu-system"),
    "guest frozen": _guest_frozen,
    # A guest whose CPUs and timers stand still goes on with a clock that is late.
    "guest's clock late": _on_a_guest(Hypervisor.suspend, Hypervisor.resume, LATE_S),
    "guest's disk slow": _on_a_guest(_disk_of(SLOW_BYTES), _disk_of(0), SLOW_S),
    "guest's packets lost": _on_a_guest(
        _unplugged(CLUSTER_CARD), _plugged_in, LOST_S, times=LOSSES, pause_s=KEPT_S
    ),
    "guest's connections cut": _on_a_guest(_unplugged(MANAGEMENT_CARD), _plugged_in, CUT_S),
    "libvirtd killed": _libvirtd_killed,
    "host's actor killed": _kill(r"^ray::HostActor"),
    "host's actor stopped": _kill(r"^ray::HostActor", signal.SIGSTOP),
    "cluster's actor killed": _kill(r"^ray::ClusterActor"),
    "cluster's actor stopped": _kill(r"^ray::ClusterActor", signal.SIGSTOP),
    "watchdog killed": _kill(re.escape(watchdog.__name__)),
    "driver killed": _driver_killed,
    "disk full": _disk_full,
}
_OF_OPEN_GUESTS = (
    "guest's clock late",
    "guest's disk slow",
    "guest's packets lost",
    "guest's connections cut",
)
"""What a guest in virtual time can't meet: it has neither disk nor network, nor the host's time."""
VIRTUAL_FAULTS: dict[str, FaultInjector] = {
    **{kind: inject for kind, inject in FAULTS.items() if kind not in _OF_OPEN_GUESTS},
    "guest suspended": _on_a_guest(Hypervisor.suspend, Hypervisor.resume, LATE_S),
    "guest stopped": _guest_stopped,
    "exchange removed": _exchange_removed,
    "golden cluster damaged": _golden_damaged,
}
FAULTS_BY_CLOCK = {"real": FAULTS, "virtual": VIRTUAL_FAULTS}
