"""MLflow tracking on a real store: everything of a trial is there, once, whatever was
interrupted."""

import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from campaign.core.errors import CampaignError
from campaign.core.phases import TIMED
from campaign.core.provenance import Provenance
from campaign.images.bundles.manifest import ImageRecipe
from campaign.tracking import tables
from campaign.tracking.artifact_reader import ArtifactReader
from campaign.tracking.campaign_values import points_of
from campaign.tracking.mlflow_tracker import Tracker
from campaign.tracking.run_values import Artifacts, metrics_of, mlflow_name, parameters, tags_of
from campaign.tracking.store import DATABASE, open_store
from campaign.tracking.tracked import TrackedCampaign, TrackedWorkload
from campaign.tracking.trial_runs import ClientRuns
from tests.samples import COLD, GOLDEN_KEY, OBJECTIVES, PROVENANCE, campaign_samples, sample

FILES = {"slurm.conf": b"ClusterName=x\n", "logs/slurmctld.log": b"hello\n"}
FIXED = {"scheduler.params.bf_window": 1440, "scheduler.params.defer": False, "cluster.nodes": 2}
NAMES = (f"campaign-{number}" for number in count())


@pytest.fixture(scope="module")
def mlruns(tmp_path_factory):
    """One store for all tests, since making one takes a second; each test has a campaign of its
    own."""
    return tmp_path_factory.mktemp("store") / "mlruns"


@pytest.fixture
def name():
    return next(NAMES)


@pytest.fixture(params=["rows", "client"])
def tracker(mlruns, name, request, monkeypatch):
    """A tracker that writes rows, and one to whom MLflow's tables are unknown."""
    if request.param == "client":
        monkeypatch.setattr(tables, "are_known", lambda database: False)
    return tracker_of(mlruns, name)


MANIFESTS = {sample(0).record.provenance.image_hash: b'{"name": "slurm"}'}


def tracker_of(mlruns, name, **changes):
    return Tracker(
        mlruns, name, f"name: {name}\n", **{"fixed": FIXED, "manifests": MANIFESTS, **changes}
    )


def runs_of(mlruns, name, query=""):
    client = open_store(mlruns)
    experiment = client.get_experiment_by_name(name)
    return list(client.search_runs([experiment.experiment_id], query))


def artifacts_of(one):
    return Artifacts(one.jobs, FILES)


def logged(mlruns, name, tracker, record, *artifacts):
    """Log a trial, and return its run."""
    tracker.log(record, *artifacts)
    (run,) = runs_of(mlruns, name, f"tags.trial = '{record.number}' and tags.kind = 'trial'")
    return run


def folder(mlruns, run_id):
    return mlruns / open_store(mlruns).get_run(run_id).info.artifact_uri


def artifacts(mlruns, run_id):
    place = folder(mlruns, run_id)
    return {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}


def test_a_trial_is_logged_whole(mlruns, name, tracker):
    one = sample(1)
    run = logged(mlruns, name, tracker, one.record, artifacts_of(one))
    run_id = run.info.run_id
    assert run.info.status == "FINISHED"
    assert (run.info.start_time, run.info.end_time) == (
        int(one.record.started * 1000),
        int(one.record.ended * 1000),
    )
    assert PROVENANCE.items() <= run.data.tags.items()
    assert {"start": "golden", "golden_key": GOLDEN_KEY}.items() <= run.data.tags.items()
    assert {
        "trial": "1",
        "attempt": "1",
        "outcome": "ok",
        "host": "local",
    }.items() <= run.data.tags.items()
    assert run.data.tags["mlflow.parentRunId"] == tracker.start()
    assert run.data.params == {
        "cluster.nodes": "2",
        "bf_interval": "1",
        "SchedulerType": "sched/backfill",
        "defer": "true",
    }
    assert run.data.metrics == pytest.approx(metrics_of(one.record))
    assert {"awrt_s", "check.steal", "check.steal.ok"} <= set(run.data.metrics)
    assert {
        phase.metric for phase in TIMED if phase not in ("golden", "fallback", "simulated")
    } <= set(run.data.metrics)
    expected = {"jobs.parquet", "gantt.svg", "checks.json", "image/manifest.json", *FILES}
    assert artifacts(mlruns, run_id) == expected


