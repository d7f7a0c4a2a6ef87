"""Whole campaigns on a testbed of arithmetic: order, batches, retries, giving up, and death at any
moment."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign.analysis.metrics import Computed
from campaign.config.compose import compose
from campaign.core.errors import CampaignError
from campaign.core.trials import Replicate, Trial
from campaign.execution.decisions import (
    AllSettled,
    Ask,
    GiveUp,
    StartTrial,
    Tell,
    Wait,
    decide,
)
from campaign.execution.executor import Executor
from campaign.records.history import History
from campaign.records.ledger import Ledger, read
from campaign.records.results import Results
from campaign.schema.search import SearchSettings
from search.pareto import standstill_of
from tests.fakes.testbed import FakeTestbed, Killed, always_ok, by_attempt

INFRA = "infrastructure_failed"
INVALID = "invalid"
FAILED = "scheduler_failed"
STALLED = "stalled"


@cache
def _composed(*overrides):
    fixed = [
        "search.trials=6",
        "sampler.startup_trials=2",
        "sampler.population=2",
        "testbed.parallel=3",
    ]
    # The same settings for all samplers, in batches or not.
    own = [each.partition("=")[0] for each in fixed]
    return compose([*fixed, *overrides], used_elsewhere=own)


def composed_of(folder, *overrides):
    """A small campaign whose results stand in `folder`."""
    composed = _composed(*overrides)
    output = composed.campaign.output.model_copy(update={"results": str(folder)})
    return replace(composed, campaign=composed.campaign.model_copy(update={"output": output}))


def results_of(composed):
    return Results(Path(composed.campaign.output.results), composed.campaign.name)


class Listening:
    """Keeps what a listener hears."""

    def __init__(self):
        self.heard = []

    def asked(self, trial):
        self.heard.append(("asked", trial.number))

    def started(self, trial):
        self.heard.append(("started", trial.number))

    def running(self, statuses):
        pass

    def finished(self, record, evaluation, *, settled):
        self.heard.append(("finished", record.number, settled))

    def concluded(self, record):
        self.heard.append(("concluded", record.number))


def search(composed, testbed, listener=None, appends=None):
    """Run the campaign in this process; dies as the ledger is about to take its line number
    `appends`."""
    results = results_of(composed)
    with Ledger(results.ledger_path) as ledger:
        if appends is not None:
            _kill_at(ledger, appends)
        if ledger.history.head is None:
            ledger.append("campaign", id="d3", name="demo", config={})
        else:
            ledger.append("resumed")
        executor = Executor(
            composed.campaign,
            composed.space,
            ledger=ledger,
            results=results,
            testbed=testbed,
            opening=composed.opening,
            listeners=(listener,) if listener else (),
        )
        return executor.run()


def _kill_at(ledger, count):
    append = ledger.append
    left = iter(range(count))

    def dying(event, **values):
        if next(left, None) is None:
            raise Killed
        append(event, **values)

    ledger.append = dying


def events_of(composed):
    return list(read(results_of(composed).ledger_path))


def points_of(composed):
    return [
        json.dumps(event["point"]) for event in events_of(composed) if event["event"] == "asked"
    ]


def test_a_campaign_evaluates_every_trial_once(tmp_path):
    testbed = FakeTestbed()
    listener = Listening()
    records = search(composed_of(tmp_path), testbed, listener)
    assert [(r.number, r.attempt, r.outcome) for r in records] == [(n, 1, "ok") for n in range(6)]
    assert testbed.started == [(n, 1) for n in range(6)]
    assert all(r.metrics["awrt_s"] > 0 and r.ended >= r.started for r in records)
    assert [h for h in listener.heard if h[0] == "asked"] == [("asked", n) for n in range(6)]


@pytest.mark.parametrize("appends", [2, 3, 4, 5])
def test_trial_0_is_the_baseline_and_a_driver_that_died_makes_no_second_one(tmp_path, appends):
    composed = composed_of(tmp_path, "search.baseline.cluster.nodes=3")
    with pytest.raises(Killed):
        search(composed, FakeTestbed(), appends=appends)
    records = search(composed, FakeTestbed())
    assert [record.baseline for record in records] == [True, *[False] * 5]
    assert records[0].point == composed.baseline.point
    assert records[0].point["cluster.nodes"] == 3
    asked = [event for event in events_of(composed) if event["event"] == "asked"]
    assert [event["trial"] for event in asked if event["baseline"]] == [0]


def test_one_point_at_a_time_is_asked_run_and_told(tmp_path):
    listener = Listening()
    search(composed_of(tmp_path, "search.trials=2"), FakeTestbed(), listener)
    each = [
        [("asked", n), ("started", n), ("finished", n, True), ("concluded", n)] for n in range(2)
    ]
    assert listener.heard == each[0] + each[1]


@pytest.mark.parametrize(
    ("parallel", "slots", "together"), [(1, 8, 1), (3, 8, 3), (3, 2, 2), (8, 8, 4)]
)
def test_a_batch_runs_together_as_far_as_there_is_room(tmp_path, parallel, slots, together):
    testbed = FakeTestbed(slots=slots)
    search(composed_of(tmp_path, "search.batch=4", f"testbed.parallel={parallel}"), testbed)
    assert testbed.most_running == together
    assert testbed.started == [(n, 1) for n in range(6)]


def test_suggestions_do_not_depend_on_how_many_run_at_once(tmp_path):
    one = composed_of(tmp_path / "one", "search.batch=3", "testbed.parallel=1")
    three = composed_of(tmp_path / "three", "search.batch=3", "testbed.parallel=3")
    for composed in (one, three):
        search(composed, FakeTestbed())
    assert points_of(one) == points_of(three)


def test_what_the_platform_spoilt_is_tried_again_and_then_counts(tmp_path):
    rule = by_attempt({(0, 1): INFRA, (1, 1): INVALID, (2, 1): INVALID, (2, 2): INVALID})
    listener = Listening()
    records = search(composed_of(tmp_path, "search.trials=4"), FakeTestbed(rule), listener)
    assert [(r.attempt, r.outcome) for r in records] == [
        (2, "ok"),
        (2, "ok"),
        (2, INVALID),
        (1, "ok"),
    ]
    settled = [h[1:] for h in listener.heard if h[0] == "finished"]
    assert settled == [
        (0, False),
        (0, True),
        (1, False),
        (1, True),
        (2, False),
        (2, True),
        (3, True),
    ]


@pytest.mark.parametrize("outcome", [FAILED, STALLED])
def test_what_a_point_did_itself_is_not_tried_again(tmp_path, outcome):
    records = search(
        composed_of(tmp_path, "search.retries=5"), FakeTestbed(by_attempt({(1, 1): outcome}))
    )
    assert [(r.number, r.attempt) for r in records] == [(n, 1) for n in range(6)]
    assert records[1].outcome == outcome


def test_a_result_without_an_objective_is_invalid(tmp_path, monkeypatch):
    from campaign.execution import judging

    computed = Computed({"awrt_s": 1.0}, {"node_hours": "nobody counted"})
    monkeypatch.setattr(judging, "compute", lambda *_, **__: computed)
    records = search(composed_of(tmp_path, "search.trials=1", "search.retries=0"), FakeTestbed())
    assert (records[0].outcome, records[0].reason) == (
        INVALID,
        "no value for node_hours: nobody counted",
    )


def test_it_gives_up_after_failures_in_a_row_and_says_why(tmp_path):
    testbed = FakeTestbed(lambda trial: INFRA if trial.number > 1 else "ok")
    with pytest.raises(CampaignError, match="gave up: 3 attempts in a row failed") as caught:
        search(composed_of(tmp_path), testbed)
    assert "no answer by SSH" in caught.value.details
    assert testbed.started == [(0, 1), (1, 1), (2, 1), (2, 2), (3, 1)]


def test_giving_up_waits_for_what_still_runs(tmp_path):
    testbed = FakeTestbed(lambda _: INFRA)
    with pytest.raises(CampaignError, match="gave up: 3 attempts"):
        search(composed_of(tmp_path, "search.batch=3", "search.give_up_after=1"), testbed)
    assert testbed.room() == 8


def test_a_success_in_between_forgets_failures(tmp_path):
    rule = by_attempt({(n, 1): INFRA for n in range(6)})
    records = search(composed_of(tmp_path, "search.give_up_after=2"), FakeTestbed(rule))
    assert all(record.valid for record in records)


def test_a_mended_platform_gets_the_failed_trials_again(tmp_path):
    composed = composed_of(tmp_path, "search.give_up_after=2", "search.retries=0")
    with pytest.raises(CampaignError):
        search(composed, FakeTestbed(lambda trial: INFRA if trial.number in (1, 2) else "ok"))
    testbed = FakeTestbed()
    assert all(record.valid for record in search(composed, testbed))
    assert testbed.started[:2] == [(1, 2), (2, 2)]


def test_a_finished_campaign_does_nothing_and_more_trials_extend_it(tmp_path):
    search(composed_of(tmp_path), FakeTestbed())
    idle = FakeTestbed()
    more = FakeTestbed()
    assert len(search(composed_of(tmp_path), idle)) == 6 and idle.started == []
    search(composed_of(tmp_path, "search.trials=8"), more)
    assert more.started == [(6, 1), (7, 1)]


def patient(tmp_path, *options):
    return composed_of(
        tmp_path, "search.trials=40", "search.batch=3", "search.patience=7", *options
    )


def test_a_front_that_stands_still_ends_the_campaign_after_a_whole_batch(tmp_path):
    records = search(patient(tmp_path), FakeTestbed())
    moved = standstill_of(records, _composed().campaign.objectives, {}).moved
    # The first end of a batch at which seven trials have moved nothing.
    assert len(records) == -(-(moved + 8) // 3) * 3 < 40
    idle = FakeTestbed()
    assert search(patient(tmp_path), idle) == records and idle.started == []


def test_what_the_search_opens_with_is_tried_however_still_the_front_stands(tmp_path):
    named = ",".join(f"{{nodes: {n}, bf_interval: {i}}}" for n in (2, 3) for i in range(20, 27))
    given = ("search.trials=40", "search.patience=1", f"search.first=[{named}]")
    records = search(composed_of(tmp_path, *given), FakeTestbed())
    assert 15 <= len(records) < 40


RULES = {
    "all ok": always_ok,
    "some fail": by_attempt(
        {(1, 1): INVALID, (2, 1): FAILED, (3, 1): INFRA, (4, 1): INVALID, (4, 2): INVALID}
    ),
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize(
    "options",
    [
        ("search.batch=1",),
        ("search.batch=4", "sampler=nsga2"),
        ("search.batch=2", "search.patience=3", "search.first=[{nodes: 2}]", "search.trials=20"),
    ],
    ids=["tpe", "nsga2", "patience"],
)
def test_a_driver_killed_at_any_event_loses_nothing_and_repeats_nothing(tmp_path, options, rule):
    undisturbed = composed_of(tmp_path / "undisturbed", *options)
    expected = search(undisturbed, FakeTestbed(rule))
    for kill in range(1, len(events_of(undisturbed))):
        composed = composed_of(tmp_path / str(kill), *options)
        with pytest.raises(Killed):
            search(composed, FakeTestbed(rule), appends=kill)
        _judge_like(composed, rule, undisturbed, expected)


@settings(max_examples=12, deadline=None)
@given(
    kills=st.lists(st.integers(1, 8), max_size=5),
    sampler=st.sampled_from(["ehvi", "tpe", "nsga2", "random", "qmc"]),
    batch=st.integers(1, 4),
    failing=st.dictionaries(
        st.integers(0, 5), st.sampled_from([INVALID, FAILED, STALLED]), max_size=4
    ),
)
def test_suggestions_are_the_same_however_often_the_driver_dies(
    tmp_path_factory, kills, sampler, batch, failing
):
    tmp_path = tmp_path_factory.mktemp("kills")
    options = [
        f"sampler={sampler}",
        f"search.batch={batch}",
        "search.give_up_after=9",
        "search.retries=0",
    ]
    options.append("search.constraints.awrt_s.max=8")

    def rule(trial):
        return failing.get(trial.number, "ok")

    undisturbed = composed_of(tmp_path / "undisturbed", *options)
    expected = search(undisturbed, FakeTestbed(rule))
    composed = composed_of(tmp_path / "killed", *options)
    for kill in kills:
        try:
            search(composed, FakeTestbed(rule), appends=kill)
        except Killed:
            continue
    _judge_like(composed, rule, undisturbed, expected)


def _judge_like(composed, rule, undisturbed, expected):
    """Finish `composed`: it must find what the undisturbed campaign found, and run nothing that was
    settled before."""
    with Ledger(results_of(composed).ledger_path) as ledger:
        settled = {
            n
            for n in ledger.history.asked
            if not ledger.history.due(n, composed.campaign.search.retries)
        }
    testbed = FakeTestbed(_by_outcomes_so_far(composed, rule))
    records = search(composed, testbed)
    assert points_of(composed) == points_of(undisturbed)
    assert [(r.number, r.outcome, r.metrics) for r in records] == [
        (r.number, r.outcome, r.metrics) for r in expected
    ]
    assert not settled & {number for number, _ in testbed.started}


def _by_outcomes_so_far(composed, rule):
    """`rule`, for which an attempt that a kill cut off never counted."""
    judged = [event["trial"] for event in events_of(composed) if event["event"] == "finished"]

    def counted(trial):
        attempt = judged.count(trial.number) + 1
        judged.append(trial.number)
        return rule(trial.model_copy(update={"attempt": attempt}))

    return counted


def history(asked, finished=(), started=()):
    told = History()
    for number in range(asked):
        told.add({"event": "asked", "trial": number, "point": {}, "attrs": {}})
    for number in started:
        told.add({"event": "started", "trial": number, "attempt": 1})
    for number in finished:
        record = {"number": number, "point": {}, "attempt": 1, "outcome": "ok"}
        told.add({"event": "finished", "trial": number, "record": record})
    return told


def running(*trials):
    return frozenset(Replicate(trial) for trial in trials)


NONE = running()


@pytest.mark.parametrize(
    ("told_history", "told", "run", "room", "decision"),
    [
        (history(0), 0, NONE, 2, Ask(3)),
        (history(1), 0, NONE, 2, Ask(2)),  # died in mid-batch: the rest of it first
        (history(3), 0, NONE, 2, StartTrial(Trial(number=0, point={}, attempt=1))),
        (history(3, started=[0]), 0, NONE, 2, StartTrial(Trial(number=0, point={}, attempt=2))),
        (history(3), 0, running(0), 1, StartTrial(Trial(number=1, point={}, attempt=1))),
        (history(3), 0, running(0, 1), 0, Wait()),
        (history(3, finished=[1, 2]), 0, running(0), 2, Wait()),
        (history(3, finished=[0, 1, 2]), 0, NONE, 2, Tell((0, 1, 2))),
        (history(3, finished=[0, 1, 2]), 3, NONE, 2, Ask(2)),
        (history(5, finished=range(5)), 5, NONE, 2, AllSettled()),
        (history(7, finished=range(7)), 7, NONE, 2, AllSettled()),
    ],
)
def test_decisions(told_history, told, run, room, decision):
    wanted = SearchSettings(trials=5, batch=3)
    assert decide(told_history, wanted, running=run, told=told, room=room) == decision


def test_an_extended_campaign_falls_into_step_with_its_batches_again():
    wanted = SearchSettings(trials=9, batch=3)
    assert decide(history(5, finished=range(5)), wanted, running=NONE, told=5, room=1) == Ask(1)


@pytest.mark.parametrize(("run", "decision"), [(NONE, GiveUp()), (running(1), Wait())])
def test_failures_end_a_campaign_once_nothing_runs(run, decision):
    assert decide(history(3), SearchSettings(), running=run, told=0, room=5, failures=3) == decision
