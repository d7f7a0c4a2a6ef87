"""Chaos on simulated hosts: every invariant holds, and each of them notices when what it guards is
broken."""

import random
from collections import Counter
from pathlib import Path

import pytest

from actors.hosts.placement import Placement
from campaign.chaos import simulated
from campaign.chaos.runs import as_text
from campaign.execution.executor import Executor
from campaign.records import ledger
from campaign.records.results import Results
from campaign.testbeds.fleet import FleetTestbed

SEEDS = range(1, 7)


@pytest.fixture(scope="module")
def composed():
    return simulated.campaign_to_disturb()


def broken(composed, folder: Path, seeds=SEEDS) -> list[str]:
    return [
        line for seed in seeds for line in simulated.run(composed, seed, folder / str(seed)).broken
    ]


def test_every_invariant_holds(composed, tmp_path):
    runs = [simulated.run(composed, seed, tmp_path / str(seed)) for seed in SEEDS]
    assert [line for one in runs for line in one.broken] == []
    faults = sum((one.faults for one in runs), start=Counter())
    assert faults.total() > 20 and {"driver killed", "host lost", "disk full"} <= set(faults)
    assert any(one.reaped for one in runs) and all(one.attempts >= simulated.TRIALS for one in runs)
    assert "every invariant held: yes" in as_text(runs, simulated.CAMPAIGNS)


def test_a_seed_draws_the_same_faults_each_time():
    assert (
        simulated.FaultSchedule.drawn(7)
        == simulated.FaultSchedule.drawn(7)
        != simulated.FaultSchedule.drawn(8)
    )


def test_reservations_without_clusters_are_noticed(composed, tmp_path, monkeypatch):
    release = Placement.release
    once = iter([True])

    def keeps_the_room(self, trial, *, failed):
        row = self._placed[trial].hosts[0]
        room = self._free.copy()
        said = release(self, trial, failed=failed)
        # Were it always so, no room would be left before the end.
        if next(once, False):
            self._free[row] = room[row]
        return said

    monkeypatch.setattr(Placement, "release", keeps_the_room)
    assert any("is reserved" in line for line in broken(composed, tmp_path))


def test_orphans_are_noticed(composed, tmp_path, monkeypatch):
    reap = FleetTestbed.reap

    def leaves_some(self):
        left = dict(self.vms)
        count = reap(self)
        self.vms.update(left)
        return count

    monkeypatch.setattr(FleetTestbed, "reap", leaves_some)
    assert any("VMs of trial" in line for line in broken(composed, tmp_path))


def test_a_torn_line_that_is_not_cut_off_is_noticed(composed, tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "cut_torn_line", lambda path: None)
    assert any("the ledger can't be read" in line for line in broken(composed, tmp_path))


def test_a_record_before_its_jobs_is_noticed(composed, tmp_path, monkeypatch):
    """The order of effects: what a kill between the two leaves."""
    keep = Results.keep
    monkeypatch.setattr(
        Results,
        "keep",
        lambda self, record, *rest: "" if record.number == 3 else keep(self, record, *rest),
    )
    assert any("jobs are not on the disk" in line for line in broken(composed, tmp_path))


def test_another_front_is_noticed(composed, tmp_path, monkeypatch):
    ask = Executor._ask

    def forgets_the_seed(self):
        if self._ledger.path.parent.name == "disturbed":
            self._study._seed = random.randrange(2**30)
        ask(self)

    monkeypatch.setattr(Executor, "_ask", forgets_the_seed)
    assert any("another front" in line for line in broken(composed, tmp_path))
