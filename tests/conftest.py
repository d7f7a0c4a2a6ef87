"""What all tests share: the image that VMs boot, and the rule that CI skips nothing that can run there."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("project", deadline=None)  # how long an example takes is the machine's business
settings.load_profile("project")

CANNOT_RUN_HERE = "cannot run here"
"""How the reason of a skip begins that even CI accepts; it goes on with why, and how to run the test elsewhere."""


@pytest.fixture(scope="session")
def image_store() -> Path:
    """The image store that the commands use too, so that an image is built once per machine."""
    return Path(os.environ.get("CAMPAIGN_TEST_STORE", "~/.cache/campaign/images")).expanduser()


@pytest.fixture(scope="session")
def bundle(image_store):
    """The Slurm image, built if the store has none of the committed lock."""
    from campaign.images import debian
    from campaign.images.store import Store

    store = Store(image_store)
    found = [one for one in store.bundles() if one.manifest.name == "slurm"]
    chosen = found[0] if found else debian.build("slurm", store=store, progress=print)
    store.verify(chosen)
    return chosen


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI, a skipped test is a failure unless its reason says that it cannot run there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or reporter is None:
        return
    reasons = [report.longrepr[2] for report in reporter.stats.get("skipped", ()) if isinstance(report.longrepr, tuple)]
    unexcused = [reason for reason in reasons if CANNOT_RUN_HERE not in reason]
    if unexcused and session.exitstatus == pytest.ExitCode.OK:
        reporter.write_line(f"skipped in CI: {'; '.join(unexcused)}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
