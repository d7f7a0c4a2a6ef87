"""What can go wrong with a trial of Slurm in virtual time, on real guests of one golden cluster.

Each fault is an outcome whose reason says where the guest was; nothing is left behind; and the same
trial, evaluated again, comes to what an undisturbed one comes to.
"""

import asyncio
import os
import re
import signal
import subprocess
from contextlib import contextmanager

import psutil
import pyarrow as pa
import pytest

from actors.clusters import standstill
from actors.clusters.cluster_spec import ClusterSpec, VirtualTime
from actors.clusters.trial_spec import TrialSpec
from actors.clusters.virtual_trial import VirtualTrialRun
from actors.hosts.local import LocalHost
from actors.hypervisor.node_spec import MAPPED_ALIGNMENT
from campaign.core.jobs import WORKLOAD_SCHEMA, Workload
from campaign.core.trials import Trial
from campaign.schema.model import ClusterSettings, ValiditySettings
from schedulers.base import BootstrapPlan, Stage, Step
from schedulers.slurm.adapter import BoundSlurm, Slurm
from schedulers.slurm.conf import SlurmNames
from tests.system.conftest import processes_naming
from tests.system.trials import host_on

pytestmark = [pytest.mark.vm, pytest.mark.timeout(900)]

NODES = 3
RUN_S = 1200.0
LIMIT_S = 14_400.0
PLANTED_S = 600
GENEROUS = VirtualTime(real_deadline_s=800.0, stuck_s=400.0)
OURS = {"dense": True, "slots_per_node": 2, "workload_deadline_s": 0.0, "stall_s": 3600.0}
SPINS = "echo -1 >/proc/sys/kernel/sched_rt_runtime_us; chrt -f -p 99 $$; while :; do :; done"
"""Keeps the only CPU from all others, the agent included."""
PLACE = re.compile(r" \d\d:\d\d:\d\d \(workload, \d of 3 jobs done\)")
"""How a reason says where a guest was in its workload."""


class PlantedSlurm(Slurm):
    """Slurm in whose guest `script` runs, PLANTED_S virtual seconds after its configuration; the
    job that is `endless` doesn't end."""

    def __init__(self, script="", endless=0):
        self.script = script
        self.endless = endless

    def for_image(self, facts):
        return PlantedBound(self, SlurmNames.of(facts))


class PlantedBound(BoundSlurm):
    def reconfigure(self, topology, params):
        plan = super().reconfigure(topology, params)
        if not self.scheduler.script:
            return plan
        timer = ("systemd-run", "--quiet", f"--on-active={PLANTED_S}")
        step = Step(commands=((*timer, "bash", "-c", self.scheduler.script),))
        return BootstrapPlan((*plan.stages, Stage("the fault", {"head": step})))

    def job_script(self, job, topology, payload):
        held = "sleep infinity" if job.job_id == self.scheduler.endless else payload
        return super().job_script(job, topology, held)


def jobs():
    """Three jobs, all there at once: the first has all nodes, the others share them after it."""
    rows = [
        {
            "job_id": number,
            "arrival_s": 0.0,
            "width": 2 * nodes,
            "runtime_s": RUN_S,
            "requested_s": LIMIT_S,
            "user": 1,
        }
        for number, nodes in enumerate((3, 2, 1), 1)
    ]
    return Workload("three jobs", pa.Table.from_pylist(rows, schema=WORKLOAD_SCHEMA))


@pytest.fixture(scope="module")
def image(bundle):
    if bundle.root.stat().st_size % MAPPED_ALIGNMENT:
        pytest.skip("cannot run here: the store's image was built before roots could be mapped")
    return bundle


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def host(folder, image):
    with host_on(folder, image) as opened:
        yield opened


class Faulty:
    """Evaluates trials on a host, and disturbs them once their workload has begun."""

    def __init__(self, host, image, folder):
        self.host = host
        self.image = image
        self.nodes = folder / "nodes"

    def evaluate(self, slurm=None, disturb=None, limits=GENEROUS, **cluster):
        """The evaluation of a trial, of which nothing is left."""
        spec = ClusterSpec(
            campaign="faults",
            scheduler=slurm or PlantedSlurm(),
            settings=ClusterSettings(**OURS | cluster),
            bundle=self.image,
            smallest=NODES,
            largest=NODES,
            virtual_time=limits,
        )
        trial = Trial(number=1, point={})
        local = LocalHost(self.host)
        living = VirtualTrialRun(
            spec, TrialSpec(trial, "slurm", NODES, {}, ValiditySettings(), jobs()), local, local
        )
        evaluation = asyncio.run(self._disturbed(living, disturb))
        assert self.host._hypervisor.ours() == []
        assert [path for path in self.nodes.iterdir() if path.name != ".lock"] == []
        assert processes_naming(f"{self.nodes}/") == []
        return evaluation

    async def _disturbed(self, living, disturb):
        ending = asyncio.create_task(living.evaluate())
        while not ending.done():
            if disturb and living.status.phase == "workload":
                disturb()
                disturb = None
            await asyncio.sleep(0.1)
        return await ending

    def signal(self, number):
        """Send a signal to the QEMU of the trial's guest."""
        [pid] = [
            process.pid
            for process in psutil.process_iter(["cmdline"])
            if "guest=faults-t1-" in " ".join(process.info["cmdline"] or [])
        ]
        os.kill(pid, number)


