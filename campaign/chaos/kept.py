"""What a campaign has left on the disk, and how it differs from the same campaign undisturbed."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from campaign.chaos.drivers import CommandCampaign
from campaign.chaos.invariants import records_broken
from campaign.chaos.stored_runs import StoredRun, runs_broken, stored_runs
from campaign.config.compose import compose_recorded
from campaign.core.errors import CampaignError
from campaign.core.trials import Replicate, TrialRecord
from campaign.execution.verify import damages_of
from campaign.records.history import History
from campaign.records.ledger import history_of
from campaign.records.results import Results
from search.pareto import front


@dataclass(frozen=True)
class KeptCampaign:
    """What must be equal, however often the drivers of a campaign died.

    That is what was asked for, how each trial and each of its replicates ended, each trial's jobs,
    the front with the file of its `figures`, and MLflow's runs: all by the trial's number. Times of
    the clock, ids and numbers of attempts are left out.
    """

    asked: dict[int, Any]
    records: dict[int, Any]
    jobs: dict[Replicate, Any]
    front: list[int]
    runs: dict[str, Any]
    figures: str = ""


def kept_by(campaign: CommandCampaign) -> KeptCampaign:
    """Return what a campaign that has ended has left; CampaignError where it can't be read."""
    results = Results(campaign.results, campaign.name)
    history = history_of(results.ledger_path)
    settings = compose_recorded(history.config).campaign
    members = front(history.comparable(), settings.objectives, settings.search.constraints)
    jobs = {replicate: results.trial_jobs(*replicate) for replicate in history.records}
    return KeptCampaign(
        asked={number: (one.point, one.attrs) for number, one in history.asked.items()},
        records={one.number: _of_record(one) for one in history.final()},
        jobs={
            replicate: table.drop_columns(["attempt"]).to_pylist() if table else None
            for replicate, table in jobs.items()
        },
        front=sorted(one.number for one in members),
        runs={
            run.tags.get("trial", "campaign"): _comparable(run)
            for run in stored_runs(campaign.mlruns)
        },
        figures=results.front_path.read_text() if results.front_path.exists() else "",
    )


def _of_record(record: TrialRecord) -> tuple[Any, ...]:
    replicates = [_of_record(one) for one in (*record.replicates, *record.held_out)]
    outcome = (record.outcome, record.reason, record.ruled_out, record.instance)
    return record.point, outcome, record.metrics, record.absent, replicates


def _comparable(run: StoredRun) -> tuple[Any, ...]:
    names = sorted(run.files)
    return run.status, run.params, run.tags.get("outcome"), run.tags.get("front"), names


def different(found: KeptCampaign, undisturbed: KeptCampaign) -> Iterator[str]:
    """Yield a line for each difference from the undisturbed campaign."""
    for name in ("asked", "records", "jobs", "runs"):
        ours = getattr(found, name)
        theirs = getattr(undisturbed, name)
        yield from (
            f"{name} of {key} differ: {str(ours.get(key))[:300]} instead of "
            f"{str(theirs.get(key))[:300]}"
            for key in sorted(ours.keys() | theirs.keys())
            if ours.get(key) != theirs.get(key)
        )
    if found.front != undisturbed.front:
        yield f"another front: {found.front} instead of {undisturbed.front}"
    if found.figures != undisturbed.figures:
        yield "other figures of the front"


def broken_now(campaign: CommandCampaign) -> Iterator[str]:
    """Yield a line for each invariant that doesn't hold at this moment, whatever has just died.

    No record is without its jobs, no file of a finished trial or of the campaign is empty, and no
    run of MLflow's has ended without its files.
    """
    results = Results(campaign.results, campaign.name)
    if _begun(results):
        try:
            history = history_of(results.ledger_path)
            yield from records_broken(history, results)
            yield from _empty_files(results, history)
        except CampaignError as error:
            yield f"the results can't be read: {error}"
    try:
        yield from runs_broken(stored_runs(campaign.mlruns))
    except sqlite3.Error as error:
        yield f"MLflow's database can't be read: {error}"


def _begun(results: Results) -> bool:
    # The head is the first line; a ledger without one whole line hasn't begun.
    ledger = results.ledger_path
    return bool(results.of_trials()) or (ledger.is_file() and b"\n" in ledger.read_bytes())


def _empty_files(results: Results, history: History) -> Iterator[str]:
    ours = (path for path in results.folder.glob("*") if path.is_file())
    kept = [*ours, *results.manifests_folder.glob("*")]
    for replicate, records in history.records.items():
        # The files of a later attempt take the place of an earlier one's before its line is there.
        if records[-1].attempt == history.attempts.get(replicate):
            kept += results.trial_folder(replicate).rglob("*")
            if records[-1].valid and not any(results.trial_folder(replicate).rglob("*")):
                yield f"trial {replicate.trial} is in the ledger, but its files are not on the disk"
    for path in kept:
        if path.is_file() and path.stat().st_size == 0 and not _is_draft(path):
            yield f"{path.relative_to(results.folder)} is empty"


def _is_draft(path: Path) -> bool:
    return path.name.startswith(".")


def broken_at_the_end(campaign: CommandCampaign, undisturbed: KeptCampaign) -> Iterator[str]:
    """Yield a line for each invariant that doesn't hold once the campaign is done.

    Everything is as in the undisturbed campaign, `hpc-campaign verify` finds nothing, and nothing
    is left of drivers that were killed.
    """
    yield from broken_now(campaign)
    yield from different(kept_by(campaign), undisturbed)
    for damage in damages_of(campaign.results, campaign.name):
        yield f"verify: {damage.path}: {damage.problem}"
    history = history_of(Results(campaign.results, campaign.name).ledger_path)
    trials = [run for run in stored_runs(campaign.mlruns) if run.of_trial]
    if len(trials) != len(history.final()):
        yield f"{len(trials)} runs of {len(history.final())} trials"
    for path in sorted(campaign.results.rglob("*")):
        if _is_draft(path):
            yield f"left behind: {path.relative_to(campaign.results)}"
