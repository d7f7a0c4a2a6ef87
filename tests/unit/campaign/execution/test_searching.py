"""Whole campaigns in simulation: which points they try, when they end, what the end says."""

import json

import pytest

from campaign.records.ledger import history_of
from campaign.records.results import Results
from campaign.search import main
from tests.fakes.tracker import FakeTracker
from tests.unit.campaign.execution.test_comparable import Untracked


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to stand in; MLflow gets nothing."""
    monkeypatch.setattr("campaign.execution.run.MlflowWorker", Untracked)
    for module in ("run", "report_again"):
        monkeypatch.setattr(
            f"campaign.execution.{module}.tracker_for", lambda *_: FakeTracker(tmp_path / "told")
        )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def search(*overrides, name="a"):
    return main(
        ["testbed=simulation", "workload.jobs=5", "output.log=plain", f"name={name}", *overrides]
    )


def history(place, name="a"):
    return history_of(Results(place / "results", name).ledger_path)


def said(place, name="a"):
    lines = Results(place / "results", name).driver_log.read_text().splitlines()
    return [json.loads(line)["message"] for line in lines]


def points(place, name="a"):
    asked = history(place, name).asked
    return [asked[number].point for number in sorted(asked)]


def test_named_points_come_after_the_baseline_and_each_scheduler_is_tried(place):
    wanted = ("scheduler=slurm-flux", "search.first=[{nodes: 3, bf_interval: 20}]")
    assert search(*wanted, "search.trials=5") == 0
    found = points(place)
    assert (found[1]["cluster.nodes"], found[1]["scheduler.arms.slurm.bf_interval"]) == (3, 20)
    assert [one["scheduler.name"] for one in found] == [
        "slurm",
        "slurm",
        "flux",
        "flux",
        found[4]["scheduler.name"],
    ]
    asked = history(place).asked
    assert [asked[n].origin for n in range(5)] == ["baseline", "first", "arm", "arm", "sampler"]
    assert any(line.startswith("trial 1 (search.first): ") for line in said(place))
    assert any(line.startswith("trial 2 (search.arm_trials): ") for line in said(place))
    # At a resume, points may be added: they come next.
    more = "search.first=[{scheduler: flux, nodes: 3}, {nodes: 3, bf_interval: 20}]"
    assert search("scheduler=slurm-flux", more, "search.trials=6") == 0
    assert (points(place)[5]["scheduler.name"], points(place)[5]["cluster.nodes"]) == ("flux", 3)
