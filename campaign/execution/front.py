"""What is found out about a campaign's front, from its record."""

from functools import partial

from campaign.analysis.front.findings import FrontFindings, FrontInputs, front_findings
from campaign.records.history import History
from campaign.records.results import Results
from campaign.report.result import CampaignResult
from search.space import Space


def findings_of(
    result: CampaignResult, results: Results, history: History, space: Space
) -> FrontFindings:
    """Return what is found out about the front of a campaign.

    Raises LedgerError where the workload that was kept in `results` is gone or altered.
    """
    facts = result.facts
    return front_findings(
        FrontInputs(
            records=result.records,
            front=result.front,
            baseline=result.baseline,
            space=space,
            objectives=facts.objectives,
            constraints=facts.constraints,
            jobs=results.trial_jobs,
            workload=partial(results.workload, history.group),
        )
    )
