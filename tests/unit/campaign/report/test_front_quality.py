"""How good the front is, in the report, on the terminal and as JSON."""

import json
import math
import re
from dataclasses import replace

import pytest

from campaign.analysis.front.affected import ClassWait
from campaign.analysis.front.correlation import ObjectiveCorrelation
from campaign.analysis.front.effects import SettingEffect
from campaign.analysis.front.findings import FrontFindings, FrontInputs, front_findings
from campaign.analysis.front.hypervolume import VolumeHistory
from campaign.analysis.front.together import SettingsTogether
from campaign.report.chart_svg import alone
from campaign.report.facts import CampaignFacts
from campaign.report.front_json import front_json, plain_front
from campaign.report.front_pictures import importance_chart, volume_chart
from campaign.report.front_quality import (
    CORRELATION,
    EFFECTS,
    IMPORTANCE,
    VOLUME,
    WAITS,
    quality_lines,
    quality_sections,
)
from campaign.report.page import render
from campaign.report.result import CampaignResult
from campaign.report.sections import lines
from campaign.report.text import text_front
from search.importance import SettingImportance
from search.space import Categorical, Integer, Space
from tests.samples import OBJECTIVES, campaign_samples
from tests.unit.campaign.report.test_report import Page, printed

EVIL = "<script>alert(1)</script>\x1b[2J"
VOLUMES = VolumeHistory(
    trials=(0, 1, 3, 5),
    volumes=(0.2, 0.5, 0.8, 0.8),
    reference={"awrt_s": 105.0, "node_hours": 12.5},
    last_gain=3,
    since=2,
    reached={0.9: 3, 0.95: 3, 0.99: 3},
    baseline=0.2,
)


def finding(records, **changes) -> FrontFindings:
    whole = FrontFindings(
        outcomes=40,
        volume=VOLUMES,
        correlations=(
            ObjectiveCorrelation(("awrt_s", "node_hours"), -0.5, -0.7, -0.2, 30),
            ObjectiveCorrelation(("awrt_s", "wait_mean_s"), 1, 1, 1, 30),
        ),
        importances={
            "awrt_s": (
                SettingImportance("scheduler.params.bf_interval", 0.8, 0.6, 0.9),
                SettingImportance("cluster.nodes", 0.2, 0.1, 0.4),
            ),
            "node_hours": (),
        },
        together=(SettingsTogether(("cluster.nodes", "scheduler.params.bf_interval"), -0.75),),
        chosen=records[1],
        effects=(SettingEffect("cluster.nodes", 4, 3, 7, {"awrt_s": 12.34}),),
        waits=(
            ClassWait("user", "7", 12, 10.0, 30.0),
            ClassWait("size", "1 slots, 60 s", 9, 10.0, 0.0),
        ),
    )
    return replace(whole, **changes)


@pytest.fixture(scope="module")
def records():
    return [one.record for one in campaign_samples(12)]


@pytest.fixture
def found(records):
    return finding(records)


def said(found) -> str:
    return "\n".join(lines("", quality_sections(found)))


def test_each_section_answers_its_question(found, records):
    headings = [section.heading for section in quality_sections(found)]
    assert headings == [IMPORTANCE, EFFECTS, VOLUME, CORRELATION, WAITS]
    text = said(found)
    assert (
        "Trial 3 was the last to raise the hypervolume; the 2 trials after it added nothing."
        in text
    )
    assert "The baseline alone has 20 % of the volume that is counted, the front 80 %." in text
    assert "awrt_s 105 s, node_hours 12.5" in text
    assert "80 % (60 to 90)" in text
    assert (
        "The search moved cluster.nodes and bf_interval together (rank correlation -0.75)" in text
    )
    assert "awrt_s and wait_mean_s put all 30 outcomes in the same order" in text
    assert re.search(r"awrt_s and node_hours +-0.50 +-0.70 to -0.20", text)
    assert re.search(r"cluster.nodes +4 . 3 +7 +\+12 %", text)
    assert "1 of 2 classes of jobs wait longer than at the baseline, most of all user 7" in text
    assert re.search(r"user +7 +12 +10 s +30 s +\+200 %", text)
    assert re.search(r"size +1 slot, 1 min +9 +10 s +0 s +-100 %", text)


def test_what_cannot_be_told_is_said_instead_of_figures(records):
    nothing = math.nan
    few = finding(
        records,
        outcomes=12,
        importances={"awrt_s": (), "node_hours": ()},
        correlations=(
            ObjectiveCorrelation(("awrt_s", "node_hours"), nothing, nothing, nothing, 8),
        ),
        effects=(),
        waits=(ClassWait("user", "7", 12, 10.0, 10.0),),
    )
    text = said(few)
    assert "12 of 20 trials with values" in text
    assert "8 different outcomes are there, of 10" in text
    assert "No trial differs in one setting alone from trial 1" in text
    assert "no class of jobs waits longer" in text
    assert "nan" not in text
    assert importance_chart(few.importances) is None


def test_a_front_that_grew_to_the_end_may_grow_further(records):
    found = finding(records, volume=replace(VOLUMES, since=0, baseline=None))
    assert "more trials may find more" in said(found)
    assert "The baseline alone" not in said(found)


