"""Metrics as people read them: names in words, and values in units that suit their size."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from campaign.analysis.metrics import METRICS
from campaign.analysis.metrics.definition import MetricDefinition
from campaign.core.metric_names import MetricName
from campaign.core.trials import TrialRecord
from campaign.report.facts import ABSENT, number
from campaign.schema.model import Direction

LABELS: Mapping[str, str] = {
    "makespan_s": "makespan",
    "wait_mean_s": "mean wait",
    "wait_median_s": "median wait",
    "wait_p95_s": "95th percentile of the wait",
    "wait_max_s": "longest wait",
    "response_mean_s": "mean response time",
    "response_median_s": "median response time",
    "response_p95_s": "95th percentile of the response time",
    "response_max_s": "longest response time",
    "bounded_slowdown_mean": "mean bounded slowdown",
    "bounded_slowdown_median": "median bounded slowdown",
    "bounded_slowdown_p95": "95th percentile of the bounded slowdown",
    "slowdown_mean": "mean slowdown",
    "slowdown_median": "median slowdown",
    "awrt_s": "area-weighted response time",
    "fairness_jain": "fairness between users (Jain)",
    "share_error": "error of shares",
    "utilisation": "utilisation",
    "utilisation_steady": "steady utilisation",
    "idle_fraction": "share idle while jobs wait",
    "fragmentation": "fragmentation",
    "backfill_rate": "share of jobs backfilled",
    "dispatch_latency_mean_s": "mean dispatch latency",
    "dispatch_latency_p95_s": "95th percentile of the dispatch latency",
    "policy_wait_mean_s": "mean wait by policy",
    "esp_efficiency": "ESP efficiency",
    "throughput_jobs_per_h": "throughput",
    "node_hours": "node-hours",
    "node_hours_provisioned": "node-hours provisioned",
    "cost": "cost",
    "energy_kwh": "energy",
    "submit_lag_mean_s": "mean submission lag",
    "submit_lag_max_s": "longest submission lag",
    "jobs_completed": "jobs completed",
    "jobs_preempted": "jobs preempted",
    "jobs_unfinished": "jobs unfinished",
}
"""What each metric is called, in the middle of a sentence."""
_UNIT = re.compile(r"(?<=\d) (?=(?:%|s|min|h|d)(?!\w))")
BETTER_IS = {"minimize": "lower is better", "maximize": "higher is better"}
_UNITS = {"node h": "", "fraction": "%"}  # node-hours have their unit in their name
_TIMES = (("d", 864_000.0, 86_400.0), ("h", 7_200.0, 3_600.0), ("min", 180.0, 60.0))
"""Units of time: from which value (s) on each is used, and its size."""
_NAMES = re.compile(
    rf"(?<![\w.])({'|'.join(sorted(LABELS, key=len, reverse=True))})"
    r"((?:\[[^\]]+\])?(?:\.worst\[[^\]]+\])?)(?![\w.=]*\w)"
)


@dataclass(frozen=True)
class Measure:
    """A metric on a page: its name in words, and the unit that all its values stand in.

    A value of the metric is `size` times the number that is written.
    """

    name: str
    label: str
    unit: str
    size: float
    direction: Direction

    @classmethod
    def of(cls, name: str, direction: Direction, values: Iterable[float]) -> Self:
        """Return the measure of a metric of which the page shows these `values`."""
        unit, size = _unit(_base(name), max(map(abs, values), default=0.0))
        return cls(name, label_of(name), unit, size, direction)

    @property
    def title(self) -> str:
        """The name and the unit, as heads of columns and axes have them."""
        return f"{begun(self.label)} ({self.unit})" if self.unit else begun(self.label)

    def scaled(self, value: float) -> float:
        """Return a value of the metric in the unit of this page."""
        return value / self.size

    def text(self, value: float | None) -> str:
        """Return a value as a number in the unit of this page."""
        return ABSENT if value is None else number(value / self.size)

    def full(self, value: float | None) -> str:
        """Return a value with its unit."""
        return self.text(value) if value is None else f"{self.text(value)} {self.unit}".rstrip()

    def span(self, low: float, high: float) -> str:
        """Return an interval as numbers in the unit of this page; empty without one."""
        return "" if math.isnan(low) else f"{self.text(low)} to {self.text(high)}"


def begun(words: str) -> str:
    """Return words as they begin a sentence; a name with a dot or an underscore is left alone."""
    first = words.partition(" ")[0]
    return words if "_" in first or "." in first else f"{words[:1].upper()}{words[1:]}"


def measures(
    objectives: Mapping[str, Direction], records: Iterable[TrialRecord]
) -> dict[str, Measure]:
    """Return how the page writes each objective; the unit suits the valid trials' median."""
    known = [record.metrics for record in records if record.valid]
    return {
        name: Measure.of(name, direction, _middle([m[name] for m in known if name in m]))
        for name, direction in objectives.items()
    }


def label_of(name: str) -> str:
    """Return a metric's name in words, those of classes of jobs too; else the name itself."""
    try:
        parts = MetricName.of(name)
    except ValueError:
        return name
    label = LABELS.get(parts.base)
    if label is None:
        return name
    classes = " and ".join(f"{one.field} {one.text}" for one in parts.classes)
    worst = f", worst {parts.worst}" if parts.worst else ""
    return f"{label}{f' of {classes}' if classes else ''}{worst}"


def in_words(sentence: str) -> str:
    """Return a sentence with each metric's name in words, and no line break before a unit."""
    return _UNIT.sub("\u00a0", _NAMES.sub(lambda found: label_of(found[0]), sentence))


def _base(name: str) -> MetricDefinition | None:
    return METRICS.get(name.partition("[")[0].partition(".")[0])


def _middle(values: list[float]) -> list[float]:
    return [sorted(values)[len(values) // 2]] if values else []


def _unit(metric: MetricDefinition | None, largest: float) -> tuple[str, float]:
    unit = metric.unit if metric else ""
    if unit == "s":
        return next(((name, size) for name, least, size in _TIMES if largest >= least), ("s", 1.0))
    return _UNITS.get(unit, unit), 0.01 if unit == "fraction" else 1.0
