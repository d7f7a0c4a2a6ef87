"""A cluster's model: what belongs together, and what is refused by name."""

import pytest

from campaign.config.cluster_check import inconsistencies, not_expressed
from campaign.config.compose import compose
from campaign.core.errors import ConfigError
from campaign.core.levers import Lever, levers_in_use
from campaign.schema.model import ClusterSettings
from schedulers.registry import adapter
from search.space import Integer

SIMULATED = "testbed=simulation"
CAMPAIGN = compose([SIMULATED]).campaign


def campaign_with(**cluster):
    settings = ClusterSettings.model_validate(cluster)
    return CAMPAIGN.model_copy(update={"cluster": settings})


@pytest.mark.parametrize(
    ("cluster", "path"),
    [
        ({"partitions": {"p": {"groups": ["g"]}}}, "cluster.partitions.p.groups"),
        ({"partitions": {"p": {"qos": "q"}}}, "cluster.partitions.p.qos"),
        ({"partitions": {"p": {"allow_accounts": ["a"]}}}, "cluster.partitions.p.allow_accounts"),
        (
            {"partitions": {"p": {"min_nodes": 3, "max_nodes": 2}}},
            "cluster.partitions.p.min_nodes",
        ),
        (
            {"partitions": {"p": {"max_time_s": 60, "default_time_s": 61}}},
            "cluster.partitions.p.default_time_s",
        ),
        (
            {"partitions": {"p": {"default": True}, "q": {"default": True}}},
            "cluster.partitions.q.default",
        ),
        ({"accounts": {"a": {"parent": "b"}}}, "cluster.accounts.a.parent"),
        ({"users": {"u": {"accounts": ["a"]}}}, "cluster.users.u.accounts"),
        ({"users": {"root": {}}}, "cluster.users.root"),
        ({"qos": {"q": {"preempts": ["r"]}}}, "cluster.qos.q.preempts"),
        ({"reservations": {"r": {"duration_s": 60}}}, "cluster.reservations.r"),
        (
            {"reservations": {"r": {"duration_s": 60, "users": ["u"]}}},
            "cluster.reservations.r.users",
        ),
        ({"events": [{"at_s": 1, "becomes": "down"}]}, "cluster.events.0"),
        (
            {"events": [{"at_s": 1, "node": "n1", "count": 2, "becomes": "up"}]},
            "cluster.events.0.count",
        ),
        ({"groups": {"g": {"nodes": 0}}}, "cluster.groups.g.nodes"),
        ({"groups": {"g": {"gpu_type": "a100"}}}, "cluster.groups.g.gpu_type"),
        (
            {"groups": {"g": {"nodes": [1, 2]}, "h": {"nodes": [1, 2]}}},
            "cluster.groups.h.nodes",
        ),
        ({"partitions": {"a b": {}}}, "cluster.partitions"),
    ],
)
def test_what_does_not_belong_together_is_named(cluster, path) -> None:
    assert [problem.path for problem in inconsistencies(campaign_with(**cluster))] == [path]


def test_no_account_is_above_itself() -> None:
    circle = {
        "a": {"parent": "b"},
        "b": {"parent": "c"},
        "c": {"parent": "a"},
        "d": {"parent": "a"},
    }
    found = {problem.path for problem in inconsistencies(campaign_with(accounts=circle))}
    assert found == {f"cluster.accounts.{name}.parent" for name in "abc"}


def test_equal_nodes_pull_no_lever() -> None:
    cluster = ClusterSettings.model_validate({"groups": {"a": {"nodes": 2}, "b": {"nodes": 3}}})
    assert not list(levers_in_use(cluster, CAMPAIGN.workload))
    assert not list(levers_in_use(ClusterSettings(), CAMPAIGN.workload))


def test_accounts_make_jobs_their_users_own() -> None:
    cluster = ClusterSettings.model_validate({"accounts": {"physics": {}}})
    used = {one.lever for one in levers_in_use(cluster, CAMPAIGN.workload)}
    assert used == {Lever.ACCOUNTS, Lever.USERS} and cluster.own_users


@pytest.mark.parametrize(
    ("cluster", "levers"),
    [
        ({"partitions": {"p": {"priority_tier": 3}}}, {Lever.PARTITION_PRIORITY}),
        ({"partitions": {"p": {"priority_factor": 3}}}, {Lever.PARTITION_FACTORS}),
        ({"qos": {"q": {"priority": 3}}}, {Lever.QOS}),
        ({"qos": {"q": {"usage_factor": 3}}}, {Lever.QOS, Lever.QOS_LIMITS}),
        ({"qos": {"q": {"per_user": {"max_jobs": 3}}}}, {Lever.QOS, Lever.QOS_LIMITS}),
        ({"users": {"u": {"qos": ["q"]}}, "qos": {"q": {}}}, {Lever.QOS, Lever.QOS_ACCESS}),
        ({"users": {"u": {"shares": 3}}}, {Lever.USER_SHARES}),
        ({"accounts": {"a": {}, "b": {"parent": "a"}}}, {Lever.ACCOUNT_TREES}),
        ({"accounts": {"a": {"in_all": {"max_gpus": 3}}}}, {Lever.ACCOUNT_SIZES}),
        ({"accounts": {"a": {"in_all": {"max_jobs": 3}}}}, {Lever.LIMITS}),
        ({"users": {"u": {"in_all": {"max_gpus": 3}}}}, {Lever.LIMITS}),
    ],
)
def test_a_setting_pulls_its_own_lever(cluster, levers) -> None:
    """So an adapter that has priorities and no limits can say so."""
    plain = {Lever.PARTITIONS, Lever.USERS, Lever.ACCOUNTS}
    read = ClusterSettings.model_validate(cluster)
    used = {one.lever for one in levers_in_use(read, CAMPAIGN.workload)}
    assert used - plain == levers


def test_what_the_simulation_cannot_express_is_refused_by_name() -> None:
    with pytest.raises(ConfigError) as caught:
        compose(
            [SIMULATED, "testbed.policy=easy", "cluster.partitions={debug: {priority_tier: 2}}"]
        )
    text = str(caught.value) + caught.value.details
    for words in ("cluster.partitions.debug", "the simulation can't express partitions"):
        assert words in text


def test_each_lever_is_refused_once_for_each_who_cannot() -> None:
    kept = {"duration_s": 60, "maintenance": True}
    campaign = campaign_with(reservations={"a": kept, "b": kept})
    found = [problem.why for problem in not_expressed(campaign, [adapter("kube")])]
    assert found == [
        f"{who} can't express {Lever.RESERVATIONS.value}" for who in ("kube", "the simulation")
    ]


def test_a_searched_group_makes_the_number_of_nodes_a_dimension() -> None:
    composed = compose(
        [SIMULATED, "cluster.groups={a: {nodes: [1, 3], slots: 8}, b: {nodes: 2, slots: 8}}"]
    )
    assert composed.space.dimensions["cluster.nodes"] == Integer(3, 5)
    assert composed.smallest_slots == 3 * 8
    # The fixed group comes first, so that a small cluster's nodes are the first of a large one's.
    assert composed.campaign.cluster.group_sizes(4) == {"b": 2, "a": 2}


def test_nodes_beside_groups_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"cluster\.nodes = 3: the nodes are those of"):
        compose([SIMULATED, "cluster.groups={a: {nodes: 2}}", "cluster.nodes=3"])
