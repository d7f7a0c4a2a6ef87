"""Each family of fuzzing at the size of continuous integration: no case may fail."""

import pytest

from tests.fuzz.families import FAMILIES
from tests.fuzz.runner import run


# Worked out in a process of its own, whose loops may have to be compiled first.
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", FAMILIES)
def test_no_case_of_a_family_fails(name: str) -> None:
    found = run(name, first=0, last=FAMILIES[name].ci, seed=1)
    assert found.faults == []
    assert found.survived == found.tried == FAMILIES[name].ci
