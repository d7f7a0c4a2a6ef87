"""Chaos on real VMs: seeded faults, struck from outside at the processes of a campaign over two libvirts.

The campaign is the command that people run. Its guests, libvirtds, actors, wardens and driver are killed or stopped,
its disk is filled up; it is started again until it is done. The same invariants hold as on the simulated fleet.
"""

import contextlib
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from actors import ray_session
from actors.host import sweep
from actors.hypervisor.daemon import PrivateLibvirtd
from campaign.chaos import Run, records_broken
from campaign.errors import CampaignError
from campaign.hosts import HostSettings
from campaign.ledger import history_of
from campaign.results import Results
from campaign.trials import TrialRecord

HOSTS = ("east", "west")
TRIALS = 4
NAME = "chaos"
SETTINGS = (
    *(f"name={NAME}", f"search.trials={TRIALS}", "search.batch=2", "testbed.parallel=2", "testbed.silence_s=15"),
    *("cluster.nodes=1", "cluster.slots_per_node=2", "workload.jobs=6", "workload.duration_s=6", "search.retries=10"),
    *("search.give_up_after=20", "cluster.stall_s=60"),
    # A scheduler's clock strikes at another moment in each cluster: one that strikes often makes trials repeatable.
    *("scheduler.params.sched_interval=2", "scheduler.params.bf_interval=[1,4]"),
    # Two emulated clusters beside each other on few cores.
    *("validity.max_native_gap_s=20", "validity.max_submit_lag_s=30", "validity.max_clock_error_s=1"),
)
MOST_DRIVERS = 12
DRIVER_S = 1200.0
FROZEN_S = 10.0
FULL_S = 60.0  # longer than a trial takes, so that something is to be written meanwhile
NOISE, NOISE_S = 0.5, 5.0
"""How far a disturbed trial's times may be from the undisturbed one's: a share of them, and some seconds. Clusters
share their cores with another one, which after a fault is another one than undisturbed, or boots just then."""
SETTLE_S = 15.0  # Ray and wardens end after their driver

Strike = Callable[["Scene"], bool]


@dataclass
class Scene:
    """A campaign on VMs in `folder`, whose hosts keep their state, and thus their golden clusters, in `states`."""

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
            f"{name}: {{uri: private, state_dir: {self.states / name}, ports: [{low}, {low + 99}], memory_mib: 1600}}"
            for low, name in zip((22600, 22700), HOSTS, strict=True)
        )
        output = (f"output.results={self.folder}/results", f"output.mlruns={self.folder}/mlruns", "output.log=plain")
        settings = (*SETTINGS, f"hosts={{{hosts}}}", *output, f"image.store={self.image_store}")
        return [sys.executable, "-m", "campaign.search", *settings]

    def start(self) -> None:
        with (self.folder / "driver.log").open("ab") as log:
            self.driver = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def processes(self, pattern: str) -> list[int]:
        """The pids of the campaign's processes whose command line matches: its driver's descendants, and those that
        name its hosts' folders."""
        below = _descendants(self.driver.pid) if self.driver else set()
        found = []
        for pid, command in _commands():
            if re.search(pattern, command) and (pid in below or str(self.states) in command):
                found.append(pid)
        return sorted(found)


def drawn(seed: int) -> list[str]:
    """The faults of a seed, in their order: each kind is the first of some seed's, up to three others follow."""
    draw, kinds = random.Random(seed), sorted(STRIKES)  # noqa: S311 - no secret
    first = kinds.pop(seed % len(kinds))
    return [first, *draw.sample(kinds, draw.randint(1, 3))]


def run(
    seed: int,
    strikes: Sequence[str],
    folder: Path,
    *,
    states: Path,
    image_store: Path,
    calm: Mapping[int, TrialRecord] | None = None,
) -> Run:
    """Run the campaign in `folder` with these faults, at moments that the seed draws.

    `states` keeps the hosts' state from run to run. `calm` has the records of one that was left alone, by number.
    """
    told = Run(seed)
    scene = Scene(folder, states, image_store, random.Random(seed))  # noqa: S311 - no secret
    folder.mkdir(parents=True, exist_ok=True)
    if not os.path.ismount(folder / "results"):
        strikes = [what for what in strikes if what != "disk full"]  # nobody else's disk is filled
    try:
        _carry_out(scene, strikes, told)
        told.broken += [f"at the end: {line}" for line in _ended_badly(scene, calm or {})]
    finally:
        if scene.driver and scene.driver.poll() is None:
            scene.driver.kill()
            scene.driver.wait()
    time.sleep(SETTLE_S if strikes else 0)
    told.broken += [f"left behind: {line}" for line in _left(scene)]
    return told


def records(folder: Path) -> dict[int, TrialRecord]:
    """The final records of the campaign in `folder`, by number."""
    return {one.number: one for one in history_of(Results(folder / "results", NAME).ledger_path).final()}


def _carry_out(scene: Scene, strikes: Sequence[str], told: Run) -> None:
    """Start the campaign until it is done; each fault strikes some time after a driver has begun with trials."""
    left = list(strikes)
    while told.drivers < MOST_DRIVERS:
        told.drivers += 1
        scene.start()
        while _running(scene):
            if not left:
                _wait(scene, DRIVER_S)
                break
            if not _under_way(scene) or not _wait(scene, scene.draw.uniform(2, 25)):
                break
            if STRIKES[left[0]](scene):
                told.struck[left.pop(0)] += 1
                told.broken += [f"after {strikes[-len(left) - 1]}: {line}" for line in _readable(scene)]
        status = scene.driver.wait() if scene.driver else 0
        if status == 0:
            told.attempts = sum(history_of(scene.results.ledger_path).attempts.values())
            return
    told.broken.append(f"not done after {MOST_DRIVERS} drivers")