def test_two_images_are_told_apart_by_their_bytes_and_by_their_recipes(mlruns, name, tracker):
    """The same recipe may give other bytes: each is a tag of its own."""
    recipe = ImageRecipe(
        id="/nix/store/x-image-slurm",
        derivation="/nix/store/y.drv",
        flake_rev="f" * 40,
        nixpkgs_rev="e" * 40,
    )
    images = [("a" * 64, recipe), ("b" * 64, recipe), ("b" * 64, ImageRecipe(id="debian:12"))]
    for number, (image, made_by) in enumerate(images):
        record = sample(number).record
        facts = {**record.provenance.facts, "image_hash": image, **made_by.tags}
        tracker.log(record.model_copy(update={"provenance": Provenance.of(facts)}))

    def found(query):
        return sorted(int(run.data.tags["trial"]) for run in runs_of(mlruns, name, query))

    assert found(f"tags.image_hash = '{'a' * 64}'") == [0]
    assert found(f"tags.image_hash = '{'b' * 64}'") == [1, 2]
    assert found("tags.image_recipe = '/nix/store/x-image-slurm'") == [0, 1]
    assert found("tags.image_recipe = 'debian:12'") == [2]
    assert found(f"tags.image_flake_rev = '{'f' * 40}' and tags.nixpkgs_rev = '{'e' * 40}'") == [
        0,
        1,
    ]


def test_a_failed_trial_is_a_failed_run_with_its_reason(mlruns, name, tracker):
    record = sample(1, outcome="stalled", reason="gang deadlock: 8 running, 345 pending").record
    run = logged(mlruns, name, tracker, record)
    assert run.info.status == "FAILED"
    assert run.data.tags["reason"].startswith("gang deadlock")


def test_where_the_time_of_a_spoilt_golden_cluster_went_is_logged(mlruns, name, tracker):
    first, spoilt = (
        logged(mlruns, name, tracker, sample(number).record).data for number in (0, COLD)
    )
    assert first.metrics["phase.golden_s"] == 52.0
    assert spoilt.metrics["phase.fallback_s"] == 2.5 and "phase.golden_s" not in spoilt.metrics
    assert spoilt.tags["start"] == "cold" and spoilt.tags["cold_because"].startswith(
        "golden cluster file n1.ram"
    )


def test_logging_twice_leaves_one_run(mlruns, name, tracker):
    one = sample(2)
    first = logged(mlruns, name, tracker, one.record, artifacts_of(one))
    for again in (tracker, tracker_of(mlruns, name)):
        run = logged(mlruns, name, again, one.record, artifacts_of(one))
        assert run.to_dictionary() == first.to_dictionary()


def test_a_half_logged_trial_is_completed(mlruns, name, tracker, monkeypatch):
    one = sample(3)
    parent = tracker.start()
    half = _left_half(tracker, one.record)
    resumed = tracker_of(mlruns, name)
    assert resumed.sync([one.record], lambda _: artifacts_of(one)) == 1
    (whole,) = runs_of(mlruns, name, "tags.kind = 'trial'")
    assert (whole.info.run_id, whole.info.status) == (half.info.run_id, "FINISHED")
    assert "jobs.parquet" in artifacts(mlruns, whole.info.run_id)
    history = open_store(mlruns).get_metric_history(whole.info.run_id, "awrt_s")
    assert len(history) == 1
    assert resumed.start() == parent


def _left_half(tracker, record):
    """The run of a trial whose writer was killed before it had any value."""
    by_client = ClientRuns(tracker._client, tracker._runs._place)
    return by_client._half(tracker._whole(record, Artifacts()))


def test_a_writer_that_is_killed_before_the_database_has_the_runs_leaves_none(
    mlruns, name, monkeypatch
):
    one = sample(3)
    tracker = tracker_of(mlruns, name)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(tables, "replace_metrics", killed)
        patch.setattr(tables, "_dataset_id", killed)
        patch.setattr(tables, "_number", killed)
        tracker.log(one.record, artifacts_of(one))
    assert runs_of(mlruns, name, "tags.kind = 'trial'") == []
    run = logged(mlruns, name, tracker_of(mlruns, name), one.record, artifacts_of(one))
    written = {path.name for path in (mlruns / "artifacts" / name).iterdir()}
    assert written == {run.info.run_id, tracker.start()}  # the same folder again


