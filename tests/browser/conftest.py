"""A headless Chromium for tests, with evidence (screenshot, page source, console) of whatever
fails."""

import json
import os
import shutil
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

INSTALL = "needs Chromium and its driver: apt-get install chromium chromium-driver"
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--window-size=1600,1000",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
)
AXE = "axe-core@4.14.1"
AXE_FILE = "CAMPAIGN_TEST_AXE"
"""The variable that may name a file axe.min.js; without it, npm fetches it."""
OPEN = (
    pytest.StashKey()
)  # the test's browser and where its evidence goes; set before other fixtures may fail


class Browser:
    """A Selenium driver with waits that have deadlines and say what they waited for."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, address):
        self.driver.get(address)

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def wait(self, what, condition, seconds=90):
        """Return what `condition` gives as soon as that is true; elements that vanish meanwhile are
        looked up again."""
        from selenium.common.exceptions import WebDriverException

        deadline = time.monotonic() + seconds
        trouble = ""
        while time.monotonic() < deadline:
            try:
                if found := condition():
                    return found
            except WebDriverException as error:
                trouble = str(error).splitlines()[0]
            time.sleep(0.2)
        raise AssertionError(
            f"waited {seconds} s for {what} at {self.driver.current_url} {trouble}"
        )

    def one(self, selector, seconds=90):
        return self.wait(selector, lambda: self.shown(selector), seconds)

    def shown(self, selector):
        """The first such element that is displayed now, if there is one."""
        return next((one for one in self.all(selector) if one.is_displayed()), None)

    def click(self, selector, seconds=90):
        """Click once it can be clicked: overlays and redraws are waited out."""

        def clicked():
            if found := self.shown(selector):
                found.click()
            return found is not None

        self.wait(f"a click on {selector}", clicked, seconds)

    @property
    def text(self):
        return self.driver.find_element("tag name", "body").text

    def console(self):
        """What the page complained of: console entries of level SEVERE, since last asked."""
        return [
            entry["message"]
            for entry in self.driver.get_log("browser")
            if entry["level"] == "SEVERE"
        ]

    def keep_evidence(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        self.driver.save_screenshot(str(folder / "screen.png"))
        (folder / "page.html").write_text(self.driver.page_source, encoding="utf-8")
        (folder / "console.txt").write_text("\n".join(self.console()), encoding="utf-8")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.when != "teardown" and report.failed and OPEN in item.stash:
        browser, folder = item.stash[OPEN]
        browser.keep_evidence(folder)
        report.sections.append(("browser", f"screenshot, page source and console are in {folder}"))


@pytest.fixture
def browser(request, tmp_path):
    programs = shutil.which("chromium"), shutil.which("chromedriver")
    if not all(programs):
        # A run that should have shown it must not pass for having been skipped.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(INSTALL)
    driver = _driver(*programs)
    browser = Browser(driver)
    request.node.stash[OPEN] = browser, tmp_path / "evidence"
    yield browser
    driver.quit()


def _driver(chromium, chromedriver):
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ARGUMENTS:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(chromedriver))
    driver.set_page_load_timeout(60)
    return driver


def look(browser, width, scheme="light"):
    """Set the window's width, and what the reader prefers."""
    metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def requested(browser):
    """The addresses that the page asked for."""
    messages = [
        json.loads(entry["message"])["message"] for entry in browser.driver.get_log("performance")
    ]
    return [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
        and not message["params"]["request"]["url"].startswith("data:")
    ]


def faults(browser, axe):
    """What axe finds in the page or frame that is shown: the elements that break each rule."""
    browser.driver.execute_script(axe)
    found = browser.driver.execute_async_script("axe.run(document).then(arguments[0])")
    return {one["id"]: [node["html"] for node in one["nodes"]] for one in found["violations"]}


@pytest.fixture(scope="session")
def axe(tmp_path_factory):
    """The text of axe-core, which is no part of the project: a file that is named, or npm's."""
    named = os.environ.get(AXE_FILE)
    if named:
        return Path(named).read_text(encoding="utf-8")
    if not shutil.which("npm"):
        pytest.skip(f"needs axe-core: install npm, or let {AXE_FILE} name its axe.min.js")
    folder = tmp_path_factory.mktemp("axe")
    command = ["npm", "pack", "--silent", AXE]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=100, check=False)
    archives = list(folder.glob("*.tgz"))
    if done.returncode or not archives:
        pytest.skip(f"npm can't fetch {AXE}; {AXE_FILE} may name its axe.min.js")
    with tarfile.open(archives[0]) as archive:
        return archive.extractfile("package/axe.min.js").read().decode()
