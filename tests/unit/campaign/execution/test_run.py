"""A whole campaign through `run`: what it computes once, and what it leaves."""

import json
import os
import sys
from collections import Counter
from html import escape
from pathlib import Path

import pytest
import yaml

from campaign.analysis.fairness import manifest
from campaign.cli.dry_run import forecast
from campaign.config.compose import compose
from campaign.config.yaml_text import campaign_yaml
from campaign.core.errors import (
    CampaignError,
    GaveUpError,
    LedgerError,
    StorageError,
    TrackingError,
)
from campaign.core.exits import MLFLOW_INCOMPLETE
from campaign.execution.decisions import AllSettled
from campaign.execution.executor import Executor
from campaign.execution.report_again import report_again
from campaign.execution.run import run
from campaign.report.times import cost_of
from campaign.tracking.worker import MlflowWorker
from campaign.workloads import load
from search.pareto import front
from tests.fakes.tracker import FakeTracker

ONCE = {one.__code__: one.__name__ for one in (front, cost_of, manifest, campaign_yaml)}


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Overrides of a small campaign in simulation, without MLflow's slow store."""
    monkeypatch.setattr(
        "campaign.execution.run.tracker_for", lambda *_: FakeTracker(tmp_path / "told")
    )
    return [
        "testbed=simulation",
        "search.holdout=0",
        "workload.jobs=5",
        "search.trials=2",
        f"output.results={tmp_path}/r",
        f"output.mlruns={tmp_path}/m",
        "output.log=plain",
    ]


def test_what_a_campaign_ended_with_is_computed_once(settings):
    calls = Counter()

    def count(frame, event, _):
        if event == "call" and frame.f_code in ONCE:
            calls[ONCE[frame.f_code]] += 1

    composed = compose([*settings, "scheduler=slurm-flux"])
    sys.setprofile(count)
    try:
        run(composed)
    finally:
        sys.setprofile(None)
    assert calls == dict.fromkeys(ONCE.values(), 1)


def test_what_was_done_to_the_workload_is_said_before_the_first_trial_and_in_the_report(
    settings, tmp_path, capsys
):
    trace = Path(__file__).parents[1] / "workloads" / "cases" / "swf-wide-and-many.swf"
    given = [each for each in settings if not each.startswith("workload.jobs")] + [
        "workload=swf",
        f"workload.path={trace}",
        "cluster.nodes=[64,256]",
        "cluster.slots_per_node=1",
    ]
    workload = load(compose(given).campaign.workload, slots=64)
    assert len(workload) == 120
    assert forecast(compose(given)) == 0
    forecasted = capsys.readouterr().out
    run(compose(given))
    said = [line["message"] for line in logged(tmp_path)]
    first = next(place for place, text in enumerate(said) if text.startswith("trial 0"))
    page = (tmp_path / "r/demo-simulation/report.html").read_text()
    assert any("jobs cut to the widest allowed" in sentence for sentence in workload.sentences)
    for sentence in workload.sentences:
        assert f"workload: {sentence}" in said[:first]
        assert sentence in forecasted
        assert str(escape(sentence)) in page


def logged(tmp_path):
    lines = (tmp_path / "r/demo-simulation/logs/driver.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_the_driver_keeps_its_log_also_over_a_resume(settings, tmp_path, capsys):
    run(compose([*settings, "search.trials=1"]))
    first = logged(tmp_path)
    run(compose([*settings, "search.trials=2"]))
    whole = logged(tmp_path)
    assert whole[: len(first)] == first
    assert {record["campaign"] for record in whole} == {"demo-simulation"}
    finished = [record for record in whole if record.get("event") == "finished"]
    assert [record["trial"] for record in finished] == [0, 1]
    assert finished[0]["record"]["outcome"] == "ok"
    assert any(record["message"].startswith("resuming: 1 of 2") for record in whole)
    shown = capsys.readouterr().err
    assert "trial 1 ok" in shown and "campaign demo-simulation: done" not in shown


def test_details_are_shown_on_request(settings, capsys):
    run(compose(settings), verbose=True)
    assert "campaign demo-simulation: done after" in capsys.readouterr().err


def test_the_log_says_how_a_driver_ended(settings, tmp_path, monkeypatch):
    def fail(*_):
        raise CampaignError("the disk is full")

    monkeypatch.setattr("campaign.execution.run.workloads_for", fail)
    with pytest.raises(CampaignError):
        run(compose(settings))
    assert logged(tmp_path)[-1]["message"].startswith("campaign demo-simulation: failed")


def test_another_campaign_of_the_name_logs_nothing_here(settings, tmp_path):
    run(compose(settings))
    before = logged(tmp_path)
    with pytest.raises(LedgerError):
        run(compose([*settings, "workload.jobs=6"]))
    assert logged(tmp_path) == before


def test_a_campaign_runs_where_no_log_can_be_kept(settings, tmp_path, capsys):
    folder = tmp_path / "r/demo-simulation"
    folder.mkdir(parents=True)
    (folder / "logs").write_text("in the way")
    assert run(compose(settings)) == 0
    assert "so there is no log: File exists" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["report.html", "campaign.yaml"])
