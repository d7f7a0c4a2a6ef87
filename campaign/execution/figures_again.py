"""Every figure of a campaign once more, from its jobs and its workload: what the record says."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from campaign.config.compose import Composed
from campaign.core.jobs import JOBS_SCHEMA, Workload
from campaign.core.metric_names import is_hooks
from campaign.core.trials import Evaluation, Replicate, Trial, TrialRecord
from campaign.core.version import source_digest
from campaign.execution.judging import judge
from campaign.records import dataset
from campaign.records.history import History
from campaign.records.results import Results
from campaign.records.verification import Damage

CLOSE = 1e-9
"""Values that differ by less, relatively, are equal: libraries of other versions sum otherwise."""


@dataclass(frozen=True)
class OtherFigure:
    """A metric whose value isn't the one that was found before; None where there is none."""

    metric: str
    before: float | None
    now: float | None

    def __str__(self) -> str:
        return f"{self.metric} was {_shown(self.before)}, is {_shown(self.now)}"


def other_figures(before: TrialRecord, now: TrialRecord) -> list[OtherFigure]:
    """Return the metrics of `before` that `now` hasn't, or has with another value.

    Metrics that only a later version knows are no difference, and what hooks found can't be found
    again.
    """
    return [
        OtherFigure(name, value, now.metrics.get(name))
        for name, value in before.metrics.items()
        if not is_hooks(name) and not same(value, now.metrics.get(name))
    ]


def same(one: float, other: float | None) -> bool:
    """Return whether two values are equal but for the last digits."""
    return other is not None and math.isclose(one, other, rel_tol=CLOSE, abs_tol=1e-12)


def figure_damages(results: Results, composed: Composed, history: History) -> Iterator[Damage]:
    """Yield the jobs tables whose metrics aren't those that the ledger has of their trials.

    Tables that are gone or altered are left out: others tell of these.
    """
    for replicate, record in _last(history):
        path = dataset.path_of(results.jobs_folder, replicate)
        found = _judged_again(results, composed, history, record)
        if found and (others := other_figures(record, found)):
            more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
            yield Damage(path, f"its jobs give other figures: {others[0]}{more}{_why(record)}")


def count_figures(history: History) -> int:
    """Return how many values the last records of all replicates have."""
    return sum(len(record.metrics) for _, record in _last(history))


def _last(history: History) -> Iterator[tuple[Replicate, TrialRecord]]:
    for replicate in sorted(history.records):
        record = history.records[replicate][-1]
        # A later attempt that was cut off has taken the table away, or left another one.
        if history.attempts.get(replicate, 0) <= record.attempt:
            yield replicate, record


def _judged_again(
    results: Results, composed: Composed, history: History, record: TrialRecord
) -> TrialRecord | None:
    jobs = results.trial_jobs(record.number, record.instance)
    if jobs is None:
        return None
    workload: Workload | None = results.workload(history.groups[record.group], record.instance)
    return judge(
        Trial(number=record.number, point=record.point, instance=record.instance),
        Evaluation(
            record.outcome,
            jobs=jobs.select(JOBS_SCHEMA.names).cast(JOBS_SCHEMA),
            phases=record.phases,
            provenance=record.provenance,
        ),
        composed.campaign,
        composed.space,
        times=(record.started, record.ended),
        workload=workload,
    )


def _why(record: TrialRecord) -> str:
    made_by = record.provenance.source_digest
    if made_by in ("", source_digest()):
        return ""
    return (
        f"; the trial was judged by another version of this software (source {made_by}), which "
        "may define metrics otherwise"
    )


def _shown(value: float | None) -> str:
    return "without a value" if value is None else f"{value:.10g}"
