"""The first sentences of what a campaign found: what is better than the baseline, and where."""

from collections.abc import Iterator

from campaign.analysis.front.holdout import sentences
from campaign.core.trials import TrialRecord
from campaign.report.facts import change, number
from campaign.report.result import CampaignResult

MARKS = {"better": "\u2713", "worse": "\u2717", "same": "=", "unclear": "?"}
"""How tables mark what was found on instances that the search has not seen."""


def lead(result: CampaignResult) -> Iterator[str]:
    """Yield the sentences; none where there is no front, or nothing to compare it with."""
    objectives = result.facts.objectives
    if result.unseen:
        yield from sentences(result.unseen, objectives)
        return
    baseline = result.baseline
    others = [record for record in result.front if not record.baseline]
    if baseline is None or not baseline.valid or not result.front:
        return
    if not others:
        yield "No trial beats the baseline in one objective without being worse in another."
        return
    best = (f"{name} {_best(others, baseline, result, name)}" for name in objectives)
    seen = result.facts.instances
    where = "the workload" if seen == 1 else f"the {seen} workloads"
    yield f"Best values of the front, on {where} that the search saw: {'; '.join(best)}."
    yield (
        "Whether they hold for other jobs was not tried: search.holdout=5 runs the front and the "
        "baseline on as many more workloads."
    )


def _best(
    others: list[TrialRecord], baseline: TrialRecord, result: CampaignResult, name: str
) -> str:
    pick = min if result.facts.objectives[name] == "minimize" else max
    found = pick(others, key=lambda record: record.metrics[name])
    value = change(found, baseline, name) or number(found.metrics[name])
    return f"{value} (trial {found.number})"
