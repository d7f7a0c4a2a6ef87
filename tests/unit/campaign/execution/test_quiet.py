"""Trials wait for a quiet host, before they start or after a busy one has spoiled them."""

import logging
from dataclasses import replace

import pytest

from campaign.config.compose import compose
from campaign.core.trials import Replicate, TrialRecord
from campaign.execution.executor import Executor
from campaign.execution.quiet import REMINDER_S, RETRY_PAUSE_S, QuietGate
from campaign.records.history import History
from campaign.records.ledger import Ledger
from campaign.records.results import Results
from tests.fakes.testbed import FakeTestbed, evaluate

BUSY = "host h: other programs used 1.9 of 2 CPUs"


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Crowded(FakeTestbed):
    """A host that others keep busy until `quiet_from`; a trial takes 60 s, and is invalid there
    for as long."""

    def __init__(self, clock, quiet_from):
        super().__init__()
        self._clock = clock
        self._quiet_from = quiet_from
        self.times = []  # of the starts, from the campaign's begin

    def busy(self):
        return BUSY if self._clock.now < self._quiet_from else ""

    def start(self, trial):
        super().start(trial)
        self.times.append((trial.number, trial.attempt, self._clock.now - 1000))

    def wait(self, timeout_s):
        if not self._running:
            self._clock.now += timeout_s
            return []
        spoiled = self.busy()
        self._clock.now += 60
        trial = self._running.pop()
        outcome = "invalid" if spoiled else "ok"
        return [(trial, replace(evaluate(trial, outcome), busy=spoiled))]


@pytest.fixture
def searched(tmp_path):
    """Run a campaign of three trials on a host that is busy for so long; when trials started, and
    how they ended."""

    def run(busy_s, *overrides):
        clock = Clock()
        testbed = Crowded(clock, clock.now + busy_s)
        composed = compose(["search.trials=3", f"output.results={tmp_path}", *overrides])
        results = Results(tmp_path, composed.campaign.name)
        with Ledger(results.ledger_path) as ledger:
            ledger.append("campaign", id="d3", name="demo", config={})
            records = Executor(
                composed.campaign,
                composed.space,
                ledger=ledger,
                results=results,
                testbed=testbed,
                clock=clock,
            ).run()
        return testbed.times, [record.outcome for record in records]

    return run


CANDIDATES = [Replicate(0), Replicate(1)]


def test_on_a_quiet_host_nothing_waits(searched):
    times, outcomes = searched(0, "testbed.wait_for_quiet_s=500")
    assert times == [(0, 1, 0), (1, 1, 60), (2, 1, 120)]
    assert outcomes == ["ok"] * 3


def test_a_campaign_may_wait_for_quiet_before_its_first_trial(searched, caplog):
    with caplog.at_level(logging.WARNING):
        times, outcomes = searched(400, "testbed.wait_for_quiet_s=500")
    assert times[0] == (0, 1, 400)
    assert outcomes == ["ok"] * 3
    said = [record.getMessage() for record in caplog.records]
    assert said[0] == f"waiting for quiet before trial 0, at most 500 s more: {BUSY}"
    assert len(said) == 1 + int(400 / REMINDER_S)


def test_the_wait_for_quiet_has_an_end(searched):
    times, _ = searched(100_000, "testbed.wait_for_quiet_s=500", "search.retries=0")
    assert [start for _, _, start in times] == [500, 1060, 1620]


def test_a_trial_that_a_busy_host_spoiled_is_tried_again_when_the_host_is_quiet(searched):
    times, outcomes = searched(150)
    assert times[:2] == [(0, 1, 0), (0, 2, 150)]
    assert outcomes == ["ok"] * 3


def test_other_trials_go_before_one_that_waits(searched):
    times, _ = searched(100, "search.batch=3")
    assert [(trial, attempt) for trial, attempt, _ in times] == [
        (0, 1),
        (1, 1),
        (0, 2),  # by now the host is quiet
        (1, 2),
        (2, 1),
    ]


def test_a_spoiled_trial_doesnt_wait_for_ever(searched):
    times, outcomes = searched(100_000, "search.trials=1")
    assert times == [(0, 1, 0), (0, 2, 60 + RETRY_PAUSE_S)]
    assert outcomes == ["invalid"]


def test_a_longer_wait_than_the_pause_counts_for_another_attempt_too(searched):
    times, _ = searched(100_000, "search.trials=1", "testbed.wait_for_quiet_s=1000")
    assert times == [(0, 1, 1000), (0, 2, 2060)]


def test_the_pause_of_a_trial_goes_on_over_a_resume():
    history = History()
    spoiled = TrialRecord(
        number=0, point={}, attempt=1, outcome="invalid", busy=BUSY, started=900, ended=1000
    )
    history.records[Replicate(0)] = [spoiled]
    clock = Clock()
    clock.now = 1000 + RETRY_PAUSE_S - 1
    assert QuietGate(lambda: BUSY, 0, clock).held(history, CANDIDATES) == {Replicate(0)}
    clock.now += 1
    assert QuietGate(lambda: BUSY, 0, clock).held(history, CANDIDATES) == frozenset()


def test_hosts_are_asked_only_where_something_may_wait():
    def ask():
        raise AssertionError("asked")

    assert QuietGate(ask, 0, Clock()).held(History(), CANDIDATES) == frozenset()
