"""The grammar of metrics' names: a metric, of a class of jobs, at its worst over classes.

    wait_mean_s                                    of all jobs
    wait_p95_s[qos=high]                           of the jobs with this quality of service
    bounded_slowdown_mean[width=>64]               of the jobs wider than 64 slots
    wait_p95_s[partition=gpu,width=1-16]           of the jobs of both classes
    wait_mean_s.worst[partition]                   the worst of the values of all partitions
    wait_mean_s[qos=high].worst[partition]         the same of the jobs with this quality of service
    wait_mean_s[partition=*]                       a metric for each partition
    hook.perf.ipc                                  what the hook `perf` found, as `ipc`

A class is FIELD=NAME, or of numbers FIELD=N, LOW-HIGH (both included), >N, >=N, <N or <=N.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

EACH = "*"
HOOK = "hook."
GRAMMAR = "METRIC, METRIC[FIELD=CLASS] or METRIC.worst[FIELD]"
_NAME = re.compile(
    r"(?P<base>\w+)(?:\[(?P<classes>[^\[\]]+)\])?(?:\.worst\[(?P<worst>[^\[\]]+)\])?"
)
_CLASS = re.compile(r"(?P<field>\w+)=(?P<text>[^,]+)")
_NUMBER = r"\d+(?:\.\d+)?"
_BOUND = re.compile(rf"(?P<sign>>=|<=|>|<)(?P<bound>{_NUMBER})")
_SPAN = re.compile(rf"(?P<low>{_NUMBER})(?:-(?P<high>{_NUMBER}))?")


@dataclass(frozen=True)
class JobClass:
    """The jobs whose `field` is what `text` says."""

    field: str
    text: str

    def __str__(self) -> str:
        return f"{self.field}={self.text}"


@dataclass(frozen=True)
class MetricName:
    """A name in its parts: the `base` metric of the jobs that are of all of `classes`.

    `worst` is the field over whose classes the worst value counts, empty without one.
    """

    base: str
    classes: tuple[JobClass, ...] = ()
    worst: str = ""

    @classmethod
    def of(cls, name: str) -> Self:
        """Return the parts of `name`; raise ValueError, which says why, where it has none."""
        match = _NAME.fullmatch(name)
        if match is None:
            raise ValueError(f"it is not of the form {GRAMMAR}")
        classes = tuple(_classes(match["classes"] or ""))
        return cls(match["base"], classes, match["worst"] or "")

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields by which jobs are classed, in the order of the name."""
        return (*(one.field for one in self.classes), *([self.worst] if self.worst else []))

    @property
    def each(self) -> str:
        """The field of whose classes each has a metric of its own; empty without one."""
        return next((one.field for one in self.classes if one.text == EACH), "")

    def within(self, field: str, text: str) -> "MetricName":
        """Return the name of the metric of one class, in the place of `each`."""
        classes = (JobClass(field, text) if one.text == EACH else one for one in self.classes)
        return MetricName(self.base, tuple(classes), self.worst)

    def __str__(self) -> str:
        classes = f"[{','.join(map(str, self.classes))}]" if self.classes else ""
        return f"{self.base}{classes}{f'.worst[{self.worst}]' if self.worst else ''}"


def _classes(text: str) -> Iterator[JobClass]:
    for part in text.split(",") if text else ():
        match = _CLASS.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"{part.strip()!r} is no class of jobs, such as partition=gpu")
        yield JobClass(match["field"], match["text"].strip())


def interval(text: str) -> tuple[float, bool, float, bool]:
    """Return the numbers of a class: the lowest, whether it counts, the highest, whether it does.

    Raises ValueError for what is no number, no range and no bound.
    """
    if match := _BOUND.fullmatch(text):
        bound = float(match["bound"])
        included = "=" in match["sign"]
        above = match["sign"].startswith(">")
        return (bound, included, float("inf"), True) if above else (0.0, True, bound, included)
    if match := _SPAN.fullmatch(text):
        low = float(match["low"])
        high = float(match["high"] or low)
        if low <= high:
            return low, True, high, True
    raise ValueError(f"{text!r} is none of N, LOW-HIGH, >N, >=N, <N, <=N")


def hook_of(name: str) -> str:
    """Return the name of the hook that adds a metric; empty for what is no hook's."""
    parts = name.split(".")
    return parts[1] if is_hooks(name) and len(parts) == 3 and all(parts) else ""


def is_hooks(name: str) -> bool:
    """Return whether a metric is one that a hook adds, of which no jobs table knows anything."""
    return name.startswith(HOOK)


def matching(pattern: str, names: Iterable[str]) -> list[str]:
    """Return those of `names` that `pattern` means: itself, or one for each class."""
    if EACH not in pattern:
        return [pattern]
    wanted = re.compile(re.escape(pattern).replace(rf"={re.escape(EACH)}", r"=[^,\[\]]+"))
    return [name for name in dict.fromkeys(names) if name != pattern and wanted.fullmatch(name)]
