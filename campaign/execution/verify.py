"""Looks at every file of a campaign's results, and makes again those that others tell all of."""

import json
from collections.abc import Iterator
from pathlib import Path

from campaign.config.compose import Composed, compose_recorded
from campaign.config.yaml_text import campaign_yaml
from campaign.core.errors import ConfigError, LedgerError
from campaign.core.files import read_regular
from campaign.core.version import source_digest
from campaign.execution.figures_again import figure_damages
from campaign.execution.front import findings_of
from campaign.execution.report_again import begun, report_again
from campaign.execution.summary import facts_of, result_of
from campaign.records.history import History
from campaign.records.ledger import history_of
from campaign.records.results import Results
from campaign.records.verification import Damage, trial_damages
from campaign.report.front_json import front_json

_PAGE_END = "</html>"


def damages_of(folder: Path, name: str, *, front: bool = True) -> list[Damage]:
    """Return what is wrong with the results of the campaign `name` in `folder`.

    The figures of its `front` are computed again and compared to the byte, if that is wanted.
    Where the ledger is damaged, nothing tells what other files should be, so they aren't looked
    at. Raises LedgerError where there is no such campaign.
    """
    results = Results(folder, name)
    if not results.ledger_path.is_file() and not results.of_trials():
        history_of(results.ledger_path)  # raises: nothing is there
    try:
        # The ledger alone, its settings and what it says of trials.
        composed, history = begun(results)
    except (LedgerError, ConfigError) as error:
        return [Damage(results.ledger_path, error.brief)]
    tables = list(trial_damages(results, history))
    workloads = list(_workload_damages(results, history))
    # Of what is damaged itself, what follows from it says nothing more.
    whole = not tables and not workloads
    figures = list(figure_damages(results, composed, history)) if whole else []
    compared = front and whole and not figures
    return [
        *tables,
        *figures,
        *_manifest_damages(results, history),
        *workloads,
        *_derived(results, history),
        *(_front_damages(composed, results, history) if compared else ()),
    ]


def rebuild(folder: Path, name: str) -> None:
    """Make again what the ledger and the jobs tables tell all of.

    That is the configuration, the report, the front's figures, the fairness manifest, and MLflow's
    runs. Raises LedgerError where ledger or jobs tables are damaged themselves.
    """
    report_again(folder, name)


def _manifest_damages(results: Results, history: History) -> Iterator[Damage]:
    for path in sorted(results.manifests_folder.glob("*.json")):
        try:
            known = json.loads(read_regular(path))["hash"]
        except (OSError, ValueError, KeyError, TypeError):
            known = ""
        if known not in history.images.values():
            yield Damage(path, "it describes no image of this campaign")


def _workload_damages(results: Results, history: History) -> Iterator[Damage]:
    for group in history.groups:
        for instance in (0, *group.instances):
            try:
                results.workload(group, instance)
            except LedgerError as error:
                yield Damage(results.workload_path(group.number, instance), error.brief)


def _derived(results: Results, history: History) -> Iterator[Damage]:
    """Yield the files that are derived from the ledger and aren't what they should be."""
    config = compose_recorded(history.config).campaign
    if _text(results.config_path) != campaign_yaml(config):
        yield Damage(results.config_path, "it is not the ledger's configuration", rebuildable=True)
    reported = any(record.valid for record in history.final())
    if reported and not _text(results.report_path).rstrip().endswith(_PAGE_END):
        yield Damage(results.report_path, "it is missing or not whole", rebuildable=True)
    if history.fairness and _json(results.fairness_path) != history.fairness:
        yield Damage(results.fairness_path, "it is not the ledger's manifest", rebuildable=True)


def _front_damages(composed: Composed, results: Results, history: History) -> Iterator[Damage]:
    """Yield the file of the front's figures if they aren't those of the ledger's trials."""
    if not any(record.valid for record in history.final()):
        return
    facts = facts_of(composed, results, history)
    result = result_of(facts, composed.schedulers, history, results.ledger_path)
    found = findings_of(result, results, history, composed.space)
    if _text(results.front_path) != front_json(result, found):
        problem = "its figures are not those of the ledger's trials"
        if result.records[-1].provenance.source_digest not in ("", source_digest()):
            problem += "; another version of this software may have found others"
        yield Damage(results.front_path, problem, rebuildable=True)


def _text(path: Path) -> str:
    try:
        return read_regular(path).decode()
    except (OSError, ValueError):
        return ""


def _json(path: Path) -> object:
    try:
        return json.loads(_text(path))
    except ValueError:
        return None
