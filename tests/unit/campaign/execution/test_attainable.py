"""Metrics that can't have a value, constraints that nothing meets, points that come again."""

import json

import pytest

from campaign.cli.dry_run import forecast
from campaign.config.compose import compose
from campaign.core.errors import ConfigError
from campaign.core.exits import NOTHING_FEASIBLE
from campaign.execution.report_again import report_again
from campaign.execution.run import run
from tests.fakes.tracker import FakeTracker

FOUR_POINTS = [
    "scheduler.params={SchedulerType: {choices: [sched/backfill, sched/builtin]}}",
    "cluster.nodes={choices: [2,4]}",
]


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Overrides of a small campaign in simulation, without MLflow's slow store."""
    for module in ("run", "report_again"):
        monkeypatch.setattr(
            f"campaign.execution.{module}.tracker_for", lambda *_: FakeTracker(tmp_path / "told")
        )
    return [
        "testbed=simulation",
        "workload.jobs=5",
        "search.trials=3",
        f"output.results={tmp_path}/r",
        f"output.mlruns={tmp_path}/m",
        "output.log=plain",
    ]


def finished(tmp_path):
    """Return the points that were evaluated, one for each evaluation."""
    lines = (tmp_path / "r/demo-simulation/ledger.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    return [event["record"]["point"] for event in events if event["event"] == "finished"]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["objectives={esp_efficiency: maximize, node_hours: minimize}"],
            "objectives.esp_efficiency: no trial of the workload demo can have a value: "
            "not an ESP-2 run",
        ),
        (
            ["search.constraints.esp_efficiency.min=0.5"],
            "search.constraints.esp_efficiency: no trial",
        ),
        (
            ["objectives={node_hours_provisioned: minimize, awrt_s: minimize}"],
            "nothing was provisioned",
        ),
        (
            [
                "workload=poisson",
                "workload.jobs=1",
                "objectives={fairness_jain: maximize, utilisation_steady: maximize}",
            ],
            "objectives.fairness_jain: no trial of the workload poisson can have a value",
        ),
    ],
)
def test_a_metric_without_a_value_is_refused_before_the_first_trial(
    settings, tmp_path, overrides, said
):
    composed = compose([*settings, *overrides])
    for begin in (run, forecast):
        with pytest.raises(ConfigError) as caught:
            begin(composed)
        assert said in str(caught.value)
        assert f"from override {overrides[-1]!r}" in str(caught.value)
    assert not finished(tmp_path)


def test_a_metric_that_the_workload_gives_is_none_of_them(settings, capsys):
    esp = ["workload=esp", "objectives={esp_efficiency: maximize, node_hours: minimize}"]
    assert forecast(compose([*settings[:1], *esp])) == 0


def test_constraints_that_no_trial_meets_have_a_status_and_are_named(settings, tmp_path, capsys):
    given = [*settings, "search.constraints={wait_p95_s: {max: 0.0001}, jobs_completed: {min: 1}}"]
    assert run(compose(given)) == NOTHING_FEASIBLE == 4
    shown = " ".join(capsys.readouterr().out.split())
    said = "no trial meets this constraint: search.constraints.wait_p95_s.max = 0.0001 (the nearest"
    assert said in shown
    assert "jobs_completed" not in shown
    page = (tmp_path / "r/demo-simulation/report.html").read_text()
    assert said[1:] in page[: page.index('<section id="front">')]
    assert report_again(tmp_path / "r", "demo-simulation") == NOTHING_FEASIBLE
    assert run(compose(given)) == NOTHING_FEASIBLE  # nothing is left to do


def test_constraints_that_some_trial_meets_are_no_status(settings, capsys):
    assert run(compose([*settings, "search.constraints.wait_p95_s.max=1000"])) == 0
    assert "no trial meets" not in capsys.readouterr().out


def test_a_space_of_four_points_is_evaluated_four_times(settings, tmp_path, capsys):
    given = [*settings, *FOUR_POINTS, "search.trials=20", "search.batch=3"]
    assert run(compose(given)) == 0
    points = finished(tmp_path)
    assert len(points) == len({str(sorted(point.items())) for point in points}) == 4
    said = capsys.readouterr().err
    assert "4 instead of 20 trials" in said and "trial 3 ok" in said and "4 of 4 done" not in said
    assert run(compose(given)) == 0
    assert len(finished(tmp_path)) == 4
    assert "all 4 trials are done already" in capsys.readouterr().err
    assert forecast(compose(given)) == 0
    assert "4 trials, sampler tpe" in capsys.readouterr().out


def test_a_search_over_all_fixed_settings_is_one_trial(settings, tmp_path):
    assert run(compose([*settings, "scheduler.params={}", "cluster.nodes=2"])) == 0
    assert finished(tmp_path) == [{}]


def test_what_is_invalid_in_a_simulation_is_not_tried_again(settings, tmp_path):
    given = [*settings, *FOUR_POINTS, "validity.max_submit_lag_s=0", "testbed.submit_s=5"]
    run(compose(given))
    assert len(finished(tmp_path)) == 3


def test_parameters_that_are_searched_without_effect_are_said(settings, capsys):
    composed = compose([*settings, "scheduler.params.SchedulerType=sched/builtin"])
    assert run(composed) == forecast(composed) == 0
    out, err = capsys.readouterr()
    for said in (out, err):
        assert "slurm ignores it beside SchedulerType=sched/builtin" in said
