"""Think time is kept by simulated users, and by nobody else."""

from pathlib import Path

import pytest

from campaign.config.compose import compose
from campaign.core.errors import ConfigError

TRACE = """; MaxProcs: 8
1 0 -1 60 2 -1 -1 2 120 -1 1 1 1 1 1 1 -1 -1
2 5 -1 60 2 -1 -1 2 120 -1 1 1 1 1 1 1 1 30
"""


@pytest.fixture
def settings(tmp_path: Path) -> list[str]:
    path = tmp_path / "trace.swf"
    path.write_text(TRACE)
    return ["workload=swf", f"workload.path={path}", "workload.obey=[think_time]"]


def test_the_simulation_keeps_it(settings: list[str]) -> None:
    composed = compose(["testbed=simulation", *settings])
    assert composed.campaign.workload.obey == ["think_time"]


@pytest.mark.parametrize("other", ["testbed=virtual-time", "testbed.policy=easy"])
def test_elsewhere_it_is_refused(settings: list[str], other: str) -> None:
    with pytest.raises(ConfigError, match="can't express users who submit a job some time after"):
        compose(["testbed=simulation", *settings, other])
