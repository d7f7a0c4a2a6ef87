"""The life of a trial in virtual time on a host whose guest is the real agent: how it may end."""

import asyncio
import shutil
import subprocess
from types import SimpleNamespace

import pytest

from actors.clusters import guest_task, virtual_guest, virtual_watch
from actors.clusters.cluster_spec import ClusterSpec, VirtualTime
from actors.clusters.job_records import MISSING_LOG
from actors.clusters.trial_spec import TrialSpec
from actors.clusters.virtual_trial import VirtualTrialRun
from actors.clusters.virtual_watch import lead_s
from campaign.core.errors import InfrastructureError
from campaign.core.phases import Phase
from campaign.core.trials import Trial
from campaign.schema.model import ClusterSettings, ValiditySettings
from campaign.schema.workload import WorkloadSettings
from campaign.workloads import load
from schedulers.job_log import JobLog
from tests.fakes.virtual_host import AtOnce, VirtualHost

MANIFEST = SimpleNamespace(name="fake", facts={}, recipe=None, kernel_version="6.1")
BUNDLE = SimpleNamespace(hash="0" * 64, manifest=MANIFEST)
WORKLOAD = load(WorkloadSettings(kind="demo", jobs=4, duration_s=5), slots=8)
OURS = {"dense": True, "slots_per_node": 32, "workload_deadline_s": 0}
OWN_MOUNTS = (
    shutil.which("unshare") is not None
    and subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode
    == 0
)
pytestmark = pytest.mark.skipif(not OWN_MOUNTS, reason="the guest needs a /run of its own")


@pytest.fixture
def run_on(monkeypatch):
    """Run a trial on a host, with limits of its own; its evaluation."""
    monkeypatch.setattr(virtual_guest, "POLL_S", 0.05)
    monkeypatch.setattr(virtual_watch, "TELL_S", 0.0)
    monkeypatch.setattr(guest_task, "POLL_S", 0.2)
    monkeypatch.setattr(guest_task, "SETTLE_S", 0.0)

    def run(host, scheduler, nodes=2, limits=None, **settings):
        cluster = ClusterSettings(**OURS | settings)
        limits = limits or VirtualTime(real_deadline_s=300.0, stuck_s=100.0)
        spec = ClusterSpec("test", scheduler, cluster, BUNDLE, 1, 2, virtual_time=limits)
        trial = TrialSpec(
            Trial(number=7, point={}), "at-once", nodes, {}, ValiditySettings(), WORKLOAD
        )
        living = VirtualTrialRun(spec, trial, host, host)
        return asyncio.run(living.evaluate()), living

    return run


def test_a_trial_goes_on_from_a_golden_cluster_that_it_makes_once(run_on, tmp_path):
    host = VirtualHost(tmp_path)
    evaluation, living = run_on(host, AtOnce())
    assert (evaluation.outcome, evaluation.reason) == ("ok", "")
    assert " ".join(evaluation.phases) == (
        "golden placed started ready workload collected torn_down"
    )
    jobs = evaluation.jobs.to_pylist()
    assert all(job["end_ns"] - job["start_ns"] >= job["runtime_s"] * 1e9 for job in jobs)
    assert all(job["nodes"] == ["n1"] and job["native_state"] == "COMPLETED" for job in jobs)
    facts = evaluation.provenance
    assert (facts.guest_clock, facts.instructions_per_s, facts.stand_ins) == (
        "virtual",
        10**9,
        "daemons that are none",
    )
    assert facts.lead_s is not None and 0 <= facts.clock_s < 86_400
    assert facts.virtual_s > 0 and facts.golden_key and facts.acceleration == "tcg"
    notes = {check.name: check.note for check in evaluation.checks}
    assert notes["CPU steal"].startswith("doesn't apply: ") and notes["incomplete jobs"] == ""
    assert "plan.txt" in evaluation.files
    assert living.status.phase is Phase.JUDGED and host.slots == {}

    again, _ = run_on(host, AtOnce(), nodes=1)
    assert (again.outcome, host.made) == ("ok", 1)
    assert "logs/head/run/fake/stopped-n2" not in again.files  # it is no node of this one
    assert b"stopped-n2" in host.given[-1]
    assert Phase.GOLDEN not in again.phases


class Logging(AtOnce):
    """It leaves a log of all jobs, or says why it doesn't."""

    def __init__(self, ending):
        super().__init__()
        self.ending = ending

    def job_log(self, started_file):
        return JobLog(
            ("bash", "-c", f"test -s {started_file} && {{ {self.ending}; }}"), ("/run/fake/log",)
        )


def test_the_schedulers_log_of_all_jobs_comes_home_whole(run_on, tmp_path):
    long = "head -c 2000000 /dev/zero"
    evaluation, _ = run_on(VirtualHost(tmp_path), Logging(f"{long} >/run/fake/log"))
    assert evaluation.outcome == "ok"
    assert evaluation.files["logs/head/run/fake/log"] == bytes(2_000_000)
    assert MISSING_LOG not in evaluation.files


@pytest.mark.parametrize(
    ("ending", "why"),
    [
        ("echo /run/fake/log: no accounts; exit 1", b"/run/fake/log: no accounts\n"),
        ("exit 1", b"/run/fake/log: not written\n"),
    ],
)
def test_a_trial_that_has_no_log_of_all_jobs_says_why_and_is_fine(run_on, tmp_path, ending, why):
    evaluation, _ = run_on(VirtualHost(tmp_path), Logging(ending))
    assert evaluation.outcome == "ok"
    assert evaluation.files[MISSING_LOG] == why
    assert "logs/head/run/fake/log" not in evaluation.files


