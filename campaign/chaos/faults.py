"""The campaign on VMs that chaos disturbs, and the faults that strike it from outside."""

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from actors.hypervisor.connection import Hypervisor
from actors.hypervisor.daemon import PrivateLibvirtd
from actors.hypervisor.domain import CLUSTER_CARD, MANAGEMENT_CARD
from actors.hypervisor.errors import HypervisorError
from campaign.records.results import Results

HOSTS = ("east", "west")
TRIALS = 4
NAME = "chaos"
SETTINGS = (
    *(
        f"name={NAME}",
        f"search.trials={TRIALS}",
        "search.batch=2",
        "testbed.parallel=2",
        "testbed.silence_s=15",
    ),
    *(
        "cluster.nodes=1",
        "cluster.slots_per_node=2",
        "workload.jobs=6",
        "workload.duration_s=6",
        "search.retries=10",
    ),
    *("search.give_up_after=20", "cluster.stall_s=60"),
    # A scheduler's clock strikes at another moment in each cluster: one that strikes often makes
    # trials repeatable.
    *("scheduler.params.sched_interval=2", "scheduler.params.bf_interval=[1,4]"),
    # Two emulated clusters beside each other on few cores.
    *(
        "validity.max_native_gap_s=20",
        "validity.max_submit_lag_s=30",
        "validity.max_clock_error_s=1",
    ),
)
FROZEN_S = 10.0
FULL_S = 60.0  # longer than a trial takes, so that something is to be written meanwhile
LATE_S = 5.0
SLOW_S = 20.0
SLOW_BYTES = 128 * 2**10
CUT_S = 15.0
LOST_S = 0.3
KEPT_S = 0.7
LOSSES = 12
"""Packets are lost for some tenths of a second, then for some not, so many times."""

_OF_A_TRIAL = re.compile(rf"{NAME}-t\d+-")
# names in QEMU
_VOID = "chaos-void"
_LOSS = "chaos-loss"

Strike = Callable[["Scene"], bool]
"""Whether it struck: a fault doesn't while there is nothing for it to strike."""
Order = Callable[[Hypervisor, str], object]
"""Something asked of the libvirt of the guest that is named."""


