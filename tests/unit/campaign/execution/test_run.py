"""A whole campaign through `run`: what it computes once, and what it leaves."""

import sys
from collections import Counter

import pytest

from campaign.analysis.fairness import manifest
from campaign.config.compose import compose
from campaign.config.yaml_text import campaign_yaml
from campaign.execution.run import run
from campaign.report.times import cost_of
from search.pareto import front
from tests.fakes.tracker import FakeTracker

ONCE = {one.__code__: one.__name__ for one in (front, cost_of, manifest, campaign_yaml)}


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Overrides of a small campaign in simulation, without MLflow's slow store."""
    monkeypatch.setattr(
        "campaign.execution.run.tracker_for", lambda *_: FakeTracker(tmp_path / "told")
    )
    return [
        "testbed=simulation",
        "workload.jobs=5",
        "search.trials=2",
        f"output.results={tmp_path}/r",
        f"output.mlruns={tmp_path}/m",
        "output.log=plain",
    ]


def test_what_a_campaign_ended_with_is_computed_once(settings):
    calls = Counter()

    def count(frame, event, _):
        if event == "call" and frame.f_code in ONCE:
            calls[ONCE[frame.f_code]] += 1

    composed = compose([*settings, "scheduler=slurm-flux"])
    sys.setprofile(count)
    try:
        run(composed)
    finally:
        sys.setprofile(None)
    assert calls == dict.fromkeys(ONCE.values(), 1)
