"""Overrides with several values: what isn't one value is refused with what to write instead."""

import pytest

from campaign.config.compose import compose
from campaign.core.errors import ConfigError


@pytest.mark.parametrize(
    ("override", "fixes"),
    [
        ("cluster.nodes=2,4", ['"cluster.nodes=[2,4]"', '"cluster.nodes={choices: [2,4]}"']),
        ("cluster.nodes=2,3,4", ["[LOW,HIGH]", "{choices: [2,3,4]}"]),
        ("cluster.nodes=range(1,4)", ["[LOW,HIGH]", "{choices: [A,B]}"]),
        ("cluster.nodes={2,4}", ["[2,4]", "{choices: [2,4]}"]),
        ("cluster.nodes=[2,4", ["[2,4]", "{choices: [2,4]}"]),
        ("++scheduler.params.bf_interval=1,30", ['"scheduler.params.bf_interval=[1,30]"']),
        (
            "scheduler.params.SelectTypeParameters=CR_Core,CR_LLN",
            ["{choices: [CR_Core,CR_LLN]}", "SelectTypeParameters='CR_Core,CR_LLN'"],
        ),
        ("scheduler.name=slurm,flux", ["scheduler.name=[slurm,flux]"]),
        ("scheduler=slurm,flux", ["slurm-flux", "scheduler.name=[slurm,flux]"]),
        ("workload=swf,lublin", ["one of afternoon, batsim, demo"]),
        ("workload.jobs=1,2,3", ["one value", "can't be searched"]),
        ("name=a,b", ["one value", "\"name='a,b'\""]),
        ("cluster.nodes={choices: [2,4]", ["Check brackets"]),
    ],
)
def test_several_values_are_refused_with_what_to_write(override, fixes):
    with pytest.raises(ConfigError) as caught:
        compose([override])
    assert override in f"{caught.value.brief}=" or override.lstrip("+") in caught.value.brief
    assert all(fix in caught.value.resolution for fix in fixes), caught.value.resolution
    assert "annotation" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "nodes"),
    [("[2,4]", (2, 4)), ("{choices: [2,4,8]}", (2, 8)), ("3", (3, 3))],
)
def test_what_the_refusals_propose_is_taken(value, nodes):
    assert compose([f"cluster.nodes={value}"]).space.node_counts() == nodes


def test_a_quoted_text_may_have_a_comma():
    composed = compose(["scheduler.params={SelectTypeParameters: 'CR_Core,CR_LLN'}"])
    assert composed.space.fixed["scheduler.params.SelectTypeParameters"] == "CR_Core,CR_LLN"
