"""The end of a campaign: its front on the screen, in MLflow and in the report.

All of it is derived from the ledger and the data set.
"""

import hashlib
import logging
import math
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import rich
from rich.console import RenderableType

from campaign.analysis.fairness import ManifestEntry, manifest, plain
from campaign.analysis.fidelity import FidelityFindings
from campaign.analysis.front.findings import FrontFindings
from campaign.config.compose import Composed
from campaign.config.yaml_text import campaign_yaml
from campaign.core.errors import CampaignError
from campaign.core.files import write_durably
from campaign.core.jobs import Workload, tau_of
from campaign.core.printable import json_text
from campaign.core.trials import TrialRecord
from campaign.records.groups import WORKLOAD, differences
from campaign.records.history import History
from campaign.records.ledger import read
from campaign.records.results import Results
from campaign.report import page
from campaign.report.facts import CampaignFacts, EarlierGroup
from campaign.report.front_json import front_json
from campaign.report.result import CampaignResult
from campaign.report.text import text_front, time_lines
from campaign.testbeds.preflight import workload_for
from campaign.tracking.worker import first_line
from schedulers.base import Params
from schedulers.interface import Scheduler
from search.distinct import size_of
from search.pareto import front

_log = logging.getLogger(__name__)

Track = Callable[[Sequence[TrialRecord]], None]
"""Logs to MLflow what is missing there, and which trials are on the front."""


def facts_of(composed: Composed, results: Results, history: History) -> CampaignFacts:
    """Return what a campaign that has begun is, by its record alone.

    `composed` is the campaign as its ledger's `history` last recorded it. Raises LedgerError where
    the workload that was kept in `results` is gone or altered.
    """
    campaign = composed.campaign
    config = campaign_yaml(campaign)
    workload = results.workload(history.group) or _read_again(composed, history)
    return CampaignFacts(
        campaign=campaign.name,
        objectives=campaign.objectives,
        constraints=campaign.search.constraints,
        patience=campaign.search.patience,
        deterministic=campaign.testbed.deterministic,
        points=size_of(composed.space) if campaign.testbed.deterministic else math.inf,
        arms=composed.space.schedulers if composed.space.has_arms else (),
        fixed=composed.space.fixed,
        slots_per_node=campaign.cluster.node_slots,
        workload=_workload_facts(workload, history),
        workload_notes=tuple(workload.sentences) if workload else (),
        tau_s=tau_of(campaign.workload.time_scale),
        instances=campaign.workload.instances,
        quantile=campaign.search.quantile,
        baseline=composed.baseline_in_words,
        config=config,
        config_hash=hashlib.sha256(config.encode()).hexdigest(),
        command=_command(results, history),
        folder=history.folder,
    )


def _workload_facts(workload: Workload | None, history: History) -> dict[str, str]:
    if workload is None:
        return {
            "hash": history.group.key.get(WORKLOAD, ""),
            "jobs": "not known: an earlier version of this software kept no copy of the workload, "
            "and its file is gone or has changed since",
        }
    return {
        "name": workload.name,
        "jobs": str(len(workload)),
        "hash": workload.hash,
        **workload.notes,
    }


def _read_again(composed: Composed, history: History) -> Workload | None:
    """Return the workload of a campaign that kept none, if it can be had unchanged."""
    try:
        found = workload_for(composed.campaign, composed.schedulers, composed.space)
    except CampaignError:
        return None
    return found if found.hash == history.group.key.get(WORKLOAD) else None


def _command(results: Results, history: History) -> str:
    """Return the command line that repeats the campaign."""
    if history.folder:
        arguments = history.arguments
    else:  # an earlier version did not record it, but the configuration says the same
        folder = str(results.folder.resolve())
        arguments = ("--config-dir", folder, "--config-name", "campaign")
    return shlex.join(["python", "-m", "campaign.search", *arguments])


def result_of(
    facts: CampaignFacts,
    schedulers: Mapping[str, Scheduler[Params]],
    history: History,
    ledger_path: Path,
) -> CampaignResult:
    """Compute what the campaign of these `facts` ended with, by its ledger."""
    records = history.comparable()
    group = history.group.number
    earlier = (record for record in history.earlier_attempts() if record.group == group)
    ended = replace(
        facts,
        earlier_groups=tuple(_earlier_groups(facts, history)),
        fairness=tuple(_comparison(schedulers, records)),
        earlier=tuple(earlier),
        rehearsed=tuple(one.record for one in history.rehearsals),
        resumed=_resumed(ledger_path),
    )
    return CampaignResult.of(records, ended)


