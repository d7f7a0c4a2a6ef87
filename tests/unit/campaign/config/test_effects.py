"""Settings without an effect on what is chosen, in every group: they are refused by name."""

import pytest
import yaml

from campaign.config.compose import compose, compose_recorded
from campaign.config.effects import given, ignored_parameters, unused
from campaign.config.scopes import ON_MACHINES, SIMULATED
from campaign.core.errors import ConfigError
from campaign.schema.model import Campaign
from campaign.schema.settings import rows

SIMULATION = "testbed=simulation"
VIRTUAL = "testbed=virtual-time"
BRIDGED = "cluster.networks.fabric={bridge: br0}"
GROUPED = "cluster.groups={big: {nodes: 2, devices: {gpu: 1}}}"
HOST_GPU = "hosts.local.devices.a={address: '0000:65:00.0', kind: gpu}"
SWF = ("workload=swf", "workload.path=t.swf")


def refused(overrides, config_dir=None):
    with pytest.raises(ConfigError) as caught:
        compose(list(overrides), config_dir)
    return str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "path", "why"),
    [
        ([SIMULATION, "cluster.vcpus=2"], "cluster.vcpus", "testbed.kind=simulation"),
        ([SIMULATION, "cluster.memory_mib=1024"], "cluster.memory_mib", "testbed=libvirt"),
        ([SIMULATION, "cluster={nodes: 2, start: cold}"], "cluster.start", "simulation"),
        ([SIMULATION, "cluster.dense=true"], "cluster.dense", "simulation"),
        (["cluster.dense=true", "cluster.hosts=1"], "cluster.hosts", "in one VM"),
        ([SIMULATION, "bootstrap.via=ansible"], "bootstrap.via", "simulation"),
        ([SIMULATION, "image.hash=abcdef"], "image.hash", "simulation"),
        ([SIMULATION, "hosts.local.vcpus=8"], "hosts.local.vcpus", "simulation"),
        ([SIMULATION, "testbed.parallel=4"], "testbed.parallel", "search.batch is 1"),
        ([SIMULATION, "search.retries=3"], "search.retries", "simulation"),
        ([SIMULATION, "workload.payload=burn"], "workload.payload", "simulation"),
        ([SIMULATION, "validity.max_steal=0.5"], "validity.max_steal", "simulation"),
        (
            [SIMULATION, "testbed.policy=easy", "testbed.cycle_offset_s=1"],
            "testbed.cycle_offset_s",
            "an ideal policy",
        ),
        (["testbed.policy=easy"], "testbed.policy", "testbed.kind=libvirt"),
        (["testbed.stuck_s=9"], "testbed.stuck_s", "choose testbed=virtual-time"),
        ([SIMULATION, "cluster.dense=true"], "cluster.dense", "simulation"),
        ([VIRTUAL, "cluster.dense=false"], "cluster.dense", "all nodes are in one"),
        ([VIRTUAL, "cluster.start=cold"], "cluster.start", "the same instruction"),
        ([VIRTUAL, "cluster.devices={gpu: 1}"], "cluster.devices.gpu", "clock of its own"),
        ([VIRTUAL, BRIDGED], "cluster.networks.fabric.bridge", "has no network"),
        ([VIRTUAL, GROUPED], "cluster.groups.big.devices.gpu", "clock of its own"),
        ([VIRTUAL, HOST_GPU], "hosts.local.devices.a.kind", "clock of its own"),
        ([SIMULATION, BRIDGED], "cluster.networks.fabric.bridge", "simulation"),
        ([SIMULATION, "cluster.devices.gpu=1"], "cluster.devices.gpu", "simulation"),
        (["cluster.dense=true", "cluster.devices.gpu=1"], "cluster.devices.gpu", "in one VM"),
        (["cluster.dense=true", BRIDGED], "cluster.networks.fabric.bridge", "in one VM"),
        (["cluster.start=golden", BRIDGED], "cluster.start", "booted for every trial"),
        (["cluster.start=golden", GROUPED], "cluster.start", "can't be saved"),
        ([GROUPED, "cluster.devices.gpu=1"], "cluster.devices.gpu", "cluster.groups"),
        ([VIRTUAL, "bootstrap.via=ansible"], "bootstrap.via", "nobody logs in"),
        ([VIRTUAL, "testbed.prefetch=none"], "testbed.prefetch", "in virtual time"),
        ([VIRTUAL, "testbed.wait_for_quiet_s=9"], "testbed.wait_for_quiet_s", "how busy a host"),
        ([VIRTUAL, "testbed.launch_s=1"], "testbed.launch_s", "choose testbed=simulation"),
        ([VIRTUAL, "validity.max_steal=0.5"], "validity.max_steal", "clock stands still"),
        ([VIRTUAL, "workload.payload=burn"], "workload.payload", "jobs sleep"),
        ([VIRTUAL, "hosts.local.acceleration=tcg"], "hosts.local.acceleration", "emulated"),
        (["testbed.launch_s=1"], "testbed.launch_s", "choose testbed=simulation"),
        (["testbed.parallel=4"], "testbed.parallel", "set search.batch=4"),
        (
            ["hosts={a: {group: x}, b: {vcpus: 4}}", "testbed.group=x"],
            "hosts.b.vcpus",
            "not of the group 'x'",
        ),
        (["sampler=random", "sampler.startup_trials=9"], "sampler.startup_trials", "sampler=tpe"),
        (["sampler.population=9"], "sampler.population", "sampler=nsga2"),
        (["sampler=nsga2", "sampler.startup_trials=9"], "sampler.startup_trials", "nsga2"),
        (["image.hash=abcdef", "image.build=never"], "image.build", "image.hash names"),
        (["image.build=never", "image.locked=false"], "image.locked", "builds nothing"),
        (["image.builder=nix", "image.mirror=m"], "image.mirror", "image.builder=debian"),
        ([*SWF, "workload.machine=64"], "workload.machine", "set workload.wide=scale"),
        (["workload=lublin", "workload.wide=scale", "workload.machine=64"], "workload.machine", ""),
        (
            ["scheduler.params={SchedulerType: sched/builtin, bf_interval: 5}"],
            "scheduler.params.bf_interval",
            "slurm ignores it beside SchedulerType=sched/builtin,",
        ),
        (
            ["scheduler.params={PriorityType: priority/basic, PriorityWeightJobSize: [1, 9]}"],
            "scheduler.params.PriorityWeightJobSize",
            "PriorityType=priority/basic",
        ),
        (
            [
                "scheduler=slurm-flux",
                "scheduler.arms.flux={queue_policy: fcfs, reservation_depth: 9}",
            ],
            "scheduler.arms.flux.reservation_depth",
            "flux ignores it",
        ),
    ],
)
def test_a_setting_without_effect_is_refused(overrides, path, why):
    message = refused(overrides)
    assert f"{path} = " in message and why in message and "from override" in message


