"""Clusters whose connections are fakes."""

import pytest

from actors.clusters import live
from tests.fakes.host import connect_to_fakes


@pytest.fixture
def remotes(monkeypatch):
    """The connections that clusters make, the last by VM."""
    made = {}
    connect_to_fakes(monkeypatch, made)
    monkeypatch.setattr(live, "SETTLE_S", 0.0)
    return made
