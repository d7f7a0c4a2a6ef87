"""The record of a trial on several instances, made of those of its replicates."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np

from campaign.core.trials import TrialRecord

Side = Literal["high", "low"]
UNFINISHED = "it was not evaluated on all instances"


@dataclass(frozen=True)
class ReplicateRule:
    """How the values of a metric on several instances become one.

    `searched` is the number of instances that the search sees; what comes after them is held out.
    The value of a metric is its mean over instances. With a `quantile`, that of a metric for which
    one side is `worse` is the value that so large a share of the instances keeps to.
    """

    searched: int = 1
    quantile: float | None = None
    worse: Mapping[str, Side] = field(default_factory=dict)

    @classmethod
    def of_config(cls, config: Mapping[str, Any]) -> Self:
        """Return the rule of a campaign by its settings, which may be those of another version."""
        search = settings_below(config, "search")
        worse: dict[str, Side] = {}
        for name, bound in settings_below(search, "constraints").items():
            limited = {key.split("_")[0] for key, value in bound.items() if value is not None}
            if len(limited) == 1:
                worse[name] = "high" if limited == {"max"} else "low"
        for name, direction in settings_below(config, "objectives").items():
            worse[name] = "high" if direction == "minimize" else "low"
        instances = int(settings_below(config, "workload").get("instances", 1))
        return cls(instances, search.get("quantile"), worse)

    def value(self, metric: str, values: Sequence[float]) -> float:
        """Return the value of a metric over instances on which it has `values`."""
        side = self.worse.get(metric)
        if self.quantile is None or side is None:
            return math.fsum(values) / len(values)
        return float(np.quantile(values, self.quantile if side == "high" else 1 - self.quantile))


def settings_below(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the settings below one of a ledger, where these are what they should be."""
    found = config.get(name, {})
    if not isinstance(found, Mapping):
        raise ValueError(f"config.{name} is {found!r}, not settings")
    return found


def combined(
    replicates: Sequence[TrialRecord],
    rule: ReplicateRule,
    *,
    baseline: Sequence[TrialRecord] = (),
    ruled_out: str = "",
) -> TrialRecord:
    """Return the record of a trial, made of the last records of its replicates, by instance.

    It is as good as the worst of those that the search sees. One that was evaluated on some
    instances only is `ruled_out`; its metrics are scaled by those of the `baseline`, whose
    replicates are on all: what they would be over all instances if these were as hard for both.
    """
    seen = [record for record in replicates if record.instance < rule.searched]
    held_out = tuple(record for record in replicates if record.instance >= rule.searched)
    first, *_ = seen
    if rule.searched == 1:
        return first.model_copy(update={"held_out": held_out}) if held_out else first
    bad = next((record for record in seen if not record.valid), None)
    judged = bad or first
    partial = not bad and len(seen) < rule.searched
    metrics, absent = _metrics(seen, rule)
    return judged.model_copy(
        update={
            "instance": 0,
            "reason": f"instance {bad.instance}: {bad.reason}" if bad else "",
            "metrics": _scaled(metrics, seen, baseline, rule) if partial else metrics,
            "absent": absent,
            "phases": _summed([record.phases for record in seen]),
            "busy": next(filter(None, (record.busy for record in seen)), ""),
            "started": min(record.started for record in seen),
            "ended": max(record.ended for record in seen),
            "group": first.group,
            "replicates": tuple(seen),
            "held_out": held_out,
            "ruled_out": (ruled_out or UNFINISHED) if partial else "",
        }
    )


def _metrics(
    seen: Sequence[TrialRecord], rule: ReplicateRule
) -> tuple[dict[str, float], dict[str, str]]:
    """Return the metrics that all replicates have, and why others have no value."""
    names = dict.fromkeys(name for record in seen for name in (*record.metrics, *record.absent))
    metrics = {}
    absent = {}
    for name in names:
        lacking = next((record for record in seen if name not in record.metrics), None)
        if lacking is None:
            metrics[name] = rule.value(name, [record.metrics[name] for record in seen])
        else:
            why = lacking.absent.get(name, "no value")
            absent[name] = f"instance {lacking.instance}: {why}"
    return metrics, absent


def _scaled(
    metrics: Mapping[str, float],
    seen: Sequence[TrialRecord],
    baseline: Sequence[TrialRecord],
    rule: ReplicateRule,
) -> dict[str, float]:
    met = {record.instance for record in seen}
    on_all = [record for record in baseline if record.instance < rule.searched and record.valid]
    same = [record for record in on_all if record.instance in met]
    if len(on_all) < rule.searched:
        return dict(metrics)
    there, _ = _metrics(on_all, rule)
    here, _ = _metrics(same, rule)
    return {
        name: value * there[name] / here[name] if here.get(name) and there.get(name) else value
        for name, value in metrics.items()
    }


def _summed(phases: Sequence[Mapping[Any, float]]) -> dict[Any, float]:
    names = dict.fromkeys(name for each in phases for name in each)
    return {name: math.fsum(each.get(name, 0.0) for each in phases) for name in names}
