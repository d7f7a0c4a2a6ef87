"""Composing a campaign: overrides of every kind, a user's own folder, and errors that say what,
where and whence."""

from pathlib import Path
from typing import get_args

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaign.config.compose import compose, compose_recorded
from campaign.core.errors import ConfigError
from campaign.schema.searchable import Choices, Range
from campaign.schema.workload import HAVE_EFFECT, WorkloadSettings
from schedulers.registry import adapter

BF = "scheduler.params.bf_interval"


def refused(*overrides, **where):
    """The message with which `overrides` are refused."""
    with pytest.raises(ConfigError) as caught:
        compose(list(overrides), **where)
    return str(caught.value)


def campaign_of(*overrides, **where):
    return compose(list(overrides), **where).campaign


def test_the_defaults_compose():
    composed = compose([])
    assert composed.campaign.name == "demo"
    assert composed.scheduler.name == composed.image_name(composed.scheduler) == "slurm"
    assert composed.space.node_counts() == (2, 4)
    assert set(composed.space.dimensions) == {
        "cluster.nodes",
        "scheduler.params.SchedulerType",
        BF,
        "scheduler.params.sched_interval",
    }


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("cluster.nodes=[1,8]", ("cluster", "nodes"), [1, 8]),
        ("cluster.nodes=3", ("cluster", "nodes"), 3),
        ("cluster.nodes={choices: [1,2,4]}", ("cluster", "nodes"), Choices(choices=[1, 2, 4])),
        (
            "cluster.nodes={low: 1, high: 8, log: true}",
            ("cluster", "nodes"),
            Range(low=1, high=8, log=True),
        ),
        ("search.trials=3", ("search", "trials"), 3),
        ("++search.trials=4", ("search", "trials"), 4),
        ("sampler=nsga2", ("sampler", "name"), "nsga2"),
        ("sampler={name: random}", ("sampler", "name"), "random"),
        ("name=mine", ("name",), "mine"),
        ("hosts={far: {uri: 'qemu:///system'}}", ("hosts", "far", "uri"), "qemu:///system"),
        (
            "hosts.local.uri=qemu+unix:///system?socket=/k=1&mode=auto",
            ("hosts", "local", "uri"),
            "qemu+unix:///system?socket=/k=1&mode=auto",
        ),
        ("objectives=wait_cost_use", ("objectives", "wait_p95_s"), "minimize"),
        ("objectives.makespan_s=minimize", ("objectives", "makespan_s"), "minimize"),
        (
            "search.constraints.wait_max_s.max=60",
            ("search", "constraints", "wait_max_s", "max"),
            60,
        ),
    ],
)
def test_an_override_stands_where_it_says(override, path, value):
    found = campaign_of(override)
    for part in path:
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    assert found == value


def test_a_value_takes_the_place_of_a_mapping_and_the_other_way_round():
    assert campaign_of(f"{BF}=30").scheduler.params["bf_interval"] == 30
    assert campaign_of("scheduler.params={}").scheduler.params == {}
    assert list(campaign_of("hosts={far: {}}").hosts) == ["far"]
    objectives = campaign_of("objectives={utilisation: maximize, wait_max_s: minimize}").objectives
    assert list(objectives) == ["utilisation", "wait_max_s"]


def test_objectives_are_removed_and_added():
    objectives = campaign_of("~objectives.awrt_s", "objectives.makespan_s=minimize").objectives
    assert objectives == {"node_hours": "minimize", "makespan_s": "minimize"}


