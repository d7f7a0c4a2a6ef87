"""Trials without a new outcome: which settings made no difference, and where that is told."""

import json
import logging

import pytest

from campaign.analysis.front.findings import FrontFindings
from campaign.analysis.front.same_outcome import Outcomes, same_outcomes, without_difference
from campaign.core.trials import Evaluation, TrialRecord
from campaign.execution.progress import Progress
from campaign.report.facts import CampaignFacts
from campaign.report.front_json import front_json
from campaign.report.page import render
from campaign.report.result import CampaignResult
from campaign.report.text import text_front
from tests.unit.campaign.report.test_report import printed

OBJECTIVES = {"wait": "minimize", "cost": "minimize"}


def trial(number, wait, point, *, outcome="ok", **changes):
    metrics = {"wait": wait, "cost": 1.0, "use": 0.5} | changes.pop("metrics", {})
    return TrialRecord(
        number=number, point=point, attempt=1, outcome=outcome, metrics=metrics, **changes
    )


RECORDS = [
    trial(0, 9.0, {"kind": "b", "x": 1, "y": 5}, baseline=True),
    trial(1, 9.0, {"kind": "b", "x": 7, "y": 6}),
    trial(2, 9.0, {"kind": "b", "x": 7, "y": 9}),
    trial(3, 4.0, {"kind": "b", "x": 2, "y": 5}),
    trial(4, 9.0, {"kind": "a", "y": 5}),
    trial(5, 4.0, {"kind": "b", "x": 3, "y": 5}, metrics={"use": 0.4}),
]


def result_of(records, *, deterministic=True):
    return CampaignResult.of(records, CampaignFacts("d", OBJECTIVES, deterministic=deterministic))


def test_each_trial_is_compared_with_the_nearest_one_of_its_outcome():
    found = same_outcomes(RECORDS, OBJECTIVES)
    assert sorted(found) == [1, 2, 4, 5]
    assert (found[1].earlier, found[1].settings) == (0, {"x": (7, 1), "y": (6, 5)})
    assert (found[2].earlier, found[2].settings) == (1, {"y": (9, 6)})
    assert found[2].whole
    assert without_difference(found.values()) == [("kind", 1), ("x", 1), ("y", 1)]


def test_what_only_one_of_the_points_has_follows_from_what_decides_it():
    found = same_outcomes(RECORDS, OBJECTIVES)
    assert (found[4].earlier, found[4].settings) == (0, {"kind": ("a", "b")})


def test_equal_objectives_of_another_schedule_are_no_equal_outcome_in_whole():
    found = same_outcomes(RECORDS, OBJECTIVES)
    assert not found[5].whole


@pytest.mark.parametrize(
    "changes",
    [{"outcome": "stalled"}, {"ruled_out": "trial 0 was better"}, {"group": 1}],
    ids=["not valid", "estimated", "of another group"],
)
def test_what_cannot_be_compared_is_no_repetition(changes):
    assert same_outcomes([RECORDS[0], trial(1, 9.0, {"x": 2}, **changes)], OBJECTIVES) == {}


def test_an_outcome_that_comes_a_thousand_times_stays_cheap():
    outcomes = Outcomes(OBJECTIVES)
    found = [outcomes.tell(trial(number, 9.0, {"x": number})) for number in range(1000)]
    assert all(one.earlier == 0 for one in found[1:])
    assert sum(map(len, outcomes._known.values())) < 100


def test_the_log_says_of_each_trial_what_made_no_difference(caplog):
    caplog.set_level(logging.INFO)
    progress = Progress(6, objectives=OBJECTIVES, deterministic=True)
    for record in RECORDS:
        progress.finished(record, Evaluation("ok"), settled=True)
    lines = [line for line in caplog.messages if " ok " in line]
    assert "the same" not in lines[0]
    assert "; the same outcome as trial 1: y (9, there 6) changed nothing; 3 of 6 " in lines[2]
    assert "; the same objectives as trial 3: x (3, there 2) changed none of them; " in lines[5]
    known = [record.data["known"] for record in caplog.records if record.event == "finished"]
    assert known[0] is None
    assert known[2]["earlier"] == 1


def test_the_report_folds_the_reason_and_counts_the_outcomes():
    result = result_of(RECORDS)
    page = " ".join(render(result, lambda number: None).split())
    assert '<details><summary class="soft">as trial 1</summary>' in page
    assert "the same outcome as trial 1: y (9, there 6) changed nothing" in page
    sentence = (
        "6 valid trials had 2 outcomes: 4 brought no new one; "
        "what changed nothing by itself: kind in 1, x in 1, y in 1"
    )
    assert sentence in page
    assert sentence in " ".join(printed(text_front(result)).split())
    findings = FrontFindings(0, None, (), {}, (), None, (), ())
    plain = json.loads(front_json(result, findings))["known_outcomes"]
    assert plain[1] == {"trial": 2, "earlier": 1, "settings": {"y": [9, 6]}, "whole": True}


def test_on_machines_equal_values_are_chance_and_nothing_is_said():
    result = result_of(RECORDS, deterministic=False)
    assert result.known_outcomes == ""
    assert "as trial 1" not in render(result, lambda number: None)
    assert result_of(RECORDS[:1]).known_outcomes == ""