def test_two_runs_of_one_trial_become_one(mlruns, name, tracker):
    one = sample(4)
    tracker.start()
    for _ in range(2):
        first = _left_half(tracker, one.record).info.run_id
        tracker._client.set_tag(first, "trial", "none")
        last = _left_half(tracker, one.record).info.run_id
        tracker._client.set_tag(first, "trial", "4")
    tracker_of(mlruns, name).log(one.record, artifacts_of(one))
    runs = runs_of(mlruns, name, "tags.kind = 'trial'")
    assert [run.info.status for run in runs] == ["FINISHED"] and first != last


def test_sync_asks_for_artifacts_only_of_what_is_lacking(mlruns, name, tracker):
    samples = {number: sample(number) for number in range(4)}
    records = [one.record for one in samples.values()]
    tracker.log(records[0], artifacts_of(samples[0]))
    asked = []

    def artifacts(record):
        asked.append(record.number)
        return artifacts_of(samples[record.number])

    assert tracker.sync(records, artifacts) == 3
    assert asked == [1, 2, 3]
    assert tracker.sync(records, artifacts) == 0


@pytest.mark.parametrize("old", [False, True])
def test_files_that_a_power_cut_emptied_are_logged_again(mlruns, name, tracker, old):
    """SQLite's database is flushed by each transaction; the files beside it were not."""
    one = sample(0)
    client = open_store(mlruns)
    before = logged(mlruns, name, tracker, one.record, artifacts_of(one))
    run_id = before.info.run_id
    place = folder(mlruns, run_id)
    whole = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    if old:
        client.delete_tag(run_id, "artifact_bytes")
    assert tracker_of(mlruns, name).sync([one.record], lambda _: artifacts_of(one)) == 0
    for path in whole:
        path.write_bytes(b"")
    assert tracker_of(mlruns, name).sync([one.record], lambda _: artifacts_of(one)) == 1
    assert {path: path.read_bytes() for path in whole} == whole
    after = client.get_run(run_id)
    assert (after.info.status, after.info.end_time) == ("FINISHED", before.info.end_time)
    assert tracker_of(mlruns, name).sync([one.record], lambda _: artifacts_of(one)) == 0


def test_files_are_on_the_disk_before_their_run_is_complete(mlruns, name, tracker, monkeypatch):
    one = sample(0)
    flushed = []

    def flush(descriptor):
        place = Path(f"/proc/self/fd/{descriptor}").readlink()
        flushed.append(re.sub(r"^\.(.+)\.\d+-\w+$", r"\1", place.name))  # as drafts have it

    monkeypatch.setattr(os, "fsync", flush)
    insert = tables.insert

    def inserted(*arguments):
        assert {"slurm.conf", "slurmctld.log", "jobs.parquet", "gantt.svg"} <= set(flushed)
        insert(*arguments)

    monkeypatch.setattr(tables, "insert", inserted)
    terminate = type(tracker._client).set_terminated

    def terminated(client, run_id, *arguments, **options):
        inserted_by_client.append(run_id)
        assert {"slurm.conf", "slurmctld.log", "jobs.parquet", "gantt.svg"} <= set(flushed)
        terminate(client, run_id, *arguments, **options)

    inserted_by_client = []
    monkeypatch.setattr(type(tracker._client), "set_terminated", terminated)
    run = logged(mlruns, name, tracker, one.record, artifacts_of(one))
    by_client = isinstance(tracker._runs, ClientRuns)
    assert inserted_by_client == ([run.info.run_id] if by_client else [])


