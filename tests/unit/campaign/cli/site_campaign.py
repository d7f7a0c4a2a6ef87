"""A simulated campaign of four trials, from whose results tests export a site's change."""

from pathlib import Path

import pytest

from campaign.config.compose import compose
from campaign.execution.run import run
from tests.fakes.tracker import FakeTracker


def site_campaign(folder: Path, *settings: str) -> Path:
    """Run the campaign called `site`, and return the folder of its results."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("campaign.execution.run.tracker_for", lambda *_: FakeTracker(folder / "told"))
        own = (f"output.results={folder}/r", "output.log=plain", "name=site", "search.trials=4")
        assert run(compose(["testbed=simulation", *own, *settings])) == 0
    return folder / "r"
