"""Metrics of classes of jobs: of one class, of each class of a field, and the worst of them."""

import re
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from campaign.analysis.metrics.classes import ClassedJobs, Rows
from campaign.analysis.metrics.definition import NoMeaning, evaluated
from campaign.analysis.metrics.definitions import METRICS
from campaign.analysis.metrics.measured import COLUMNS, MetricInputs, measure
from campaign.core.jobs import Workload
from campaign.core.metric_names import EACH, MetricName

UNKNOWN_CLASSES = NoMeaning("the classes of jobs aren't known without the workload")
Value = float | NoMeaning
Flags = NDArray[np.bool_]


def class_values(
    names: Iterable[str], measured: MetricInputs, workload: Workload | None
) -> dict[str, Value]:
    """Return the values of metrics of classes; a name with `*` becomes one for each class.

    The names are valid ones (`MetricName.of`), of metrics that can be taken over a class.
    """
    wanted = list(names)
    if workload is None:
        return dict.fromkeys(wanted, UNKNOWN_CLASSES)
    if not wanted:
        return {}
    trial = _TrialClasses(measured, workload)
    return {str(of): value for name in wanted for of, value in trial.values(MetricName.of(name))}


class _TrialClasses:
    """The jobs of one trial by class."""

    def __init__(self, measured: MetricInputs, workload: Workload) -> None:
        self._measured = measured
        self._jobs = measured.table.select(COLUMNS)
        self._classed = ClassedJobs(measured.table.select(["job_id"]), workload)

    def values(self, name: MetricName) -> Iterator[tuple[MetricName, Value]]:
        """Yield the metric's value, or one for each class, each by its name."""
        among = np.ones(self._jobs.num_rows, np.bool_)
        for one in name.classes:
            if one.text != EACH:
                among &= self._classed.those(one)
                if not among.any():
                    yield name, NoMeaning(self._classed.why_none(one))
                    return
        if not name.each:
            yield name, self._value(name, np.flatnonzero(among))
            return
        found = list(self._divided(name.each, among))
        if not found:
            yield name, self._unknown(name.each)
        for text, rows in found:
            # What has a meaning in names of metrics can't stand in that of a class.
            yield name.within(name.each, re.sub(r"[\[\],*]", "_", text)), self._value(name, rows)

    def _value(self, name: MetricName, rows: Rows) -> Value:
        if not name.worst:
            return self._plain(name, rows)
        among = np.zeros(self._jobs.num_rows, np.bool_)
        among[rows] = True
        found = {text: self._plain(name, own) for text, own in self._divided(name.worst, among)}
        for text, value in found.items():
            if isinstance(value, NoMeaning):
                return NoMeaning(f"{name.worst}={text}: {value.why}")
        worst = max if METRICS[name.base].natural_direction == "minimize" else min
        known = [value for value in found.values() if not isinstance(value, NoMeaning)]
        return worst(known) if known else self._unknown(name.worst)

    def _plain(self, name: MetricName, rows: Rows) -> Value:
        of = self._measured
        return evaluated(
            METRICS[name.base], measure(self._jobs.take(rows), of.cluster, of.phases, of.tau_s)
        )

    def _divided(self, field: str, among: Flags) -> Iterator[tuple[str, Rows]]:
        for text, rows in self._classed.divided(field).items():
            own = rows[among[rows]]
            if own.size:
                yield text, own

    def _unknown(self, field: str) -> NoMeaning:
        return NoMeaning(f"nothing is known of the {field} of its jobs")
