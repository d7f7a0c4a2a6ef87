"""The end of a campaign: its front on the screen, in MLflow and in the report; all derived from ledger and data set."""

import hashlib
import shlex
from collections.abc import Callable
from pathlib import Path

import rich

from campaign.compose import Composed
from campaign.dump import campaign_yaml
from campaign.following import evidence_of, first_line, tracker_for
from campaign.jobs import Workload
from campaign.ledger import History, read
from campaign.metrics import METRICS
from campaign.report import page
from campaign.report.facts import Facts
from campaign.report.text import text_front, time_lines
from campaign.report.times import cost_of
from campaign.results import Results
from campaign.trials import TrialRecord
from search.pareto import front

Say = Callable[[str], None]


def conclude(composed: Composed, results: Results, history: History, workload: Workload, say: Say) -> None:
    """Bring report and MLflow up to date and print the front. A failure of MLflow is told, and stops nothing else."""
    campaign, records = composed.campaign, history.final()
    points = front(records, campaign.objectives, campaign.search.constraints)
    facts = report_facts(composed, results, history, workload)
    page.write(results.report_path, records, facts, results.trial_jobs)
    mlflow = _bring_up_to_date(composed, results, history, points)
    for heading, line in time_lines(cost_of(records, facts)):
        say(f"{heading:<8} {line}")
    say(f"jobs     {results.jobs_folder}/")
    say(f"report   {results.report_path}")
    say(f"MLflow   {mlflow}")
    rich.print(text_front(records, campaign.objectives, campaign.search.constraints))


def _bring_up_to_date(composed: Composed, results: Results, history: History, points: list[TrialRecord]) -> str:
    """Log to MLflow what is missing there; returns where the runs are, or why they are not."""
    campaign, records = composed.campaign, history.final()
    try:
        tracker = tracker_for(composed, results, history)
        tracker.start()
        tracker.sync(records, lambda record: evidence_of(results, record))
        tracker.finish(points, complete=len(records) >= campaign.search.trials, report=results.report_path)
    except Exception as error:  # noqa: BLE001 - whatever ails MLflow, ledger, data set and report are complete
        return f"is not up to date: {first_line(error)} (python -m campaign report {campaign.name} tries again)"
    return f"{Path(campaign.output.mlruns) / 'mlflow.db'} (python -m campaign ui)"


def report_facts(composed: Composed, results: Results, history: History, workload: Workload) -> Facts:
    """What the report says beside the trials."""
    campaign = composed.campaign
    config = campaign_yaml(campaign)
    return Facts(
        campaign=campaign.name,
        objectives=campaign.objectives,
        constraints=campaign.search.constraints,
        fixed=composed.space.fixed,
        slots_per_node=campaign.cluster.slots_per_node,
        workload={"name": workload.name, "jobs": str(len(workload)), "hash": workload.hash, **workload.notes},
        definitions={name: METRICS[name].definition for name in campaign.objectives},
        config=config,
        config_hash=hashlib.sha256(config.encode()).hexdigest(),
        command=shlex.join(["python", "-m", "campaign.search", *composed.origins.overrides]),
        earlier=tuple(record for number in sorted(history.records) for record in history.records[number][:-1]),
        resumed=_resumed(results),
    )


def _resumed(results: Results) -> tuple[float, ...]:
    """When drivers took the campaign up again, by its ledger."""
    events = read(results.ledger_path) if results.ledger_path.is_file() else ()
    return tuple(float(event["time"]) for event in events if event["event"] == "resumed")
