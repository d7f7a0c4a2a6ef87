"""Intervals of the front on the instances that the search saw, on pages, screens and as JSON."""

import json
import math

import pytest

from campaign.analysis.front.findings import FrontFindings
from campaign.analysis.front.instances import InstanceRule
from campaign.analysis.front.searched import SearchedFindings
from campaign.core.trials import TrialRecord
from campaign.report.facts import CampaignFacts
from campaign.report.front_json import front_json
from campaign.report.page import render
from campaign.report.result import CampaignResult
from campaign.report.text import text_front
from tests.unit.campaign.report.test_report import printed

OBJECTIVES = {"wait": "minimize", "use": "maximize"}
HARDNESS = (80.0, 90.0, 100.0, 110.0, 120.0)


def trial(number, values, *, baseline=False, instances=5):
    """A trial of the values (wait, use) on each instance."""
    known = {"number": number, "attempt": 1, "outcome": "ok", "baseline": baseline}
    known["point"] = {"cluster.nodes": number}
    each = [dict(zip(OBJECTIVES, one, strict=True)) for one in values[:instances]]
    replicates = tuple(
        TrialRecord(**known, instance=place, metrics=metrics) for place, metrics in enumerate(each)
    )
    metrics = {name: sum(one[name] for one in each) / len(each) for name in OBJECTIVES}
    return TrialRecord(**known, metrics=metrics, replicates=replicates)


def records(instances=5):
    base = [(hard, 0.5) for hard in HARDNESS]
    half = [(hard / 2 + place, 0.5) for place, hard in enumerate(HARDNESS)]
    # In the mean a little more use and a little more wait than those of `half`, by chance.
    near = [
        (wait + (-1) ** place * 9, use + 0.01 + (-1) ** place * 0.03)
        for place, (wait, use) in enumerate(half)
    ]
    return [
        trial(0, base, baseline=True, instances=instances),
        trial(1, half, instances=instances),
        trial(2, near, instances=instances),
    ]


def result_of(instances=5, quantile=None):
    facts = CampaignFacts("demo", OBJECTIVES, instances=instances, quantile=quantile)
    return CampaignResult.of(records(instances), facts)


def test_values_and_changes_have_paired_intervals():
    found = result_of().searched
    value = found.of_trial(1).values["wait"]
    assert value.value.value == pytest.approx(52)
    assert value.value.low < 52 < value.value.high
    # Paired: the instances differ by half, the change is nearly the same on each of them.
    assert value.change.value == pytest.approx(-48)
    assert -51 < value.change.low < -48 < value.change.high < -45
    assert value.value.high - value.value.low > 10
    assert math.isnan(found.of_trial(0).values["wait"].change.value)


def test_points_that_cannot_be_told_apart_name_each_other_and_no_others():
    found = result_of().searched
    assert found.of_trial(1).alike == (2,)
    assert found.of_trial(2).alike == (1,)
    assert found.of_trial(0).alike == ()


def test_few_instances_have_no_interval_and_mark_nothing():
    found = result_of(instances=4).searched
    assert not found.has_intervals
    assert math.isnan(found.of_trial(2).values["wait"].value.low)
    assert all(not point.alike for point in found.points)


def test_a_single_instance_or_no_front_tells_nothing():
    single = [one.model_copy(update={"replicates": ()}) for one in records()]
    assert SearchedFindings.of(single, single[0], OBJECTIVES) is None
    assert SearchedFindings.of([], records()[0], OBJECTIVES) is None


def test_the_rule_is_that_of_the_campaign():
    one = records()[1]
    worst = SearchedFindings.of([one], None, OBJECTIVES, InstanceRule(1.0)).of_trial(1)
    assert worst.values["wait"].value.value == 64


def test_the_screen_and_the_page_show_intervals_and_marks():
    result = result_of()
    on_screen = printed(text_front(result))
    assert "\u2248 2" in on_screen and "\u2248 1" in on_screen
    assert "90 % interval over the 5 workloads that the search saw" in " ".join(on_screen.split())
    page = render(result, lambda number: None)
    low = result.searched.of_trial(1).values["wait"]
    assert f"{low.value.low:.4g} to {low.value.high:.4g}" in page
    assert f"{low.value.low:.4g} to {low.value.high:.4g}" in on_screen
    assert f"{low.change.low:+.0f} to {low.change.high:+.0f} %" in page
    assert "\u2248 2" in page


def test_too_few_instances_are_told():
    result = result_of(instances=3)
    words = "the 3 workloads that the search saw are too few for intervals: workload.instances=5"
    assert words in " ".join(printed(text_front(result)).split())
    assert words[1:] in render(result, lambda number: None)


def test_json_has_the_intervals():
    findings = FrontFindings(0, None, (), {}, (), None, (), ())
    plain = json.loads(front_json(result_of(), findings))["searched"]
    assert plain["instances"] == 5
    by_trial = {point["trial"]: point for point in plain["points"]}
    assert by_trial[1]["alike"] == [2]
    assert by_trial[1]["values"]["wait"]["value"]["value"] == 52
    assert by_trial[0]["values"]["wait"]["change"] == {"value": None, "low": None, "high": None}
