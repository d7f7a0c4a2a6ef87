"""The families of cases, each with its sizes."""

import importlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Case = Callable[[random.Random, int], bool]


@dataclass(frozen=True)
class Family:
    """A kind of input: the module that makes its cases, and how many are run when.

    `nightly` and `ci` are those sizes; a family of hand-made cases has no more than these.
    """

    module: str
    nightly: int
    ci: int
    handmade: bool = False
    function: str = "prepared"

    def prepared(self) -> Callable[[Path], Case]:
        """Return what makes the family's case, given a folder to work in."""
        made: Callable[[Path], Case] = getattr(
            importlib.import_module(f"tests.fuzz.{self.module}"), self.function
        )
        return made


FAMILIES = {
    "traces": Family("traces", 31_637, 500),
    "logs": Family("logs", 10_000, 300),
    "campaigns": Family("campaigns", 1_800, 15, function="campaigns"),
    "unlimited": Family("campaigns", 1_999, 12, function="unlimited"),
    "overrides": Family("configs", 2_319, 30, function="overrides"),
    "yaml": Family("configs", 300, 30, function="files"),
    "ledgers": Family("ledgers", 3_000, 150),
    "bombs": Family("bombs", 25, 25, handmade=True),
}
