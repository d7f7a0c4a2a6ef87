"""Chaos on real VMs, in short: a campaign over two libvirts loses a libvirtd, a host's actor and
its driver.

`make chaos ARGS="--vms 10"` draws more, and compares with a campaign that was left alone.
"""

import pytest

from campaign.chaos import clusters
from campaign.chaos.environment import HOSTS
from campaign.records.ledger import history_of

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1200)]

FAULTS = ("libvirtd killed", "host's actor killed", "driver killed")


def test_nothing_is_lost_counted_twice_or_left_behind(tmp_path, image_store, bundle):
    with clusters.cleared(tmp_path / "hosts"):
        outcome = clusters.run(
            1, FAULTS, tmp_path / "run", states=tmp_path / "hosts", image_store=image_store
        )
    assert not outcome.broken, outcome.broken
    assert set(outcome.faults) == set(FAULTS) and outcome.drivers >= 2
    history = history_of(tmp_path / "run/results/chaos/ledger.jsonl")
    assert {record.host for of_trial in history.records.values() for record in of_trial} == set(
        HOSTS
    )
