"""Points to try first: by which names they are given, what they leave out, and what is refused."""

import pytest

from campaign.config.compose import compose
from campaign.core.errors import ConfigError

BF_INTERVAL = "scheduler.params.bf_interval"
ARMS = ("scheduler=slurm-flux", "cluster.nodes=[2,4]")


def first_of(text, *overrides):
    return compose([f"search.first={text}", *overrides]).opening.first


@pytest.mark.parametrize(
    "text",
    [
        f"[{{cluster.nodes: 3, {BF_INTERVAL}: 20}}]",
        "[{cluster: {nodes: 3}, scheduler: {params: {bf_interval: 20}}}]",
        "[{nodes: 3, bf_interval: 20}]",
    ],
)
def test_settings_may_be_dotted_nested_or_short_and_the_rest_is_the_baselines(text):
    baseline = compose([]).baseline.point
    assert first_of(text) == ({**baseline, "cluster.nodes": 3, BF_INTERVAL: 20},)


def test_a_point_begins_with_what_the_baseline_was_given():
    found = first_of("[{nodes: 3}]", f"search.baseline.{BF_INTERVAL}=7")
    assert found[0][BF_INTERVAL] == 7


def test_what_every_trial_has_may_be_named():
    assert BF_INTERVAL not in first_of("[{bf_interval: 20}]", f"{BF_INTERVAL}=20")[0]


def test_a_short_name_is_that_of_the_points_scheduler():
    found = first_of(
        "[{scheduler: flux, queue_policy: easy}, {flux.queue_policy: conservative,"
        " scheduler.name: flux}]",
        *ARMS,
    )
    assert [one["scheduler.arms.flux.queue_policy"] for one in found] == ["easy", "conservative"]
    assert all(compose(ARMS).space.misfit(one) == "" for one in found)


def test_the_defaults_of_each_scheduler_are_on_the_baselines_cluster():
    opening = compose([*ARMS, "search.baseline.cluster.nodes=3"]).opening
    assert opening.arms["slurm"] == opening.baseline
    assert {name: point["cluster.nodes"] for name, point in opening.arms.items()} == {
        "slurm": 3,
        "flux": 3,
    }
    assert compose([]).opening.arms == {}


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["search.first=[{bf_windw: 60}]"],
            "search.first.0.bf_windw = 60: this setting isn't searched; allowed: cluster.nodes, ",
        ),
        (
            ["search.first=[{nodes: 3}, {nodes: 9}]"],
            "search.first.1.nodes = 9: no trial could have this value; allowed: [2, 4]",
        ),
        (
            ["search.first=[{bf_interval: 20}]", f"{BF_INTERVAL}=30"],
            "search.first.0.bf_interval = 20: every trial has another value; allowed: 30",
        ),
        (
            ["search.first=[{nodes: 3, cluster.nodes: 4}]"],
            "it stands here a second time, as cluster.nodes",
        ),
        (
            ["search.first=[{SchedulerType: sched/builtin, bf_interval: 20}]"],
            "search.first.0.scheduler.params.bf_interval = 20: it has no effect beside the "
            "point's other settings",
        ),
        (
            ["search.first=[{queue_policy: easy}]", *ARMS],
            "the point's scheduler is slurm; allowed: settings of slurm, or scheduler.name=flux "
            "beside it",
        ),
        (["search.first=[{nodes: [2, 3]}]"], "a point has one value of nodes"),
        (["search.first={nodes: 3}"], "search.first"),
        (["search.first=[3]"], "search.first.0"),
        (["search.arm_trials=3"], "search.arm_trials = 3: a single scheduler is searched"),
    ],
)
def test_a_point_that_no_trial_could_be_is_refused(overrides, said):
    with pytest.raises(ConfigError) as refused:
        compose(overrides)
    assert said in refused.value.brief
    assert "from override 'search." in refused.value.brief