def test_a_wait_from_nothing_is_told_in_seconds(records):
    found = finding(records, waits=(ClassWait("partition", "gpu", 5, 0.0, 2.5),))
    assert re.search(r"partition +gpu +5 +0 s +2.5 s +\+2.5 s", said(found))


def test_over_instances_it_is_said_who_waits_longer_for_certain(records):
    waits = (
        ClassWait("user", "7", 60, 10.0, 30.0, 15.0, 26.5),
        ClassWait("user", "8", 60, 10.0, 11.0, -2.0, 4.0),
    )
    found = finding(records, waits=waits, wait_instances=5, waits_unseen=True)
    text = said(found)
    assert (
        "At trial 1, 2 of 2 classes of jobs wait longer than at the baseline on 5 workloads that "
        "the search has not seen (1 of them for certain), most of all user 7"
    ) in text
    assert re.search(r"user +7 +60 .* \+200 % +\+15.0 to \+26.5", text)
    assert "on the 5 workloads that the search saw" in said(replace(found, waits_unseen=False))


def test_the_terminal_has_it_in_few_lines(found, records):
    written = list(quality_lines(found))
    assert len(written) == 3
    depends = "awrt_s depends on bf_interval 80 % (60 to 90), cluster.nodes 20 % (10 to 40)"
    assert written[0] == depends
    result = CampaignResult.of(records, CampaignFacts("demo", OBJECTIVES))
    assert "awrt_s depends on bf_interval 80 %" in printed(text_front(result, found))
    assert "depends" not in printed(text_front(result))


def test_the_page_has_sections_and_pictures_that_say_in_words_what_they_show(found, records):
    result = CampaignResult.of(records, CampaignFacts("demo", OBJECTIVES))
    page = Page(render(result, lambda number: None, quality=found))
    places = [own.get("id") for tag, own in page.elements if tag == "section"]
    order = ["front", "importance", "effects", "hypervolume", "objectives", "affected", "workload"]
    assert places[: len(order)] == order
    assert places[len(order) :] == ["checks", "reproduce", "metrics", "trials", "cost"]
    names = [own["aria-label"] for tag, own in page.elements if tag == "svg"]
    assert any(
        name.startswith("Hypervolume over trials, up to 80 %. Trial 3 was") for name in names
    )
    assert any(
        "Area-weighted response time: bf_interval 80 %, cluster.nodes 20 %" in name
        for name in names
    )
    assert "hypervolume" not in Page(render(result, lambda number: None)).text


def test_the_curve_is_a_staircase_up_to_the_last_trial():
    drawn = alone(volume_chart(VOLUMES))
    path = re.search(r'<path d="([^"]+)" class="curve front"', drawn)[1]
    # Three gains, each a step up, and the way to the last trial.
    assert path.count("V") == 3
    assert path.endswith("H846")
    assert "the baseline alone" in drawn


def test_names_of_others_can_do_no_harm(records):
    found = finding(
        records,
        waits=(ClassWait("user", EVIL, 12, 10.0, 30.0),),
        importances={"awrt_s": (SettingImportance(EVIL, 1.0, 0.9, 1.0),)},
    )
    result = CampaignResult.of(records, CampaignFacts("demo", OBJECTIVES))
    assert EVIL not in render(result, lambda number: None, quality=found)
    assert "<script>alert" not in render(result, lambda number: None, quality=found)
    assert "\x1b" not in printed(text_front(result, found))


def test_json_has_numbers_or_null(records, found):
    result = CampaignResult.of(records, CampaignFacts("demo", OBJECTIVES))
    whole = replace(
        found,
        correlations=(ObjectiveCorrelation(("a", "b"), math.nan, math.nan, math.nan, 3),),
        waits=(ClassWait("user", "7", 12, 0.0, 30.0),),
    )
    plain = json.loads(front_json(result, whole))
    assert plain["correlations"][0]["value"] is None
    assert plain["chosen"] == found.chosen.number
    assert plain["volume"]["after_trial"] == {"0": 0.2, "1": 0.5, "3": 0.8}
    assert plain["volume"]["reached"] == {"0.9": 3, "0.95": 3, "0.99": 3}
    assert plain["importances"]["awrt_s"][0]["share"] == 0.8
    assert plain["waits"] == [
        {
            **{"field": "user", "name": "7", "jobs": 12, "before_s": 0.0, "after_s": 30.0},
            **{"low_s": None, "high_s": None},
        }
    ]
    assert plain_front(result, replace(found, chosen=None, volume=None))
    assert plain["searched"] is None and plain["unseen"] is None


def test_findings_of_a_sampled_campaign_are_shown_whole(records):
    samples = {one.record.number: one.jobs for one in campaign_samples(12)}
    names = {name for record in records for name in record.point}
    values = {name: [one.point[name] for one in records if name in one.point] for name in names}
    space = Space(
        {
            name: Integer(min(own), max(own))
            if all(type(value) is int for value in own)
            else Categorical(tuple(dict.fromkeys(own)))
            for name, own in values.items()
        },
        {},
    )
    result = CampaignResult.of(records, CampaignFacts("demo", OBJECTIVES))

    def jobs_of(number, instance):
        return samples.get(number)

    inputs = FrontInputs(records, result.front, None, space, OBJECTIVES, {}, jobs_of)
    found = front_findings(inputs)
    page = Page(render(result, samples.get, quality=found))
    assert "was the last to raise the hypervolume" in page.text
