"""Chaos on real VMs: seeded faults strike a campaign over two libvirts, and what must hold
meanwhile and afterwards.

The campaign is the command that people run. It is started again until it is done. The same
invariants hold as on the simulated fleet.
"""

import contextlib
import os
import random
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from actors.hosts import ray_session
from actors.hosts.state_dir import sweep
from actors.hypervisor.daemon import PrivateLibvirtd
from campaign.chaos.faults import HOSTS, NAME, STRIKES, TRIALS, Scene, commands
from campaign.chaos.simulated import Run, records_broken
from campaign.core.errors import CampaignError
from campaign.core.trials import TrialRecord
from campaign.records.ledger import history_of
from campaign.records.results import Results
from campaign.schema.hosts import HostSettings

MOST_DRIVERS = 12
DRIVER_S = 1200.0
NOISE = 0.5
NOISE_S = 5.0
"""How far a disturbed trial's times may be from the undisturbed one's: a share of them, and some
seconds. Clusters share their cores with another one, which after a fault is another one than
undisturbed, or boots just then."""
SETTLE_S = 15.0  # Ray and wardens end after their driver


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

    `states` keeps the hosts' state from run to run. `calm` has the records of one that was left
    alone, by number.
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
    return {
        one.number: one for one in history_of(Results(folder / "results", NAME).ledger_path).final()
    }


def _carry_out(scene: Scene, strikes: Sequence[str], told: Run) -> None:
    """Start the campaign until it is done; each fault strikes some time after a driver has begun
    with trials."""
    left = list(strikes)
    while told.drivers < MOST_DRIVERS:
        told.drivers += 1
        scene.start()
        while _running(scene):
            if not left:
                scene.wait(DRIVER_S)
                break
            if not _under_way(scene) or not scene.wait(scene.draw.uniform(2, 25)):
                break
            if STRIKES[left[0]](scene):
                told.struck[left.pop(0)] += 1
                told.broken += [
                    f"after {strikes[-len(left) - 1]}: {line}" for line in _readable(scene)
                ]
        status = scene.driver.wait() if scene.driver else 0
        if status == 0:
            told.attempts = sum(history_of(scene.results.ledger_path).attempts.values())
            return
    told.broken.append(f"not done after {MOST_DRIVERS} drivers")


def _running(scene: Scene) -> bool:
    return scene.driver is not None and scene.driver.poll() is None


def _under_way(scene: Scene) -> bool:
    """Wait until guests run; False if the driver ends before."""
    while scene.wait(0.5):
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
            found = record.metrics[name]
            expected = calm.metrics[name]
            if abs(found - expected) > NOISE * expected + NOISE_S:
                yield f"trial {record.number}: {name} is {found:.1f}, undisturbed {expected:.1f}"


def _left(scene: Scene) -> Iterator[str]:
    """What is left when the campaign is done: what `campaign clean` would find."""
    for name in HOSTS:
        reaped = sweep(HostSettings(uri="private", state_dir=str(scene.states / name)))
        yield from (f"{name}: domain {one}" for one in (*reaped.domains, *reaped.kept))
        yield from (f"{name}: folder {one}" for one in reaped.folders)
    yield from (f"Ray session {one}" for one in ray_session.sweep())
    yield from (
        f"process {pid}: {command[:120]}"
        for pid, command in commands()
        if str(scene.states) in command
    )


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of its own for the results in `folder`, which can be filled without harm; root's to
    mount."""
    place = folder / "results"
    place.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "campaign-chaos", str(place)]
    mounted = (
        os.geteuid() == 0
        and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    )
    try:
        yield
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(place)], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def cleared(states: Path) -> Iterator[None]:
    """Whatever happens, nothing of the hosts in `states` is left: their folders may be removed
    afterwards."""
    try:
        yield
    finally:
        for name in HOSTS:
            with contextlib.suppress(CampaignError):
                sweep(HostSettings(uri="private", state_dir=str(states / name)), everything=True)
            PrivateLibvirtd(states / name).stop()


def noise_of(
    runs: Mapping[int, Mapping[int, TrialRecord]], calm: Mapping[int, TrialRecord]
) -> float:
    """The median distance of disturbed trials' response times from the undisturbed ones', as a
    share."""
    found = [
        abs(record.metrics["awrt_s"] / calm[number].metrics["awrt_s"] - 1)
        for of_run in runs.values()
        for number, record in of_run.items()
        if number in calm and record.valid
    ]
    return statistics.median(found) if found else 0.0
