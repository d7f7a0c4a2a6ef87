"""The fidelity of a trial: its jobs beside what the campaign's workload recorded of them."""

from campaign.analysis.fidelity import FidelityFindings, fidelity
from campaign.config.compose import Composed
from campaign.core.errors import LedgerError, WorkloadError
from campaign.core.trials import TrialRecord
from campaign.records.history import History
from campaign.records.results import Results
from campaign.report.result import baseline_among

RECORDED = "recorded_wait_s"


def fidelity_of(
    results: Results, composed: Composed, history: History, trial: int | None
) -> tuple[TrialRecord, str, FidelityFindings]:
    """Return a trial (default: the baseline), what it was replayed under, and its fidelity.

    Raises LedgerError where there is no such trial or none of its jobs, WorkloadError where its
    workload recorded no waits.
    """
    record = trial_or_baseline(results, history, trial)
    under = composed.baseline_in_words if record.baseline else "the settings of the trial"
    return record, under, _found(results, composed, history, record)


def fidelity_of_baseline(
    results: Results, composed: Composed, history: History
) -> FidelityFindings | None:
    """Return the fidelity of a campaign's baseline; None where no waits were recorded."""
    record = baseline_among(history.comparable())
    if record is None or not record.valid:
        return None
    try:
        return _found(results, composed, history, record)
    except (LedgerError, WorkloadError):
        return None  # a report of a workload that isn't a log has no such section


def trial_or_baseline(results: Results, history: History, trial: int | None) -> TrialRecord:
    """Return the record of a trial (None: the baseline); LedgerError where there is none."""
    records = history.final()
    if trial is None:
        found = baseline_among(history.comparable())
    else:
        found = next((record for record in records if record.number == trial), None)
    if found is None:
        there = ", ".join(str(record.number) for record in records) or "none"
        what = "has no baseline yet" if trial is None else f"has no trial {trial}"
        raise LedgerError(
            f"the campaign {results.name} {what}",
            resolution=f"Name one of its trials, as {results.name}:TRIAL; there are: {there}.",
        )
    return found


def _found(
    results: Results, composed: Composed, history: History, record: TrialRecord
) -> FidelityFindings:
    jobs = results.trial_jobs(record.number)
    workload = results.workload(history.groups[record.group])
    where = f"{results.name}:{record.number}"
    if jobs is None or workload is None:
        what = "jobs of the trial" if jobs is None else "workload of the campaign"
        raise LedgerError(
            f"{where}: there are no {what}: {record.reason or record.outcome}",
            resolution=f"See {results.report_path}.",
        )
    if RECORDED not in workload.traits.column_names:
        raise WorkloadError(
            f"{where}: the workload {workload.name} has no recorded waits to compare with",
            resolution="Replay a log that has both submission and start of its jobs (sacct: Submit "
            "and Start; a table: start; SWF: field 3), workload.path=LOG.",
        )
    campaign = composed.campaign
    slots = campaign.cluster.slots(composed.space.nodes(record.point))
    return fidelity(jobs, workload, slots=slots, time_scale=campaign.workload.time_scale)