def _running(scene: Scene) -> bool:
    return scene.driver is not None and scene.driver.poll() is None


def _wait(scene: Scene, seconds: float) -> bool:
    """Whether the driver still runs after a while."""
    if scene.driver is None:
        return False
    try:
        scene.driver.wait(seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def _under_way(scene: Scene) -> bool:
    """Wait until guests run; False if the driver ends before."""
    while _wait(scene, 0.5):
        if scene.processes("qemu-system"):
            return True
    return False


def _readable(scene: Scene) -> Iterator[str]:
    """What doesn't hold of what must hold at any moment."""
    try:
        history = history_of(scene.results.ledger_path)
    except CampaignError as error:
        yield f"the ledger can't be read: {error}"
        return
    yield from records_broken(history, scene.results)


def _ended_badly(scene: Scene, calm: Mapping[int, TrialRecord]) -> Iterator[str]:
    yield from _readable(scene)
    final = records(scene.folder)
    if sorted(final) != list(range(TRIALS)):
        yield f"trials with records: {sorted(final)}"
    for number, record in final.items():
        if not record.valid:
            yield f"trial {number} ended as {record.outcome}: {record.reason}"
        if number in calm:
            yield from _differences(record, calm[number])


def _differences(record: TrialRecord, calm: TrialRecord) -> Iterator[str]:
    """Where a trial isn't the undisturbed one's within noise."""
    if record.point != calm.point:
        yield f"trial {record.number} was at another point: {record.point} instead of {calm.point}"
    for name in ("awrt_s", "makespan_s"):
        if name in calm.metrics and name in record.metrics:
            found, expected = record.metrics[name], calm.metrics[name]
            if abs(found - expected) > NOISE * expected + NOISE_S:
                yield f"trial {record.number}: {name} is {found:.1f}, undisturbed {expected:.1f}"


def _left(scene: Scene) -> Iterator[str]:
    """What is left when the campaign is done: what `campaign clean` would find."""
    for name in HOSTS:
        reaped = sweep(HostSettings(uri="private", state_dir=str(scene.states / name)))
        yield from (f"{name}: domain {one}" for one in (*reaped.domains, *reaped.kept))
        yield from (f"{name}: folder {one}" for one in reaped.folders)
    yield from (f"Ray session {one}" for one in ray_session.sweep())
    yield from (f"process {pid}: {command[:120]}" for pid, command in _commands() if str(scene.states) in command)


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
    """A guest stands still for a while, and goes on with a clock that is late."""
    found = scene.processes("qemu-system")
    if not found:
        return False
    pid = scene.draw.choice(found)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        _wait(scene, FROZEN_S)
        os.kill(pid, signal.SIGCONT)
    return True


def _disk_full(scene: Scene) -> bool:
    """The small disk of the results is full until the driver has ended by that, or for a while."""
    filler = scene.folder / "results" / "filler"
    with contextlib.suppress(OSError), filler.open("wb") as file:
        while True:
            file.write(bytes(2**20))
    _wait(scene, FULL_S)
    filler.unlink(missing_ok=True)
    return True


STRIKES: dict[str, Strike] = {
    "guest killed": _kill("qemu-system"),
    "guest frozen": _guest_frozen,
    "libvirtd killed": _libvirtd_killed,
    "host's actor killed": _kill(r"^ray::HostActor"),
    "host's actor stopped": _kill(r"^ray::HostActor", signal.SIGSTOP),
    "cluster's actor killed": _kill(r"^ray::ClusterActor"),
    "cluster's actor stopped": _kill(r"^ray::ClusterActor", signal.SIGSTOP),
    "warden killed": _kill(r"actors\.hypervisor\.warden"),
    "driver killed": _driver_killed,
    "disk full": _disk_full,
}


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of its own for the results in `folder`, which can be filled without harm; root's to mount."""
    place = folder / "results"
    place.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "campaign-chaos", str(place)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(place)], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def cleared(states: Path) -> Iterator[None]:
    """Whatever happens, nothing of the hosts in `states` is left: their folders may be removed afterwards."""
    try:
        yield
    finally:
        for name in HOSTS:
            with contextlib.suppress(CampaignError):
                sweep(HostSettings(uri="private", state_dir=str(states / name)), everything=True)
            PrivateLibvirtd(states / name).stop()


def noise_of(runs: Mapping[int, Mapping[int, TrialRecord]], calm: Mapping[int, TrialRecord]) -> float:
    """The median distance of disturbed trials' response times from the undisturbed ones', as a share."""
    found = [
        abs(record.metrics["awrt_s"] / calm[number].metrics["awrt_s"] - 1)
        for of_run in runs.values()
        for number, record in of_run.items()
        if number in calm and record.valid
    ]
    return statistics.median(found) if found else 0.0


def _commands() -> Iterator[tuple[int, str]]:
    """Every process with its command line."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            raw = (folder / "cmdline").read_bytes()
            if raw and int(folder.name) != os.getpid():
                yield int(folder.name), raw.replace(b"\0", b" ").decode(errors="replace").strip()


def _descendants(pid: int) -> set[int]:
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            stat = (folder / "stat").read_text(errors="replace")
            children.setdefault(int(stat[stat.rindex(")") + 1 :].split()[1]), []).append(int(folder.name))
    found, left = set[int](), [pid]
    while left:
        below = children.get(left.pop(), [])
        found.update(below)
        left += below
    return found