@dataclass
class Scene:
    """A campaign on VMs in `folder`, whose hosts keep their state, and thus their golden clusters,
    in `states`."""

    folder: Path
    states: Path
    image_store: Path
    draw: random.Random
    driver: "subprocess.Popen[bytes] | None" = None

    @property
    def results(self) -> Results:
        return Results(self.folder / "results", NAME)

    @property
    def command(self) -> list[str]:
        hosts = ", ".join(
            f"{name}: {{uri: private, state_dir: {self.states / name}, ports: [{low}, "
            f"{low + 99}], memory_mib: 1600}}"
            for low, name in zip((22600, 22700), HOSTS, strict=True)
        )
        output = (
            f"output.results={self.folder}/results",
            f"output.mlruns={self.folder}/mlruns",
            "output.log=plain",
        )
        settings = (*SETTINGS, f"hosts={{{hosts}}}", *output, f"image.store={self.image_store}")
        return [sys.executable, "-m", "campaign.search", *settings]

    def start(self) -> None:
        with (self.folder / "driver.log").open("ab") as log:
            self.driver = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def wait(self, seconds: float) -> bool:
        """Whether the driver still runs after a while."""
        if self.driver is None:
            return False
        try:
            self.driver.wait(seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def guests(self) -> list[tuple[str, str]]:
        """The guests of trials that run: the URI of each one's libvirt, and its name. Golden
        clusters are let be: what strikes while one is saved would be in all that are restored from
        it."""
        found = []
        for daemon in (PrivateLibvirtd(self.states / name) for name in HOSTS):
            with contextlib.suppress(HypervisorError):
                if daemon.pid() is None:
                    continue
                with Hypervisor(daemon.uri) as hypervisor:
                    ours = hypervisor.ours(lambda lease: bool(_OF_A_TRIAL.match(lease.trial)))
                    found += [
                        (daemon.uri, one.name)
                        for one in ours
                        if hypervisor.state(one.name) == "running"
                    ]
        return found

    def processes(self, pattern: str) -> list[int]:
        """The pids of the campaign's processes whose command line matches: its driver's
        descendants, and those that name its hosts' folders."""
        below = descendants(self.driver.pid) if self.driver else set()
        found = []
        for pid, command in commands():
            if re.search(pattern, command) and (pid in below or str(self.states) in command):
                found.append(pid)
        return sorted(found)


def drawn(seed: int) -> list[str]:
    """The faults of a seed, in their order: each kind is the first of some seed's, up to three
    others follow."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    kinds = sorted(STRIKES)
    first = kinds.pop(seed % len(kinds))
    return [first, *draw.sample(kinds, draw.randint(1, 3))]


def _kill(pattern: str, number: signal.Signals = signal.SIGKILL) -> Strike:
    """A fault that strikes one process of those that match; it doesn't while there is none."""

    def strike(scene: Scene) -> bool:
        found = scene.processes(pattern)
        if found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(scene.draw.choice(found), number)
        return bool(found)

    return strike


def _libvirtd_killed(scene: Scene) -> bool:
    pid = PrivateLibvirtd(scene.states / scene.draw.choice(HOSTS)).pid()
    if pid:
        os.kill(pid, signal.SIGKILL)
    return bool(pid)


def _driver_killed(scene: Scene) -> bool:
    if scene.driver is None or scene.driver.poll() is not None:
        return False
    scene.driver.kill()
    return True


def _guest_frozen(scene: Scene) -> bool:
    """A guest's QEMU stands still for a while."""
    found = scene.processes("qemu-system")
    if not found:
        return False
    pid = scene.draw.choice(found)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        scene.wait(FROZEN_S)
        os.kill(pid, signal.SIGCONT)
    return True


def _on_a_guest(
    begin: Order, end: Order, lasts_s: float, *, times: int = 1, pause_s: float = 0.0
) -> Strike:
    """A fault that begins and ends by orders to the libvirt of one trial's guest."""

    def strike(scene: Scene) -> bool:
        found = scene.guests()
        struck = False
        if not found:
            return False
        uri, guest = scene.draw.choice(found)
        with (
            contextlib.suppress(HypervisorError),
            Hypervisor(uri) as hypervisor,
        ):  # the guest may end meanwhile
            for _ in range(times):
                begin(hypervisor, guest)
                struck = True
                scene.wait(lasts_s)
                end(hypervisor, guest)
                scene.wait(pause_s)
        return struck

    return strike


def _unplugged(card: str) -> Order:
    """Whatever a card sends or would receive is lost; its link stays up."""

    def order(hypervisor: Hypervisor, guest: str) -> None:
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

    return order


def _plugged_in(hypervisor: Hypervisor, guest: str) -> None:
    hypervisor.ask_monitor(guest, "object-del", {"id": _LOSS})
    hypervisor.ask_monitor(guest, "chardev-remove", {"id": _VOID})


def _disk_of(bytes_per_s: int) -> Order:
    """The guest's disk reads so fast at most; 0: as fast as it can."""
    limits = {"bps": bytes_per_s, "bps_rd": 0, "bps_wr": 0, "iops": 0, "iops_rd": 0, "iops_wr": 0}
    disk = {"id": "/machine/peripheral/virtio-disk0/virtio-backend", **limits}
    return lambda hypervisor, guest: hypervisor.ask_monitor(guest, "block_set_io_throttle", disk)


def _disk_full(scene: Scene) -> bool:
    """The small disk of the results is full until the driver has ended by that, or for a while."""
    filler = scene.folder / "results" / "filler"
    with contextlib.suppress(OSError), filler.open("wb") as file:
        while True:
            file.write(bytes(2**20))
    scene.wait(FULL_S)
    filler.unlink(missing_ok=True)
    return True


STRIKES: dict[str, Strike] = {
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
    "warden killed": _kill(r"actors\.hypervisor\.warden"),
    "driver killed": _driver_killed,
    "disk full": _disk_full,
}


def commands() -> Iterator[tuple[int, str]]:
    """Every process with its command line."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            raw = (folder / "cmdline").read_bytes()
            if raw and int(folder.name) != os.getpid():
                yield int(folder.name), raw.replace(b"\0", b" ").decode(errors="replace").strip()


def descendants(pid: int) -> set[int]:
    """The pids of a process's children, and theirs."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            stat = (folder / "stat").read_text(errors="replace")
            children.setdefault(int(stat[stat.rindex(")") + 1 :].split()[1]), []).append(
                int(folder.name)
            )
    found = set[int]()
    left = [pid]
    while left:
        below = children.get(left.pop(), [])
        found.update(below)
        left += below
    return found
