"""MLflow beside a running campaign, in a process of its own: it follows, its failures stop nothing
and are told."""

import logging
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from campaign.config.compose import compose
from campaign.core.errors import CampaignError
from campaign.core.log import PHASE
from campaign.core.trials import Evaluation, Replicate
from campaign.execution import summary
from campaign.records.history import History
from campaign.records.ledger import Ledger, read
from campaign.records.results import Results
from campaign.tracking import worker
from campaign.tracking.worker import MlflowWorker, artifacts_of, bring_up_to_date, first_line
from tests.fakes.tracker import FakeTracker
from tests.samples import campaign_samples, sample


@pytest.fixture
def composed(tmp_path):
    return compose([f"output.results={tmp_path}/results", f"output.mlruns={tmp_path}/mlruns"])


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path / "results", "demo")


@pytest.fixture
def tracker(tmp_path):
    return FakeTracker(tmp_path / "told.jsonl")


def history_of(samples):
    return History(records={one.record.replicate: [one.record] for one in samples})


@pytest.fixture
def follow(caplog):
    """Follows a campaign that judges `samples`; returns the messages that were logged."""

    def messages(*arguments, **options):
        caplog.clear()
        _follow(*arguments, **options)
        return caplog.messages

    return messages


def _follow(tracker, results, samples, earlier=(), finish=False):
    with MlflowWorker(tracker, results, history_of(earlier), lambda: 4) as follower:
        for one in samples:
            follower.finished(
                one.record, Evaluation("ok", jobs=one.jobs, files={"log": b"x"}), settled=True
            )
        if finish:
            follower.finish([one.record for one in samples])


def test_a_ctrl_c_does_not_reach_its_process_from_the_first_moment(tracker, results):
    """A terminal gives it to all processes, also to one that can't have said yet it wants none."""
    interrupt = 1 << (signal.SIGINT - 1)

    def blocked(pid):
        status = Path(f"/proc/{pid}/status").read_text()
        return int(re.search(r"SigBlk:\s*(\w+)", status)[1], 16) & interrupt

    with MlflowWorker(tracker, results, history_of([]), lambda: 4) as follower:
        assert blocked(follower._process.pid)
        assert not blocked(os.getpid())
        follower.finish([])


def test_each_judged_trial_is_logged_elsewhere_after_what_was_left_out(follow, tracker, results):
    before = sample(0)
    now = [sample(1), sample(2)]
    results.keep(before.record, Evaluation("ok", jobs=before.jobs, files={"log": b"0"}))
    assert follow(tracker, results, now, [before]) == []
    told = [(one["step"], one.get("trial"), one.get("files")) for one in tracker.told()]
    assert told == [
        ("start", None, None),
        ("reopen", None, None),
        ("sync", 0, ["log"]),
        ("log", 1, ["log"]),
        ("log", 2, ["log"]),
        ("interrupt", None, None),
    ]
    assert tracker.told("interrupt")[0]["ended"] == before.record.ended
    assert [one["jobs"] for one in tracker.told("log")] == [one.jobs.num_rows for one in now]
    assert os.getpid() not in {one["pid"] for one in tracker.told()}


def test_the_end_logs_what_is_missing_and_closes_the_campaigns_run(follow, tracker, results):
    assert follow(tracker, results, [sample(1)], [sample(0)], finish=True) == []
    (finish,) = tracker.told("finish")
    assert (finish["front"], finish["complete"]) == (1, False)  # one of four is there
    assert finish["ended"] == sample(0).record.ended and not tracker.told("interrupt")
    assert [one["trial"] for one in tracker.told("sync")] == [
        0,
        0,
    ]  # asked about again; it knows what it has


def test_it_is_shown_that_the_driver_lives_until_all_is_logged(tracker, results):
    with MlflowWorker(tracker, results, history_of([]), lambda: 4):
        assert tracker.driven and not tracker.told("interrupt")
    assert not tracker.driven and tracker.told("interrupt")


@pytest.mark.parametrize("broken", ["start", "sync", "log"])
def test_a_failure_stops_nothing_and_is_told_at_the_end(follow, tracker, results, broken):
    tracker.broken = broken
    said = follow(tracker, results, [sample(1), sample(2)], [sample(0)])
    assert said == [f"MLflow is not up to date: {broken}: database is locked"]


@pytest.mark.parametrize("step", ["start", "log", "finish"])
def test_a_failure_or_death_comes_out_of_the_end(follow, tracker, results, step):
    for kind, message in (("broken", "database is locked"), ("dies", "its process ended")):
        setattr(tracker, kind, step)
        with pytest.raises(CampaignError, match=message):
            follow(tracker, results, [sample(1)], finish=True)
        setattr(tracker, kind, "")


def test_a_busy_mlflow_is_not_waited_for_without_end(follow, tracker, results, monkeypatch):
    tracker.hangs = "start"
    monkeypatch.setattr(worker, "STALLED_S", 0.5)
    (said,) = follow(tracker, results, [sample(1)])
    assert said == "MLflow is not up to date: it made no progress for 0.5 s"


@pytest.fixture
def at_info(caplog):
    caplog.set_level(logging.INFO)


@pytest.mark.usefixtures("at_info")
def test_a_slow_mlflow_is_waited_for_as_long_as_it_moves(
    follow, tracker, results, monkeypatch, caplog
):
    tracker.takes_s = 0.4
    monkeypatch.setattr(worker, "STALLED_S", 6.0)  # its process takes seconds to start
    monkeypatch.setattr(worker, "TOLD_EVERY_S", 0.5)
    monkeypatch.setattr(worker, "TOLD_FIRST_S", 0.1)
    trials = [sample(number) for number in range(20)]
    said = follow(tracker, results, trials, finish=True)
    assert len(tracker.told("log")) == 20 and tracker.told("finish")
    left = [int(re.match(r"MLflow: (\d+) runs? (?:is|are) left to log", one)[1]) for one in said]
    # On a terminal the next one replaces it.
    assert {record.event for record in caplog.records} == {PHASE}
    assert len(left) > 3 and left[0] > left[-1] and left == sorted(left, reverse=True)