def _earlier_groups(facts: CampaignFacts, history: History) -> Iterator[EarlierGroup]:
    for group, later in pairwise([*history.groups[:-1], history.group]):
        records = history.comparable(group.number)
        yield EarlierGroup(
            group.number,
            tuple(records),
            tuple(front(records, facts.objectives, facts.constraints)),
            tuple(str(one) for one in differences(group, later.key)),
        )


def conclude(
    result: CampaignResult,
    results: Results,
    mlruns: Path,
    *,
    track: Track,
    fidelity: FidelityFindings | None = None,
    quality: FrontFindings | None = None,
) -> bool:
    """Bring the report up to date, print the front, and bring MLflow (by `track`) up to date.

    `mlruns` is MLflow's folder; `fidelity` is the baseline's, where a log was replayed; `quality`
    says how good the front is. A failure of MLflow is logged, and stops nothing else. Return
    whether MLflow has all that it should.
    """
    write_derived(results, result, results.trial_jobs, fidelity, quality)
    _log_outcome(result, results)
    # Before MLflow, which takes longer than a simulated campaign.
    _show(text_front(result, quality))
    failure = _failure_of(track, result)
    if failure:
        name = result.facts.campaign
        fix = f"`hpc-campaign report {name} --results {results.folder.parent}` completes it"
        _log.warning("MLflow   is not up to date: %s; %s", failure, fix)
    else:
        _log.info("MLflow   %s (hpc-campaign ui)", mlruns / "mlflow.db")
    return not failure


def write_derived(
    target: Results,
    result: CampaignResult,
    jobs: Callable[[int], pa.Table | None],
    fidelity: FidelityFindings | None,
    quality: FrontFindings | None,
) -> None:
    """Write into `target` what follows from a campaign: fairness manifest, front, report.

    `jobs` gives those of a trial. Raises StorageError where the disk doesn't take it.
    """
    fairness = result.facts.fairness
    if fairness:
        text = json_text(plain(fairness), indent=1)
        write_durably(target.fairness_path, f"{text}\n")
    if quality:
        write_durably(target.front_path, front_json(result, quality))
    page.write(target.report_path, result, jobs, fidelity, quality)


def _log_outcome(result: CampaignResult, results: Results) -> None:
    """Log where the time went, what was spared, and where the files are."""
    for heading, line in time_lines(result.cost):
        _log.info("%-8s %s", heading, line)
    if result.facts.instances > 1:
        _log.info(
            "race     trials that had lost were spared %d of %d replicates",
            result.spared,
            result.facts.instances * len(result.records),
        )
    fairness = result.facts.fairness
    if fairness:
        differ = sum(not row.equal for row in fairness)
        _log.info(
            "fairness %d of %d aspects differ between the schedulers: %s",
            differ,
            len(fairness),
            results.fairness_path,
        )
    _log.info("jobs     %s/", results.jobs_folder)
    _log.info("report   %s", results.report_path)


def _show(front: RenderableType) -> None:
    # Not printed by Rich: it ends the process with a status of its own where nobody reads.
    console = rich.get_console()
    with console.capture() as captured:
        console.print(front)
    sys.stdout.write(captured.get())
    sys.stdout.flush()


def _failure_of(track: Track, result: CampaignResult) -> str:
    """Log to MLflow; return why that failed, empty if it didn't."""
    try:
        track(result.front)
    # If MLflow fails, ledger, data set and report are complete without it.
    except Exception as error:  # noqa: BLE001
        return first_line(error)
    return ""


def _comparison(
    schedulers: Mapping[str, Scheduler[Params]], records: Sequence[TrialRecord]
) -> list[ManifestEntry]:
    return manifest(schedulers, records) if len(schedulers) > 1 else []


def _resumed(ledger_path: Path) -> tuple[float, ...]:
    """Return when drivers took the campaign up again (Unix seconds)."""
    events = read(ledger_path) if ledger_path.is_file() else ()
    return tuple(float(event["time"]) for event in events if event["event"] == "resumed")
