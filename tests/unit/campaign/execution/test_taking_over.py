"""Trials of finished campaigns become trials of one that begins, however often its driver dies."""

import shutil
from contextlib import suppress

import pytest

from campaign.cli.dry_run import forecast
from campaign.config.compose import compose
from campaign.core.errors import ConfigError
from campaign.core.jobs import JOBS_SCHEMA
from campaign.core.trials import Replicate
from campaign.execution.report_again import report_again
from campaign.execution.run import run
from campaign.execution.verify import damages_of
from campaign.records.dataset import path_of
from campaign.records.ledger import Ledger, history_of, read
from campaign.records.results import Results
from tests.fakes.testbed import Killed
from tests.fakes.tracker import FakeTracker
from tests.unit.campaign.execution.test_comparable import Untracked, trace

KIND = "scheduler.params.SchedulerType"
INTERVAL = "scheduler.params.bf_interval"
SOURCE = ("cluster.nodes=[2,4]", "search.trials=5")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder with a trace, and the results of the finished campaign `a`, which is copied."""
    folder = tmp_path_factory.mktemp("source")
    (folder / "t.swf").write_text(trace(12, 30))
    with pytest.MonkeyPatch.context() as patch:
        _untracked(patch, folder)
        assert _run(folder, *SOURCE, name="a") == 0
    return folder


@pytest.fixture
def place(source, tmp_path, monkeypatch):
    """A folder like that of the source, to work in."""
    _untracked(monkeypatch, tmp_path)
    shutil.copytree(source, tmp_path, dirs_exist_ok=True)
    return tmp_path


def _untracked(patch, folder):
    patch.setattr("campaign.execution.run.MlflowWorker", Untracked)
    for module in ("run", "report_again"):
        patch.setattr(
            f"campaign.execution.{module}.tracker_for", lambda *_: FakeTracker(folder / "told")
        )


def _run(place, *overrides, name="b"):
    fixed = [
        "testbed=simulation",
        "workload=swf",
        f"workload.path={place}/t.swf",
        "output.log=plain",
        f"output.results={place}/results",
        f"output.mlruns={place}/mlruns",
        f"name={name}",
    ]
    return run(compose([*fixed, *overrides]))


def begin(place, *overrides, name="b"):
    return _run(place, "search.start_from=a", *overrides, name=name)


def results(place, name="b"):
    return Results(place / "results", name)


def history(place, name="b"):
    return history_of(results(place, name).ledger_path)


def origins(place):
    return [record.provenance.taken_from for record in history(place).final()]


def log_of(place, name="b"):
    return results(place, name).driver_log.read_text()


def test_trials_are_taken_over_into_a_wider_space_whose_baseline_is_evaluated_first(place, capsys):
    assert begin(place, "cluster.nodes=[2,6]", "search.trials=8", "search.batch=4") == 0
    events = [(one["event"], one.get("trial")) for one in read(results(place).ledger_path)]
    assert events.index(("finished", 0)) < events.index(("asked", 6))
    assert origins(place) == ["", *(f"a:{n}" for n in range(5)), "", ""]
    before = history(place, "a").final()
    after = history(place).final()
    assert [one.metrics for one in after[1:6]] == [one.metrics for one in before]
    assert [one.point for one in after[1:6]] == [one.point for one in before]
    assert [one.baseline for one in after] == [True, *[False] * 7]
    assert after[0].point["cluster.nodes"] == 6
    for number in range(5):
        jobs = results(place, "a").trial_jobs(number).select(JOBS_SCHEMA.names)
        assert results(place).trial_jobs(number + 1).select(JOBS_SCHEMA.names).equals(jobs)
        assert results(place).files(number + 1) == results(place, "a").files(number)
    assert len({str(one.point) for one in after}) == 8
    assert damages_of(place / "results", "b") == []
    assert "5 of 5 trials of a taken over" in log_of(place)
    sentence = "5 of the 8 trials were taken over: 5 from a"
    assert sentence in capsys.readouterr().out
    page = results(place).report_path.read_text()
    assert f"{sentence}." in page and "taken over from a:3" in page
    shutil.rmtree(place / "results/a")  # what was taken over stands by itself
    assert report_again(place / "results", "b") == 0
    assert begin(place, "cluster.nodes=[2,6]", "search.trials=9", "search.batch=4") == 0


def test_a_baseline_that_is_there_stays_trial_0_also_under_other_objectives(place):
    options = (SOURCE[0], "objectives=wait_cost_use", "search.trials=6")
    limit = "search.constraints.makespan_s.max=1e6"
    assert begin(place, *options, limit) == 0
    assert origins(place) == [*(f"a:{n}" for n in range(5)), ""]
    assert [one.baseline for one in history(place).final()] == [True, *[False] * 5]


def test_what_was_fixed_there_and_is_searched_here_becomes_part_of_the_point(place):
    assert _run(place, SOURCE[0], "search.trials=3", f"{KIND}=sched/backfill", name="c") == 0
    assert _run(place, SOURCE[0], "search.trials=9", "search.start_from=[c,a]") == 0
    taken = [one for one in history(place).final() if one.provenance.taken_from]
    kinds = {one.provenance.taken_from: one.point[KIND] for one in taken}
    assert {kinds[f"c:{n}"] for n in range(3)} == {"sched/backfill"}
    # The baselines of both are one point, which is taken over once.
    assert "a:0" not in kinds and kinds["a:1"]
    said = "3 of 3 trials of c taken over; 4 of 5 trials of a taken over (left out: 1 with the same"
    assert said in log_of(place)


def test_of_what_was_searched_there_and_is_fixed_here_only_that_value_is_taken(place):
    assert begin(place, SOURCE[0], "search.trials=6", f"{KIND}=sched/backfill") == 0
    there = [one for one in history(place, "a").final() if one.point[KIND] == "sched/backfill"]
    taken = [one for one in history(place).final() if one.provenance.taken_from]
    assert [one.metrics for one in taken] == [one.metrics for one in there]
    assert all(KIND not in one.point and INTERVAL in one.point for one in taken)
    left = f"{5 - len(there)} with another {KIND} than every trial has here"
    assert 0 < len(there) < 5 and left in log_of(place)


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ("testbed.submit_s=0.5", "testbed.submit_s: was "),
        ("workload.path={place}/other.swf", "the jobs that trials replay (hash): was "),
        ("cluster.nodes=[5,6]", "5 with cluster.nodes outside [5, 6]"),
        ("search.metrics=['wait_mean_s[user=1]']", "5 without wait_mean_s[user=1]"),
    ],
)
def test_what_does_not_agree_is_left_out_and_said(place, override, why):
    (place / "other.swf").write_text(trace(12, 31))
    assert begin(place, *SOURCE, override.format(place=place)) == 0
    assert origins(place) == [""] * 5
    assert why in log_of(place)


def test_a_trial_whose_jobs_are_damaged_or_that_is_not_valid_is_left_out(place):
    path_of(results(place, "a").jobs_folder, Replicate(2)).unlink()
    assert begin(place, SOURCE[0], "search.trials=5") == 0
    assert origins(place) == ["a:0", "a:1", "a:3", "a:4", ""]
    assert "left out: 1 with jobs that are lost or damaged" in log_of(place)


def test_taken_trials_do_not_wear_out_the_patience(place):
    assert begin(place, SOURCE[0], "search.trials=30", "search.patience=2") == 0
    assert len(history(place).asked) >= 7


@pytest.mark.parametrize(
    ("names", "why"),
    [
        ("nobody", "there is no campaign nobody in "),
        ("b", "it is this campaign itself"),
    ],
)
def test_a_campaign_that_is_not_there_is_refused(place, names, why):
    with pytest.raises(ConfigError, match=why) as refused:
        _run(place, *SOURCE, f"search.start_from={names}")
    assert "allowed: finished campaigns in" in refused.value.brief and "(a)" in refused.value.brief


def test_a_dry_run_says_what_may_be_taken_over(place, capsys):
    given = ("testbed=simulation", "workload.jobs=5", f"output.results={place}/results", "name=b")
    assert forecast(compose([*given, "search.start_from=a"])) == 0
    assert "take over  what agrees of the 5 trials of a" in capsys.readouterr().out


def test_a_campaign_that_still_runs_is_refused(place):
    with (
        Ledger(results(place, "a").ledger_path),
        pytest.raises(ConfigError, match="it still runs"),
    ):
        begin(place, *SOURCE)


def outcome(place, name):
    found = history(place, name)
    asked = [(one.point, one.attrs, one.baseline) for one in found.asked.values()]
    return asked, [(one.number, one.metrics, one.baseline) for one in found.final()]


@pytest.mark.parametrize("options", [("search.batch=2",), ("sampler=nsga2", "cluster.nodes=[2,6]")])
def test_a_driver_killed_at_any_event_takes_over_the_same(place, options, monkeypatch):
    shared = ("sampler.population=3",) if "sampler=nsga2" in options else ()
    given = (SOURCE[0], "search.trials=9", *options, *shared)
    assert begin(place, *given, name="whole") == 0
    append = Ledger.append
    lines = 0

    def dying(ledger, event, **values):
        nonlocal lines
        lines += 1
        if lines in deadly:
            raise Killed
        append(ledger, event, **values)

    monkeypatch.setattr(Ledger, "append", dying)
    # The third line and each third after it: lines of every kind are met.
    deadly = set(range(3, 60, 3))
    for _ in range(25):
        with suppress(Killed):
            begin(place, *given, name="killed")
            break
    monkeypatch.setattr(Ledger, "append", append)
    assert outcome(place, "killed") == outcome(place, "whole")
    assert damages_of(place / "results", "killed") == []
    taken = [one for one in history(place, "killed").final() if one.provenance.taken_from]
    assert [one.attempt for one in taken] == [1] * 5