@pytest.mark.parametrize(
    "overrides",
    [
        [SIMULATION, "validity.max_submit_lag_s=9", "testbed.policy=easy", "testbed.launch_s=1"],
        [SIMULATION, "testbed.cycle_offset_s=1"],
        ["testbed.parallel=4", "search.batch=4"],
        [
            VIRTUAL,
            "cluster.dense=true",
            "testbed.stuck_s=9",
            "search.retries=2",
            "hosts.local.vcpus=2",
        ],
        ["sampler=nsga2", "sampler.population=9"],
        ["image.hash=abcdef", "image.store=/x"],
        [*SWF, "workload.wide=scale", "workload.machine=64"],
        ["scheduler.params={SchedulerType: [sched/backfill, sched/builtin], bf_interval: 5}"],
        # Ours searches bf_interval; that one isn't the user's.
        ["scheduler.params.SchedulerType=sched/builtin"],
        # A simulation has no use for it, but the scheduler has.
        [SIMULATION, "scheduler.params.bf_continue=true"],
    ],
)
def test_a_setting_with_an_effect_is_taken(overrides):
    assert compose(overrides)


@pytest.mark.parametrize("kind", ["simulation", "virtual-time", "libvirt"])
def test_a_whole_configuration_that_we_wrote_is_taken(tmp_path, kind):
    whole = compose([f"testbed={kind}"]).campaign.model_dump(mode="json")
    (tmp_path / "campaign.yaml").write_text(yaml.safe_dump(whole))
    assert compose([], tmp_path, "campaign").campaign.testbed.kind == kind


def test_a_file_may_describe_a_site_for_both_testbeds_unless_it_chooses_one(tmp_path):
    (tmp_path / "cluster").mkdir()
    file = tmp_path / "cluster" / "site.yaml"
    file.write_text("nodes: [2, 4]\nvcpus: 2\n")
    assert compose(["cluster=site", SIMULATION], tmp_path).campaign.cluster.vcpus == 2
    (tmp_path / "testbed").mkdir()
    (tmp_path / "testbed" / "mine.yaml").write_text("kind: simulation\nparallel: 4\n")
    message = refused(["cluster=site", "testbed=mine"], tmp_path)
    assert "cluster.vcpus" in message and "testbed.parallel" in message


def test_what_a_ledger_recorded_is_never_refused():
    config = compose(["testbed=simulation"]).campaign.model_dump(mode="json")
    config["cluster"]["vcpus"] = 2
    assert compose_recorded(config).campaign.cluster.vcpus == 2


def test_the_tables_name_settings_that_there_are():
    paths = [row.path.replace(".NAME.", ".") for row in rows(Campaign)]
    for name in (*ON_MACHINES, *SIMULATED):
        assert any(path == name or path.startswith(f"{name}.") for path in paths), name
    for overrides in ([], [SIMULATION], [*SWF], ["image.hash=abcdef"]):
        for one in unused(compose(overrides).campaign):
            assert one.why and one.fix


def test_a_setting_is_given_by_itself_or_in_a_mapping():
    assert given(["a.b=1"], "a.b") and given(["a={b: 1}"], "a.b") and given(["+a.b=1"], "a.b")
    assert not given(["a={c: 1}"], "a.b") and not given(["~a.b"], "a.b")
    assert not given(["a=b"], "a.b") and not given(["a.bc=1"], "a.b")


def test_parameters_that_others_make_a_scheduler_ignore():
    composed = compose(["scheduler.params.SchedulerType=sched/builtin"])
    assert list(ignored_parameters(composed.space, composed.schedulers)) == [
        "scheduler.params.bf_interval"
    ]
