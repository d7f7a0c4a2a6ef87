"""Fault injection on VMs: run seeded faults over campaigns on two libvirts, check the invariants.

The campaign is the command that people run; it is started again until it is done. The same
invariants are checked as on simulated hosts. In addition each trial must be like that of a campaign
without faults, and nothing may be left behind.
"""

import contextlib
import logging
import os
import random
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from actors.hosts import ray_folder
from actors.hosts.state_dir import sweep
from actors.hypervisor.daemon import PrivateLibvirtd
from campaign.chaos import faults
from campaign.chaos.environment import (
    HOSTS,
    NAME,
    REAL_TIME,
    TRIALS,
    ChaosEnvironment,
    DisturbedKind,
    commands,
)
from campaign.chaos.invariants import records_broken
from campaign.chaos.runs import ChaosRun
from campaign.core.errors import CampaignError
from campaign.core.trials import TrialRecord
from campaign.records.ledger import history_of
from campaign.records.results import Results
from campaign.schema.hosts import HostSettings

MOST_DRIVERS = 12
DRIVER_TIMEOUT_S = 1200.0
SETTLE_S = 15.0  # Ray and watchdogs end after their driver
END_TIMEOUT_S = 120.0
"""How long processes of a campaign may take to end after it, on a machine that is busy."""

_log = logging.getLogger(__name__)


def described(kind: DisturbedKind) -> str:
    """Return what the campaigns are, in the words of the report."""
    return (
        f"{TRIALS} trials in {kind.clock} time on VMs of {len(HOSTS)} libvirts (one without faults)"
    )


def run_seeds(
    seeds: Iterable[int], image_store: Path, kind: DisturbedKind = REAL_TIME
) -> tuple[list[ChaosRun], float]:
    """Run a campaign without faults, then one with each seed's; return outcomes and noise.

    The noise is that of the campaigns with faults (see `noise_of`). Golden clusters are kept from
    campaign to campaign.
    """
    runs = []
    calm: dict[int, TrialRecord] = {}
    found: dict[int, dict[int, TrialRecord]] = {}
    # The hosts are cleared before their folder goes: what still runs has files open there.
    with TemporaryDirectory(prefix="campaign-chaos-") as name, cleared(Path(name) / "hosts"):
        top = Path(name)
        # The first campaign has no faults; it tells what the others' trials should look like.
        for seed in (0, *seeds):
            folder = top / str(seed)
            kinds = faults.drawn(seed, kind.clock) if seed else ()
            with small_disk(folder):
                outcome = run(
                    seed,
                    kinds,
                    folder,
                    states=top / "hosts",
                    image_store=image_store,
                    calm=calm,
                    kind=kind,
                )
                if calm:
                    found[seed] = records(folder)
                else:
                    calm = records(folder)
            injected = ", ".join(outcome.faults) or "no faults"
            broken = "; ".join(outcome.broken) or "every invariant held"
            _log.info("seed %d: %s; %s", seed, injected, broken)
            runs.append(outcome)
    return runs, noise_of(found, calm)


def run(
    seed: int,
    kinds: Sequence[str],
    folder: Path,
    *,
    states: Path,
    image_store: Path,
    calm: Mapping[int, TrialRecord] | None = None,
    kind: DisturbedKind = REAL_TIME,
) -> ChaosRun:
    """Run the campaign in `folder` with faults of these `kinds`, at moments that the seed draws.

    `states` keeps the hosts' state from run to run. `calm` has the records of a campaign without
    faults, by number.
    """
    outcome = ChaosRun(seed)
    draw = random.Random(seed)  # noqa: S311 - no secret
    environment = ChaosEnvironment(folder, states, image_store, draw, kind=kind)
    folder.mkdir(parents=True, exist_ok=True)
    if not os.path.ismount(folder / "results"):
        # Without a disk of its own, this would fill somebody else's.
        kinds = [one for one in kinds if one != "disk full"]
    try:
        _carry_out(environment, kinds, outcome)
        outcome.broken += [f"at the end: {line}" for line in _ended_badly(environment, calm or {})]
    finally:
        # Whatever went wrong here, no campaign goes on unwatched.
        if environment.driver and environment.driver.poll() is None:
            environment.driver.kill()
            environment.driver.wait()
    time.sleep(SETTLE_S if kinds else 0)
    outcome.broken += [f"left behind: {line}" for line in _left(environment)]
    return outcome


def records(folder: Path) -> dict[int, TrialRecord]:
    """Return the final records of the campaign in `folder`, by number."""
    return {
        one.number: one for one in history_of(Results(folder / "results", NAME).ledger_path).final()
    }