@pytest.fixture(scope="module")
def faulty(host, image, folder):
    return Faulty(host, image, folder)


@pytest.fixture(scope="module")
def calm(faulty):
    """What the trial comes to undisturbed."""
    evaluation = faulty.evaluate()
    assert (evaluation.outcome, evaluation.reason) == ("ok", "")
    return evaluation


def test_a_killed_qemu_costs_an_attempt_and_the_next_comes_to_the_same(faulty, calm):
    lost = faulty.evaluate(disturb=lambda: faulty.signal(signal.SIGKILL))
    assert (lost.outcome, lost.retryable, lost.jobs) == ("infrastructure_failed", True, None)
    assert lost.reason.startswith("head was lost: its VM is gone, at ")
    assert PLACE.search(lost.reason)
    again = faulty.evaluate()
    assert again.outcome == "ok"
    for column in ("job_id", "nodes", "native_state"):
        assert again.jobs.column(column) == calm.jobs.column(column)
    for column in ("start_ns", "end_ns"):
        then, now = (one.jobs.column(column).to_numpy() / 1e9 for one in (calm, again))
        assert abs(then - now).max() < 1.0


@pytest.mark.parametrize("unit", ["slurmctld", "slurmd@n2"])
def test_a_daemon_that_dies_at_a_virtual_hour_is_named(faulty, unit):
    died = faulty.evaluate(PlantedSlurm(f"systemctl kill -s KILL {unit}"))
    assert (died.outcome, died.retryable) == ("scheduler_failed", False)
    assert died.reason.startswith("a daemon of the scheduler died (")
    assert unit in died.reason.splitlines()[0]
    assert re.search(r", 00:[0-5]\d:\d\d after the workload began", died.reason)
    assert any("slurmctld.log" in name for name in died.files)


def test_a_workload_that_takes_too_long_ends_at_its_deadline_in_virtual_time(faulty):
    late = faulty.evaluate(workload_deadline_s=1.5 * RUN_S)
    assert (late.outcome, late.retryable) == ("infrastructure_failed", False)
    assert "didn't end in 1800 virtual seconds: 2 of 3 jobs are left, 00:3" in late.reason
    assert "Raise cluster.workload_deadline_s" in late.reason


def test_a_job_that_never_ends_is_no_stall_of_the_scheduler(faulty):
    endless = faulty.evaluate(PlantedSlurm(endless=3), stall_s=600.0)
    assert (endless.outcome, endless.retryable) == ("infrastructure_failed", False)
    assert "no job waits, but some run that should have ended" in endless.reason


def test_a_guest_that_spins_is_given_up_by_the_cpu_time_that_it_used(faulty):
    spinning = faulty.evaluate(PlantedSlurm(SPINS), limits=VirtualTime(800.0, 12.0))
    assert (spinning.outcome, spinning.retryable) == ("infrastructure_failed", True)
    assert spinning.reason.startswith("virtual time stands still at 00:")
    assert PLACE.search(spinning.reason) and " s of CPU time" in spinning.reason


def test_a_stopped_emulator_is_told_from_a_slow_one(faulty, monkeypatch):
    def stop():
        faulty.signal(signal.SIGSTOP)
        monkeypatch.setattr(standstill, "STOPPED_S", 2.0)

    stopped = faulty.evaluate(disturb=stop)
    assert (stopped.outcome, stopped.retryable) == ("infrastructure_failed", True)
    assert PLACE.search(stopped.reason) and "its emulator has used no CPU time" in stopped.reason


def test_a_deadline_in_real_time_says_where_the_guest_was(faulty):
    late = faulty.evaluate(PlantedSlurm(SPINS), limits=VirtualTime(15.0, 400.0))
    assert late.outcome == "infrastructure_failed"
    assert "didn't end within 15 s of real time; the guest is at 00:" in late.reason


@contextmanager
def full(folder):
    """A disk of its own for a folder, on which nothing of a guest's size has room."""
    mount = ("mount", "-t", "tmpfs", "-o", "size=8m", "faults", str(folder))
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("cannot run here: making a small disk takes root")
    try:
        yield
    finally:
        subprocess.run(("umount", "--lazy", str(folder)), check=True)


def test_a_full_disk_is_named_before_a_guest_runs(faulty):
    with full(faulty.nodes):
        refused = faulty.evaluate()
    assert (refused.outcome, refused.retryable) == ("infrastructure_failed", True)
    assert str(faulty.nodes) in refused.reason and "Free some space there" in refused.reason
