"""Runs the trials of a campaign again, on the jobs that it kept, and says what differs."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from campaign.config.compose import Composed
from campaign.core.errors import LedgerError
from campaign.core.jobs import Workload
from campaign.core.testbed import Testbed
from campaign.core.trials import Evaluation, Replicate, Trial, TrialRecord
from campaign.execution.executor import POLL_S
from campaign.execution.figures_again import OtherFigure, other_figures
from campaign.execution.judging import judge
from campaign.execution.report_again import begun
from campaign.records.history import History
from campaign.records.results import Results
from campaign.testbeds import backend_for

_log = logging.getLogger(__name__)
CLOCKS = "phase."
"""Metrics whose name begins so are clocks of the testbed: they are never twice the same."""


@dataclass(frozen=True)
class Compared:
    """A replicate that ran again: what became of it before and now, and the metrics that differ.

    `jobs_differ` counts the jobs that didn't start and end as before.
    """

    replicate: Replicate
    before: str
    now: str
    reason: str
    metrics: tuple[OtherFigure, ...]
    jobs_differ: int

    @property
    def same(self) -> bool:
        return self.before == self.now and not self.metrics and not self.jobs_differ


def rerun(results: Results, trials: Sequence[int] = ()) -> Iterator[Compared]:
    """Evaluate a campaign's trials (default: all of the newest group) once more; yield as they end.

    Nothing is written beside what the testbed itself writes. Raises LedgerError where there is no
    such campaign or trial, or where it didn't keep its jobs.
    """
    composed, history = begun(results)
    records = _wanted(results, history, trials)
    workloads = tuple(_workloads(results, history))
    backend = backend_for(composed.campaign, composed.schedulers, composed.space)
    backend.prepare(history.images)
    backend.check()
    with ExitStack() as stack:
        testbed = backend.open(stack, workloads)
        parallel = composed.campaign.testbed.parallel
        for record, evaluation in _evaluated(testbed, records, parallel):
            yield _compared(results, composed, record, evaluation, workloads[record.instance])


def _wanted(results: Results, history: History, trials: Sequence[int]) -> list[TrialRecord]:
    group = history.group.number
    last = [history.records[key][-1] for key in sorted(history.records)]
    there = [record for record in last if record.group == group]
    numbers = {record.number for record in there}
    if unknown := sorted(set(trials) - numbers):
        raise LedgerError(
            f"the campaign {results.name} has no trial {unknown[0]} that can be run again",
            resolution=f"Its newest group has {min(numbers, default=0)} to "
            f"{max(numbers, default=0)}.",
        )
    return [record for record in there if not trials or record.number in trials]


def _workloads(results: Results, history: History) -> Iterator[Workload]:
    group = history.group
    for instance in (0, *sorted(group.instances)):
        workload = results.workload(group, instance)
        if workload is None:
            raise LedgerError(
                f"{results.folder} doesn't keep the jobs that its trials replayed",
                resolution="An earlier version of this software made it; search it anew.",
            )
        yield workload


def _evaluated(
    testbed: Testbed, records: Sequence[TrialRecord], parallel: int
) -> Iterator[tuple[TrialRecord, Evaluation]]:
    left = list(records)
    running: dict[Replicate, TrialRecord] = {}
    said: dict[int, str] = {}
    while left or running:
        # Clusters bear the names of their trials, so replicates of one follow each other.
        busy = {one.trial for one in running}
        due = next((one for one in left if one.number not in busy), None)
        if due and len(running) < parallel and testbed.room() > 0:
            left.remove(due)
            running[due.replicate] = due
            testbed.start(Trial(number=due.number, point=due.point, instance=due.instance))
            continue
        for trial, evaluation in testbed.wait(POLL_S):
            yield running.pop(trial.replicate), evaluation
        # What runs elsewhere is given up where nobody asks how it does.
        doing = {number: status.phase.doing for number, status in testbed.statuses().items()}
        for number, what in doing.items():
            if said.get(number) != what:
                _log.info("trial %d %s", number, what)
        said = doing


def _compared(
    results: Results,
    composed: Composed,
    record: TrialRecord,
    evaluation: Evaluation,
    workload: Workload,
) -> Compared:
    now = time.time()
    again = judge(
        Trial(number=record.number, point=record.point, instance=record.instance),
        evaluation,
        composed.campaign,
        composed.space,
        times=(now, now),
        workload=workload,
    )
    metrics = [one for one in other_figures(record, again) if not one.metric.startswith(CLOCKS)]
    return Compared(
        record.replicate,
        record.outcome,
        again.outcome,
        again.reason,
        tuple(metrics),
        _jobs_that_differ(results, record, evaluation),
    )


def _jobs_that_differ(results: Results, record: TrialRecord, evaluation: Evaluation) -> int:
    import pyarrow.compute as pc

    before = results.trial_jobs(record.number, record.instance)
    now = evaluation.jobs
    if before is None or now is None:
        return 0 if before is now else max(len(table) for table in (before, now) if table)
    if len(before) != len(now):
        return abs(len(before) - len(now))
    before, now = (table.sort_by("job_id") for table in (before, now))
    differ = None
    for name in ("job_id", "start_ns", "end_ns", "exit_code"):
        one = before.column(name)
        other = now.column(name)
        unlike = pc.or_kleene(
            pc.xor(one.is_null(), other.is_null()), pc.fill_null(pc.not_equal(one, other), False)
        )
        differ = unlike if differ is None else pc.or_(differ, unlike)
    return int(pc.sum(differ).as_py() or 0)