def _carry_out(environment: ChaosEnvironment, kinds: Sequence[str], outcome: ChaosRun) -> None:
    """Start the campaign until it is done, and inject each fault while a driver runs trials."""
    left = list(kinds)
    while outcome.drivers < MOST_DRIVERS:
        outcome.drivers += 1
        environment.start()
        while _running(environment):
            if not left:
                environment.wait(DRIVER_TIMEOUT_S)
                break
            if not _under_way(environment) or not environment.wait(environment.draw.uniform(2, 25)):
                break
            # A fault that finds nothing to hit is tried again later: none is left out.
            if faults.FAULTS_BY_CLOCK[environment.kind.clock][left[0]](environment):
                kind = left.pop(0)
                outcome.faults[kind] += 1
                outcome.broken += [f"after {kind}: {line}" for line in _broken(environment)]
        status = environment.driver.wait() if environment.driver else 0
        if status == 0:
            attempts = history_of(environment.results.ledger_path).attempts
            outcome.attempts = sum(attempts.values())
            return
    outcome.broken.append(f"not done after {MOST_DRIVERS} drivers")


def _running(environment: ChaosEnvironment) -> bool:
    return environment.driver is not None and environment.driver.poll() is None


def _under_way(environment: ChaosEnvironment) -> bool:
    """Wait until guests run; False if the driver ends before."""
    while environment.wait(0.5):
        if environment.processes("qemu-system"):
            return True
    return False


def _broken(environment: ChaosEnvironment) -> Iterator[str]:
    """Yield a line for each invariant that doesn't hold now."""
    try:
        history = history_of(environment.results.ledger_path)
    except CampaignError as error:
        yield f"the ledger can't be read: {error}"
        return
    yield from records_broken(history, environment.results)


def _ended_badly(environment: ChaosEnvironment, calm: Mapping[int, TrialRecord]) -> Iterator[str]:
    yield from _broken(environment)
    final = records(environment.folder)
    if sorted(final) != list(range(TRIALS)):
        yield f"trials with records: {sorted(final)}"
    for number, record in final.items():
        if not record.valid:
            yield f"trial {number} ended as {record.outcome}: {record.reason}"
        if number in calm:
            yield from _differences(record, calm[number], environment.kind)


def _differences(record: TrialRecord, calm: TrialRecord, kind: DisturbedKind) -> Iterator[str]:
    """Yield a line for each difference from the trial without faults that isn't noise."""
    if record.point != calm.point:
        yield f"trial {record.number} was at another point: {record.point} instead of {calm.point}"
    for name in ("awrt_s", "makespan_s"):
        if name in calm.metrics and name in record.metrics:
            found = record.metrics[name]
            expected = calm.metrics[name]
            if abs(found - expected) > kind.noise * expected + kind.noise_s:
                yield f"trial {record.number}: {name} is {found:.1f}, without faults {expected:.1f}"


def _left(environment: ChaosEnvironment) -> Iterator[str]:
    """Yield a line for all that is left after the campaign: what `campaign clean` would find."""
    for name in HOSTS:
        reaped = sweep(HostSettings(uri="private", state_dir=str(environment.states / name)))
        yield from (f"{name}: domain {one}" for one in (*reaped.domains, *reaped.kept))
        yield from (f"{name}: folder {one}" for one in reaped.folders)
    yield from (f"Ray session {one}" for one in ray_folder.sweep())
    deadline = time.monotonic() + END_TIMEOUT_S
    while (running := _processes(environment)) and time.monotonic() < deadline:
        time.sleep(1)
    yield from running


def _processes(environment: ChaosEnvironment) -> list[str]:
    return [
        f"process {pid}: {command[:120]}"
        for pid, command in commands()
        if str(environment.states) in command
    ]


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Give the results in `folder` a disk of their own, which can be filled without harm.

    That takes root; without it the folder stays on its disk. On exit the folder is removed.
    """
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
            # Lazily, since a process that is just ending may still have files open there.
            subprocess.run(["umount", "--lazy", str(place)], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def cleared(states: Path) -> Iterator[None]:
    """End all that the hosts in `states` run, whatever happens, so that their folders may go."""
    try:
        yield
    finally:
        for name in HOSTS:
            # One host that can't be swept must not keep the other from being swept.
            with contextlib.suppress(CampaignError):
                sweep(HostSettings(uri="private", state_dir=str(states / name)), everything=True)
            PrivateLibvirtd(states / name).stop()


def noise_of(
    runs: Mapping[int, Mapping[int, TrialRecord]], calm: Mapping[int, TrialRecord]
) -> float:
    """Return how far response times with faults are from those without: the median, as a share."""
    found = [
        abs(record.metrics["awrt_s"] / calm[number].metrics["awrt_s"] - 1)
        for of_run in runs.values()
        for number, record in of_run.items()
        if number in calm and record.valid
    ]
    return statistics.median(found) if found else 0.0
