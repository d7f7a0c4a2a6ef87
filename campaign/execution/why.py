"""Why a job of a trial waited: the trial's point, simulated once more with the reasons noted."""

from dataclasses import dataclass

from campaign.core.errors import LedgerError
from campaign.core.trials import Trial, TrialRecord
from campaign.execution.report_again import begun
from campaign.records.results import Results
from campaign.simulation.engine import NS
from campaign.simulation.site_waits import WaitReason, waits_of
from campaign.simulation.testbed import SimulationTestbed


@dataclass(frozen=True)
class JobStory:
    """A job of a trial, when it ran (s; None if it never did), and what it waited for before.

    The figures are those of a simulation; `measured_start_s` is when it started in the trial itself
    where that was no simulation.
    """

    job_id: int
    width: int
    requested_s: float
    submitted_s: float
    started_s: float | None
    ended_s: float | None
    waits: list[WaitReason]
    measured_start_s: float | None


def story_of(results: Results, trial: int, job_id: int) -> JobStory:
    """Return what became of a job of a campaign's trial.

    Raises LedgerError where there is no such campaign, trial or job, ConfigError where the trial's
    scheduler has no reasons.
    """
    composed, history = begun(results)
    record = next((one for one in history.final() if one.number == trial), None)
    if record is None:
        raise LedgerError(
            f"the campaign {results.name} has no trial {trial}",
            resolution=f"`hpc-campaign report {results.name}` shows its trials.",
        )
    workload = results.workload(history.groups[record.group])
    if workload is None:
        raise LedgerError(f"{results.folder} doesn't keep the jobs that its trials replayed")
    numbers = workload.table.column("job_id").to_pylist()
    if job_id not in numbers:
        raise LedgerError(
            f"{results.name}:{trial} has no job {job_id}",
            resolution=f"Its {len(numbers)} jobs are {min(numbers)} to {max(numbers)}.",
        )
    place = numbers.index(job_id)
    testbed = SimulationTestbed(composed.campaign, composed.schedulers, composed.space, workload)
    found = testbed.explained(Trial(number=trial, point=record.point))
    row = workload.table.slice(place, 1).to_pylist()[0]
    ran = bool(found.ran[place])
    schedule = found.schedule
    return JobStory(
        job_id=job_id,
        width=row["width"],
        requested_s=row["requested_s"],
        submitted_s=int(schedule.accepted[place]) / NS,
        started_s=int(schedule.start[place]) / NS if ran else None,
        ended_s=int(schedule.end[place]) / NS if ran else None,
        waits=waits_of(found, place),
        measured_start_s=_measured(results, record, place),
    )


def _measured(results: Results, record: TrialRecord, place: int) -> float | None:
    """Return when the job started in a trial that was no simulation; None if it isn't known."""
    if record.provenance.testbed == "simulation":
        return None
    jobs = results.trial_jobs(record.number)
    start = jobs.column("start_ns")[place].as_py() if jobs is not None else None
    return None if start is None else start / NS