def test_the_last_of_two_overrides_wins():
    assert campaign_of("search.trials=3", "search.trials=5").search.trials == 5


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("cluster=huge", ["cluster/huge", "small"]),
        ("sampler=cma", ["nsga2", "random", "tpe"]),
        ("cluster=3", ["group"]),
        (
            "search.trial=3",
            ["search.trial = 3", "no such setting", "search.trials", "override 'search.trial=3'"],
        ),
        ("serch.trials=3", ["serch", "search.trials"]),
        ("search.trials=0", ["search.trials = 0", "[1 .. 1000000]", "override 'search.trials=0'"]),
        ("cluster.memory_mib=1", ["cluster.memory_mib = 1", "[256 .. 1048576] MiB"]),
        ("cluster.nodes=[1,2000]", ["cluster.nodes = 2000", "[1 .. 1024] compute nodes"]),
        ("cluster.nodes=[4,1]", ["cluster.nodes", "wrong way round"]),
        ("cluster.nodes=[1,2,3]", ["cluster.nodes = [1, 2, 3]", "{choices: [..]}"]),
        ("cluster.nodes=two", ["cluster.nodes = 'two'"]),
        ("cluster.nodes={low: 1}", ["cluster.nodes.high", "required"]),
        ("cluster.nodes={choices: []}", ["at least one value"]),
        (
            "scheduler.params.bf_intervall=3",
            ["bf_intervall = 3", "no such parameter", "bf_interval"],
        ),
        (f"{BF}=0", [f"{BF} = 0", "[1 .. 10800] s"]),
        (f"{BF}=10801", [f"{BF} = 10801", "[1 .. 10800] s"]),
        (f"{BF}=[1,10801]", [f"{BF} = 10801", "[1 .. 10800] s"]),
        (f"{BF}={{low: 0, high: 9, log: false}}", [f"{BF} = 0", "[1 .. 10800] s"]),
        (f"{BF}={{low: -1, high: 9, log: false}}", [f"{BF} = 0", "-1 switches it off"]),
        (f"{BF}=[0,9]", ["logarithmic", "low > 0"]),
        (f"{BF}=[1.5,9]", ["whole numbers"]),
        (f"{BF}={{choices: [5, 99999]}}", [f"{BF} = 99999"]),
        (
            "scheduler.params.SchedulerType=[sched/builtin,sched/x]",
            ["'sched/x'", "sched/backfill | sched/builtin"],
        ),
        ("scheduler.params.SchedulerType={low: 1, high: 2}", ["choices, not a range"]),
        ("scheduler.params=3", ["scheduler.params = 3"]),
        ("scheduler.name=pbs", ["pbs", "slurm"]),
        ("objectives.speed=maximize", ["objectives.speed", "no such metric", "makespan_s"]),
        ("objectives.awrt_s=sideways", ["objectives.awrt_s = 'sideways'", "minimize"]),
        ("~objectives.awrt_s", ["objectives", "two or three", "override '~objectives.awrt_s'"]),
        ("search.constraints.speed.max=1", ["search.constraints.speed", "no such metric"]),
        ("search.constraints.awrt_s={}", ["search.constraints.awrt_s", "needs one of max, min,"]),
        ("hosts={}", ["hosts", "at least one host", "override 'hosts={}'"]),
        ("hosts={East: {}}", ["hosts", "host names match ^[a-z0-9]", "'East'"]),
        ("hosts.local.ports=[1,2]", ["hosts.local.ports = [1, 2]", "1024..65535"]),
        ("validity.max_steal=2", ["[0 .. 1] fraction"]),
        ("workload=swf", ["workload.path", "must be given"]),
        ("~nothing", ["nothing"]),
        ("search.trials={a: [}", ["can't be composed"]),
        ("name=${nowhere}", ["can't be composed", "nowhere"]),
        ("nothing", ["'nothing'", "setting=value"]),
        ("=3", ["'=3'", "setting=value"]),
        ("", ["setting=value"]),
        ("name=UPPER", ["name = 'UPPER'"]),
        ("name='../up'", ["name = '../up'"]),
        ("name='; rm -rf /'", ["'; rm -rf /'"]),
        ("search.trials=nan", ["search.trials = nan"]),
        ("search.trials=1e400", ["search.trials = inf"]),
    ],
)
def test_a_wrong_value_is_refused_saying_what_may_stand_there(override, said):
    message = refused(override)
    assert [part for part in said if part not in message] == []


def test_everything_wrong_is_said_at_once():
    message = refused("name=UPPER", "search.trials=0", "cluster.vcpus=99", "validity.max_steal=2")
    assert "4 settings are wrong" in message
    assert all(
        path in message for path in ("name", "search.trials", "cluster.vcpus", "validity.max_steal")
    )


def test_everything_wrong_of_scheduler_and_metrics_is_said_at_once():
    message = refused(
        "cluster.nodes=0", f"{BF}=0", "scheduler.params.nope=1", "objectives.speed=maximize"
    )
    assert all(part in message for part in ("cluster.nodes = 0", "nope", "objectives.speed"))


@pytest.fixture
def own(tmp_path):
    """A user's own folder: a group option beside ours, and a primary configuration."""
    folder = tmp_path / "my conf"
    (folder / "cluster").mkdir(parents=True)
    (folder / "cluster" / "wide.yaml").write_text("nodes: [2, 12]\nvcpus: 2\n")
    (folder / "cluster" / "broken.yaml").write_text("nodes: [2, 12]\nmemory_mib: 64\n")
    (folder / "mine.yaml").write_text(
        "defaults:\n  - config\n  - override cluster: wide\n  - _self_\nname: mine\n"
    )
    (folder / "bad.yaml").write_text("defaults:\n  - config\n  - _self_\nsearch: {trials: -1}\n")
    return folder


def test_a_group_of_the_users_own_stands_beside_ours(own):
    composed = campaign_of("cluster=wide", "sampler=random", config_dir=own)
    assert (composed.cluster.nodes, composed.cluster.vcpus, composed.sampler.name) == (
        [2, 12],
        2,
        "random",
    )


