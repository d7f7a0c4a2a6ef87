"""A campaign in the form of another program: a study of Optuna's."""

from campaign.execution.report_again import begun
from campaign.records.results import Results
from campaign.report.facts import short
from search.exported_study import StudyFacts, journal_of


def study_of(results: Results) -> tuple[bytes, int]:
    """Return a campaign as the journal of a study, and how many trials are in it.

    They are those of its newest group: others may not stand beside them. Raises LedgerError where
    there is no such campaign.
    """
    composed, history = begun(results)
    campaign = composed.campaign
    notes = {
        "campaign": history.identity,
        "testbed": campaign.testbed.kind,
        "workload": history.group.key.get("workload", ""),
    }
    facts = StudyFacts(campaign.name, campaign.objectives, campaign.search.constraints, notes)
    records = history.comparable()
    names = {path: short(path) for path in composed.space.dimensions}
    return journal_of(facts, composed.space, records, names), len(records)
