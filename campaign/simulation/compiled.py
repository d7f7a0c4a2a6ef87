"""Compiles the simulation's loops with Numba, once per machine.

Later processes load what the first one compiled.
"""

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, TypeVar

import numba
import numpy as np

from campaign.core.files import user_path

Function = TypeVar("Function", bound=Callable[..., Any])
CompiledLoop = Callable[..., None]

# Numba compiles a function once for each literal that it is called with; these are numbers like any
# other.
ZERO: Any = np.int64(0)
ONE: Any = np.int64(1)


def compiled(function: Function) -> Function:
    """Return `function`, compiled for the types of its first call."""
    # Said explicitly: else it is taken from the caller, which may count none.
    return _compiled(function, _nrt=True)


def lean(function: Function) -> Function:
    """Return `function`, compiled not to count references to arrays.

    Counting those of the dozens of arrays that a function is called with takes several times as
    long as what small functions do. It serves where a function neither makes an array, nor gets or
    returns one.
    """
    return _compiled(function, _nrt=False)


def _compiled(function: Function, **options: bool) -> Function:
    # Numba's own default, a folder beside each file, would miss changes in the other files.
    numba.config.CACHE_DIR = os.environ.get("NUMBA_CACHE_DIR") or str(_folder())
    # Without Python's lock, so that the thread that waits for it can answer signals.
    made: Function = numba.njit(cache=True, nogil=True, **options)(function)
    return made


@cache
def _folder() -> Path:
    """Return the folder where compiled code is kept.

    Numba looks for changes in a function's own file only, but the code that it compiles holds the
    functions called in it: so the folder is named by the hash of all files.
    """
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for file in sorted(here.rglob("*.py")):
        digest.update(file.read_bytes())
    return writable(here / "__pycache__") / f"compiled-{digest.hexdigest()[:16]}"


def writable(folder: Path) -> Path:
    """Return `folder`, or the user's own cache where files can't be made in it.

    The folder of an installed package may be another user's.
    """
    try:
        folder.mkdir(exist_ok=True)
        with TemporaryFile(dir=folder):
            return folder
    except OSError:
        return user_path("$XDG_CACHE_HOME/campaign/simulation")
