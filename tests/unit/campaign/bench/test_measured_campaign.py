"""How far the simulation is from a campaign's trials, and in which order it puts them."""

import contextlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from campaign.__main__ import main
from campaign.bench.measured_campaign import (
    Foretold,
    as_json,
    as_text,
    fitted,
    measured_campaign,
)
from campaign.core.errors import ConfigError
from campaign.records.results import Results
from campaign.schema import hosts
from campaign.simulation.engine import NO_DELAYS

SETTINGS = (
    "testbed=simulation",
    "name=small",
    "search.trials=4",
    "cluster.nodes=2",
    "workload.jobs=40",
    "scheduler.params.bf_interval=[1,300]",
)


def test_orders_and_distances_are_those_of_the_values() -> None:
    other = Foretold("awrt_s", (100.0, 200.0, 300.0), (110.0, 200.0, 270.0))
    assert other.apart == pytest.approx((0.1, 0.0, -0.1))
    assert other.mean_apart == pytest.approx(0.2 / 3)
    assert other.rank_correlation == pytest.approx(1.0)
    assert Foretold("", (1.0, 2.0, 3.0), (3.0, 2.0, 1.0)).rank_correlation == pytest.approx(-1.0)
    # By hand: ranks 1 2 3 4 beside 2 1 3 4, so 1 - 6 * 2 / (4 * 15).
    mixed = Foretold("", (1.0, 2.0, 3.0, 4.0), (2.0, 1.0, 3.0, 4.0))
    assert mixed.rank_correlation == pytest.approx(0.8)
    assert Foretold("", (1.0, 2.0, 3.0), (5.0, 5.0, 5.0)).rank_correlation is None
    assert Foretold("", (1.0, 2.0), (1.0, 2.0)).rank_correlation is None


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A folder with the results of a campaign that was simulated, with delays."""
    folder = tmp_path_factory.mktemp("simulated")
    with contextlib.chdir(folder):
        assert main(["search", *SETTINGS, "testbed.launch_s=2", "output.log=plain"]) == 0
    return folder


@pytest.fixture
def simulated(recorded, monkeypatch):
    """The same as the working directory."""
    monkeypatch.chdir(recorded)


def test_a_simulated_campaign_is_refused(simulated, capsys) -> None:
    capsys.readouterr()
    assert main(["agreement", "small"]) != 0
    assert "simulated already" in capsys.readouterr().err


def test_trials_that_the_simulation_gave_are_not_apart(simulated, monkeypatch, capsys) -> None:
    monkeypatch.setattr(hosts.TestbedSettings, "on_machines", True)
    capsys.readouterr()
    assert main(["agreement", "small", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["delays"]["launch_s"] == 2 and found["trials"] == [0, 1, 2, 3]
    # The phase of the scheduler's clock is averaged over, so not even these are quite the same.
    assert found["metrics"]["utilisation"]["mean_apart"] < 0.1
    assert main(["agreement", "small", "testbed.launch_s=100"]) == 0
    table = capsys.readouterr().out
    assert "testbed.launch_s=100" in table and "trial 3: after" in table
    line = next(line for line in table.splitlines() if "wait_mean_s" in line)
    assert float(line.split()[4]) > float(line.split()[3]) + 50


def test_delays_are_fitted_to_every_second_trial(simulated, monkeypatch, capsys) -> None:
    monkeypatch.setattr(hosts.TestbedSettings, "on_machines", True)
    unfitted = measured_campaign(Results(Path("results"), "small"), NO_DELAYS)
    halves = fitted(unfitted, unfitted)
    assert list(halves.cases) == [1, 3] and halves.fitted_to == "its trials 0, 2"
    found = as_json(halves)
    assert f"testbed.launch_s={halves.delays.launch_s:g}" in found["overrides"]
    assert found["fitted_on"].keys() == found["errors"].keys()
    before = as_json(unfitted)["errors"]["wait_mean_s"]["value"]
    assert abs(found["errors"]["wait_mean_s"]["value"]) < abs(before) / 2
    assert "held out" in as_text(halves) and "held out" not in as_text(unfitted)
    one = replace(unfitted, cases={0: unfitted.cases[0]})
    with pytest.raises(ConfigError, match="none is left to compare with"):
        fitted(one, one)
    capsys.readouterr()
    assert main(["agreement", "small", "--fit", "nobody"]) != 0
    assert "nobody" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["testbed.launch=1", "testbed.launch_s=soon", "testbed.launch_s"])
def test_a_word_that_is_no_delay_is_named(word, simulated, capsys) -> None:
    capsys.readouterr()
    assert main(["agreement", "small", word]) != 0
    assert repr(word) in capsys.readouterr().err
