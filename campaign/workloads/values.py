"""What single values of logs mean: durations, times, amounts of memory, lists of resources.

Each function takes one text. It returns NaN for what says that nothing is known or that there is
no limit, and raises ValueError for what it can't read.
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

UNKNOWN = frozenset(
    {"", "unknown", "none", "n/a", "na", "nan", "null", "(null)", "-", "notset", "invalid"}
)
NO_LIMIT = frozenset({"unlimited", "partition_limit", "infinite", "infinity"})
NUMBER = re.compile(r"[+-]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})([eE][+-]?\d{1,3})?")
DURATION = re.compile(r"(?:(\d{1,9})-)?(?:(?:(\d{1,9}):)?(\d{1,9}):)?(\d{1,9}(?:\.\d{1,9})?)")
MEMORY = re.compile(r"(\d{1,20}(?:\.\d{1,10})?)([KMGTPE]?)i?B?([cn]?)", re.IGNORECASE)
MIB = {"K": 1 / 1024, "": 1.0, "M": 1.0, "G": 1024.0, "T": 1024.0**2, "P": 1024.0**3}
MIB["E"] = 1024.0**4
COUNT = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9}
GPU = "gres/gpu"
MINUTE = 60.0


class Memory(NamedTuple):
    """An amount (MiB), and whether it is per `c`pu, per `n`ode, or of the whole job (empty)."""

    mib: float
    per: str


class TrackedResources(NamedTuple):
    """What a list of trackable resources holds; NaN and None where it doesn't say."""

    slots: float = math.nan
    memory_mib: float = math.nan
    nodes: float = math.nan
    gpus: float = math.nan
    gpu_type: str | None = None


class Parsed(NamedTuple):
    """The numbers of a column, NaN where unknown, and which rows couldn't be read."""

    values: NDArray[np.float64]
    unreadable: NDArray[np.bool_]


def parsed(column: pa.DictionaryArray, parse: Callable[[str], float]) -> Parsed:
    """Return what `parse` makes of each value of the column, called once for equal values."""
    values = np.full(len(column.dictionary) + 1, math.nan)
    unreadable = np.zeros(values.size, dtype=bool)
    for place, text in enumerate(column.dictionary.to_pylist()):
        try:
            values[place] = parse(text)
        except (ValueError, OverflowError):
            unreadable[place] = True
    rows = places(column)
    return Parsed(values[rows], unreadable[rows])


def places(column: pa.DictionaryArray) -> NDArray[np.int64]:
    """Return the place of each row's value in the dictionary, its length where it is null."""
    filled = column.indices.fill_null(len(column.dictionary))
    return np.asarray(filled.to_numpy(zero_copy_only=False), np.int64)


def number(text: str) -> float:
    """Return a plain number."""
    text = text.strip()
    if text.lower() in UNKNOWN | NO_LIMIT:
        return math.nan
    if not NUMBER.fullmatch(text):
        raise ValueError(text)
    return _finite(float(text))


def count(text: str) -> float:
    """Return a number of things, which may end in K, M or G for thousands and so on."""
    unit = text.strip()[-1:].upper()
    if unit in COUNT:
        return number(text.strip()[:-1]) * COUNT[unit]
    return number(text)


def duration_s(text: str) -> float:
    """Return the seconds of `[days-]hours:minutes:seconds` or `minutes:seconds`."""
    text = text.strip()
    if text.lower() in UNKNOWN | NO_LIMIT:
        return math.nan
    match = DURATION.fullmatch(text)
    if match is None:
        return number(text)
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * MINUTE + seconds


def minutes_s(text: str) -> float:
    """Return the seconds of a number of minutes."""
    return number(text) * MINUTE


def time_s(text: str, unit_s: float = 1.0) -> tuple[float, bool]:
    """Return a time in seconds of Unix time, and whether it is by a clock whose zone isn't said.

    Such a time is given as if the clock were that of UTC. A number counts units of `unit_s`.
    """
    text = text.strip()
    if text.lower() in UNKNOWN | NO_LIMIT:
        return math.nan, False
    if NUMBER.fullmatch(text):
        return _finite(float(text) * unit_s), False
    moment = datetime.fromisoformat(text)
    naive = moment.tzinfo is None
    return (moment.replace(tzinfo=UTC) if naive else moment).timestamp(), naive


def memory(text: str) -> Memory:
    """Return an amount of memory such as `4000M`, `16Gn` (a node) or `2Gc` (a CPU)."""
    text = text.strip()
    if text.lower() in UNKNOWN | NO_LIMIT:
        return Memory(math.nan, "")
    match = MEMORY.fullmatch(text)
    if match is None:
        raise ValueError(text)
    mib = float(match[1]) * MIB[match[2].upper()]
    return Memory(mib or math.nan, match[3].lower())  # 0: nothing asked for in particular


def resources(text: str) -> TrackedResources:
    """Return what a list such as `cpu=8,gres/gpu:a100=2,mem=16G,node=1` holds."""
    amounts: dict[str, str] = {}
    for part in text.split(","):
        name, equals, amount = part.strip().partition("=")
        if name and not equals:
            raise ValueError(text)
        amounts[name] = amount
    typed = {name: count(amount) for name, amount in amounts.items() if name[:9] == f"{GPU}:"}
    types = [name[9:] for name, gpus in typed.items() if gpus > 0]
    gpus = count(amounts[GPU]) if GPU in amounts else sum(typed.values()) if typed else math.nan
    return TrackedResources(
        count(amounts.get("cpu", "")),
        memory(amounts.get("mem", "")).mib,
        count(amounts.get("node", "")),
        gpus,
        types[0] if len(types) == 1 else None,
    )


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(value)
    return value