def test_a_primary_configuration_of_the_users_own(own):
    composed = campaign_of(config_dir=own, config_name="mine")
    assert (composed.name, composed.cluster.vcpus, composed.search.trials) == ("mine", 2, 10)


def test_an_error_names_the_file_that_it_came_from(own):
    message = refused("cluster=broken", config_dir=own)
    assert "cluster.memory_mib = 64" in message and f"(from {own}/cluster/broken.yaml)" in message
    (own / "cluster" / "half.yaml").write_text("nodes: {low: 1}\n")
    message = refused("cluster=half", config_dir=own)
    assert "cluster.nodes.high" in message and f"(from {own}/cluster/half.yaml)" in message
    message = refused(config_dir=own, config_name="bad")
    assert "search.trials = -1" in message and f"(from {own}/bad.yaml)" in message


def test_an_override_is_named_before_the_file_below_it(own):
    assert "(from override 'cluster.memory_mib=65')" in refused(
        "cluster=broken", "cluster.memory_mib=65", config_dir=own
    )


def test_simulation_is_not_held_to_the_memory_of_virtual_machines(tmp_path):
    given = ["scheduler=volcano", "cluster.memory_mib=300"]
    assert "needs" in refused(*given)
    nodes = ["cluster.nodes=[2,2176]", "cluster.slots_per_node=1"]
    assert "[1 .. 1024] compute nodes; in simulation 200000" in refused(*nodes)
    assert compose([*nodes, "testbed=simulation"]).space.node_counts() == (2, 2176)
    assert "[1 .. 200000]" in refused("cluster.nodes=200001", "testbed=simulation")
    # A file may describe a site's virtual machines as well.
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / "own.yaml").write_text("nodes: 2\nmemory_mib: 300\n")
    simulated = compose(["scheduler=volcano", "cluster=own", "testbed=simulation"], tmp_path)
    assert simulated.campaign.cluster.memory_mib == 300


@pytest.mark.parametrize(
    ("overrides", "setting"),
    [
        (["workload=demo", "workload.path=trace.swf"], "path"),
        (["workload=lublin", "workload.strict=true"], "strict"),
        (["workload=swf", "workload.path=t", "workload.seed=3"], "seed"),
        (["workload=esp", "workload.jobs=20"], "jobs"),
        (["workload=lublin", "workload.duration_s=10"], "duration_s"),
        (["workload=demo", "workload.runtime_s=[1,2]"], "runtime_s"),
        (["workload=batsim", "workload.path=t", "workload.users=[1]"], "users"),
    ],
)
def test_workload_settings_without_effect_on_the_kind_are_refused(overrides, setting):
    message = refused(*overrides)
    assert f"workload.{setting} = " in message
    assert "it has no effect on workload.kind=" in message and "choose workload=" in message


def test_workload_settings_without_effect_in_a_users_file_are_refused_and_dumps_are_not(tmp_path):
    (tmp_path / "workload").mkdir()
    file = tmp_path / "workload" / "own.yaml"
    file.write_text("kind: lublin\nruntime_s: [1, 2]\n")
    assert "workload.runtime_s" in refused("workload=own", config_dir=tmp_path)
    for group in ("demo", "lublin", "esp"):
        whole = compose([f"workload={group}"]).campaign.workload.model_dump(mode="json")
        file.write_text(yaml.safe_dump(whole))
        assert compose(["workload=own"], tmp_path).campaign.workload.kind == group


def test_every_workload_setting_that_is_of_some_kinds_names_settings_and_kinds():
    kinds = set(get_args(WorkloadSettings.model_fields["kind"].annotation))
    assert set(WorkloadSettings.model_fields) >= HAVE_EFFECT.keys()
    assert all(kinds > set(some) for some in HAVE_EFFECT.values())


def test_all_nodes_have_the_memory_that_the_neediest_scheduler_needs():
    needs = adapter("volcano").memory_mib
    assert compose([]).campaign.cluster.memory_mib == 512
    assert compose(["scheduler=slurm-flux-volcano"]).campaign.cluster.memory_mib == needs
    assert (
        compose(
            ["scheduler=volcano", f"cluster.memory_mib={needs + 1}"]
        ).campaign.cluster.memory_mib
        == needs + 1
    )
    message = refused("scheduler=volcano", "cluster.memory_mib=600")
    assert (
        "cluster.memory_mib = 600 (from override 'cluster.memory_mib=600'): volcano needs "
        f"{needs} MiB" in message
    )


