"""The MLflow UI as a researcher uses it: the campaign's runs are listed, filtered by image, and
compared."""

import re
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from campaign.tracking.mlflow_tracker import Tracker
from campaign.tracking.run_values import Artifacts
from campaign.tracking.store import DATABASE
from campaign.tracking.tracked import TrackedCampaign
from search.pareto import front
from tests.browser.conftest import faults, look, requested
from tests.browser.test_report_page import written
from tests.samples import HASHES, OBJECTIVES, campaign_samples

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

TRIALS = 8
ROOT = Path(__file__).parents[2]
# Of each row the grid draws three parts; the names stand in the pinned one.
ROW = ".ag-pinned-left-cols-container [role=row]"


@pytest.fixture(scope="module")
def samples():
    return campaign_samples(TRIALS)


@pytest.fixture(scope="module")
def mlruns(tmp_path_factory, samples):
    folder = tmp_path_factory.mktemp("ui") / "mlruns"
    searched = ("cluster.nodes", "scheduler.params.bf_interval")
    wanted = TrackedCampaign(OBJECTIVES, searched=searched)
    fixed = {"scheduler.params.bf_window": 1440}
    tracker = Tracker(folder, "demo", "name: demo", fixed=fixed, wanted=wanted)
    jobs = {one.record.number: one.jobs for one in samples}
    records = [one.record for one in samples]
    tracker.sync(
        records, lambda record: Artifacts(jobs[record.number], {"slurm.conf": b"ClusterName=x\n"})
    )
    tracker.plot(records)
    page, _, _ = written(folder.parent, OBJECTIVES)
    tracker.finish(front(records, OBJECTIVES), ended=records[-1].ended, artifacts=[page])
    _run_again(folder)
    # As a user may move it.
    return folder.rename(folder.with_name("moved"))


def _run_again(folder):
    """Leave the campaign's run as a driver does that is killed."""
    with closing(sqlite3.connect(folder / DATABASE)) as store, store:
        store.execute("UPDATE runs SET status = 'RUNNING', end_time = NULL WHERE name = 'demo'")


@pytest.fixture(scope="module")
def ui(mlruns):
    """The address that `hpc-campaign ui` prints: that of the campaign's runs, with the token."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = mlruns.parent / "ui.log"
    with log.open("w") as errors:
        server = subprocess.Popen(
            [sys.executable, "-m", "campaign", "ui", f"--mlruns={mlruns}", f"--port={port}"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        printed = re.search(r"http://\S+", server.stdout.readline())
        assert printed, log.read_text()
        _wait_until_healthy(server, port, log)
        yield printed[0]
        assert not _children(server.pid), "the UI's server is one process"
    finally:
        server.terminate()
        server.wait(30)
    assert "Traceback" not in log.read_text(), log.read_text()


def _wait_until_healthy(server, port, log, seconds=240):
    """Until the gate answers: 401, since nobody comes without the token."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2)
        except urllib.error.HTTPError as answer:
            assert answer.code == 401
            return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"the UI wasn't up within {seconds} s: {log.read_text()}")


