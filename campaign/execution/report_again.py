"""A campaign's report once more, from its ledger and data set alone."""

from collections.abc import Sequence
from pathlib import Path

from campaign.config.compose import Composed, compose_recorded
from campaign.core.exits import MLFLOW_INCOMPLETE
from campaign.core.files import user_path
from campaign.core.trials import TrialRecord
from campaign.execution.summary import conclude, facts_of, result_of
from campaign.records.ledger import History, history_of
from campaign.records.results import Results
from campaign.records.verification import check_results
from campaign.testbeds.preflight import workload_for
from campaign.tracking.worker import bring_up_to_date, parameters_of, tracker_for


def report_again(folder: Path, name: str) -> int:
    """Write the report of the campaign `name` in the results `folder`, and complete MLflow's runs.

    Return the exit status. Raises LedgerError where there is no such campaign.
    """
    results = Results(folder, name)
    composed, history = begun(results)
    check_results(results, history)
    campaign = composed.campaign
    workload = workload_for(campaign, composed.schedulers, composed.space)
    facts = facts_of(campaign, composed.space.fixed, workload)
    parameters = parameters_of(composed.schedulers, composed.space)
    tracker = tracker_for(campaign, facts.config, parameters, results, history)
    wanted = campaign.search.trials
    results.keep_config(facts.config)

    def track(front: Sequence[TrialRecord]) -> None:
        bring_up_to_date(tracker, results, history.final(), front, wanted)

    result = result_of(facts, composed.schedulers, history, results.ledger_path)
    tracked = conclude(result, results, user_path(campaign.output.mlruns), track=track)
    return 0 if tracked else MLFLOW_INCOMPLETE


def begun(results: Results) -> tuple[Composed, History]:
    """Return a campaign as its ledger recorded it, with its history; LedgerError without one."""
    history = history_of(results.ledger_path)
    return compose_recorded(history.head["config"] if history.head else {}), history
