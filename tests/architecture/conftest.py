"""What the tests of the tree's structure have in common: they parse all of its files."""

from collections.abc import Iterator

import pytest

from tests.parsing import undisturbed_parsing


@pytest.fixture(autouse=True)
def _no_collection_while_parsing() -> Iterator[None]:
    with undisturbed_parsing():
        yield