def test_the_golden_cluster_has_the_same_secrets_on_every_host(run_on, tmp_path):
    tasks = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        host = VirtualHost(tmp_path / name)
        run_on(host, AtOnce("plan"))
        tasks.append(host.given[0])
    assert tasks[0] == tasks[1]


def test_the_logs_of_a_guest_that_became_no_golden_cluster_are_kept(run_on, tmp_path):
    class NeverReady(AtOnce):
        def smoke_test_command(self, topology):
            return ("false",)

        def log_files(self, node):
            return ("/run/fake/plan",)

    host = VirtualHost(tmp_path)
    evaluation, _ = run_on(host, NeverReady())
    assert evaluation.outcome == "scheduler_failed" and host.slots == {}
    assert "logs/golden/run/fake/plan" in evaluation.files


@pytest.mark.parametrize(
    ("broken", "outcome", "words", "kept"),
    [
        ("plan", "scheduler_failed", "stage reconfigure of the plan failed", False),
        (
            "daemon",
            "scheduler_failed",
            "a daemon of the scheduler died (fake.service: failed), 00:0",
            False,
        ),
        ("deaf", "scheduler_failed", "doesn't answer although its daemons live; no job has", False),
        ("parameters", "scheduler_failed", "doesn't run with the parameters", False),
        ("jobs", "stalled", "0 jobs run and 4 wait: held by the fake (4)", True),
    ],
)
def test_what_the_scheduler_does_wrong_is_the_trials_outcome(
    run_on, tmp_path, monkeypatch, broken, outcome, words, kept
):
    scheduler = AtOnce(broken)
    if broken == "parameters":
        scheduler.parse_config = lambda text: {"a": text}
        scheduler.Params = lambda **_: SimpleNamespace(model_dump=lambda: {"a": "a right\n"})
    host = VirtualHost(tmp_path)
    evaluation, _ = run_on(host, scheduler, stall_s=1)
    assert evaluation.outcome == outcome and words in evaluation.reason
    assert not evaluation.retryable
    assert (evaluation.jobs is not None) == kept
    assert host.slots == {}


def test_jobs_that_run_on_while_none_waits_are_no_stall(run_on, tmp_path):
    evaluation, _ = run_on(VirtualHost(tmp_path), AtOnce("endless"), stall_s=1)
    assert (evaluation.outcome, evaluation.retryable) == ("infrastructure_failed", False)
    assert evaluation.reason.startswith("no job has ended for ")
    assert "no job waits, but some run that should have ended" in evaluation.reason


def test_a_workload_that_goes_on_for_ever_ends_at_its_deadline(run_on, tmp_path):
    evaluation, _ = run_on(VirtualHost(tmp_path), AtOnce("jobs"), workload_deadline_s=1.0)
    assert (evaluation.outcome, evaluation.retryable) == ("infrastructure_failed", False)
    assert "4 of 4 jobs are left" in evaluation.reason
    assert "cluster.workload_deadline_s" in evaluation.reason


def test_a_killed_guest_is_the_platforms_failure(run_on, tmp_path, monkeypatch):
    host = VirtualHost(tmp_path)

    async def resume(slot, names):
        await VirtualHost.resume(host, slot, names)
        host.kill(slot.cluster)

    monkeypatch.setattr(host, "resume", resume)
    evaluation, _ = run_on(host, AtOnce())
    assert (evaluation.outcome, evaluation.retryable) == ("infrastructure_failed", True)
    assert "its VM is off" in evaluation.reason and host.slots == {}


def test_a_guest_that_ends_between_two_questions_is_lost_all_the_same(run_on, tmp_path):
    class Vanishing(VirtualHost):
        async def cpu_s(self, slot, name):
            if "-t7-" in slot.cluster:
                self.kill(slot.cluster)
                raise InfrastructureError("there is no such domain")
            return 0.0

    host = Vanishing(tmp_path)
    evaluation, _ = run_on(host, AtOnce())
    assert "head was lost: its VM is off, at " in evaluation.reason and host.slots == {}


def test_a_guest_that_stands_still_is_given_up_and_says_where_it_was(run_on, tmp_path):
    host = VirtualHost(tmp_path)
    evaluation, _ = run_on(host, AtOnce("jobs"), limits=VirtualTime(300.0, 0.0))
    assert evaluation.outcome == "infrastructure_failed"
    assert "virtual time stands still at" in evaluation.reason and host.slots == {}


def test_a_trial_has_a_deadline_in_real_time(run_on, tmp_path):
    host = VirtualHost(tmp_path)
    evaluation, _ = run_on(host, AtOnce("jobs"), limits=VirtualTime(10.0, 100.0))
    assert evaluation.outcome == "infrastructure_failed"
    assert "didn't end within 10 s of real time; the guest is at" in evaluation.reason
    assert host.slots == {}


def test_the_lead_counts_from_the_last_stage_of_configuring() -> None:
    took = {"boot": 9.0, "stage users": 5.0, "stage reconfigure": 0.5, "smoke test": 2.0}
    assert lead_s({**took, "checks": 0.25, "workload": 100.0, "collecting": 3.0}) == 2.75
    assert lead_s(took) is None
    assert lead_s({"smoke test": 0.3, "workload": 100.0}) is None  # with the golden cluster's own
