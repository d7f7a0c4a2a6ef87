"""What the tests of the tree's structure have in common: they parse all of its files."""

import gc

import pytest


@pytest.fixture(autouse=True)
def _no_collection_while_parsing():
    # CPython 3.11's ast.parse fails ("AST constructor recursion depth mismatch") where the
    # collector runs a finalizer of another test's leftovers meanwhile.
    gc.collect()
    gc.disable()
    yield
    gc.enable()
