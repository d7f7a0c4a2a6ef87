"""The end of a campaign: its front on the screen, in MLflow and in the report; all derived from
ledger and data set."""

import hashlib
import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import rich

from campaign.analysis.fairness import Row, manifest, plain
from campaign.config.compose import Composed
from campaign.config.yaml_text import campaign_yaml
from campaign.core.jobs import Workload, tau_of
from campaign.core.trials import TrialRecord
from campaign.records.ledger import History, read
from campaign.records.results import Results
from campaign.report import page
from campaign.report.facts import Facts
from campaign.report.text import text_front, time_lines
from campaign.report.times import cost_of
from campaign.schema.model import Campaign
from campaign.tracking.worker import first_line
from search.pareto import front

Say = Callable[[str], None]
Log = Callable[[Sequence[TrialRecord]], None]
"""Logs to MLflow what is missing there, and which trials are on the front."""


def conclude(
    composed: Composed,
    results: Results,
    history: History,
    *,
    workload: Workload,
    log: Log,
    say: Say,
) -> None:
    """Bring report and MLflow (by `log`) up to date and print the front. A failure of MLflow is
    told, and stops nothing else."""
    campaign = composed.campaign
    records = history.final()
    points = front(records, campaign.objectives, campaign.search.constraints)
    facts = report_facts(composed, results, history, workload)
    if facts.fairness:
        results.fairness_path.write_text(
            json.dumps(plain(facts.fairness), indent=1, ensure_ascii=False) + "\n"
        )
    page.write(results.report_path, records, facts, results.trial_jobs)
    mlflow = _logged(campaign, points, log)
    for heading, line in time_lines(cost_of(records, facts)):
        say(f"{heading:<8} {line}")
    say(f"jobs     {results.jobs_folder}/")
    say(f"report   {results.report_path}")
    say(f"MLflow   {mlflow}")
    if facts.fairness:
        differ = sum(not row.equal for row in facts.fairness)
        say(
            f"fairness {differ} of {len(facts.fairness)} aspects differ between the schedulers: "
            f"{results.fairness_path}"
        )
    rich.print(text_front(records, campaign.objectives, campaign.search.constraints))


def _logged(campaign: Campaign, points: Sequence[TrialRecord], log: Log) -> str:
    """Where the runs are in MLflow, or why they are not."""
    try:
        log(points)
    # Whatever ails MLflow, ledger, data set and report are complete.
    except Exception as error:  # noqa: BLE001
        return (
            f"is not up to date: {first_line(error)} (python -m campaign report "
            f"{campaign.name} tries again)"
        )
    return f"{Path(campaign.output.mlruns) / 'mlflow.db'} (python -m campaign ui)"


def comparison(composed: Composed, history: History) -> list[Row]:
    """The fairness manifest of a campaign that compares schedulers; nothing where it has but
    one."""
    return manifest(composed.schedulers, history.final()) if composed.space.conditional else []


def report_facts(
    composed: Composed, results: Results, history: History, workload: Workload
) -> Facts:
    """What the report says beside the trials."""
    campaign = composed.campaign
    config = campaign_yaml(campaign)
    return Facts(
        campaign=campaign.name,
        objectives=campaign.objectives,
        constraints=campaign.search.constraints,
        fixed=composed.space.fixed,
        fairness=tuple(comparison(composed, history)),
        slots_per_node=campaign.cluster.slots_per_node,
        workload={
            "name": workload.name,
            "jobs": str(len(workload)),
            "hash": workload.hash,
            **workload.notes,
        },
        tau_s=tau_of(campaign.workload.time_scale),
        config=config,
        config_hash=hashlib.sha256(config.encode()).hexdigest(),
        command=shlex.join(["python", "-m", "campaign.search", *composed.origins.overrides]),
        earlier=tuple(
            record for number in sorted(history.records) for record in history.records[number][:-1]
        ),
        resumed=_resumed(results),
    )


def _resumed(results: Results) -> tuple[float, ...]:
    """When drivers took the campaign up again, by its ledger."""
    events = read(results.ledger_path) if results.ledger_path.is_file() else ()
    return tuple(float(event["time"]) for event in events if event["event"] == "resumed")
