"""Whole campaigns in simulation: which points they try, when they end, what the end says."""

import json

import pytest

from campaign.core.exits import TRIALS_FAILED
from campaign.core.trials import Evaluation
from campaign.execution.ending import recorded_trials
from campaign.execution.report_again import report_again
from campaign.execution.verify import damages_of
from campaign.records.campaigns import summaries
from campaign.records.ledger import history_of
from campaign.records.results import Results
from campaign.search import main
from campaign.simulation.testbed import SimulationTestbed
from tests.fakes.tracker import FakeTracker
from tests.unit.campaign.execution.test_comparable import Untracked


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to stand in; MLflow gets nothing."""
    monkeypatch.setattr("campaign.execution.run.MlflowWorker", Untracked)
    for module in ("run", "report_again"):
        monkeypatch.setattr(
            f"campaign.execution.{module}.tracker_for", lambda *_: FakeTracker(tmp_path / "told")
        )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def search(*overrides, name="a"):
    return main(
        ["testbed=simulation", "workload.jobs=5", "output.log=plain", f"name={name}", *overrides]
    )


def history(place, name="a"):
    return history_of(Results(place / "results", name).ledger_path)


def said(place, name="a"):
    lines = Results(place / "results", name).driver_log.read_text().splitlines()
    return [json.loads(line)["message"] for line in lines]


def points(place, name="a"):
    asked = history(place, name).asked
    return [asked[number].point for number in sorted(asked)]


def test_named_points_come_after_the_baseline_and_each_scheduler_is_tried(place):
    wanted = ("scheduler=slurm-flux", "search.first=[{nodes: 3, bf_interval: 20}]")
    assert search(*wanted, "search.trials=5") == 0
    found = points(place)
    assert (found[1]["cluster.nodes"], found[1]["scheduler.arms.slurm.bf_interval"]) == (3, 20)
    assert [one["scheduler.name"] for one in found] == [
        "slurm",
        "slurm",
        "flux",
        "flux",
        found[4]["scheduler.name"],
    ]
    asked = history(place).asked
    assert [asked[n].origin for n in range(5)] == ["baseline", "first", "arm", "arm", "sampler"]
    assert any(line.startswith("trial 1 (search.first): ") for line in said(place))
    assert any(line.startswith("trial 2 (search.arm_trials): ") for line in said(place))
    # At a resume, points may be added: they come next.
    more = "search.first=[{scheduler: flux, nodes: 3}, {nodes: 3, bf_interval: 20}]"
    assert search("scheduler=slurm-flux", more, "search.trials=6") == 0
    assert (points(place)[5]["scheduler.name"], points(place)[5]["cluster.nodes"]) == ("flux", 3)


def test_a_scheduler_without_a_valid_trial_has_not_lost_and_is_in_no_legend(
    place, capsys, monkeypatch
):
    evaluate = SimulationTestbed.evaluate

    def without_flux(testbed, trial):
        if trial.point["scheduler.name"] == "flux":
            return Evaluation("scheduler_failed", "flux broke", retryable=False)
        return evaluate(testbed, trial)

    monkeypatch.setattr(SimulationTestbed, "evaluate", without_flux)
    given = ("scheduler=slurm-flux", "search.arm_trials=3", "search.trials=6")
    assert search(*given) == TRIALS_FAILED
    names = [one["scheduler.name"] for one in points(place)]
    assert names.count("flux") == names.count("slurm") == 3
    said = "othing is known of flux, which has not lost: none of its 3 trials is valid"
    on_screen = " ".join(capsys.readouterr().out.split())
    assert said in on_screen
    assert "S slurm" in on_screen and "F flux" not in on_screen
    page = (place / "results/a/report.html").read_text()
    assert f"N{said}" in page.split("</header>")[0]
    figure = page.split('<figure data-name="front', 1)[1].split("</figure>")[0]
    assert "flux" not in figure


def test_a_front_that_stands_still_ends_the_campaign_which_is_then_complete(place, capsys):
    few = ("cluster.nodes=[1,4]", "search.patience=4")
    assert search(*few, "search.trials=60") == 0
    ended = len(points(place))
    assert ended < 60
    # So MLflow's run of the campaign is complete.
    assert Untracked.wanted[-1] == ended
    moved = ended - 5  # whole batches of one trial: the fifth to last has moved it
    text = f"the front has stood still since trial {moved}: 4 trials have come after it"
    assert text in " ".join(capsys.readouterr().out.split())
    assert text[1:] in (place / "results/a/report.html").read_text()
    assert [one.state for one in summaries(place / "results", recorded_trials)] == ["finished"]
    assert damages_of(place / "results", "a") == []
    assert report_again(place / "results", "a") == 0
    # The same command again has nothing to do; more patience, or more trials, go on.
    assert search(*few, "search.trials=60") == 0 and len(points(place)) == ended
    assert any(
        line.startswith(f"all {ended} trials are done already; a larger search.patience or ")
        for line in said(place)
    )
    assert search(few[0], "search.patience=6", "search.trials=60") == 0
    patient = points(place)
    assert len(patient) >= ended + 2
    assert search(few[0], "search.patience=6", "search.trials=70") == 0
    assert len(points(place)) >= len(patient) + 6
    # Without an end in between, it would have been the same search.
    assert search(few[0], f"search.trials={len(patient)}", name="b") == 0
    assert points(place, "b") == patient


def test_a_finite_space_is_evaluated_once_at_each_point_and_the_front_is_complete(place, capsys):
    space = [
        "cluster.nodes={choices: [2, 3]}",
        "scheduler.params.SchedulerType={choices: [sched/builtin, sched/backfill]}",
        "scheduler.params.bf_interval={choices: [10, 30]}",
        "scheduler.params.sched_interval={choices: [20, 60]}",
    ]
    assert search(*space, "search.trials=40", "search.batch=3") == 0
    found = points(place)
    # Backfilling's interval has no effect under sched/builtin.
    assert len(found) == len({str(sorted(one.items())) for one in found}) == 2 * (2 + 1) * 2
    text = "he front is complete: each of the 12 points of the space was tried"
    assert f"t{text}" in capsys.readouterr().out
    assert f"T{text}." in (place / "results/a/report.html").read_text()
    assert [one.state for one in summaries(place / "results", recorded_trials)] == ["finished"]
