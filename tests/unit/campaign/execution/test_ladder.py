"""Ladders: points are rehearsed in simulation, promoted by what is foretold, and never mixed up."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from campaign.analysis.front.ladder import LadderFindings
from campaign.config.compose import compose
from campaign.core.errors import ConfigError, LedgerError
from campaign.execution import rehearsing
from campaign.execution.attainable import check_rehearsals
from campaign.execution.executor import Executor
from campaign.execution.recorded import check_recorded
from campaign.execution.rehearsing import rehearse
from campaign.records.ledger import history_of, read
from campaign.records.results import Results
from campaign.testbeds.preflight import workload_for
from search.distinct import key_of
from search.pareto import front
from tests.fakes.mortal_ledger import mortal_ledger
from tests.fakes.testbed import FakeTestbed, Killed, evaluate

OPTIONS = (
    "testbed=virtual-time",
    "search.ladder=[simulation,virtual-time]",
    "search.rehearsals=24",
    "search.trials=8",
    "search.batch=2",
    "search.seed=3",
    "cluster.nodes=[2,5]",
    "sampler.startup_trials=4",
)


class CheapTestbed:
    """Rehearses by the arithmetic of the dear fake testbed, with delays of its own."""

    evaluated = 0

    def __init__(self, *_):
        pass

    def warm_up(self):
        pass

    def evaluate(self, trial):
        type(self).evaluated += 1
        interval = trial.point.get("scheduler.params.bf_interval", 30)
        point = {**trial.point, "scheduler.params.bf_interval": 3 + 0.8 * interval}
        found = evaluate(trial.model_copy(update={"point": point}))
        return replace(found, provenance=replace(found.provenance, testbed="simulation"))


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    monkeypatch.setattr(CheapTestbed, "evaluated", 0)
    monkeypatch.setattr(rehearsing, "SimulationTestbed", CheapTestbed)
    return CheapTestbed


def composed_of(folder, *options):
    composed = compose([*OPTIONS, *options])
    output = composed.campaign.output.model_copy(update={"results": str(folder)})
    return replace(composed, campaign=composed.campaign.model_copy(update={"output": output}))


def search(composed, testbed=None, appends=None):
    """Run the campaign; die as the ledger is about to take its line number `appends`."""
    results = Results(Path(composed.campaign.output.results), composed.campaign.name)
    workload = workload_for(composed.campaign, composed.schedulers, composed.space)
    with mortal_ledger(results, composed.campaign, appends) as ledger:
        workloads = [workload] * composed.campaign.workload.instances
        rehearse(composed, ledger, workloads)
        return Executor(
            composed.campaign,
            composed.space,
            ledger=ledger,
            results=results,
            testbed=testbed or FakeTestbed(),
            opening=composed.opening,
        ).run()


def history_in(composed):
    name = composed.campaign.name
    return history_of(Path(composed.campaign.output.results) / name / "ledger.jsonl")


def found(composed):
    """What must be the same however often a driver dies."""
    history = history_in(composed)
    records = history.final()
    return (
        [(json.dumps(one.record.point), one.record.metrics) for one in history.rehearsals],
        [json.dumps(history.asked[number].point) for number in sorted(history.asked)],
        [(one.number, one.outcome, one.metrics, one.ruled_out) for one in records],
        [one.number for one in front(records, composed.campaign.objectives)],
    )


@pytest.fixture(scope="module")
def climbed(tmp_path_factory):
    composed = composed_of(tmp_path_factory.mktemp("climbed"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rehearsing, "SimulationTestbed", CheapTestbed)
        return composed, search(composed)


def test_trials_are_the_dear_ones_alone_and_the_first_is_the_baseline(climbed):
    composed, records = climbed
    history = history_in(composed)
    assert len(history.rehearsals) == 24 and len(records) == len(history.final()) == 8
    assert all(one.record.provenance.testbed == "simulation" for one in history.rehearsals)
    assert not any(record.provenance.testbed == "simulation" for record in records)
    assert records[0].baseline and records[0].point == composed.baseline.point
    assert [one.origin for one in history.asked.values()] == ["baseline", *["promoted"] * 7]


def test_what_is_promoted_was_rehearsed_and_is_promoted_once(climbed):
    composed, records = climbed
    rehearsed = {key_of(one.record.point) for one in history_in(composed).rehearsals}
    promoted = [key_of(record.point) for record in records]
    assert len(set(promoted)) == 8 and set(promoted) <= rehearsed


def test_the_front_of_all_that_was_rehearsed_is_found_in_few_trials(climbed):
    composed, records = climbed
    objectives = composed.campaign.objectives
    everything = []
    for number, one in enumerate(history_in(composed).rehearsals):
        # As the dear testbed would have it.
        known = next((each for each in records if each.point == one.record.point), None)
        everything.append(known or one.record.model_copy(update={"number": 100 + number}))
    best = {key_of(one.point) for one in front(everything, objectives)}
    there = {key_of(one.point) for one in front(records, objectives)}
    assert len(there & best) >= len(best) / 2


FEW = ("search.rehearsals=6", "search.trials=3", "workload.instances=2", "search.holdout=1")


def test_a_driver_killed_at_any_event_finds_the_same(tmp_path):
    undisturbed = composed_of(tmp_path / "undisturbed", *FEW)
    search(undisturbed)
    expected = found(undisturbed)
    path = Path(undisturbed.campaign.output.results) / undisturbed.campaign.name / "ledger.jsonl"
    events = [event["event"] for event in read(path)][1:]
    promoted = [number for number, event in enumerate(events) if event == "asked"]
    # Between rehearsals, around each promotion, and at the end; each kill costs two campaigns.
    for kill in {0, 3, *promoted, *(number + 1 for number in promoted), len(events) - 1}:
        composed = composed_of(tmp_path / str(kill), *FEW)
        with pytest.raises(Killed):
            search(composed, appends=kill)
        search(composed)
        assert found(composed) == expected, kill


def test_nothing_is_rehearsed_twice_and_more_may_be_added(tmp_path, cheap):
    composed = composed_of(tmp_path, "search.trials=3")
    search(composed)
    assert cheap.evaluated == 24
    more = composed_of(tmp_path, "search.trials=5", "search.rehearsals=30")
    search(more)
    assert cheap.evaluated == 30
    assert len(history_in(more).rehearsals) == 30 and len(history_in(more).final()) == 5


def test_a_small_space_is_rehearsed_in_whole(tmp_path, cheap):
    options = (
        "scheduler.params.bf_interval={choices:[5,60,300]}",
        "scheduler.params.SchedulerType=sched/backfill",
        "scheduler.params.PriorityWeightJobSize=0",
    )
    composed = composed_of(tmp_path, *options, "search.trials=3")
    search(composed)
    assert cheap.evaluated == 12


def test_a_rehearsal_that_fails_promotes_nothing(tmp_path, monkeypatch, cheap):
    honest = cheap.evaluate

    def failing(self, trial):
        if trial.point["cluster.nodes"] == 5:
            return replace(honest(self, trial), outcome="invalid", reason="no")
        return honest(self, trial)

    monkeypatch.setattr(cheap, "evaluate", failing)
    records = search(composed_of(tmp_path))
    assert len(records) == 8
    assert all(one.point["cluster.nodes"] != 5 for one in records if not one.baseline)


def test_points_that_fail_on_the_dear_rung_are_not_promoted_again(tmp_path):
    rule = {"cluster.nodes": 2}
    testbed = FakeTestbed(lambda one: "stalled" if rule.items() <= one.point.items() else "ok")
    records = search(composed_of(tmp_path, "search.trials=10"), testbed)
    assert len({key_of(record.point) for record in records}) == 10
    assert any(record.valid for record in records[1:])


def test_the_report_says_how_well_simulation_foretold(climbed):
    composed, records = climbed
    rehearsed = [one.record for one in history_in(composed).rehearsals]
    findings = LadderFindings.of(rehearsed, records, composed.campaign.objectives)
    assert (findings.rehearsed, findings.promoted, findings.spared) == (24, 8, 16)
    # Eight points are too few to tell.
    assert all(one.value != one.value for one in findings.correlations)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["search.ladder=[simulation]"], "two rungs"),
        (["search.ladder=[simulation,virtual-time,libvirt]"], "two rungs"),
        (["search.ladder=[virtual-time,libvirt]"], "tried first is simulation"),
        (["search.ladder=[simulation,simulation]"], "runs on machines"),
        (["search.ladder=[simulation,libvirt]"], "testbed.kind is virtual-time"),
        (["search.ladder=[simulation,mars]"], "search.ladder"),
        (["search.rehearsals=8"], "promoted from among more"),
        (["search.ladder=[]"], "nothing is tried on a cheap testbed first"),
        (
            ["testbed.policy=easy", "testbed.lead_s=5"],
            "an ideal policy (testbed.policy=easy) has no clock",
        ),
    ],
)
def test_a_ladder_that_cannot_be_is_refused(options, said):
    with pytest.raises(ConfigError) as refused:
        compose([*OPTIONS, *options])
    assert said in str(refused.value)


def test_an_objective_that_simulation_cannot_have_is_refused_before_anything_starts():
    named = "objectives={wait_mean_s: minimize, node_hours_provisioned: minimize}"
    options = ("testbed=libvirt", "search.ladder=[simulation,libvirt]", "~objectives", f"+{named}")
    composed = compose([*OPTIONS, *options])
    workload = workload_for(composed.campaign, composed.schedulers, composed.space)
    with pytest.raises(ConfigError, match=r"search\.ladder: in simulation, objectives"):
        check_rehearsals(composed, workload)


def test_settings_of_the_simulation_have_an_effect_on_a_ladder():
    composed = compose([*OPTIONS, "testbed.launch_s=0.5"])
    assert composed.campaign.testbed.launch_s == 0.5


def test_a_rehearsal_of_another_space_is_damage(climbed, tmp_path):
    composed, _ = climbed
    other = compose([*OPTIONS, "cluster.nodes=[2,3]"])
    path = Path(composed.campaign.output.results) / "ledger.jsonl"
    history = history_in(composed)
    history.asked.clear()
    with pytest.raises(LedgerError, match="the rehearsal 0 can't be used"):
        check_recorded(history, other.space, other.campaign.objectives, path)
