"""The campaign on VMs that faults are injected into: its settings, driver, guests, processes."""

import contextlib
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from actors.hypervisor.connection import Hypervisor
from actors.hypervisor.daemon import PrivateLibvirtd
from actors.hypervisor.errors import HypervisorError
from campaign.records.results import Results

HOSTS = ("east", "west")
TRIALS = 4
NAME = "chaos"
_OF_ALL = (
    f"name={NAME}",
    f"search.trials={TRIALS}",
    "search.batch=2",
    "testbed.parallel=2",
    # Short, so that a stopped actor is noticed soon.
    "testbed.heartbeat_timeout_s=15",
    "cluster.slots_per_node=2",
    # Faults cost attempts, and none of them may use up a trial's.
    "search.retries=10",
    "search.give_up_after=20",
)


@dataclass(frozen=True)
class DisturbedKind:
    """A kind of campaign on VMs that faults are injected into, by the clock of its guests.

    A trial's times may be `noise`, a share of them, plus `noise_s` seconds from those without
    faults.
    """

    clock: Literal["real", "virtual"]
    own_settings: tuple[str, ...]
    noise: float
    noise_s: float

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings of the campaign, but for its places."""
        return (*self.own_settings, *_OF_ALL)


# A cluster shares its cores with another one, which after a fault is a different one, or boots just
# then.
REAL_TIME = DisturbedKind(
    "real",
    (
        "cluster.nodes=1",
        "workload.jobs=6",
        "workload.duration_s=6",
        "cluster.stall_s=60",
        # A scheduler's cycle begins at another moment in each cluster: a short one makes trials
        # repeatable.
        "scheduler.params.sched_interval=2",
        "scheduler.params.bf_interval=[1,4]",
        # Two emulated clusters share few cores.
        "validity.max_native_gap_s=20",
        "validity.max_submit_lag_s=30",
        "validity.max_clock_error_s=1",
    ),
    noise=0.5,
    noise_s=5.0,
)
VIRTUAL_TIME = DisturbedKind(
    "virtual",
    (
        "testbed=virtual-time",
        "cluster.nodes=3",
        "workload=poisson",
        "workload.jobs=12",
        "workload.runtime_s=[120,900]",
        "scheduler.params.bf_interval=[20,60]",
        # Short, so that a stopped guest is noticed soon.
        "testbed.stuck_s=30",
    ),
    noise=0.005,
    noise_s=1.0,
)
_OF_A_TRIAL = re.compile(rf"{NAME}-t\d+-")


@dataclass
class ChaosEnvironment:
    """A campaign on VMs in `folder`, over two hosts whose state is in `states`.

    The hosts keep their golden clusters there from one campaign to the next. `draw` decides whom a
    fault hits. `driver` is the campaign's process, None before `start`.
    """

    folder: Path
    states: Path
    image_store: Path
    draw: random.Random
    driver: "subprocess.Popen[bytes] | None" = None
    kind: DisturbedKind = REAL_TIME

    @property
    def results(self) -> Results:
        """The campaign's results folder."""
        return Results(self.folder / "results", NAME)

    @property
    def command(self) -> list[str]:
        """The command that starts or resumes the campaign."""
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
        settings = (
            *self.kind.settings,
            f"hosts={{{hosts}}}",
            *output,
            f"image.store={self.image_store}",
        )
        return [sys.executable, "-m", "campaign.search", *settings]

    def start(self) -> None:
        """Start the campaign's driver; its output goes to `driver.log` in the folder."""
        with (self.folder / "driver.log").open("ab") as log:
            self.driver = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def wait(self, seconds: float) -> bool:
        """Wait, at most until the driver ends; return whether it still runs."""
        if self.driver is None:
            return False
        try:
            self.driver.wait(seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def guests(self) -> list[tuple[str, str]]:
        """Return the running guests of trials: the URI of each one's libvirt, and its name.

        Guests of golden clusters are left out: a fault while one is saved would be in all clusters
        that are restored from it.
        """
        found = []
        for daemon in (PrivateLibvirtd(self.states / name) for name in HOSTS):
            # A fault may just have killed this libvirtd.
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
        """Return the pids of the campaign's processes whose command line matches `pattern`.

        The campaign's are the descendants of its driver, and those that name its hosts' folders.
        """
        # Watchdogs and libvirtds outlive the driver, but their command lines name the folders.
        below = descendants(self.driver.pid) if self.driver else set()
        return sorted(
            pid
            for pid, command in commands()
            if re.search(pattern, command) and (pid in below or str(self.states) in command)
        )


def commands() -> Iterator[tuple[int, str]]:
    """Yield the pid and command line of every process but this one."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"]
        if words and process.pid != os.getpid():
            yield process.pid, " ".join(words).strip()


def descendants(pid: int) -> set[int]:
    """Return the pids of a process's children, of theirs, and so on."""
    try:
        return {child.pid for child in psutil.Process(pid).children(recursive=True)}
    except psutil.NoSuchProcess:
        return set()
