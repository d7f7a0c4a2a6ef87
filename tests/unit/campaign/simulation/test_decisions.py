"""Given the state that the real Slurm had, the engine starts what that one started."""

import json
import os
import subprocess
import sys

import pytest

NAMES = ("limits", "multifactor", "partitions_limits", "qos")
"""Levers whose free schedules part from the real ones for good."""
SHARE = 0.95


@pytest.mark.timeout(300)
def test_the_engine_decides_as_the_real_one_did_from_the_same_state() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "tests.unit.campaign.simulation.decisions", *NAMES],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    found = [json.loads(line) for line in told.stdout.splitlines()]
    assert [one["name"] for one in found] == list(NAMES)
    for one in found:
        assert one["starts"] >= 100, one
        assert one["on_the_same_nodes"] >= SHARE * one["starts"], one
        assert one["others"] <= (1 - SHARE) * one["starts"], one
