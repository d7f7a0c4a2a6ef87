"""A headless Chromium for tests, with evidence (screenshot, page source, console) of whatever
fails."""

import os
import shutil
import time

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
