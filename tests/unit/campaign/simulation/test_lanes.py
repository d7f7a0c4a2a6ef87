"""Simulated trials side by side: the same results in any number of lanes, and a quick end."""

import threading
from concurrent.futures import Future
from contextlib import ExitStack

import pytest

from campaign.config.compose import compose
from campaign.core.phases import Phase
from campaign.core.trials import Evaluation, Trial
from campaign.execution.executor import Executor
from campaign.records.ledger import Ledger
from campaign.records.results import Results
from campaign.simulation.interruptible import LoopEndedError
from campaign.simulation.lanes import Lanes, on_threads
from campaign.simulation.testbed import SimulationTestbed
from campaign.testbeds.preflight import workloads_for
from campaign.testbeds.simulated import SimulationBackend

SETTINGS = ("testbed=simulation", "search.trials=12", "search.batch=4", "workload.jobs=40")


class ByHand:
    """Lanes whose trials end when the test says so; each evaluation names its trial."""

    def __init__(self, count, cost_s=1.0, worth_s=0.0):
        self.here = []
        self.out = {}
        self.closed_with = None
        self.cost_s = cost_s
        self.lanes = Lanes(self.evaluate, self.hand_out, count, worth_s=worth_s, close=self.close)

    def evaluation(self, trial):
        return Evaluation("ok", str(trial.number), phases={Phase.SIMULATED: self.cost_s})

    def evaluate(self, trial):
        self.here.append(trial.number)
        return self.evaluation(trial)

    def hand_out(self, trial):
        self.out[trial.number] = Future()
        return self.out[trial.number]

    def end(self, number):
        self.out[number].set_result(self.evaluation(trial(number)))

    def close(self, futures):
        self.closed_with = futures


def trial(number):
    return Trial(number=number, point={})


def numbers(pairs):
    return [(trial.number, evaluation.reason) for trial, evaluation in pairs]


def test_lanes_have_room_until_what_was_handed_out_has_come_back() -> None:
    hand = ByHand(2)
    hand.lanes.start(trial(0))
    hand.lanes.start(trial(1))
    assert hand.lanes.room() == 0 and hand.lanes.wait(0) == []
    hand.end(1)
    assert numbers(hand.lanes.wait(0)) == [(1, "1")] and hand.lanes.room() == 1


def test_what_ends_together_comes_in_the_order_of_trials() -> None:
    hand = ByHand(3)
    for number in (0, 1, 2):
        hand.lanes.start(trial(number))
    for number in (2, 0, 1):
        hand.end(number)
    assert numbers(hand.lanes.wait(0)) == [(0, "0"), (1, "1"), (2, "2")]


def test_a_trial_is_evaluated_here_while_the_last_one_was_cheap() -> None:
    hand = ByHand(2, cost_s=0.01, worth_s=0.5)
    hand.lanes.start(trial(0))  # its cost is unknown
    hand.end(0)
    hand.lanes.wait(0)
    hand.cost_s = 3.0
    hand.lanes.start(trial(1))
    assert hand.here == [1] and numbers(hand.lanes.wait(0)) == [(1, "1")]
    hand.lanes.start(trial(2))
    assert hand.here == [1] and set(hand.out) == {0, 2}


def test_what_fails_there_fails_here() -> None:
    hand = ByHand(1)
    hand.lanes.start(trial(0))
    hand.out[0].set_exception(MemoryError("no room"))
    with pytest.raises(MemoryError, match="no room"):
        hand.lanes.wait(0)


def test_the_end_is_told_of_what_is_out() -> None:
    hand = ByHand(2)
    hand.lanes.start(trial(0))
    hand.lanes.close()
    assert hand.closed_with == (hand.out[0],)


def parts_of(*overrides):
    composed = compose([*SETTINGS, *overrides])
    parts = (composed.campaign, composed.schedulers, composed.space)
    return composed, SimulationTestbed(*parts, *workloads_for(*parts))


def campaign_on(folder, composed, testbed):
    with Ledger(Results(folder, "c").ledger_path) as ledger:
        records = Executor(
            composed.campaign,
            composed.space,
            ledger=ledger,
            results=Results(folder, "c"),
            testbed=testbed,
            opening=composed.opening,
        ).run()
    return [(one.number, one.point, one.metrics) for one in records]


def test_a_campaign_is_the_same_in_one_lane_and_in_several(tmp_path, monkeypatch) -> None:
    composed, testbed = parts_of()
    assert composed.campaign.testbed.parallel == 4
    one = campaign_on(tmp_path / "one", composed, testbed)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: range(3))
    lanes = on_threads(testbed.evaluate, 4)
    assert lanes.room() == 3
    assert campaign_on(tmp_path / "several", composed, lanes) == one
    lanes.close()


@pytest.mark.parametrize(("parallel", "used"), [(4, 3), (2, 2), (1, 1)])
def test_trials_use_as_many_cores_as_there_are_and_as_they_may(parallel, used, monkeypatch) -> None:
    composed, _ = parts_of(f"testbed.parallel={parallel}")
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: range(3))
    monkeypatch.setattr(SimulationTestbed, "warm_up", lambda self: None)
    parts = (composed.campaign, composed.schedulers, composed.space)
    with ExitStack() as stack:
        opened = SimulationBackend(*parts).open(stack, workloads_for(*parts))
        assert opened.room() == used


def test_a_running_loop_ends_when_its_lanes_are_closed() -> None:
    """As long as it isn't told to end, the workload below takes minutes."""
    _, testbed = parts_of(
        "workload=lublin", "workload.jobs=100000", "workload.load=3", "cluster.nodes=64"
    )
    testbed.warm_up()
    errors = []
    begun = threading.Event()

    def evaluate(trial):
        begun.set()
        try:
            return testbed.evaluate(trial)
        except LoopEndedError as error:
            errors.append(error)
            raise

    lanes = on_threads(evaluate, 1)
    lanes.start(Trial(number=0, point={"cluster.nodes": 64}))
    assert begun.wait(60)
    lanes.close()
    assert len(errors) == 1
