"""How many bits the tests of damage flip: a few hundred, or as many as `--flips` says."""

import pytest


@pytest.fixture
def flips(pytestconfig):
    return pytestconfig.getoption("flips")