def test_the_report_is_on_the_disk_before_the_campaigns_run_is_complete(
    mlruns, name, tracker, monkeypatch, tmp_path
):
    """Without a moment, either, in which a complete run has an empty one."""
    report = tmp_path / "report.html"
    report.write_text("first")
    tracker.finish([], ended=1.0, artifacts=(report,))
    place = folder(mlruns, tracker.start())
    kept = place / "report.html"
    seen = []
    fsync = os.fsync

    def flush(descriptor):
        flushed = Path(f"/proc/self/fd/{descriptor}").readlink()
        seen.append((flushed.name, kept.read_text()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", flush)
    report.write_text("second")
    tracker_of(mlruns, name).finish([], ended=1.0, artifacts=(report,))
    of_drafts = {text for file, text in seen if "report.html" in file}
    assert of_drafts == {"first"} and (place.name, "second") in seen
    assert sorted(path.name for path in place.iterdir()) == [
        "campaign.yaml",
        "fixed_parameters.json",
        "image",
        "report.html",
    ]


def test_a_run_whose_writer_was_killed_and_that_nobody_completes_is_ended(mlruns, name, tracker):
    """Another attempt has taken the place of the one that was half-logged."""
    first = sample(0)
    left = _left_half(tracker, first.record).info.run_id
    second = sample(0, attempt=2)
    assert tracker.sync([second.record], lambda _: artifacts_of(second)) == 1
    runs = {run.data.tags["attempt"]: run for run in runs_of(mlruns, name, "tags.kind = 'trial'")}
    assert runs["1"].info.run_id == left and runs["1"].info.status == "KILLED"
    # Nobody knows when it ended; not today, at any rate.
    assert runs["1"].info.end_time == runs["1"].info.start_time == int(first.record.started * 1000)
    assert runs["2"].info.status == "FINISHED"


def test_a_store_whose_making_was_cut_off_can_be_opened(tmp_path, monkeypatch):
    from mlflow.store.db import utils

    with monkeypatch.context() as patched:
        # By then there are tables, and it is not noted of which version.
        patched.setattr(utils, "_upgrade_db", lambda engine: 1 / 0)
        with pytest.raises(CampaignError):
            open_store(tmp_path / "mlruns")
    assert not (tmp_path / "mlruns/mlflow.db").exists()
    assert open_store(tmp_path / "mlruns").search_experiments()
    assert {path.name for path in (tmp_path / "mlruns").iterdir()} == {".lock", "mlflow.db"}
    # Only the draft was left to the kernel.
    with open_store(tmp_path / "mlruns")._tracking_client.store.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


def test_another_attempt_is_another_run(mlruns, name, tracker):
    tracker.log(sample(1, outcome="infrastructure_failed").record)
    tracker.log(sample(1, attempt=2).record)
    outcomes = {
        run.data.tags["attempt"]: run.info.status
        for run in runs_of(mlruns, name, "tags.kind = 'trial'")
    }
    assert outcomes == {"1": "FAILED", "2": "FINISHED"}


def test_the_front_moves(mlruns, name, tracker):
    records = [sample(number).record for number in range(3)]
    tracker.sync(records, lambda _: Artifacts())
    tracker.finish(records[:2], ended=2000.0, complete=False)
    assert {run.data.tags["trial"] for run in runs_of(mlruns, name, "tags.front = 'true'")} == {
        "0",
        "1",
    }
    tracker.finish(records[1:], ended=3000.0)
    assert {run.data.tags["trial"] for run in runs_of(mlruns, name, "tags.front = 'true'")} == {
        "1",
        "2",
    }
    (parent,) = runs_of(mlruns, name, "tags.kind = 'campaign'")
    assert parent.info.status == "FINISHED" and parent.info.end_time == 3_000_000
    assert "campaign.yaml" in artifacts(mlruns, parent.info.run_id)


def test_the_campaigns_run_ends_when_it_ended_and_a_resume_reopens_it(mlruns, name, tracker):
    def state():
        (parent,) = runs_of(mlruns, name, "tags.kind = 'campaign'")
        return parent.info.status, parent.info.end_time

    tracker.start()
    assert state() == ("RUNNING", None)
    tracker.interrupt(1000.0)
    assert state() == ("KILLED", 1_000_000)
    later = tracker_of(mlruns, name)
    later.start()  # as `report` does
    assert state() == ("KILLED", 1_000_000)
    later.reopen()
    assert state()[0] == "RUNNING"
    for _ in range(2):
        later.finish([], ended=2000.0)
        assert state() == ("FINISHED", 2_000_000)


def test_a_new_campaign_of_the_same_name_has_runs_of_its_own(mlruns, name, tracker):
    tracker.log(sample(1).record)
    other = tracker_of(mlruns, name, identity="another")
    other.log(sample(1).record)
    assert len(runs_of(mlruns, name, "tags.kind = 'trial'")) == 2
    assert other.start() != tracker.start()


def test_files_stay_inside_their_run(mlruns, name, tracker):
    odd = Artifacts(files={"../../escaped": b"x", "/etc/absolute": b"y"})
    run = logged(mlruns, name, tracker, sample(1).record, odd)
    assert {"escaped", "etc/absolute"} <= artifacts(mlruns, run.info.run_id)


def test_long_text_fits_what_mlflow_takes(mlruns, name, tracker):
    record = sample(
        1, outcome="invalid", reason="x" * 20_000, provenance={"note": "y" * 9_000}
    ).record
    run = logged(mlruns, name, tracker, record)
    assert len(run.data.tags["reason"]) == len(tags_of(record)["reason"]) == 8000


def test_the_baselines_run_is_tagged_and_no_other():
    record = sample(0).record
    assert "baseline" not in tags_of(record)
    assert tags_of(record.model_copy(update={"baseline": True}))["baseline"] == "true"


def test_parameters_that_no_trial_varies_are_one_file_of_the_campaign(mlruns, name, tracker):
    run = logged(mlruns, name, tracker, sample(1).record)
    assert "bf_window" not in run.data.params
    file = folder(mlruns, tracker.start()) / "fixed_parameters.json"
    assert json.loads(file.read_text()) == FIXED


def test_what_is_no_database_is_a_clear_error(tmp_path):
    (tmp_path / "mlflow.db").write_bytes(
        b"not a database, and long enough to be taken for one" * 20
    )
    with pytest.raises(CampaignError, match=r"can't open the MLflow store .*mlflow\.db"):
        Tracker(tmp_path, "demo", "").start()


OPEN = """
import sys, pathlib
import campaign.tracking.mlflow_tracker
assert "mlflow" not in sys.modules
mlruns = pathlib.Path(sys.argv[1])
campaign.tracking.mlflow_tracker.Tracker(mlruns, "shared", "name: shared").start()
"""


@pytest.mark.timeout(
    300
)  # two Pythons import MLflow and make a database, on a machine that may be busy
def test_a_fresh_store_survives_two_processes_at_once_and_nothing_is_printed(tmp_path):
    folder = tmp_path / "mlruns"
    command = [sys.executable, "-c", OPEN, str(folder)]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    printed = [process.communicate(timeout=250)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], printed
    assert printed == ["", ""]
    assert len(runs_of(folder, "shared")) == 1


def test_of_several_that_write_to_a_store_one_does_at_a_time(tmp_path, monkeypatch):
    client = type(open_store(tmp_path))
    writing = []
    together = []

    def watched(write):
        def wrapped(*arguments, **options):
            writing.append(write)
            together.append(len(writing))
            time.sleep(0.05)  # so that another one would be seen
            try:
                return write(*arguments, **options)
            finally:
                writing.remove(write)

        return wrapped

    for name in ("create_run", "set_tag", "update_run", "log_batch", "set_terminated"):
        monkeypatch.setattr(client, name, watched(getattr(client, name)))
    monkeypatch.setattr(tables, "insert", watched(tables.insert))

    def campaign(_number):
        tracker = tracker_of(tmp_path, "shared")
        tracker.log(sample(1).record)
        tracker.finish([sample(1).record], ended=1.0)

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(campaign, range(3)))
    assert set(together) == {1}
    assert len(runs_of(tmp_path, "shared")) == 2


def test_a_trial_has_the_parameters_of_its_own_scheduler():
    point = {
        "scheduler.name": "flux",
        "scheduler.arms.flux.queue_depth": 8,
        "scheduler.arms.slurm.defer": False,
        "cluster.nodes": 2,
    }
    assert parameters(point) == {"scheduler": "flux", "cluster.nodes": "2", "flux.queue_depth": "8"}


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ("wait_mean_s", "wait_mean_s"),
        ("wait_mean_s[partition=gpu]", "wait_mean_s/partition:gpu"),
        ("wait_p95_s[width=>64]", "wait_p95_s/width:over 64"),
        ("w[qos=high,width=<=4].worst[partition]", "w/qos:high width:to 4.worst/partition"),
    ],
)
def test_metrics_of_classes_have_names_that_mlflow_takes(metric, name):
    assert mlflow_name(metric) == name


