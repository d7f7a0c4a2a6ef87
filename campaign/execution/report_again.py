"""A campaign's report once more, from its ledger and data set alone."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from campaign.config.compose import Composed, compose_recorded
from campaign.core.exits import MLFLOW_INCOMPLETE, NOTHING_FEASIBLE
from campaign.core.files import in_use, user_path
from campaign.core.trials import TrialRecord
from campaign.execution.ending import trials_of
from campaign.execution.fidelity import fidelity_of_baseline
from campaign.execution.front import findings_of
from campaign.execution.recorded import check_recorded
from campaign.execution.summary import conclude, facts_of, result_of
from campaign.records.history import History
from campaign.records.ledger import history_of
from campaign.records.results import Results
from campaign.records.verification import check_results
from campaign.tracking.of_campaign import parameters_of, tracker_for
from campaign.tracking.worker import bring_up_to_date

_log = logging.getLogger(__name__)


def report_again(folder: Path, name: str) -> int:
    """Write the report of the campaign `name` in the results `folder`, and complete MLflow's runs.

    It is made of the record alone, so from any folder, and without the trace. Return the exit
    status. Raises LedgerError where there is no such campaign.
    """
    results = Results(folder, name)
    # Before the ledger is read, so that one that ends meanwhile isn't taken for an interrupted one.
    running = results.ledger_path.is_file() and in_use(results.ledger_path)
    composed, history = begun(results)
    check_results(results, history)
    campaign = composed.campaign
    facts = facts_of(composed, results, history)
    parameters = parameters_of(composed.schedulers, composed.space)
    known = {path: history.group.key.get(path, value) for path, value in parameters.items()}
    tracker = tracker_for(composed, facts.config, known, results, history)
    wanted = trials_of(composed, history)
    results.keep_config(facts.config)

    def track(front: Sequence[TrialRecord]) -> None:
        bring_up_to_date(tracker, results, history.final(), front, wanted, running=running)

    result = result_of(facts, composed.schedulers, history, results.ledger_path)
    mlruns = user_path(campaign.output.mlruns)
    fidelity = fidelity_of_baseline(results, composed, history)
    quality = findings_of(result, results, history, composed.space)
    tracked = conclude(result, results, mlruns, track=track, fidelity=fidelity, quality=quality)
    _log.info("command  %s", facts.command)
    if facts.folder:
        _log.info("given in %s", facts.folder)
    if not tracked:
        return MLFLOW_INCOMPLETE
    return NOTHING_FEASIBLE if result.unmet else 0


def begun(results: Results) -> tuple[Composed, History]:
    """Return a campaign as its ledger last recorded it, with its history.

    Raises LedgerError without one, or where its trials can't be of that campaign.
    """
    history = history_of(results.ledger_path)
    composed = compose_recorded(history.config)
    check_recorded(history, composed.space, composed.campaign.objectives, results.ledger_path)
    output = composed.campaign.output
    mlruns = output.model_copy(
        update={"mlruns": str(_store_of(output.mlruns, output.results, results))}
    )
    return replace(
        composed, campaign=composed.campaign.model_copy(update={"output": mlruns})
    ), history


def _store_of(mlruns: str, recorded: str, results: Results) -> Path:
    """Return the MLflow store of a campaign.

    Earlier versions recorded relative paths: of `mlruns`, and of the results folder (`recorded`),
    whose real place tells where both are.
    """
    place = user_path(mlruns)
    root = results.folder.parent.resolve()
    below = Path(recorded)
    if place.is_absolute() or below.is_absolute() or not below.parts:
        return place
    parts = root.parts[: -len(below.parts)]
    return Path(*parts, place) if root.parts[len(parts) :] == below.parts else place
