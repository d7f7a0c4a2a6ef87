"""Report, front and fairness manifest once more, into another folder than the campaign's own."""

from campaign.config.compose import Composed
from campaign.execution.fidelity import fidelity_of_baseline
from campaign.execution.front import findings_of
from campaign.execution.summary import facts_of, result_of, write_derived
from campaign.records.history import History
from campaign.records.results import Results


def derive(composed: Composed, history: History, results: Results, target: Results) -> None:
    """Write into `target` what follows from the ledger and the jobs of the campaign in `results`.

    Raises LedgerError where these are damaged, StorageError where the disk doesn't take it.
    """
    facts = facts_of(composed, results, history)
    result = result_of(facts, composed.schedulers, history, results.ledger_path)
    write_derived(
        target,
        result,
        results.trial_jobs,
        fidelity_of_baseline(results, composed, history),
        findings_of(result, results, history, composed.space),
    )
