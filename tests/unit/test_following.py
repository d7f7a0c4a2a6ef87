"""MLflow beside a running campaign: it follows, its failures stop nothing, and they are told."""

import re

import pytest

from campaign import following, summary
from campaign.compose import compose
from campaign.following import MlflowFollower, evidence_of, first_line
from campaign.ledger import History, Ledger, read
from campaign.results import Results
from campaign.trials import Evaluation
from campaign.workloads import load
from tests.unit.sample import campaign_samples, sample


class FakeTracker:
    """Keeps what is logged; fails at the step named by `broken`."""

    def __init__(self, broken=""):
        self.broken, self.logged, self.synced, self.finished = broken, [], [], None

    def _may(self, step):
        if step == self.broken:
            raise RuntimeError(f"{step}: database is locked\nSELECT ...")

    def start(self):
        self._may("start")

    def sync(self, records, evidence):
        self._may("sync")
        self.synced += [(record.number, evidence(record)) for record in records]

    def log(self, record, evidence):
        self._may("log")
        self.logged.append((record.number, evidence))

    def finish(self, points, *, complete, report):
        self._may("finish")
        self.finished = (len(points), complete, report)


@pytest.fixture
def composed(tmp_path):
    return compose([f"output.results={tmp_path}/results", f"output.mlruns={tmp_path}/mlruns"])


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path / "results", "demo")


@pytest.fixture
def tracker(monkeypatch):
    """Puts a fake tracker in the place of MLflow's."""

    def install(broken=""):
        fake = FakeTracker(broken)
        for module in (following, summary):
            monkeypatch.setattr(module, "tracker_for", lambda *_: fake)
        return fake

    return install


def history_of(samples):
    return History(records={one.record.number: [one.record] for one in samples})


def follow(composed, results, samples, earlier=()):
    """Follow a campaign that judges `samples`; returns what was said."""
    said = []
    with MlflowFollower(composed, results, history_of(earlier), said.append) as follower:
        for one in samples:
            follower.finished(one.record, Evaluation("ok", jobs=one.jobs, files={"log": b"x"}), settled=True)
    return said


def test_each_judged_trial_is_logged_after_what_was_left_out(composed, results, tracker):
    fake, before, now = tracker(), sample(0), [sample(1), sample(2)]
    results.keep(before.record, Evaluation("ok", jobs=before.jobs, files={"log": b"0"}))
    assert follow(composed, results, now, [before]) == []
    assert [number for number, _ in fake.synced] == [0] and fake.synced[0][1].files == {"log": b"0"}
    assert [number for number, _ in fake.logged] == [1, 2]
    assert fake.logged[0][1].jobs is now[0].jobs and fake.logged[0][1].files == {"log": b"x"}


@pytest.mark.parametrize("broken", ["start", "sync", "log"])
def test_a_failure_stops_nothing_and_is_told_at_the_end(composed, results, tracker, broken):
    tracker(broken)
    assert follow(composed, results, [sample(1), sample(2)]) == [
        f"MLflow could not follow this campaign: {broken}: database is locked"
    ]


def test_a_busy_mlflow_is_not_waited_for_without_end(composed, results, tracker, monkeypatch):
    from threading import Event

    held = Event()
    fake = tracker()
    monkeypatch.setattr(fake, "start", lambda: held.wait(20))
    monkeypatch.setattr(following, "JOIN_S", 0.05)
    (said,) = follow(composed, results, [sample(1)])
    held.set()
    assert "still busy" in said


def conclude(composed, results):
    said, samples = [], campaign_samples(10)
    for one in samples:
        results.keep(one.record, Evaluation("ok", jobs=one.jobs))
    workload = load(composed.campaign.workload, slots=4)
    summary.conclude(composed, results, history_of(samples), workload, said.append)
    return "\n".join(said)


def test_the_end_brings_report_and_mlflow_up_to_date(composed, results, tracker, capsys):
    fake = tracker()
    said = conclude(composed, results)
    assert results.report_path.is_file() and str(results.report_path) in said and "mlflow.db" in said
    assert len(fake.synced) == 10 and fake.finished == (fake.finished[0], True, results.report_path)
    assert "Pareto front:" in capsys.readouterr().out
    assert re.search(r"^time     \d.* min: \d+ % workload .*\nclusters 9 restored, 1 booted \(1 because ", said)


def test_the_report_knows_of_attempts_and_resumes(composed, results):
    first, last, other = sample(1, outcome="invalid").record, sample(1, attempt=2).record, sample(2).record
    with Ledger(results.ledger_path) as ledger:
        ledger.append("started", trial=1, attempt=1)
        for _ in range(2):
            ledger.append("resumed")
    history = History(records={1: [first, last], 2: [other]})
    facts = summary.report_facts(composed, results, history, load(composed.campaign.workload, slots=4))
    assert facts.earlier == (first,)
    assert facts.resumed == tuple(event["time"] for event in read(results.ledger_path) if event["event"] == "resumed")
    assert len(facts.resumed) == 2


@pytest.mark.parametrize("broken", ["start", "sync", "finish"])
def test_the_end_survives_a_broken_mlflow_and_says_so(composed, results, tracker, capsys, broken):
    tracker(broken)
    said = conclude(composed, results)
    assert f"is not up to date: {broken}: database is locked" in said and "campaign report demo" in said
    assert results.report_path.is_file() and "Pareto front:" in capsys.readouterr().out


def test_evidence_is_what_a_trial_left(results):
    one = sample(1)
    results.keep(one.record, Evaluation("ok", jobs=one.jobs, files={"a/b": b"1"}))
    assert evidence_of(results, one.record).files == {"a/b": b"1"}
    assert evidence_of(results, one.record).jobs.num_rows == one.jobs.num_rows
    (results.jobs_folder / "trial=00001.parquet").write_bytes(b"torn")
    assert evidence_of(results, one.record).jobs is None


def test_an_error_is_told_on_one_line():
    assert first_line(ValueError("a\nb")) == "a" and first_line(ValueError()) == "ValueError"