def test_metrics_of_classes_with_odd_names_stay_apart_and_are_taken():
    from mlflow.utils.validation import _validate_metric_name

    names = {mlflow_name(f"w[user={user}]") for user in ("a@b", "a/b", "a_b", "../x", "a;b")}
    assert len(names) == 5
    for name in names:
        _validate_metric_name(name)


def test_rows_are_what_mlflows_client_would_have_left(tmp_path, monkeypatch):
    """Of trials of all kinds: ended badly, attempted twice, without files, with odd numbers."""
    samples = campaign_samples(8)
    odd = {"inf": float("inf"), "minus_inf": float("-inf"), "nan": float("nan")}
    records = [one.record for one in samples]
    records[2] = records[2].model_copy(update={"metrics": {**records[2].metrics, **odd}})
    workload = TrackedWorkload("lublin", "f" * 64, 30, tmp_path / "workload.parquet")
    wanted = TrackedCampaign(OBJECTIVES, workload=workload, began=1000.0)
    left = []
    for known in (True, False):
        monkeypatch.setattr(tables, "are_known", lambda database, known=known: known)
        mlruns = tmp_path / str(known)
        tracker = tracker_of(mlruns, "same", wanted=wanted)
        tracker.sync(records, lambda _: Artifacts(None, FILES))
        tracker.plot(records)
        tracker.finish(records[:2], ended=2000.0)
        left.append(_rows(mlruns))
    assert left[0] == left[1]
    assert len(left[0]["runs"]) == 9 and len(left[0]["inputs"]) == 9


