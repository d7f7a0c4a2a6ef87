"""Compiles the simulation's loops with Numba, once per machine: later processes load what the first one compiled."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])

# Numba compiles a function once for each literal that it is called with; these are numbers like any other.
ZERO: Any = np.int64(0)
ONE: Any = np.int64(1)


def compiled(function: Function) -> Function:
    """`function`, compiled for the types of its first call."""
    made: Function = njit(cache=True)(function)
    return made
