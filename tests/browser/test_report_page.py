"""The report in a browser: light and dark, broad and narrow, by mouse and by keyboard.

Nothing complains, nothing is fetched, and no button can fetch anything.
"""

import pytest

from campaign.report.facts import CampaignFacts
from campaign.report.page import write
from campaign.report.result import CampaignResult
from campaign.report.times import phases_of
from search.pareto import front
from tests.browser.conftest import faults, look, requested
from tests.samples import OBJECTIVES, campaign_samples
from tests.unit.campaign.report.test_front_quality import finding

pytestmark = pytest.mark.browser

THREE = {**OBJECTIVES, "utilisation": "maximize"}
SHOWN = ".chart.broad"
UNFOLD = "document.querySelectorAll('details').forEach(one => one.open = true)"


@pytest.fixture(params=[OBJECTIVES, THREE], ids=["two objectives", "three objectives"])
def report(request, tmp_path):
    """A report's file, its trials and its objectives."""
    return written(tmp_path, request.param)


def written(folder, objectives):
    samples = campaign_samples(10)
    worst = {name: 2 * samples[0].record.metrics[name] for name in OBJECTIVES}
    metrics = {**samples[0].record.metrics, **worst}
    baseline = samples[0].record.model_copy(update={"baseline": True, "metrics": metrics})
    records = [baseline, *(one.record for one in samples[1:])]
    jobs = {one.record.number: one.jobs for one in samples}.get
    facts = CampaignFacts("<b>demo</b>", objectives, slots_per_node=4)
    result = CampaignResult.of(records, facts)
    quality = finding(records, chosen=result.front[0])
    page = write(folder / "report.html", result, jobs, quality=quality)
    return page, records, objectives


@pytest.fixture
def opened(browser, tmp_path):
    """A report of two objectives in the browser, and its trials."""
    page, records, _ = written(tmp_path, OBJECTIVES)
    browser.open(page.as_uri())
    return browser, records


def test_the_front_is_drawn_without_complaint_or_network(browser, report):
    page, records, objectives = report
    browser.open(page.as_uri())
    best = front(records, objectives)
    charts = browser.all(f"#front {SHOWN}")
    assert len(charts) == len(objectives) * (len(objectives) - 1) / 2
    assert len(charts[0].find_elements("css selector", "a > .point.front")) == len(best)
    assert len(browser.all("#gantt details:not([open]) svg.gantt")) == len(best) + 1
    assert browser.one("h1").text == "<b>demo</b>"
    assert browser.console() == []
    assert requested(browser) == [page.as_uri()]
    assert page.stat().st_size < 2_000_000


def test_no_button_asks_anybody_for_anything(opened):
    browser, _ = opened
    browser.driver.execute_script(UNFOLD)
    buttons = browser.all("button")
    assert len(buttons) > 20
    for button in buttons:
        browser.driver.execute_script("arguments[0].click()", button)
    assert all(address.startswith(("file:", "blob:", "data:")) for address in requested(browser))
    assert len(browser.driver.window_handles) == 1
    assert browser.console() == []


def test_each_phase_is_in_the_figure_and_in_both_tables(opened):
    browser, records = opened
    labels = [phase.label for phase in phases_of(records)]
    drawn = [one.text for one in browser.all("figure[data-name=phases] text")]
    assert [text for text in drawn if text in labels] == labels
    for table in ("#phase-clocks", "#phase-clocks-by-host"):
        shown = [cell.text for cell in browser.all(f"{table} tbody th:first-child")]
        assert shown[: len(labels)] == labels


def test_a_point_says_what_it_is_and_leads_to_its_row(opened):
    browser, records = opened
    from selenium.webdriver import ActionChains

    first = front(records, OBJECTIVES)[0]
    point = browser.one(f"{SHOWN} a[href='#trial-{first.number}']")
    browser.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", point)
    ActionChains(browser.driver).move_to_element(point).perform()
    said = browser.wait("the tool tip", lambda: browser.one("#tip").text)
    assert f"trial {first.number}" in said
    assert f"cluster.nodes = {first.point['cluster.nodes']}" in said
    assert "lit" in browser.one(f"#trial-{first.number}").get_attribute("class")
    point.click()
    assert browser.all(f"tr#trial-{first.number}:target")


def test_the_keyboard_reaches_the_points_of_the_front(opened):
    browser, records = opened
    best = front(records, OBJECTIVES)
    reached = browser.all(f"{SHOWN} a:not([tabindex='-1'])")
    assert len(reached) == len(best) + 1  # and the baseline
    browser.driver.execute_script("arguments[0].focus()", reached[0])
    assert f"trial {best[0].number}" in browser.one("#tip").text
    assert "cluster.nodes" in reached[0].get_attribute("aria-label")


def test_a_link_into_what_is_folded_away_opens_it(opened):
    browser, records = opened
    number = front(records, OBJECTIVES)[0].number
    assert not browser.shown(f"#gantt-{number} svg")
    browser.driver.execute_script(f"location.hash = '#gantt-{number}'")
    browser.one(f"#gantt-{number} svg")


def test_the_trials_are_sorted_and_filtered(opened):
    browser, records = opened
    numbers = "[...document.querySelectorAll('#trials tbody tr')].filter(r => !r.hidden)"
    numbers = f"return {numbers}.map(r => parseInt(r.cells[0].textContent))"
    column = next(head for head in browser.all("#trials thead th") if "response time" in head.text)
    column.find_element("css selector", "button").click()
    assert column.get_attribute("aria-sort") == "ascending"
    valued = {record.number: record.metrics.get("awrt_s") for record in records}
    ordered = sorted(filter(valued.get, valued), key=valued.get)
    assert browser.driver.execute_script(numbers)[: len(ordered)] == ordered
    browser.one("#trials input").send_keys("nodes=3 sched/backfill")
    shown = browser.driver.execute_script(numbers)
    wanted = {
        record.number
        for record in records
        if record.point["cluster.nodes"] == 3
        and record.point["scheduler.params.SchedulerType"] == "sched/backfill"
    }
    assert wanted and set(shown) == wanted
    said = browser.one("#trials [role=status]").text
    assert said == f"{len(wanted)} of {len(records)} rows"


def test_the_page_never_scrolls_sideways(browser, report):
    page, _, _ = report
    for width, kind in ((390, "narrow"), (700, "narrow"), (1280, "broad")):
        look(browser, width)
        browser.open(page.as_uri())
        browser.one(f"#front .chart.{kind}")
        own = browser.driver.execute_script("return document.documentElement.scrollWidth")
        assert own <= width


def test_axe_finds_nothing(browser, tmp_path, axe):
    page, _, _ = written(tmp_path, OBJECTIVES)
    for width, scheme in ((390, "dark"), (700, "light"), (1400, "light"), (1400, "dark")):
        look(browser, width, scheme)
        browser.open(page.as_uri())
        browser.driver.execute_script(UNFOLD)
        assert faults(browser, axe) == {}, (width, scheme)
    assert browser.console() == []


def test_the_look_is_that_of_the_reader(browser, tmp_path):
    page, _, _ = written(tmp_path, OBJECTIVES)
    papers = []
    for scheme in ("light", "dark"):
        look(browser, 1280, scheme)
        browser.open(page.as_uri())
        papers.append(browser.one("body").value_of_css_property("background-color"))
    assert papers == ["rgba(255, 255, 255, 1)", "rgba(20, 24, 29, 1)"]
