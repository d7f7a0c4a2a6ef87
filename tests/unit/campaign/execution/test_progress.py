"""Progress: what is logged, and how many trials are done with retries and resumes."""

import logging

import pytest

from campaign.core.phases import Phase
from campaign.core.testbed import Status
from campaign.core.trials import Evaluation, Trial, TrialRecord
from campaign.execution.progress import Progress, point_text, status_text
from campaign.records.history import Asked

EVALUATION = Evaluation("ok")


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def record(number, outcome="ok", attempt=1, **changes):
    times = {"started": 1000.0, "ended": 1060.0}
    return TrialRecord(
        number=number, point={}, attempt=attempt, outcome=outcome, **times, **changes
    )


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(autouse=True)
def info(caplog):
    """Has what a user reads logged."""
    caplog.set_level(logging.INFO)


@pytest.fixture
def progress(clock):
    return Progress(4, clock)


def finish(progress, clock, number, **changes):
    settled = changes.pop("settled", True)
    clock.now += 60
    ended = record(number, **changes)
    progress.finished(ended, EVALUATION, settled=settled)
    if settled:
        progress.concluded(ended)


def test_each_settled_trial_counts_and_the_pace_gives_what_is_left(progress, clock, caplog):
    finish(progress, clock, 0)
    assert caplog.messages[-1] == "trial 0 ok after 60 s; 1 of 4 done, about 3 min left"
    finish(progress, clock, 1)
    finish(progress, clock, 2)
    assert caplog.messages[-1].endswith("3 of 4 done, about 60 s left")
    finish(progress, clock, 3)
    assert caplog.messages[-1].endswith("; done")


def test_trials_are_compared_with_the_baseline_in_each_objective(clock, caplog):
    progress = Progress(4, clock, objectives={"awrt_s": "minimize", "node_hours": "minimize"})
    finish(progress, clock, 0, baseline=True, metrics={"awrt_s": 200.0, "node_hours": 8.0})
    said = " with awrt_s 200, node_hours 8, moves the front (1 point); 1 of"
    assert said in caplog.messages[-1]
    finish(progress, clock, 1, metrics={"awrt_s": 150.0, "node_hours": 8.4})
    said = " with awrt_s 150 (-25 %), node_hours 8.4 (+5.0 %), moves the front (2 points); 2 of"
    assert said in caplog.messages[-1]
    finish(progress, clock, 2, metrics={"awrt_s": 150.0, "node_hours": 9.0})
    assert " with awrt_s 150 (-25 %), node_hours 9 (+12 %); 3 of" in caplog.messages[-1]
    finish(progress, clock, 3, outcome="stalled")
    assert "stalled after 60 s; done" in caplog.messages[-1]


def test_a_resumed_campaign_knows_its_baseline(clock, caplog):
    progress = Progress(4, clock, objectives={"awrt_s": "minimize"})
    progress.resumed(1, [record(0, baseline=True, metrics={"awrt_s": 200.0})])
    finish(progress, clock, 1, metrics={"awrt_s": 210.0})
    assert " with awrt_s 210 (+5.0 %); 2 of" in caplog.messages[-1]


def test_the_baseline_is_named_when_it_starts(progress, caplog):
    progress.asked(Asked(0, {"cluster.nodes": 2}, {}, baseline=True))
    progress.started(Trial(number=0, point={"cluster.nodes": 2}))
    assert caplog.messages[-1] == "trial 0 (baseline) starts: nodes=2"


def test_a_short_trial_has_one_line_with_its_point(clock, caplog):
    progress = Progress(2, clock, objectives={"awrt_s": "minimize"}, short=True)
    point = {"cluster.nodes": 2}
    progress.asked(Asked(0, point, {}, baseline=True))
    progress.started(Trial(number=0, point=point))
    metrics = {"awrt_s": 3.0}
    ended = TrialRecord(
        number=0, point=point, attempt=1, outcome="ok", started=0, ended=0.1, metrics=metrics
    )
    progress.finished(ended, EVALUATION, settled=True)
    loud = [one.getMessage() for one in caplog.records if not one.silent]
    assert loud == [
        "trial 0 (baseline) ok with awrt_s 3, moves the front (1 point); "
        "1 of 2 done, about 0 s left; nodes=2"
    ]


def test_what_comes_before_the_first_trial_is_no_pace(progress, clock, caplog):
    clock.now += 5000  # compiling, building an image
    progress.asked(Asked(0, {}, {}))
    finish(progress, clock, 0)
    assert "1 of 4 done, about 3 min left" in caplog.messages[-1]


def test_a_first_trial_that_took_longer_is_no_pace_of_the_others(progress, clock, caplog):
    progress.asked(Asked(0, {}, {}))
    clock.now += 5000  # its golden cluster
    for number in range(3):
        finish(progress, clock, number)
    assert caplog.messages[-1].endswith("3 of 4 done, about 60 s left")


def test_what_there_is_so_far_is_in_the_data(clock, caplog):
    progress = Progress(4, clock, objectives={"awrt_s": "minimize", "utilization": "maximize"})
    values = [(200.0, 0.5), (100.0, 0.4), (300.0, 0.3), (100.0, 1.0)]
    for number, (wait, used) in enumerate(values):
        metrics = {"awrt_s": wait, "utilization": used}
        finish(progress, clock, number, baseline=number == 0, metrics=metrics)
    each = [one.data for one in caplog.records]
    assert [one["moved_front"] for one in each] == [True, True, False, True]
    assert [one["progress"]["front"] for one in each] == [1, 2, 2, 1]
    # The share of the box between 0 and the baseline that is beaten in both: a half of each side.
    assert [one["progress"]["hypervolume"] for one in each] == [0, 0, 0, pytest.approx(0.25)]
    last = each[-1]["progress"]
    assert [one["trial"] for one in last["best"]] == [3, 3]
    assert (last["done"], last["moved"], last["left_s"]) == (4, 3, 0)


