"""A real campaign from the command line, killed in mid-trial and taken up again: what it finds,
keeps and leaves, and what another user of the machine sees of it."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from campaign.records.ledger import history_of, read
from tests.conftest import CANNOT_RUN_HERE
from tests.system.conftest import ROOT, Workplace
from tests.system.driver import Driver
from tests.system.snooping import look

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1200)]

SETTINGS = (
    "name=ci",
    "cluster.nodes=[2,3]",
    "cluster.slots_per_node=2",
    "workload.jobs=10",
    "workload.duration_s=6",
    "search.trials=3",
    "scheduler.params.bf_interval=[1,30]",
    "validity.max_native_gap_s=10",  # several emulated nodes on a busy machine
    "validity.max_submit_lag_s=15",
)


@pytest.fixture(scope="module")
def place(image_store, bundle):
    """A workplace whose folder everybody may enter, as a home folder often is; pytest's own are
    closed."""
    folder = Path(tempfile.mkdtemp(prefix="ct-campaign-", dir="/tmp"))
    folder.chmod(0o755)
    workplace = Workplace(folder, image_store)
    yield workplace
    workplace.clear()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def looks():
    """What another user saw while the golden cluster booted, while a trial ran, and afterwards."""
    return []


@pytest.fixture(scope="module")
def killed(place, looks):
    """The campaign, its driver killed while its second trial runs jobs; yields the nodes that
    outlived it."""
    driver = Driver(place.command(*SETTINGS))
    for moment in ("golden cluster: booting", "trial 0 replaying") if os.geteuid() == 0 else ():
        driver.until(lambda said, moment=moment: any(moment in line for line in said), seconds=600)
        looks.append(look(place, driver.process))
    driver.until(
        lambda said: re.search(r"trial 1 replaying .* jobs done", "".join(said)), seconds=900
    )
    driver.kill()
    return place.nodes()


@pytest.fixture(scope="module")
def resumed(place, killed):
    """The same command again."""
    return place.search(*SETTINGS)


def events(place):
    return list(read(place.results / "ci" / "ledger.jsonl"))


def test_the_killed_driver_left_nodes_behind(killed):
    assert killed, "nothing was running when the driver was killed: the test tests nothing"


def test_the_same_command_ends_the_campaign(resumed):
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming: 1 of 3 trials are done" in resumed.stderr
    assert "Pareto front" in resumed.stdout


def test_another_user_reads_no_secret_and_reaches_no_libvirt(place, looks, resumed):
    if os.geteuid() != 0:
        pytest.skip(
            f"{CANNOT_RUN_HERE}: only root can be another user for a moment; run it as root"
        )
    afterwards = look(place)
    secrets = {name: lines for one in looks for name, lines in one.secrets.items()}
    assert "Ray's token" in secrets and all(
        any(kind in name for name in secrets) for kind in ("golden", "tmpfiles")
    )
    for one in (*looks, afterwards):
        assert one.leaks(secrets) == [] and b"PRIVATE KEY" not in one.seen
    # It saw what anybody may see, so it did look.
    assert all(b"ledger.jsonl" in one.seen for one in looks)
    assert b"qemu-system" in looks[0].seen and b"report.html" in afterwards.seen


def test_nothing_is_left_of_either_driver(place, resumed):
    assert place.leftovers() == []


def test_no_finished_trial_was_run_again_and_none_is_lost(place, resumed):
    finished_before_resume = True
    settled = set()
    started_after = []
    for event in events(place):
        if event["event"] == "resumed":
            finished_before_resume = False
        elif (
            event["event"] == "finished"
            and finished_before_resume
            and event["record"]["outcome"] == "ok"
        ):
            settled.add(event["trial"])
        elif event["event"] == "started" and not finished_before_resume:
            started_after.append(event["trial"])
    assert settled
    assert not settled & set(started_after)
    records = history_of(place.results / "ci" / "ledger.jsonl").final()
    assert [record.number for record in records] == [0, 1, 2]
    assert all(record.valid for record in records), [record.reason for record in records]


def test_every_job_ran_on_all_its_nodes(place, resumed):
    jobs = pq.read_table(place.results / "ci" / "jobs").to_pylist()
    assert {job["trial"] for job in jobs} == {0, 1, 2}
    assert all(len(job["nodes"]) == job["nodes_requested"] for job in jobs)
    assert any(len(job["nodes"]) > 1 for job in jobs), "no job was wider than a node"
    assert all(job["native_state"] == "COMPLETED" and job["exit_code"] == 0 for job in jobs)


def test_every_trial_replayed_the_same_jobs(place, resumed):
    jobs = pq.read_table(place.results / "ci" / "jobs").to_pylist()
    by_trial = {}
    for job in jobs:
        by_trial.setdefault(job["trial"], []).append(
            (job["job_id"], job["arrival_s"], job["width"], job["runtime_s"])
        )
    assert by_trial[0] == by_trial[1] == by_trial[2]


def test_the_configuration_that_ran_is_kept(place, resumed):
    for record in history_of(place.results / "ci" / "ledger.jsonl").final():
        folder = place.results / "ci" / "trials" / f"{record.number:05d}"
        conf = (folder / "config/head/etc/slurm/slurm.conf").read_text()
        # It isn't searched where nothing is backfilled: then it has its default.
        interval = record.point.get("scheduler.params.bf_interval", 30)
        assert f"bf_interval={interval}" in conf
        assert not any(
            b"PRIVATE KEY" in path.read_bytes() for path in folder.rglob("*") if path.is_file()
        )


def test_mlflow_has_each_trial_once_with_its_provenance(place, resumed, bundle):
    from campaign.tracking.store import open_store

    client = open_store(place.mlruns)
    experiment = client.get_experiment_by_name("ci")
    runs = client.search_runs(
        [experiment.experiment_id], f"tags.image_hash = '{bundle.hash}' and tags.outcome = 'ok'"
    )
    assert sorted(run.data.tags["trial"] for run in runs) == ["0", "1", "2"]
    for run in runs:
        wanted = {
            "scheduler",
            "scheduler_version",
            "acceleration",
            "kernel",
            "qemu",
            "libvirt",
            "git_commit",
            "host",
        }
        assert wanted <= run.data.tags.keys()
        assert {"phase.reachable_s", "phase.ready_s", "phase.workload_s"} <= run.data.metrics.keys()
        assert (place.mlruns / run.info.artifact_uri / "jobs.parquet").is_file()


def test_a_finished_campaign_says_so_and_starts_nothing(place, resumed):
    again = place.search(*SETTINGS, timeout=120)
    assert again.returncode == 0
    assert "all 3 trials are done already" in again.stderr
    assert place.leftovers() == []


def test_other_settings_under_the_same_name_are_refused(place, resumed):
    other = place.search(*SETTINGS, "cluster.memory_mib=600", timeout=60)
    assert other.returncode == 2
    assert "cluster.memory_mib: 512 -> 600" in other.stderr


def test_report_can_be_made_again_from_the_ledger(place, resumed):
    report = place.results / "ci" / "report.html"
    before = report.stat().st_mtime_ns
    report.unlink()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [
        place.command()[0],
        "-m",
        "campaign",
        "report",
        "ci",
        "--results",
        str(place.results),
    ]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert report.stat().st_mtime_ns > before