def test_the_vm_of_a_dense_cluster_has_memory_for_its_nodes():
    def memory_mib(*overrides):
        return compose(["cluster.dense=true", *overrides]).campaign.cluster.memory_mib

    each = adapter("slurm").shared_node_mib
    assert memory_mib("cluster.nodes=16") == 512 + 16 * each
    assert memory_mib("cluster.nodes=[1,100]") == 512 + 100 * each
    assert memory_mib("cluster.nodes=16", "cluster.memory_mib=2048") == 2048
    # One with many slots counts as several, for each slot may have a job.
    many = ("cluster.nodes=16", "cluster.slots_per_node=40")
    assert memory_mib(*many, "scheduler=slurm") == 512 + 40 * each
    assert memory_mib("cluster.nodes=16", "cluster.slots_per_node=16") == 512 + 16 * each
    message = refused("cluster.dense=true", "cluster.nodes=16", "cluster.memory_mib=600")
    assert f"slurm needs {512 + 16 * each} MiB" in message


def test_a_dense_cluster_wants_a_scheduler_that_has_plans_for_it(monkeypatch):
    monkeypatch.setattr(type(adapter("slurm")), "shared_node_mib", 0)
    message = refused("cluster.dense=true")
    assert "cluster.dense" in message and "slurm has no plans" in message


def test_what_a_campaign_recorded_has_the_memory_that_it_had():
    once = compose(["scheduler=volcano"])
    assert compose_recorded(once.campaign.model_dump(mode="json")).campaign == once.campaign


def test_options_of_both_folders_are_listed(own):
    message = refused("cluster=huge", config_dir=own)
    assert "wide" in message and "small" in message


@pytest.mark.parametrize(
    "name", ["a b", "comma,ed", "equals=ed", "quo'ted", "${dollar}", "brack[et]", "per%cent", "ü"]
)
def test_a_users_folder_may_have_any_name(tmp_path, name):
    folder = tmp_path / name
    (folder / "cluster").mkdir(parents=True)
    (folder / "cluster" / "wide.yaml").write_text("nodes: 7\n")
    assert campaign_of("cluster=wide", config_dir=folder).cluster.nodes == 7


def test_a_folder_or_primary_that_is_not_there_is_an_error(tmp_path, own):
    assert "there is no nope.yaml" in refused(config_dir=own, config_name="nope")
    assert "missing" in refused(config_dir=tmp_path / "missing")


@pytest.mark.parametrize("content", ["search: [", "- 1\n", "\x00", "search: {trials: ${nope}}"])
def test_a_broken_file_is_an_error(own, content):
    (own / "mine.yaml").write_text(content)
    assert refused(config_dir=own, config_name="mine")


def test_composing_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    compose(["name=mine", f"output.results={tmp_path}/results"])
    refused("search.trials=0")
    assert list(tmp_path.iterdir()) == [] and Path.cwd() == tmp_path


def test_what_a_ledger_recorded_composes_to_the_same_campaign():
    composed = compose(["cluster.nodes={choices: [1,2]}", f"{BF}=[1,9]"])
    again = compose_recorded(composed.campaign.model_dump(mode="json"))
    assert again.campaign == composed.campaign and again.space == composed.space


def test_a_ledger_of_another_version_is_named():
    with pytest.raises(ConfigError, match=r"speed.*from the ledger"):
        compose_recorded({**compose([]).campaign.model_dump(mode="json"), "speed": 3})


@settings(
    max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(
    key=st.sampled_from(["", "name=", "search.trials=", "hosts.local.", "scheduler.params="]),
    rest=st.text("abc,.=~+[]{}:$@/'\"0 \n\\\0é", max_size=12),
)
def test_hostile_overrides_compose_or_are_refused(key, rest):
    try:
        compose([key + rest])
    except ConfigError as error:
        assert error.brief


def test_several_schedulers_compose_each_with_its_own_image():
    composed = compose(["scheduler=slurm-flux"])
    assert {name: composed.image_name(one) for name, one in composed.schedulers.items()} == {
        "slurm": "slurm",
        "flux": "flux",
    }
    with pytest.raises(ConfigError, match="this needs one scheduler"):
        composed.scheduler  # noqa: B018 - asking is what fails


@pytest.mark.parametrize("override", ["image.name=slurm", "image.hash=abcdef"])
def test_several_schedulers_have_no_image_in_common(override):
    with pytest.raises(ConfigError, match="each of several schedulers boots its own image"):
        compose(["scheduler=slurm-flux", override])


def test_an_arm_of_a_scheduler_that_is_not_searched_is_found():
    with pytest.raises(ConfigError, match=r"scheduler\.arms\.tiny = 'tiny': not searched here"):
        compose(["scheduler=slurm-flux", "scheduler.arms.tiny={x: 1}"])


def test_a_sites_own_settings_in_slurms_spelling_are_taken():
    composed = compose(["scheduler=site"], Path(__file__).with_name("cases"))
    params = composed.space.params({})
    assert params["PriorityMaxAge"] == 7 * 24 * 60
    assert params["SelectTypeParameters"] == "CR_Core_Memory,CR_LLN"
    assert (params["bf_max_job_user"], params["max_rpc_cnt"]) == (100, 150)
    assert params["bf_continue"] is True
