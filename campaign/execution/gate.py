"""The performance gate: a trial beside one, of any campaign, that replayed the same jobs."""

from collections.abc import Sequence
from dataclasses import dataclass

from campaign.analysis.front.resampling import Bootstrap
from campaign.analysis.metrics import definition_of
from campaign.analysis.regression import (
    GatedChange,
    over_jobs,
    over_nothing,
    over_workloads,
)
from campaign.config.compose import Composed
from campaign.core.errors import LedgerError, UsageError
from campaign.core.jobs import tau_of
from campaign.core.trials import TrialRecord
from campaign.execution.fidelity import trial_or_baseline
from campaign.execution.report_again import begun
from campaign.records.groups import WORKLOAD
from campaign.records.history import History
from campaign.records.results import Results
from campaign.schema.model import Direction


@dataclass(frozen=True)
class GatedTrial:
    """A trial that is compared, with the campaign that it is of."""

    results: Results
    composed: Composed
    history: History
    record: TrialRecord

    @property
    def name(self) -> str:
        """The trial as it is named on a command line."""
        return f"{self.results.name}:{self.record.number}"

    @property
    def replicates(self) -> dict[str, TrialRecord]:
        """The valid runs of the trial, by the hash of the workload that they replayed."""
        group = self.history.groups[self.record.group]
        hashes = {number: one.workload_hash for number, one in group.instances.items()}
        hashes[0] = group.key.get(WORKLOAD, "")
        runs = (*(self.record.replicates or (self.record,)), *self.record.held_out)
        return {hashes[one.instance]: one for one in runs if one.valid and hashes.get(one.instance)}


def gated(results: Results, trial: int | None) -> GatedTrial:
    """Return a trial (default: the baseline) for the gate.

    Raises LedgerError where there is no such trial, or where it isn't valid.
    """
    composed, history = begun(results)
    record = trial_or_baseline(results, history, trial)
    if not record.valid:
        raise LedgerError(
            f"{results.name}:{record.number} has no values: {record.reason or record.outcome}",
            resolution="Choose a valid trial.",
        )
    return GatedTrial(results, composed, history, record)


def compared(now: GatedTrial, before: GatedTrial, metrics: Sequence[str]) -> list[GatedChange]:
    """Return how `metrics` (default: the objectives) of a trial changed against an earlier one.

    Raises LedgerError where the two replayed no workload in common, UsageError for a metric that
    one of them lacks, or of which nobody knows which way is better.
    """
    wanted = metrics or list(now.composed.campaign.objectives)
    pairs = [(now.replicates[one], before.replicates[one]) for one in _common(now, before)]
    return [_change(now, before, metric, pairs) for metric in wanted]


def _common(now: GatedTrial, before: GatedTrial) -> list[str]:
    both = [workload for workload in now.replicates if workload in before.replicates]
    if not both:
        raise LedgerError(
            f"{now.name} and {before.name} have replayed no workload in common",
            resolution="Compare trials of campaigns with the same workload settings and seed.",
        )
    return both


def _change(
    now: GatedTrial,
    before: GatedTrial,
    metric: str,
    pairs: Sequence[tuple[TrialRecord, TrialRecord]],
) -> GatedChange:
    direction = _direction(now, metric)
    known = [(a, b) for a, b in pairs if metric in a.metrics and metric in b.metrics]
    if not known:
        raise UsageError(
            f"{metric}: {now.name} and {before.name} have no values of it to compare",
            resolution=f"Choose among: {', '.join(now.record.metrics)}.",
        )
    if len(known) >= Bootstrap().fewest:
        now_values = [one.metrics[metric] for one, _ in known]
        before_values = [one.metrics[metric] for _, one in known]
        quantile = now.history.rule.quantile
        return over_workloads(metric, direction, before_values, now_values, quantile)
    first, earlier = known[0]
    values = (earlier.metrics[metric], first.metrics[metric])
    tables = tuple(
        one.results.trial_jobs(*record.replicate)
        for one, record in ((before, earlier), (now, first))
    )
    if tables[0] is None or tables[1] is None:
        return over_nothing(metric, direction, values)
    tau_s = tau_of(now.composed.campaign.workload.time_scale)
    found = over_jobs(metric, direction, values, (tables[0], tables[1]), tau_s)
    return found or over_nothing(metric, direction, values)


def _direction(now: GatedTrial, metric: str) -> Direction:
    objectives = now.composed.campaign.objectives
    if metric in objectives:
        return objectives[metric]
    try:
        return definition_of(metric).natural_direction
    except (KeyError, ValueError):
        raise UsageError(
            f"{metric} is no metric of which it is known which way is better",
            resolution="Choose a metric of docs/metrics.md, or an objective of the campaign.",
        ) from None
