"""Trials on several instances: which replicates run, who is ruled out, what is held out."""

import json
from pathlib import Path

import pytest

from campaign.config.compose import compose
from campaign.core.trials import Replicate, TrialRecord
from campaign.execution.executor import Executor
from campaign.execution.racing import Race
from campaign.records.history import History
from campaign.records.ledger import history_of, read
from campaign.records.results import Results
from search.pareto import front
from tests.fakes.mortal_ledger import mortal_ledger
from tests.fakes.testbed import FakeTestbed, Killed
from tests.unit.campaign.execution.test_executor import composed_of

OPTIONS = ("workload.instances=5", "search.holdout=2", "search.trials=8", "cluster.nodes=2")
FEW = ("workload.instances=4", "search.holdout=1", "search.trials=6", "cluster.nodes=2")
OBJECTIVES = {"wait": "minimize", "cost": "minimize"}


class ByInstance(FakeTestbed):
    """Keeps the replicates that were started, in order."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.replicates = []

    def start(self, trial):
        self.replicates.append((trial.number, trial.instance))
        super().start(trial)


def search(composed, testbed, appends=None):
    """Run the campaign; die as the ledger is about to take its line number `appends`."""
    results = Results(Path(composed.campaign.output.results), composed.campaign.name)
    with mortal_ledger(results, composed.campaign, appends) as ledger:
        return Executor(
            composed.campaign,
            composed.space,
            ledger=ledger,
            results=results,
            testbed=testbed,
            opening=composed.opening,
        ).run()


def events_of(composed):
    path = Path(composed.campaign.output.results) / composed.campaign.name / "ledger.jsonl"
    return list(read(path))


def found(composed):
    """What must be the same however often a driver dies."""
    path = Path(composed.campaign.output.results) / composed.campaign.name / "ledger.jsonl"
    history = history_of(path)
    records = history.final()
    members = front(records, composed.campaign.objectives)
    return (
        [json.dumps(history.asked[number].point) for number in sorted(history.asked)],
        [(one.number, one.outcome, one.metrics, one.ruled_out) for one in records],
        [one.number for one in members],
        {key: attempts[-1].metrics for key, attempts in history.records.items()},
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    composed = composed_of(tmp_path_factory.mktemp("undisturbed"), *OPTIONS)
    testbed = ByInstance()
    return composed, search(composed, testbed), testbed


def test_all_points_meet_the_same_instances_until_they_have_lost(undisturbed):
    _, records, testbed = undisturbed
    seen = {}
    for number, instance in testbed.replicates:
        if instance < 5:
            seen.setdefault(number, []).append(instance)
    lost = [record for record in records if record.ruled_out]
    assert lost and any(not record.ruled_out for record in records[1:])
    for record in records:
        met = seen[record.number]
        assert met == list(range(len(met)))
        assert len(met) in ((2, 4) if record.ruled_out else (5,))
        assert len(record.replicates) == len(met)
    assert not records[0].ruled_out  # the baseline


def test_the_front_and_the_baseline_run_on_what_is_held_out_and_nothing_else(undisturbed):
    composed, records, testbed = undisturbed
    members = {one.number for one in front(records, composed.campaign.objectives)}
    held_out = [one for one in testbed.replicates if one[1] >= 5]
    assert testbed.replicates[-len(held_out) :] == held_out  # when all else is done
    assert {number for number, _ in held_out} <= members | {0}
    assert {0} <= {number for number, _ in held_out}
    assert {instance for _, instance in held_out} == {5, 6}
    by_number = {record.number: record for record in records}
    assert all(len(by_number[number].held_out) == 2 for number, _ in held_out)


def test_no_front_has_a_trial_that_was_ruled_out(undisturbed):
    composed, records, _ = undisturbed
    assert not any(one.ruled_out for one in front(records, composed.campaign.objectives))


def test_a_driver_killed_at_any_event_finds_the_same(tmp_path):
    undisturbed = composed_of(tmp_path / "undisturbed", *FEW)
    search(undisturbed, FakeTestbed())
    expected = found(undisturbed)
    assert any(why for _, _, _, why in expected[1])
    events = [event["event"] for event in events_of(undisturbed)]
    lost = events.index("ruled_out")
    # All kinds of events, and what a trial is ruled out by; each kill costs two campaigns.
    for kill in {*range(1, len(events), 7), lost - 1, lost, lost + 1}:
        composed = composed_of(tmp_path / str(kill), *FEW)
        with pytest.raises(Killed):
            search(composed, FakeTestbed(), appends=kill)
        search(composed, FakeTestbed())
        assert found(composed) == expected, kill


def test_parallel_batches_choose_and_rule_out_the_same(tmp_path):
    batch = ("search.batch=3", "sampler=nsga2")
    one = composed_of(tmp_path / "one", *OPTIONS, *batch, "testbed.parallel=1")
    many = composed_of(tmp_path / "many", *OPTIONS, *batch, "testbed.parallel=3")
    search(one, FakeTestbed())
    search(many, FakeTestbed())
    assert found(one) == found(many)


def test_replicates_of_one_trial_do_not_run_together_on_machines(tmp_path):
    class Watching(ByInstance):
        def start(self, trial):
            assert all(one.number != trial.number for one in self._running)
            super().start(trial)

    options = (*OPTIONS, "search.batch=3", "testbed.parallel=3", "search.trials=3")
    testbed = Watching()
    search(composed_of(tmp_path, *options), testbed)
    assert testbed.most_running == 3


def test_a_trial_that_fails_on_one_instance_meets_no_more(tmp_path):
    testbed = ByInstance(lambda trial: "stalled" if trial.instance == 1 else "ok")
    records = search(composed_of(tmp_path, *OPTIONS, "search.trials=2"), testbed)
    assert {one.outcome for one in records} == {"stalled"}
    assert testbed.replicates == [(0, 0), (0, 1), (1, 0), (1, 1)]


def race_of(front_waits, own_waits, *, after=2, constraints=None, costs=(1, 1)):
    """A race of one told trial and another that has met as many instances as it has waits."""
    instances = len(front_waits)
    race = Race(OBJECTIVES, constraints or {}, instances=instances, after=after)
    history = History()
    for number in range(3):
        baseline = number == 0
        history.add(
            {"event": "asked", "trial": number, "point": {}, "attrs": {}, "baseline": baseline}
        )
    for number, waits, cost in ((1, front_waits, costs[0]), (2, own_waits, costs[1])):
        for instance, wait in enumerate(waits):
            metrics = {"wait": float(wait), "cost": float(cost)}
            record = TrialRecord(
                number=number,
                point={},
                attempt=1,
                outcome="ok",
                instance=instance,
                metrics=metrics,
            )
            history.records[Replicate(number, instance)] = [record]
    told = [history.records[Replicate(1, instance)][-1] for instance in range(instances)]
    whole = told[0].model_copy(update={"replicates": tuple(told)})
    race.tell(whole)
    return race, history


def test_a_trial_has_lost_where_another_was_better_in_all_on_each_instance():
    race, history = race_of([1, 5, 1, 1], [2, 6], costs=(1, 2))
    assert race.lost(history, 2, 2) == "trial 1 was better on each of 2 instances"


@pytest.mark.parametrize(
    ("own", "costs"), [([2, 5], (1, 2)), ([2, 6], (2, 1)), ([2, 6], (1, 1)), ([0, 6], (1, 2))]
)
def test_a_trial_that_is_as_good_anywhere_has_not_lost(own, costs):
    race, history = race_of([1, 5, 1, 1], own, costs=costs)
    assert race.lost(history, 2, 2) == ""


def test_trials_are_judged_after_doubling_numbers_of_instances():
    race, history = race_of([1] * 9, [2] * 8, costs=(1, 2))
    judged = [met for met in range(9) if race.lost(history, 2, met)]
    assert judged == [2, 4, 8]
    missing = [Replicate(2, instance) for instance in range(4, 9)]
    assert [one.instance for one in race.reached(missing)] == [4, 5, 6, 7]


def test_without_a_race_a_trial_meets_all_instances():
    race, history = race_of([1] * 5, [2] * 4, after=0, costs=(1, 2))
    assert not any(race.lost(history, 2, met) for met in range(5))
    assert len(race.reached([Replicate(2, instance) for instance in range(5)])) == 5


def test_the_baseline_is_never_ruled_out():
    race, history = race_of([1, 1, 1], [2, 2], costs=(1, 2))
    history.records[Replicate(0, 0)] = history.records[Replicate(2, 0)]
    history.records[Replicate(0, 1)] = history.records[Replicate(2, 1)]
    assert race.lost(history, 2, 2) and not race.lost(history, 0, 2)


def test_replicates_run_side_by_side_in_simulation(tmp_path):
    options = ("testbed=simulation", "workload.instances=3", "search.holdout=0", "search.trials=2")
    assert compose(options).campaign.testbed.parallel == 3
    composed = composed_of(tmp_path, *options)
    testbed = FakeTestbed()
    search(composed, testbed)
    assert testbed.most_running == 2  # up to where a trial is judged whether it has lost


def test_a_baseline_that_is_alone_on_the_front_is_not_run_once_more(tmp_path):
    testbed = ByInstance()
    search(composed_of(tmp_path, "search.holdout=2", "search.trials=1", "cluster.nodes=2"), testbed)
    assert testbed.replicates == [(0, 0)]