def _rows(mlruns):
    """All rows of the tables that are written to, with names in the place of drawn ids."""
    with closing(sqlite3.connect(mlruns / DATABASE)) as store:
        ids = dict(store.execute("SELECT run_uuid, name FROM runs"))
        ids.update(store.execute("SELECT dataset_uuid, name FROM datasets"))
        ids.update((row[0], "input") for row in store.execute("SELECT input_uuid FROM inputs"))

        def plain(value):
            found = re.sub("[0-9a-f-]{32,36}", lambda one: ids.get(one[0], one[0]), str(value))
            return found if isinstance(value, str) else value

        return {
            table: sorted(
                (tuple(map(plain, row)) for row in store.execute(f"SELECT * FROM {table}")),
                key=repr,
            )
            for table in tables.COLUMNS
        }


def test_tables_of_another_version_are_left_to_mlflows_client(tmp_path):
    tracker = tracker_of(tmp_path, "other")
    tracker.start()
    with closing(sqlite3.connect(tmp_path / DATABASE)) as store, store:
        assert tables.are_known(tmp_path / DATABASE)
        store.execute("ALTER TABLE runs ADD COLUMN colour TEXT")
    assert not tables.are_known(tmp_path / DATABASE)
    assert isinstance(tracker._runs, ClientRuns)


def test_a_trial_that_its_user_deleted_is_logged_again(mlruns, name):
    one = sample(1)
    deleted = logged(mlruns, name, tracker_of(mlruns, name), one.record)
    open_store(mlruns).delete_run(deleted.info.run_id)
    again = logged(mlruns, name, tracker_of(mlruns, name), one.record)
    assert again.info.run_id != deleted.info.run_id


