"""Campaigns with a ladder, replicates and a race, whose driver SIGKILL ends in a ledger's line."""

import os
import signal
from pathlib import Path

import pytest

from campaign.execution import rehearsing
from campaign.records import ledger
from tests.unit.campaign.execution.test_ladder import (
    CheapTestbed,
    composed_of,
    found,
    history_in,
    search,
)

RACED = ("search.rehearsals=8", "search.trials=5", "workload.instances=4", "search.holdout=1")
KILLS = 8
"""In so many events, spread evenly over all, a driver is killed; with --all-faults, in each."""


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    monkeypatch.setattr(rehearsing, "SimulationTestbed", CheapTestbed)


def killed_in_line(composed, number):
    """Run the campaign in a fork that SIGKILL ends when half of a line is written."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        whole = ledger._write_whole
        lines = iter(range(number))

        def write(file, line):
            if next(lines, None) is None:
                file.write(line[: len(line) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            whole(file, line)

        ledger._write_whole = write
        search(composed)
    finally:
        os._exit(1)


def test_a_driver_that_sigkill_ends_in_any_event_finds_the_same(tmp_path, request):
    calm = composed_of(tmp_path / "calm", *RACED)
    search(calm)
    expected = found(calm)
    history = history_in(calm)
    assert len(history.rehearsals) == 8 and any(one.ruled_out for one in history.final())
    path = Path(calm.campaign.output.results) / calm.campaign.name / "ledger.jsonl"
    events = [event["event"] for event in ledger.read(path)]
    most = len(events) if request.config.getoption("all_faults") else KILLS
    for kill in [at * len(events) // most for at in range(most)]:
        composed = composed_of(tmp_path / str(kill), *RACED)
        assert killed_in_line(composed, kill) == -signal.SIGKILL, events[kill]
        search(composed)
        assert found(composed) == expected, (kill, events[kill])
