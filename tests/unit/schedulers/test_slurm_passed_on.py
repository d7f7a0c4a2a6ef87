"""Lines of slurm.conf and options that nothing here knows: set, searched, written and refused."""

from dataclasses import replace

import pytest
from pydantic import ValidationError

from campaign.config.compose import compose
from campaign.core.cluster import ClusterModel, Partition
from campaign.core.errors import ConfigError
from schedulers.base import Topology
from schedulers.slurm.conf import slurm_conf
from schedulers.slurm.params import SlurmParams
from schedulers.slurm.policy import policy
from schedulers.slurm.template import written_keys
from search.space import Categorical, Integer

TOPOLOGY = Topology.of_equal_nodes("c", 2, slots=4, memory_mib=512)


def composed(*settings: str):
    return compose(["testbed=simulation", "scheduler.params={}", *settings])


def conf(**params: object) -> list[str]:
    return slurm_conf(TOPOLOGY, SlurmParams.model_validate(params)).decode().splitlines()


def test_lines_and_options_are_written_as_they_stand() -> None:
    lines = conf(
        **{
            "lines.KillWait": 60,
            "lines.EnforcePartLimits": "ALL",
            "lines.PreemptParameters": "youngest_first,reorder_count=2",
            "lines.DependencyParameters": "a b",
            "lines.KillOnBadExit": True,
            "options.made_up": 3,
            "options.flag": True,
            "options.off": False,
        }
    )
    assert {
        "KillWait=60",
        "EnforcePartLimits=ALL",
        "PreemptParameters=youngest_first,reorder_count=2",
        'DependencyParameters="a b"',
        "KillOnBadExit=YES",
    } <= set(lines)
    options = next(line for line in lines if line.startswith("SchedulerParameters="))
    assert options.endswith(",made_up=3,flag")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("lines.ClusterName", "mine", "has this line by other settings"),
        ("lines.nodename", "n1", "has this line by other settings"),
        ("lines.PreemptType", "preempt/qos", "has this line by other settings"),
        ("lines.PreemptMode", "REQUEUE", "has this line by other settings"),
        ("lines.Include", "other.conf", "has this line by other settings"),
        ("lines.prioritymaxage", "7-0", "set PriorityMaxAge"),
        ("lines.bf_window", 7, "set bf_window"),
        ("options.bf_window", 7, "set bf_window"),
        ("options.made_up", "1,bf_window=7", "a value is one line"),
        ("partitions.day.MaxTime", 7, "set it by cluster.partitions.day"),
        ("partitions.GraceTime", 7, "whose key it is"),
        ("partitions.day.LLN", "YES # no", "a value is one line"),
        ("lines.Made Up", 1, "no key"),
        ("lines.", 1, "no key"),
        ("lines.MadeUp", "1\nNodeName=n9", "a value is one line"),
        ("lines.MadeUp", "1 # no", "a value is one line"),
        ("lines.MadeUp", "", "a value is one line"),
        ("MadeUp", 1, "there is no such parameter"),
    ],
)
def test_what_a_trial_says_otherwise_or_slurm_cannot_read_is_refused(name, value, says) -> None:
    with pytest.raises(ValidationError, match=says):
        SlurmParams.model_validate({name: value})


def test_every_line_of_a_trials_file_is_one_that_cannot_be_passed_on() -> None:
    keys = {line.partition("=")[0] for line in conf() if "=" in line and line[0] != "#"}
    fields = {name.lower() for name in SlurmParams.model_fields}
    assert {key.lower() for key in keys} - written_keys() <= fields


def test_a_line_is_fixed_or_searched_as_any_parameter() -> None:
    found = composed(
        "scheduler.params.lines.EnforcePartLimits=ALL",
        "scheduler.params.lines.CompleteWait=[0,64]",
        "scheduler.params.options.made_up={choices: [false, true]}",
    )
    space = found.space
    assert space.fixed["scheduler.params.lines.EnforcePartLimits"] == "ALL"
    assert space.dimensions["scheduler.params.lines.CompleteWait"] == Integer(0, 64)
    assert space.dimensions["scheduler.params.options.made_up"] == Categorical((False, True))
    # Nobody knows what there is without them, so the first one stands in, and is told.
    assert found.baseline.point["scheduler.params.lines.CompleteWait"] == 0
    assert "CompleteWait 0 for what there is without it" in found.baseline_in_words
    params = SlurmParams(**space.params(found.baseline.point))
    assert params.lines == {"EnforcePartLimits": "ALL", "CompleteWait": "0"}


def test_a_baseline_may_name_a_line() -> None:
    found = composed(
        "scheduler.params.lines.CompleteWait=[0,64]",
        "search.baseline={scheduler.params.lines.CompleteWait: 32}",
    )
    assert found.baseline.point["scheduler.params.lines.CompleteWait"] == 32


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("scheduler.params.bf_intervl=9", "bf_intervl = 9: slurm has no such parameter"),
        ("scheduler.params.line.KillWait=9", "line.KillWait = 9: slurm has no such parameter"),
        ("scheduler.params.lines.NodeName=x", "lines.NodeName = 'x': every trial's slurm.conf"),
        ("scheduler.params.lines.X={choices: [a, 'b#']}", "lines.X = 'b#': a value is one line"),
        ("scheduler.params.lines={KillWait: 1, killwait: 2}", "lines.killwait = 2: lines.KillWait"),
    ],
)
def test_a_wrong_line_is_one_clear_error(setting: str, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        composed(setting)
    assert f"scheduler.params.{says}" in error.value.brief


def test_a_simulation_has_no_use_for_them_and_says_so() -> None:
    found = policy(SlurmParams.model_validate({"lines.KillWait": 60}))
    assert "lines.KillWait" in found.ignored
    assert "lines.KillWait" not in policy(SlurmParams()).ignored


def test_keys_of_partitions_stand_in_their_lines_fixed_or_searched() -> None:
    found = composed(
        "testbed=virtual-time",
        "cluster.partitions={day: {exclusive: true}, night: {}}",
        "scheduler.params.partitions={day: {LLN: true, OverSubscribe: 'FORCE:2'}}",
        "scheduler.params.partitions.night.GraceTime={choices: [0, 120]}",
    )
    assert found.space.dimensions["scheduler.params.partitions.night.GraceTime"].choices == (0, 120)
    params = SlurmParams(**found.space.params(found.baseline.point))
    model = ClusterModel(partitions=(Partition("day", exclusive=True), Partition("night")))
    lines = slurm_conf(replace(TOPOLOGY, model=model), params).decode().splitlines()
    day, night = (
        next(line for line in lines if line.startswith(f"PartitionName={name} "))
        for name in ("day", "night")
    )
    assert day.endswith(" State=UP LLN=YES OverSubscribe=FORCE:2") and "EXCLUSIVE" not in day
    assert night.endswith(" State=UP GraceTime=0")


def test_a_key_of_a_partition_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError) as error:
        composed("scheduler.params.partitions.day.LLN=true")
    assert "scheduler.params.partitions.day.LLN = 'day': there is no such partition" in (
        error.value.brief
    )
