"""Power cuts, crash points and signals: nothing is lost, and each invariant notices when it is."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from campaign.chaos import kept
from campaign.chaos.crash_points import CrashPoint, StepCounter, chosen
from campaign.chaos.drivers import CommandCampaign
from campaign.chaos.kept import KeptCampaign, broken_now, different
from campaign.chaos.stored_runs import StoredRun, runs_broken, stored_runs
from campaign.core import files
from campaign.core.trials import Evaluation
from campaign.records.ledger import Ledger
from campaign.records.results import Results
from tests.samples import sample

ROOT = Path(__file__).parents[4]
PROBE = "from campaign.chaos.power_disk import check_possible; check_possible()"


def command(*arguments, **options):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


@pytest.fixture(scope="module")
def chaos(tmp_path_factory):
    """The outcome of all that can be done here in one command: it imports MLflow only once.

    With it comes why the power can't be cut here, "" if it can.
    """
    tried = command("-c", PROBE)
    why_not = next((line for line in tried.stderr.splitlines() if "power can't" in line), "")
    assert why_not or tried.returncode == 0, tried.stderr
    cuts = [] if why_not else ["--power-cuts", "2"]
    temporary = tmp_path_factory.mktemp("temporary")
    environment = {**os.environ, "TMPDIR": str(temporary)}
    # The seed is that of a campaign with replicates whose drivers are killed.
    few = ("--crash-points", "2", "--signals", "1", "--seed", "40")
    done = command("-m", "campaign", "chaos", *cuts, *few, env=environment)
    return done, why_not, temporary


@pytest.mark.timeout(900)
def test_a_campaign_with_replicates_races_and_a_hold_out_outlives_its_drivers(chaos):
    done, _, _ = chaos
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 campaign of 4 to 12 simulated trials by the command line, by signals" in done.stdout
    assert "every invariant held: no" not in done.stdout


@pytest.mark.timeout(900)
def test_a_driver_may_be_killed_at_any_step(chaos):
    done, _, temporary = chaos
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 campaigns of 2 simulated trials" in done.stdout and "2 faults" in done.stdout
    assert "every invariant held: no" not in done.stdout
    assert list(temporary.glob("campaign-chaos-*")) == []


@pytest.mark.timeout(900)
def test_a_power_cut_loses_nothing(chaos):
    done, why_not, temporary = chaos
    if why_not:
        pytest.skip(why_not)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^ +2  power cut$", done.stdout, re.MULTILINE)
    assert str(temporary) not in Path("/proc/mounts").read_text()
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):  # others' disks go meanwhile
            assert str(temporary) not in path.read_text()


@pytest.fixture
def campaign(tmp_path):
    """A campaign with one finished trial, as its drivers leave it."""
    made = CommandCampaign((), tmp_path)
    results = Results(made.results, made.name)
    one = sample(0)
    with Ledger(results.ledger_path) as ledger:
        ledger.append("campaign", id="d3", config={}, images={})
        ledger.append("asked", trial=0, point=one.record.point, attrs={})
        ledger.append("started", trial=0, attempt=1)
        evaluation = Evaluation("ok", jobs=one.jobs, files={"logs/x.log": b"hello"})
        table = results.keep(one.record, evaluation, "d3")
        ledger.append(
            "finished", trial=0, record=one.record.model_dump(mode="json"), jobs_sha256=table
        )
    results.keep_config("name: chaos\n")
    return made


@pytest.mark.parametrize(
    ("emptied", "noticed"),
    [
        ("trials/00000/logs/x.log", "trials/00000/logs/x.log is empty"),
        ("campaign.yaml", "campaign.yaml is empty"),
        ("jobs/trial=00000.parquet", "can't read the jobs"),
        ("ledger.jsonl", "the results can't be read: there is no campaign"),
    ],
)
def test_a_file_that_is_empty_is_noticed(campaign, emptied, noticed):
    assert list(broken_now(campaign)) == []
    (campaign.results / campaign.name / emptied).write_bytes(b"")
    assert noticed in "\n".join(broken_now(campaign))


def test_a_trial_without_its_files_or_its_jobs_is_noticed(campaign):
    folder = campaign.results / campaign.name
    (folder / "jobs/trial=00000.parquet").unlink()
    (folder / "trials/00000/logs/x.log").unlink()
    (folder / "trials/00000/logs").rmdir()
    found = "\n".join(broken_now(campaign))
    assert "its jobs are not on the disk" in found and "its files are not on the disk" in found


def test_a_ledger_that_can_not_be_read_is_noticed(campaign):
    path = Results(campaign.results, campaign.name).ledger_path
    path.write_bytes(path.read_bytes()[5:])
    assert any("the results can't be read" in line for line in broken_now(campaign))


def test_a_ledger_whose_first_line_was_not_written_is_no_fault(tmp_path):
    campaign = CommandCampaign((), tmp_path)
    path = Results(campaign.results, campaign.name).ledger_path
    path.parent.mkdir(parents=True)
    path.write_bytes(b'{"event')
    assert list(broken_now(campaign)) == []


WHOLE = {"checks.json": 2, "jobs.parquet": 9}


@pytest.mark.parametrize(
    ("status", "files", "noticed"),
    [
        ("FINISHED", WHOLE, ""),
        ("FINISHED", {**WHOLE, "gantt.svg": 0}, "is FINISHED, but its gantt.svg is empty"),
        ("FAILED", {"checks.json": 0}, "is FAILED, but its checks.json is empty"),
        ("FINISHED", {"checks.json": 11}, "is FINISHED without jobs.parquet"),
        ("FINISHED", {**WHOLE, "checks.json": 1}, "has 10 bytes of files instead of 11"),
        ("RUNNING", {"checks.json": 0}, ""),
    ],
)
def test_a_run_that_has_ended_without_its_files_is_noticed(status, files, noticed):
    tags = {"kind": "trial", "trial": "3", "attempt": "1", "artifact_bytes": "11"}
    found = "\n".join(runs_broken([StoredRun(status, {}, tags, files)]))
    assert noticed in found and bool(found) == bool(noticed)


def test_a_campaigns_run_has_its_report_once_it_is_finished():
    def run(status, *names):
        return StoredRun(status, {}, {"kind": "campaign"}, dict.fromkeys(names, 1))

    whole = run("FINISHED", "campaign.yaml", "report.html")
    assert list(runs_broken([whole, run("KILLED"), run("RUNNING")])) == []
    (line,) = runs_broken([run("FINISHED", "campaign.yaml")])
    assert line == "the campaign's run is FINISHED without report.html"


def test_a_store_that_is_only_being_made_has_no_runs(tmp_path):
    assert stored_runs(tmp_path) == []
    (tmp_path / "mlflow.db").touch()
    assert stored_runs(tmp_path) == []


def test_what_differs_from_the_undisturbed_campaign_is_named():
    calm = KeptCampaign({0: "a"}, {0: "ok"}, {0: [1]}, [0], {"0": "FINISHED"}, "1")
    assert list(different(calm, calm)) == []
    found = KeptCampaign({0: "b"}, {0: "ok", 1: "ok"}, {0: []}, [1], {"0": "RUNNING"})
    lines = list(different(found, calm))
    assert lines == [
        "asked of 0 differ: b instead of a",
        "records of 1 differ: ok instead of None",
        "jobs of 0 differ: [] instead of [1]",
        "runs of 0 differ: RUNNING instead of FINISHED",
        "another front: [1] instead of [0]",
        "other figures of the front",
    ]


def test_what_killed_drivers_leave_is_noticed(campaign, monkeypatch):
    calm = KeptCampaign({}, {}, {}, [], {})
    monkeypatch.setattr(kept, "kept_by", lambda _: calm)
    monkeypatch.setattr(kept, "damages_of", lambda *_: [])
    monkeypatch.setattr(kept, "stored_runs", lambda _: [])
    draft = campaign.results / campaign.name / "jobs/.trial=00000.parquet.1-00000000"
    draft.touch()
    found = list(kept.broken_at_the_end(campaign, calm))
    assert found == ["0 runs of 1 trials", f"left behind: {draft.relative_to(campaign.results)}"]


def test_crash_points_are_spread_over_all():
    points = [CrashPoint("results", number, "open") for number in range(10)]
    assert chosen(points, 10**9) == points
    assert [one.number for one in chosen(points, 4)] == [0, 2, 5, 7]


def test_a_step_is_counted_once_and_the_process_dies_before_it(tmp_path):
    def die_at(fatal):
        watched = tmp_path / str(fatal)
        watched.mkdir()
        counter = StepCounter(watched, tmp_path / f"steps-{fatal}", fatal=fatal)
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            counter.install()
            files.write_durably(watched / "a/b", "text")
            (tmp_path / "elsewhere").write_text("not counted")
            (watched / ".lock").touch()
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        return os.waitstatus_to_exitcode(status), counter.steps(), sorted(watched.rglob("*"))

    status, steps, found = die_at(None)
    assert status == 0
    # The folder, the flush of its entry; the draft, its flush, its new name, the flush of that.
    assert steps == ["mkdir", "fsync", "open", "fsync", "rename", "fsync"]
    assert [path.name for path in found] == [".lock", "a", "b"]
    status, steps, found = die_at(4)
    assert status == -signal.SIGKILL and steps == ["mkdir", "fsync", "open", "fsync"]
    assert len(found) == 2 and found[1].read_text() == "text" and found[1].name != "b"