def test_held_out_runs_are_counted_of_all(clock, caplog):
    progress = Progress(2, clock, objectives={"awrt_s": "minimize"}, held_out=3)
    finish(progress, clock, 0, baseline=True, metrics={"awrt_s": 2.0})
    finish(progress, clock, 1, metrics={"awrt_s": 1.0})
    for number, instance in [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3)]:
        clock.now += 0.4
        ended = record(number, instance=instance, metrics={"awrt_s": 1.0})
        progress.finished(ended, EVALUATION, settled=True)
    told = [one.getMessage() for one in caplog.records if one.event == "phase"]
    # No more often than once a second, but in any case the last.
    assert [one.rpartition("seen: ")[2] for one in told] == ["1 of 6", "4 of 6", "6 of 6"]
    assert "jobs that the search has not seen" in told[0]


def test_an_attempt_that_is_tried_again_is_not_done(progress, clock, caplog):
    progress.asked(Asked(0, {}, {}))
    finish(progress, clock, 0, outcome="invalid", reason="steal\nand more", settled=False)
    assert caplog.messages[-1] == "trial 0 invalid (steal) after 60 s; another attempt follows"
    progress.started(Trial(number=0, point={"cluster.nodes": 2}, attempt=2))
    assert caplog.messages[-1] == "trial 0, attempt 2, starts: nodes=2"
    finish(progress, clock, 0, attempt=2)
    assert "1 of 4 done, about 6 min left" in caplog.messages[-1]  # the pace knows of the retry


def test_parallel_trials_set_the_pace_together(clock, caplog):
    progress = Progress(4, clock, parallel=2)
    clock.now += 60
    for number in range(2):
        progress.finished(record(number), EVALUATION, settled=True)
    assert caplog.messages[-1].endswith("2 of 4 done, about 60 s left")


def test_a_resume_counts_what_was_done_but_takes_its_own_pace(progress, clock, caplog):
    clock.now += 5000
    progress.resumed(2)
    assert caplog.messages == ["resuming: 2 of 4 trials are done"]
    finish(progress, clock, 2)
    assert caplog.messages[-1].endswith("3 of 4 done, about 60 s left")


def test_a_fresh_start_is_no_resume(progress, caplog):
    progress.resumed(0)
    assert caplog.messages == []


def test_a_phase_is_said_when_it_changes(progress, caplog):
    for phase, detail in [
        (Phase.STARTED, ""),
        (Phase.STARTED, ""),
        (Phase.WORKLOAD, "3 of 30"),
        (Phase.WORKLOAD, "4 of 30"),
    ]:
        progress.running({1: Status(phase, 0.0, detail)})
    assert caplog.messages == [
        "trial 1 restoring or starting nodes",
        "trial 1 replaying the workload: 3 of 30",
        "trial 1 replaying the workload: 4 of 30",
    ]


def test_every_phase_has_words(progress, caplog):
    for phase in Phase:
        progress.running({1: Status(phase, 0.0)})
        assert caplog.messages[-1] != f"trial 1 {phase}", phase


def test_what_a_trial_without_a_slot_waits_for_is_said_instead(progress, caplog):
    progress.running({1: Status(Phase.PLACED, 0.0)})
    progress.running({1: Status(Phase.PLACED, 0.0, "making the golden cluster: booting 3 nodes")})
    assert caplog.messages == [
        "trial 1 waiting for a slot",
        "trial 1 making the golden cluster: booting 3 nodes",
    ]


def test_a_cold_boot_in_place_of_a_golden_cluster_is_said_with_its_reason(progress, clock, caplog):
    finish(
        progress,
        clock,
        0,
        provenance={"start": "cold", "cold_because": "n1.ram was altered\nat byte 4096"},
    )
    assert caplog.messages[-1].startswith(
        "trial 0 ok after 60 s, booted cold instead of restored (n1.ram was altered); 1 of 4"
    )
    finish(progress, clock, 1, provenance={"start": "cold"})
    assert "cold" not in caplog.messages[-1]


@pytest.mark.parametrize(
    ("detail", "text"),
    [("collecting", "collecting results"), ("n1's logs", "collecting results: n1's logs")],
)
def test_a_detail_that_says_no_more_than_the_phase_is_left_out(detail, text):
    assert status_text(Status(Phase.COLLECTED, 0.0, detail)) == text


def test_each_event_has_its_data(progress, clock, caplog):
    progress.asked(Asked(0, {"cluster.nodes": 2, "scheduler.params.defer": True}, {}))
    progress.started(Trial(number=0, point={}))
    progress.running({0: Status(Phase.WORKLOAD, 0.0, "3 of 30")})
    finish(progress, clock, 0, outcome="stalled")
    assert [one.event for one in caplog.records] == ["asked", "started", "phase", "finished"]
    assert {one.trial for one in caplog.records} == {0}
    asked, _, phase, finished = (one.data for one in caplog.records)
    assert asked["point"] == {"cluster.nodes": 2, "scheduler.params.defer": True}
    assert phase == {"trial": 0, "phase": "workload", "detail": "3 of 30"}
    assert finished["record"]["outcome"] == "stalled" and finished["settled"] is True


def test_text_of_points():
    assert (
        point_text({"cluster.nodes": 2, "scheduler.params.bf_interval": 30})
        == "nodes=2 bf_interval=30"
    )
