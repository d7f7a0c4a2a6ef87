"""Slurm's own spelling of values: durations, and what SelectTypeParameters names."""

import re

UNITS = ("CR_Core", "CR_CPU", "CR_Socket")
ALLOCATED = (*UNITS, *(f"{unit}_Memory" for unit in UNITS))
"""What SelectTypeParameters lets a job have; exactly one of these stands in it."""
FLAGS = (
    "CR_ONE_TASK_PER_CORE",
    "CR_CORE_DEFAULT_DIST_BLOCK",
    "CR_LLN",
    "CR_Pack_Nodes",
    "LL_SHARED_GRES",
    "MULTIPLE_SHARING_GRES_PJ",
    "ENFORCE_BINDING_GRES",
    "ONE_TASK_PER_SHARING_GRES",
)
"""What may stand beside it."""
PRIORITY_FLAGS = (
    "ACCRUE_ALWAYS",
    "SMALL_RELATIVE_TO_TIME",
    "CALCULATE_RUNNING",
    "DEPTH_OBLIVIOUS",
    "INCR_ONLY",
    "MAX_TRES",
    "NO_FAIR_TREE",
    "NO_NORMAL_ASSOC",
    "NO_NORMAL_PART",
    "NO_NORMAL_QOS",
    "NO_NORMAL_TRES",
)
"""What PriorityFlags names."""
FAIR_TREE = "FAIR_TREE"
"""What there is without NO_FAIR_TREE: it says nothing, and is the word for no flag at all."""
ALL_NORMAL = "NO_NORMAL_ALL"
WITH_DAYS = re.compile(
    r"(?P<days>\d+)-(?P<hours>\d+)(:(?P<minutes>\d+)(:(?P<seconds>\d+))?)?", re.ASCII
)
HOURS = re.compile(r"(?P<hours>\d+):(?P<minutes>\d+):(?P<seconds>\d+)", re.ASCII)
MINUTES = re.compile(r"(?P<minutes>\d+)(:(?P<seconds>\d+))?", re.ASCII)
DAY_H = 24
HOUR_MIN = 60
MINUTE_S = 60


def seconds(text: str) -> int:
    """Return the seconds of `D-H[:M[:S]]`, `H:M:S`, `M:S` or `M`; ValueError for anything else."""
    found = WITH_DAYS.fullmatch(text) or HOURS.fullmatch(text) or MINUTES.fullmatch(text)
    if found is None:
        raise ValueError("Slurm writes a duration as D-H, D-H:M:S, H:M:S, M:S or M")
    parts = {name: int(part) for name, part in found.groupdict().items() if part}
    hours = parts.get("days", 0) * DAY_H + parts.get("hours", 0)
    return (hours * HOUR_MIN + parts.get("minutes", 0)) * MINUTE_S + parts.get("seconds", 0)


def whole_minutes(value: object) -> object:
    """Return a duration in minutes, rounded up as Slurm does; what is no text stays as it is."""
    return -(-seconds(value) // MINUTE_S) if isinstance(value, str) else value


def select_parameters(text: str) -> str:
    """Return the value of SelectTypeParameters as slurm.conf(5) spells and orders it.

    Raises ValueError where it isn't one of ALLOCATED and any of FLAGS, separated by commas.
    """
    known = {word.lower(): word for word in (*ALLOCATED, *FLAGS)}
    words = [known.get(word.strip().lower(), word) for word in text.split(",")]
    for word in words:
        if word not in (*ALLOCATED, *FLAGS) or words.count(word) > 1:
            raise ValueError(f"{word!r} is no part of SelectTypeParameters, or stands there twice")
    allocated = [word for word in words if word in ALLOCATED]
    if len(allocated) != 1:
        raise ValueError("select/cons_tres wants one of " + ", ".join(ALLOCATED) + " in it")
    return ",".join([*allocated, *(flag for flag in FLAGS if flag in words)])


def priority_flags(text: str) -> str:
    """Return the value of PriorityFlags as slurm.conf(5) spells it, in one order.

    Raises ValueError where it isn't made of PRIORITY_FLAGS, separated by commas. What one of them
    brings along stands there too, as Slurm itself shows it; where there is none, FAIR_TREE does.
    """
    words = {word.strip().upper() for word in text.split(",")} - {FAIR_TREE, ""}
    if ALL_NORMAL in words:
        words = words - {ALL_NORMAL} | {one for one in PRIORITY_FLAGS if "NO_NORMAL" in one}
    if "DEPTH_OBLIVIOUS" in words:
        words.add("NO_FAIR_TREE")
    if strange := words - set(PRIORITY_FLAGS):
        raise ValueError(f"{', '.join(sorted(strange))!r} is no part of PriorityFlags")
    return ",".join(flag for flag in PRIORITY_FLAGS if flag in words) or FAIR_TREE


def not_zero(value: int) -> int:
    """Return the value; ValueError for 0, for which Slurm takes its default instead."""
    if value == 0:
        raise ValueError("Slurm doesn't take 0; -1 switches it off")
    return value