def test_a_store_that_was_moved_shows_its_files(tmp_path, name):
    """Also one of an earlier version, with absolute paths."""
    one = sample(0)
    run = logged(tmp_path / "before", name, tracker_of(tmp_path / "before", name), one.record)
    assert run.info.artifact_uri == f"artifacts/{name}/{run.info.run_id}/artifacts"
    with closing(sqlite3.connect(tmp_path / "before" / DATABASE)) as store, store:
        here = f"{tmp_path}/before/"
        store.execute("UPDATE runs SET artifact_uri = ? || artifact_uri", (here,))
        store.execute(
            "UPDATE experiments SET artifact_location = ? || artifact_location "
            "WHERE experiment_id > 0",
            (here,),
        )
    (tmp_path / "before").rename(tmp_path / "after")
    client = open_store(tmp_path / "after")
    assert client.get_run(run.info.run_id).info.artifact_uri == run.info.artifact_uri
    assert "checks.json" in artifacts(tmp_path / "after", run.info.run_id)
    with ArtifactReader(tmp_path / "after").open_file(run.info.run_id, "checks.json") as file:
        assert b"clock_error" in file.read()
    tracker = tracker_of(tmp_path / "after", name)
    assert tracker.sync([one.record], lambda _: artifacts_of(one)) == 0
    assert not (tmp_path / "before").exists()


def test_simulated_trials_have_files_on_the_front_and_as_baseline_only(mlruns, name):
    samples = {number: sample(number, baseline=number == 0) for number in range(4)}
    records = [one.record for one in samples.values()]
    tracker = tracker_of(mlruns, name, testbed="simulation")

    def left(record):
        return artifacts_of(samples[record.number])

    tracker.sync(records, left)
    tracker.finish(records[2:3], ended=1.0, artifacts_of=left)
    trials = {run.data.tags["trial"]: run for run in runs_of(mlruns, name, "tags.kind = 'trial'")}
    files = {trial: artifacts(mlruns, run.info.run_id) for trial, run in trials.items()}
    assert files["1"] == files["3"] == set()
    assert (
        files["0"]
        == files["2"]
        == {"image/manifest.json", "checks.json", "gantt.svg", "jobs.parquet", *FILES}
    )
    again = tracker_of(mlruns, name, testbed="simulation")
    assert again.sync(records, left) == 0
    gantt = folder(mlruns, trials["2"].info.run_id) / "gantt.svg"
    gantt.write_bytes(b"")
    assert again.sync(records, left) == 1 and gantt.stat().st_size > 100


def test_a_campaigns_run_tells_how_its_front_grew(mlruns, name, tracker):
    records = [one.record for one in campaign_samples(10)]
    records[0] = records[0].model_copy(update={"baseline": True})
    own = tracker_of(mlruns, name, wanted=TrackedCampaign(OBJECTIVES, began=1000.0))
    # A resumed campaign measures its hypervolume in another box.
    own.plot(records[:6])
    own.plot(records)
    run = open_store(mlruns).get_run(own.start())
    assert run.info.start_time == 1_000_000
    last = run.data.metrics
    assert last["awrt_s"] == min(one.metrics["awrt_s"] for one in records if one.valid)
    assert last["baseline.node_hours"] == records[0].metrics["node_hours"]
    assert last["front_size"] >= 1 and 0 < last["hypervolume"] <= 1
    history = open_store(mlruns).get_metric_history(own.start(), "hypervolume")
    steps = [one.step for one in history]
    assert len(steps) == len(set(steps)) and steps[-1] == 9
    if not isinstance(own._runs, ClientRuns):  # which can't replace what is there
        wanted = [
            one.value for one in points_of(records, OBJECTIVES, {}) if one.name == "hypervolume"
        ]
        assert [one.value for one in history] == wanted == sorted(wanted)


def test_pages_open_as_a_sorted_table_of_what_matters(mlruns, name):
    searched = ("cluster.nodes", "scheduler.params.bf_interval")
    wanted = TrackedCampaign({"utilisation": "maximize", "awrt_s": "minimize"}, searched=searched)
    tracker_of(mlruns, name, wanted=wanted).start()
    experiment = open_store(mlruns).get_experiment_by_name(name)
    state = json.loads(experiment.tags["mlflow.sharedViewState.campaign"])
    assert state["orderByKey"] == "metrics.`utilisation`" and state["orderByAsc"] is False
    assert {
        "metrics.`awrt_s`",
        "params.`cluster.nodes`",
        "params.`bf_interval`",
        "tags.`fidelity`",
    } <= set(state["selectedColumns"])
