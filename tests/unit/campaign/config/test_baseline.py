"""The baseline: the scheduler's defaults on the largest cluster, or what stands in for them."""

import pytest

from campaign.config.compose import compose
from campaign.core.errors import ConfigError

BF_INTERVAL = "scheduler.params.bf_interval"


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("cluster.nodes=[1,4]", "cluster.nodes", 4),
        ("cluster.nodes={choices: [8, 4]}", "cluster.nodes", 8),
        (f"{BF_INTERVAL}=[1,100]", BF_INTERVAL, 30),
        (f"{BF_INTERVAL}=[1,10]", BF_INTERVAL, 10),
        (f"{BF_INTERVAL}=[60,100]", BF_INTERVAL, 60),
        (f"{BF_INTERVAL}={{choices: [1, 20, 25, 60]}}", BF_INTERVAL, 25),
        (f"{BF_INTERVAL}={{low: 1, high: 100, log: false, step: 20}}", BF_INTERVAL, 21),
        (f"{BF_INTERVAL}={{low: 1, high: 29, log: false, step: 20}}", BF_INTERVAL, 21),
        (
            "scheduler.params.defer={choices: [true, false]}",
            "scheduler.params.defer",
            False,
        ),
        (
            "scheduler.params.SelectTypeParameters={choices: [CR_Core_Memory, CR_CPU]}",
            "scheduler.params.SelectTypeParameters",
            "CR_Core_Memory",
        ),
        (f"search.baseline.{BF_INTERVAL}=7", BF_INTERVAL, 7),
        ("search.baseline={cluster.nodes: 2}", "cluster.nodes", 2),
    ],
)
def test_a_searched_setting_is_at_its_default_or_the_nearest_value(override, path, value):
    composed = compose([override])
    assert composed.baseline.point[path] == value
    assert composed.space.misfit(composed.baseline.point) == ""


def test_what_every_trial_has_may_stand_in_the_baseline():
    composed = compose([f"{BF_INTERVAL}=60", f"search.baseline.{BF_INTERVAL}=60"])
    assert BF_INTERVAL not in composed.baseline.point


def test_of_several_schedulers_the_first_is_the_baseline_unless_another_is_given():
    first = compose(["scheduler=slurm-flux"])
    other = compose(["scheduler=slurm-flux", "search.baseline.scheduler.name=flux"])
    assert first.baseline.point["scheduler.name"] == "slurm"
    assert first.baseline.point["scheduler.arms.slurm.bf_interval"] == 30
    assert other.baseline.point["scheduler.name"] == "flux"
    assert all(one.space.misfit(one.baseline.point) == "" for one in (first, other))


def test_one_sentence_says_what_differs_from_the_defaults():
    assert compose([]).baseline_in_words == "the defaults of slurm on 4 nodes"
    said = compose(
        [
            f"{BF_INTERVAL}=[1,10]",
            "scheduler.params.bf_window=60",
            "cluster.nodes=3",
            "search.baseline.scheduler.params.sched_interval=20",
        ]
    ).baseline_in_words
    assert said == (
        "the defaults of slurm on 3 nodes, but bf_interval 10 for 30, which isn't searched; "
        "sched_interval 20, as search.baseline says; bf_window 60, as in every trial"
    )


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["search.baseline.scheduler.params.bf_window=60"],
            "search.baseline.scheduler.params.bf_window = 60: this setting isn't searched; "
            "allowed: cluster.nodes, scheduler.params.SchedulerType",
        ),
        (
            ["search.baseline.cluster.nodes=9"],
            "search.baseline.cluster.nodes = 9: no trial could have this value; allowed: [2, 4]",
        ),
        (
            [
                "scheduler=slurm-flux",
                "search.baseline.scheduler.arms.flux.queue_policy=easy",
            ],
            "the baseline's scheduler is slurm",
        ),
        (
            ["search.baseline.cluster.nodes=[2,3]"],
            "the baseline has one value of cluster.nodes, which [2, 3] isn't",
        ),
    ],
)
def test_a_baseline_that_no_trial_could_be_is_refused(overrides, said):
    with pytest.raises(ConfigError) as refused:
        compose(overrides)
    assert said in refused.value.brief
    assert "from override" in refused.value.brief
