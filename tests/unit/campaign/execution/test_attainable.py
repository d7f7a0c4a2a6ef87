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
        "search.holdout=0",
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


LOG = """job_id,arrival,width,runtime,partition
1,0,8,60,cpu
2,1,8,60,gpu
3,2,4,60,cpu
4,3,4,60,gpu
"""


@pytest.fixture
def with_partitions(tmp_path, settings):
    """Overrides of a campaign whose jobs have partitions."""
    (tmp_path / "log.csv").write_text(LOG)
    settings.remove("workload.jobs=5")
    return [
        *settings,
        f"workload.path={tmp_path}/log.csv",
        "search.metrics=['wait_max_s[width=*]']",
    ]


def test_metrics_of_classes_are_objectives_and_constraints_to_the_end(
    with_partitions, tmp_path, capsys
):
    given = [
        *with_partitions,
        'objectives={"wait_mean_s[partition=gpu]": minimize, node_hours: minimize}',
        "search.constraints.wait_mean_s[partition=*].max_x_baseline=1.2",
        "search.constraints.wait_p95_s.worst[partition].max=4000",
    ]
    composed = compose(given)
    assert forecast(composed) == run(composed) == 0
    lines = (tmp_path / "r/demo-simulation/ledger.jsonl").read_text().splitlines()
    [*_, record] = [event["record"] for event in map(json.loads, lines) if "record" in event]
    classes = {"partition=cpu", "partition=gpu"}
    assert {f"wait_mean_s[{one}]" for one in classes} <= record["metrics"].keys()
    assert {"wait_max_s[width=3-4]", "wait_max_s[width=5-8]"} <= record["metrics"].keys()
    page = (tmp_path / "r/demo-simulation/report.html").read_text()
    assert "mean wait of partition * \u2264 1.2 x baseline" in page
    assert "over the jobs of partition=cpu" in page
    assert report_again(tmp_path / "r", "demo-simulation") == 0
    assert run(compose(given)) == 0  # a resume composes the same campaign


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("search.constraints.wait_mean_s[partition=fat].max=1", "allowed: cpu, gpu"),
        ("search.metrics=['wait_mean_s[qos=*]']", "nothing is known of the qos of its jobs"),
        ("search.constraints.share_error.max=1", "no shares are promised"),
    ],
)
def test_classes_that_the_workload_lacks_are_refused_before_the_first_trial(
    with_partitions, tmp_path, override, said
):
    composed = compose([*with_partitions, override])
    with pytest.raises(ConfigError) as caught:
        run(composed)
    assert said in str(caught.value) and f"from override {override!r}" in str(caught.value)
    assert not finished(tmp_path)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("search.metrics=['wait_maen_s']", "there is no such metric; allowed: one of wait_mean_s"),
        ("search.metrics=['utilisation[partition=a]']", "is of all jobs together"),
        ("search.metrics=['wait_mean_s[colour=red]']", "no class by 'colour'; allowed: partition"),
        ("search.metrics=['wait_mean_s[width=wide]']", "'wide' is none of N, LOW-HIGH"),
        ("search.metrics=['wait_mean_s.worst[runtime_s]']", "has no classes of its own; allowed"),
        ("search.metrics=['wait_mean_s[partition]']", "no class of jobs, such as partition=gpu"),
        ("search.metrics=['wait_mean_s[qos=*,partition=*]']", "only one field may be *"),
        ("objectives.wait_mean_s[partition=*]=minimize", "wait_mean_s.worst[partition]"),
    ],
)
def test_a_name_that_no_metric_has_is_refused_at_once(settings, override, said):
    with pytest.raises(ConfigError) as caught:
        compose([*settings, override])
    assert said in str(caught.value)


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