@pytest.mark.usefixtures("at_info")
def test_an_interrupted_campaign_closes_its_run_and_leaves_the_rest(tracker, results, caplog):
    tracker.takes_s = 0.3
    large = Evaluation("ok", jobs=sample(0).jobs, files={"log": b"x" * 1_000_000})
    with (
        pytest.raises(KeyboardInterrupt),
        MlflowWorker(tracker, results, history_of([sample(0)]), lambda: 50) as follower,
    ):
        for number in range(1, 50):
            follower.finished(sample(number).record, large, settled=True)
        raise KeyboardInterrupt
    steps = [one["step"] for one in tracker.told()]
    assert steps[-1] == "interrupt" and steps.count("log") < 20
    assert "not logged to MLflow yet; the next start logs them" in caplog.text


def test_it_dies_with_its_driver(tmp_path):
    driver = (
        "import os, pathlib, time\n"
        "from campaign.tracking.worker import MlflowWorker\n"
        "from campaign.records.history import History\n"
        "from campaign.records.results import Results\n"
        "from tests.fakes.tracker import FakeTracker\n"
        "folder = pathlib.Path(os.environ['FOLDER'])\n"
        "if __name__ == '__main__':\n"
        "    tracker = FakeTracker(folder / 'told', hangs='sync')\n"
        "    history = History()\n"
        "    follower = MlflowWorker(tracker, Results(folder, 'x'), history, lambda: 1)"
        ".__enter__()\n"
        "    while not tracker.told('start'): time.sleep(0.05)\n"
        "    print(follower._process.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    script = tmp_path / "driver.py"
    script.write_text(driver)
    environment = {**os.environ, "FOLDER": str(tmp_path), "PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        follower = int(process.stdout.readline())
        process.kill()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{follower}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{follower}").exists()


@pytest.fixture
def conclude(caplog):
    """Concludes a campaign of ten trials; returns the messages that were logged."""
    caplog.set_level(logging.INFO)

    def messages(*arguments):
        _conclude(*arguments)
        return "\n".join(caplog.messages)

    return messages


def _conclude(composed, results, track=lambda points: None):
    samples = campaign_samples(10)
    for one in samples:
        results.keep(one.record, Evaluation("ok", jobs=one.jobs))
    history = history_of(samples)
    facts = summary.facts_of(composed, results, history)
    result = summary.result_of(facts, composed.schedulers, history, results.ledger_path)
    mlruns = Path(composed.campaign.output.mlruns)
    summary.conclude(result, results, mlruns, track=track)


def test_the_end_brings_report_and_mlflow_up_to_date(conclude, composed, results, capsys):
    fronts = []
    said = conclude(composed, results, fronts.append)
    assert (
        results.report_path.is_file() and str(results.report_path) in said and "mlflow.db" in said
    )
    assert len(fronts) == 1 and 0 < len(fronts[0]) < 10
    assert "Pareto front:" in capsys.readouterr().out
    assert re.search(
        r"^time     \d.* min: \d+ % workload .*\nclusters 9 restored, 1 booted \(1 because ", said
    )


def test_the_report_knows_of_attempts_and_resumes(composed, results):
    first = sample(1, outcome="invalid").record
    last = sample(1, attempt=2).record
    other = sample(2).record
    with Ledger(results.ledger_path) as ledger:
        ledger.append("started", trial=1, attempt=1)
        for _ in range(2):
            ledger.append("resumed")
    history = History(records={Replicate(1): [first, last], Replicate(2): [other]})
    known = summary.facts_of(composed, results, history)
    facts = summary.result_of(known, composed.schedulers, history, results.ledger_path).facts
    assert facts.earlier == (first,)
    assert facts.resumed == tuple(
        event["time"] for event in read(results.ledger_path) if event["event"] == "resumed"
    )
    assert len(facts.resumed) == 2


def test_the_end_survives_a_broken_mlflow_and_says_so(conclude, composed, results, capsys):
    def log(points):
        raise RuntimeError("database is locked\nSELECT ...")

    said = conclude(composed, results, log)
    assert "is not up to date: database is locked" in said
    assert f"`hpc-campaign report demo --results {results.folder.parent}` completes it" in said
    assert results.report_path.is_file() and "Pareto front:" in capsys.readouterr().out


def test_artifacts_are_what_a_trial_left(results):
    one = sample(1)
    results.keep(one.record, Evaluation("ok", jobs=one.jobs, files={"a/b": b"1"}))
    assert artifacts_of(results, one.record).files == {"a/b": b"1"}
    assert artifacts_of(results, one.record).jobs.num_rows == one.jobs.num_rows
    (results.jobs_folder / "trial=00001.parquet").write_bytes(b"torn")
    assert artifacts_of(results, one.record).jobs is None


def test_a_report_leaves_a_running_campaigns_run_to_its_driver(tracker, results):
    records = [sample(1).record]
    for running, steps in ((True, ["start", "sync"]), (False, ["start", "sync", "finish"])):
        tracker.file.unlink(missing_ok=True)
        bring_up_to_date(tracker, results, records, records, 4, running=running)
        assert [one["step"] for one in tracker.told()] == steps


def test_an_error_is_told_on_one_line():
    assert first_line(ValueError("a\nb")) == "a" and first_line(ValueError()) == "ValueError"
