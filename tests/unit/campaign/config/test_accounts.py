"""A cluster with accounts boots the image that keeps them, and their parameters want accounts."""

import pytest

from campaign.config.compose import compose
from campaign.config.image_choice import image_name
from campaign.core.errors import ConfigError
from schedulers.registry import adapter

ACCOUNTS = ("testbed=virtual-time", "+cluster.accounts={one: {shares: 1}, three: {shares: 3}}")
WEIGHT = "scheduler.params.PriorityWeightFairshare"


def image(*overrides: str) -> str:
    return image_name(compose(overrides).campaign, adapter("slurm"))


def test_accounts_choose_the_image_unless_the_campaign_does() -> None:
    assert image() == "slurm"
    assert image(*ACCOUNTS) == "slurm-accounting"
    assert image(*ACCOUNTS, "image.name=mine") == "mine"
    assert image(*ACCOUNTS[:1], "+cluster.qos={high: {priority: 5}}") == "slurm-accounting"


def test_fair_share_is_searched_where_there_are_accounts() -> None:
    composed = compose([*ACCOUNTS, f"{WEIGHT}=[0,100000]"])
    assert WEIGHT in composed.space.dimensions


@pytest.mark.parametrize("value", ["[0,100000]", "1000"])
def test_fair_share_without_accounts_is_refused_and_says_what_it_wants(value: str) -> None:
    with pytest.raises(ConfigError, match=f"{WEIGHT} = .*cluster.accounts"):
        compose(["testbed=virtual-time", f"{WEIGHT}={value}"])


def test_a_weight_of_nothing_is_no_mistake() -> None:
    assert compose([f"{WEIGHT}=0"])


def test_a_sites_own_weight_is_written_as_it_stands(tmp_path) -> None:
    (tmp_path / "scheduler").mkdir()
    (tmp_path / "scheduler/ours.yaml").write_text(
        "name: slurm\nparams:\n  PriorityWeightFairshare: 7\n"
    )
    composed = compose(["scheduler=ours"], tmp_path)
    assert composed.space.fixed[WEIGHT] == 7
