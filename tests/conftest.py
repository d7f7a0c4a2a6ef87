"""What all tests share: the image that VMs boot, and the rule that CI skips nothing that can run
there."""

import os
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

from campaign.core.files import user_path
from campaign.schema.image import ImageSettings
from tests.limits import VARIABLE, default_factor, stretch

settings.register_profile(
    "project", deadline=None
)  # how long an example takes is the machine's business
settings.load_profile("project")

CANNOT_RUN_HERE = "cannot run here"
"""How the reason of a skip begins that even CI accepts; it goes on with why, and how to run the
test elsewhere."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--flips", type=int, default=300, help="bits that each test of damage flips (default: 300)"
    )
    parser.addoption(
        "--all-faults",
        action="store_true",
        help="every size in the tables of faults, of which a part runs otherwise",
    )
    parser.addoption(
        "--time-factor",
        type=float,
        default=default_factor(),
        help=f"by how much tests may take longer than they state, on a slow machine ({VARIABLE})",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Stretch the limits of tests for a slow machine."""
    factor = config.getoption("time_factor")
    if factor != 1:
        stretch(items, factor, float(config.getini("timeout")))


@pytest.fixture(scope="session")
def image_store() -> Path:
    """The image store that the commands use too, so that an image is built once per machine."""
    default = ImageSettings.model_fields["store"].default
    return user_path(os.environ.get("CAMPAIGN_TEST_STORE", default))


@pytest.fixture(scope="session")
def bundle_of(image_store):
    """Gives an image by name, built if the store has none; a test whose image needs files that
    nobody has provided is skipped."""
    from campaign.core.errors import ImageError
    from campaign.images.bundles.store import Store
    from campaign.images.debian import builder, third_party

    store = Store(image_store)

    @cache
    def chosen(name):
        found = [one for one in store.bundles() if one.manifest.name == name]
        if not found:
            try:
                third_party.provided(name, builder.spec(name).extras, third_party.folder_of(None))
            except ImageError as error:
                pytest.skip(f"{CANNOT_RUN_HERE}: {error.brief}. {error.resolution}")
            # Mirrors move on; what is tested holds for any versions.
            found = [builder.build(name, store=store, locked=False)]
        store.verify(found[0])
        return found[0]

    return chosen


@pytest.fixture(scope="session")
def bundle(bundle_of):
    """The Slurm image."""
    return bundle_of("slurm")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI, a skipped test is a failure unless its reason says that it cannot run there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or reporter is None:
        return
    reasons = [
        report.longrepr[2]
        for report in reporter.stats.get("skipped", ())
        if isinstance(report.longrepr, tuple)
    ]
    unexcused = [reason for reason in reasons if CANNOT_RUN_HERE not in reason]
    if unexcused and session.exitstatus == pytest.ExitCode.OK:
        reporter.write_line(f"skipped in CI: {'; '.join(unexcused)}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
