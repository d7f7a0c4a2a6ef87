"""Parsing Python files in tests, undisturbed by what other tests have left behind."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def undisturbed_parsing() -> Iterator[None]:
    """Let no garbage be collected meanwhile.

    CPython 3.11's ast.parse fails ("AST constructor recursion depth mismatch") where the collector
    runs a finalizer of another test's leftovers while it parses.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