def _children(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.fixture
def runs_page(browser, ui):
    """The campaign's runs at the address that `hpc-campaign ui` prints.

    Not by the list's links: they open the views for LLM traces first, and advertisements over them.
    """
    browser.open(ui)
    browser.one("[data-testid=search-box]")
    browser.wait("the trials", lambda: _trials(browser))
    return browser


def _trials(browser):
    """The rows of trials, by name."""
    names = {}
    for row in browser.all(ROW):
        names.update({line: row for line in row.text.splitlines() if line.startswith("trial ")})
    return names


def _search(browser, query):
    from selenium.webdriver.common.keys import Keys

    box = browser.one("[data-testid=search-box]")
    box.send_keys(query)
    box.send_keys(Keys.ESCAPE)  # closes the suggestions, which would take the Enter
    box.send_keys(Keys.ENTER)


def _names(samples, image):
    return {_name(one.record) for one in samples if one.record.provenance.image_hash == image}


def _name(record):
    return f"trial {record.number}" + (f", attempt {record.attempt}" if record.attempt > 1 else "")


def test_the_campaigns_runs_are_listed(runs_page, samples):
    expected = {_name(one.record) for one in samples}
    runs_page.wait("all trials", lambda: set(_trials(runs_page)) == expected)
    assert f"{TRIALS + 1} matching runs" in runs_page.text


def test_the_page_opens_as_a_table_sorted_by_the_first_objective(runs_page, samples):
    shown = runs_page.wait("the headings", lambda: _headings(runs_page))
    assert {"awrt_s", "node_hours", "cluster.nodes", "bf_interval"} <= shown
    best = sorted((one.record for one in samples if one.record.valid), key=_awrt)
    names = [_name(record) for record in best]
    runs_page.wait(
        "the trials in order",
        lambda: [one for one in _in_order(runs_page) if one in names] == names,
    )


def _headings(browser):
    cells = {cell.text.strip() for cell in browser.all("[role=columnheader]")}
    return cells if "node_hours" in cells else None


def _awrt(record):
    return record.metrics["awrt_s"]


def _in_order(browser):
    rows = sorted(browser.all(ROW), key=lambda row: int(row.get_attribute("row-index") or -1))
    return [line for row in rows for line in row.text.splitlines() if line.startswith("trial ")]


@pytest.mark.parametrize("image", HASHES)
def test_runs_are_filtered_by_image(runs_page, samples, image):
    _search(runs_page, f"tags.image_hash = '{image}'")
    expected = _names(samples, image)
    assert 0 < len(expected) < TRIALS
    runs_page.wait(f"only {expected}", lambda: set(_trials(runs_page)) == expected)


def test_two_runs_are_compared(runs_page, samples):
    for name in ("trial 1", "trial 2"):
        _tick(runs_page, name)
    runs_page.click("[data-testid=runs-compare-button]")
    runs_page.wait("the comparison", lambda: "Comparing 2 Runs" in runs_page.text)
    runs_page.wait("both names", lambda: {"trial 1", "trial 2"} <= set(runs_page.text.splitlines()))
    for words in ("bf_interval", "cluster.nodes", "awrt_s", "node_hours"):
        assert words in runs_page.text


def _tick(browser, name):
    """Select a run. The grid draws its own box over the real one, so the real one is clicked by
    script."""

    def ticked():
        box = _trials(browser)[name].find_element(
            "css selector", "input[aria-label*='row selection']"
        )
        if not box.is_selected():
            browser.driver.execute_script("arguments[0].click()", box)
        return box.is_selected()

    browser.wait(f"{name} in the list", lambda: name in _trials(browser))
    browser.wait(f"{name} to be selected", ticked)


def test_the_token_is_not_in_the_address_for_long(runs_page):
    assert "token" not in runs_page.driver.current_url
    assert not runs_page.driver.execute_script("return document.cookie")


def test_a_campaign_whose_driver_was_killed_is_not_shown_as_running(ui, mlruns, samples):
    with closing(sqlite3.connect(mlruns / DATABASE)) as store:
        query = "SELECT status, end_time FROM runs WHERE name = 'demo'"
        (state,) = store.execute(query).fetchall()
    assert state == ("KILLED", round(max(one.record.ended for one in samples) * 1000))


def test_the_pages_begin_without_an_assistant(runs_page):
    assert "Welcome to MLflow Assistant" not in runs_page.text


def test_the_campaign_is_among_the_experiments(browser, ui):
    browser.open(f"{ui.partition('#')[0]}#/experiments?workflowType=machine_learning")
    links = "[data-testid=experiment-list-item-link]"
    browser.wait(
        "the campaign's experiment", lambda: "demo" in [link.text for link in browser.all(links)]
    )


def test_a_trials_artifacts_are_listed_and_shown(browser, ui, mlruns):
    run = _run_of_trial_1(mlruns)
    browser.open(
        f"{ui.partition('#')[0]}#/experiments/{run.experiment_id}/runs/{run.run_id}/artifacts"
    )
    browser.wait("the file's name", lambda: "slurm.conf" in browser.text)
    for node in browser.all("span, div, li"):
        if node.text == "slurm.conf":
            node.click()
            break
    browser.wait("the file's content", lambda: "ClusterName=x" in browser.text)
    for node in browser.all("span, div, li"):
        if node.text == "gantt.svg":
            node.click()
            break
    sizes = "return [...document.images].map(one => [one.naturalWidth, one.width, one.height])"
    browser.wait(
        "the chart",
        lambda: [
            one for one in browser.driver.execute_script(sizes) if one[0] == 960 and min(one) > 100
        ],
    )


def test_a_trials_artifacts_can_be_read(browser, ui, mlruns):
    browser.open(ui)
    cookie = "; ".join(f"{one['name']}={one['value']}" for one in browser.driver.get_cookies())
    run = _run_of_trial_1(mlruns)
    address = f"http://{urlsplit(ui).netloc}/get-artifact?run_uuid={run.run_id}&path=slurm.conf"
    request = urllib.request.Request(address, headers={"Cookie": cookie})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.read() == b"ClusterName=x\n"


def _run_of_trial_1(mlruns):
    return _run_of(mlruns, "tags.trial = '1'")


def _run_of(mlruns, query):
    from campaign.tracking.store import open_store

    client = open_store(mlruns)
    experiment = client.get_experiment_by_name("demo").experiment_id
    (run,) = client.search_runs([experiment], query)
    return run.info


OF_MLFLOW = {
    "aria-required-children": "the lists of the comparison are grids without rows",
    "aria-required-parent": "the headings of the table stand outside its rows",
    "aria-valid-attr-value": "tabs and the search box name elements that aren't there yet",
    "button-name": "buttons for copying and saving are icons without a name",
    "color-contrast": "in dark mode, links and the tag of the status are too dark",
    "empty-table-header": "the groups of columns that have no name are headings all the same",
    "frame-title": "the frame around an artifact of HTML has no title",
    "heading-order": "headings of sections are of the fourth level, below none of the third",
    "label": "what switches between table and charts, and selects of the comparison, have no label",
    "list": "the side bar's list holds lists without an item around them",
    "listitem": "the path above a title is of items without a list",
    "page-has-heading-one": "titles are of the second level",
    "scrollable-region-focusable": "tables of the comparison scroll by mouse only",
}
"""The rules of axe that MLflow's own elements break, with what they are: not ours to mend."""


def test_all_pages_are_whole_broad_and_narrow_light_and_dark(browser, ui, mlruns, axe):
    """No console complains, nobody else is asked, and axe finds nothing in what is ours."""
    origin = f"http://{urlsplit(ui).netloc}"
    broken = {}
    for scheme in ("light", "dark"):
        _forget(browser, origin)
        for name, (address, shown) in _pages(ui, mlruns).items():
            look(browser, WIDTHS[0], scheme)
            browser.open("about:blank")
            browser.open(address)
            shown(browser)
            _check_own(browser, axe)
            dark = "return document.body.classList.contains('dark-mode')"
            assert browser.driver.execute_script(dark) == (scheme == "dark")
            for width in WIDTHS:
                look(browser, width, scheme)
                found = faults(browser, axe)
                unknown = {rule: found[rule] for rule in found.keys() - OF_MLFLOW.keys()}
                assert unknown == {}, (name, width, scheme)
                broken |= found
                own = browser.driver.execute_script("return document.documentElement.scrollWidth")
                assert own <= width, (name, scheme)
            said = [one for one in browser.console() if RESIZED not in one]
            assert said == [], (name, scheme)
    asked = [one for one in requested(browser) if not one.startswith(("about:", "blob:"))]
    assert asked and all(one.startswith(f"{origin}/") for one in asked)
    assert sorted(broken) == sorted(OF_MLFLOW), "MLflow has mended a rule of the list"


WIDTHS = (1400, 700, 390)
RESIZED = "ResizeObserver loop completed with undelivered notifications"
"""What Chromium notes when MLflow's layout needs more than one frame for another width."""


def _forget(browser, origin):
    """Have the pages follow what the reader prefers, as when they are opened for the first time."""
    stored = {"origin": origin, "storageTypes": "local_storage"}
    browser.driver.execute_cdp_cmd("Storage.clearDataForOrigin", stored)


def _pages(ui, mlruns):
    """The pages that a user looks at, by name: their address, and what waits until one is there."""
    trial = _run_of_trial_1(mlruns)
    campaign = _run_of(mlruns, "tags.kind = 'campaign'")
    base = ui.partition("#")[0]
    runs = f"{base}#/experiments/{trial.experiment_id}/runs"
    both = f"runs=[%22{trial.run_id}%22,%22{campaign.run_id}%22]"
    compared = f"{base}#/compare-runs?{both}&experiments=[%22{trial.experiment_id}%22]"
    return {
        "the table": (ui, lambda browser: browser.wait("trials", lambda: _trials(browser))),
        "a trial": (f"{runs}/{trial.run_id}", _says("bf_interval", "awrt_s")),
        "the report": (f"{runs}/{campaign.run_id}/artifacts", _show_report),
        "a comparison": (compared, _says("Comparing 2 Runs", "bf_interval")),
    }


def _says(*words):
    return lambda browser: browser.wait(words, lambda: all(one in browser.text for one in words))


def _show_report(browser):
    def shown():
        if not browser.shown("iframe"):
            # A click that comes before the page listens is lost.
            names = [one for one in browser.all("span, div, li") if one.text == "report.html"]
            names[-1].click()
        return browser.shown("iframe")

    _says("report.html")(browser)
    browser.wait("the report", shown)


def _check_own(browser, axe):
    """Look at the report inside its frame, where there is one."""
    for frame in browser.all("iframe"):
        browser.driver.switch_to.frame(frame)
        browser.one("#front")
        assert faults(browser, axe) == {}
        browser.driver.switch_to.default_content()