def test_a_file_that_cannot_be_written_is_named(settings, tmp_path, name):
    (tmp_path / "r/demo-simulation" / name).mkdir(parents=True)
    with pytest.raises(StorageError, match=f"{name} can't be written: Is a directory"):
        run(compose(settings))


def test_an_error_on_its_way_is_not_replaced_by_one_of_the_report(
    settings, tmp_path, monkeypatch, capsys
):
    (tmp_path / "r/demo-simulation/report.html").mkdir(parents=True)

    def carry_out(executor):
        list(map(executor._carry_out, iter(executor._decide, AllSettled())))
        raise GaveUpError("gave up")

    monkeypatch.setattr(Executor, "run", carry_out)
    with pytest.raises(GaveUpError, match="gave up"):
        run(compose([*settings, "search.trials=1"]))
    assert "the report is not up to date" in capsys.readouterr().err


def test_a_resume_writes_the_configuration_that_a_power_cut_emptied(settings, tmp_path):
    path = tmp_path / "r/demo-simulation/campaign.yaml"
    run(compose([*settings, "search.trials=1"]))
    before = path.read_text()
    path.write_bytes(b"")
    run(compose([*settings, "search.trials=1"]))
    assert path.read_text() == before
    run(compose([*settings, "search.trials=2"]))
    assert yaml.safe_load(path.read_text())["search"]["trials"] == 2


def test_neither_a_resume_nor_a_report_takes_a_damaged_table_at_face_value(settings, tmp_path):
    run(compose([*settings, "search.trials=1"]))
    path = tmp_path / "r/demo-simulation/jobs/trial=00000.parquet"
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    with pytest.raises(LedgerError, match="1 file is not what the ledger says"):
        run(compose([*settings, "search.trials=2"]))
    with pytest.raises(LedgerError, match="1 file is not what the ledger says"):
        report_again(tmp_path / "r", "demo-simulation")


def test_nothing_begins_between_results_of_a_ledger_that_is_gone(settings, tmp_path):
    run(compose([*settings, "search.trials=1"]))
    (tmp_path / "r/demo-simulation/ledger.jsonl").unlink()
    with pytest.raises(LedgerError, match="no campaign in its ledger"):
        run(compose([*settings, "search.seed=5"]))


def test_an_incomplete_mlflow_is_an_exit_status_until_report_completes_it(
    settings, tmp_path, monkeypatch, capsys
):
    def fail(self, front):
        raise TrackingError("it made no progress for 120 s")

    again = FakeTracker(tmp_path / "again")
    monkeypatch.setattr("campaign.execution.report_again.tracker_for", lambda *_: again)
    monkeypatch.setattr(MlflowWorker, "finish", fail)
    assert run(compose(settings)) == MLFLOW_INCOMPLETE == 3
    said = capsys.readouterr().err
    assert "it made no progress for 120 s; `hpc-campaign report demo-simulation" in said
    assert report_again(tmp_path / "r", "demo-simulation") == 0
    assert again.told("finish")


def test_a_tilde_is_the_home_and_old_drafts_go_when_a_campaign_starts(
    settings, tmp_path, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "home/mine/demo-simulation"
    folder.mkdir(parents=True)
    draft = folder / ".report.html.77-0123abcd"
    draft.write_bytes(b"half of a report")
    os.utime(draft, (0, 0))
    assert run(compose([*settings, "output.results=~/mine"])) == 0
    assert (folder / "ledger.jsonl").is_file() and not draft.exists()
    assert not (tmp_path / "~").exists()
