"""The report in a browser: the front is drawn, nothing complains, nothing is fetched, and it fits a
phone."""

import json

import pytest

from campaign.report.facts import CampaignFacts
from campaign.report.page import write
from campaign.report.result import CampaignResult
from campaign.report.times import phases_of
from search.pareto import front
from tests.samples import OBJECTIVES, campaign_samples

pytestmark = pytest.mark.browser

THREE = {**OBJECTIVES, "utilisation": "maximize"}


@pytest.fixture(params=[OBJECTIVES, THREE], ids=["two objectives", "three objectives"])
def report(request, tmp_path):
    """A report's file, its trials and its objectives."""
    samples = campaign_samples(10)
    records = [one.record for one in samples]
    jobs = {one.record.number: one.jobs for one in samples}.get
    facts = CampaignFacts("<b>demo</b>", request.param, slots_per_node=4)
    page = write(tmp_path / "report.html", CampaignResult.of(records, facts), jobs)
    return page, records, request.param


def test_the_front_is_drawn_without_complaint_or_network(browser, report):
    page, records, objectives = report
    browser.open(page.as_uri())
    best = front(records, objectives)
    browser.wait(
        "plotly's points",
        lambda: len(browser.all("#pareto .scatterlayer .trace:last-child .point")),
    )
    assert len(browser.all("#pareto .scatterlayer .trace:last-child .point")) == len(best)
    assert len(browser.all("svg.gantt")) == len(best)
    assert browser.one("h1").text == "<b>demo</b>"
    assert browser.console() == []
    assert [
        url for url in requested(browser) if not url.startswith(("file:", "data:", "blob:"))
    ] == []


def test_each_phase_is_in_the_figure_and_in_both_tables(browser, report):
    page, records, _ = report
    browser.open(page.as_uri())
    labels = [phase.label for phase in phases_of(records)]
    drawn = browser.wait(
        "the legend", lambda: [one.text for one in browser.all("#phases .legendtext")]
    )
    assert drawn == labels
    for table in ("#phase-clocks", "#phase-clocks-by-host"):
        shown = [cell.text for cell in browser.all(f"{table} tbody td:first-child")]
        assert shown[: len(labels)] == labels


def test_hovering_a_point_shows_its_parameters(browser, report):
    page, records, objectives = report
    browser.open(page.as_uri())
    browser.one("#pareto .scatterlayer")
    browser.driver.execute_script(
        "Plotly.Fx.hover('pareto', [{curveNumber: 1, pointNumber: 0}], ['xy']);"
        "document.getElementById('pareto').scrollIntoView()"
    )
    first = front(records, objectives)[0]
    shown = browser.wait(
        "the hover text", lambda: next((e.text for e in browser.all("#pareto .hoverlayer")), "")
    )
    assert f"trial {first.number}" in shown
    assert f"cluster.nodes = {first.point['cluster.nodes']}" in shown


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_never_scrolls_sideways(browser, report, width):
    page, _, _ = report
    metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.open(page.as_uri())
    browser.one("#pareto .scatterlayer")
    assert browser.driver.execute_script("return document.documentElement.scrollWidth") <= width


def requested(browser):
    """The addresses that the page asked for."""
    messages = [
        json.loads(entry["message"])["message"] for entry in browser.driver.get_log("performance")
    ]
    return [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
