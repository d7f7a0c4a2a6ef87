"""Since when the front has stood still, in words."""

from collections.abc import Sequence

from campaign.core.trials import TrialRecord
from campaign.report.facts import CampaignFacts
from search.distinct import key_of
from search.pareto import standstill_of


def stood_still(records: Sequence[TrialRecord], facts: CampaignFacts) -> str:
    """Return since which trial the front has stood still, and how many came after it.

    Where every point of the space has a valid trial, the front is complete. Empty where there is no
    front, or a single trial.
    """
    front = standstill_of(records, facts.objectives, facts.constraints)
    if front.moved is None or len(records) == 1:
        return ""
    tried = {key_of(record.point) for record in records if record.valid}
    if len(tried) >= facts.points:
        return f"the front is complete: each of the {len(tried)} points of the space was tried"
    patience = "" if facts.patience is None else f" (search.patience={facts.patience})"
    after = sum(record.number > front.moved for record in records)
    if not after:
        return f"the front moved with the last trial{patience}"
    came = "1 trial has" if after == 1 else f"{after} trials have"
    return f"the front has stood still since trial {front.moved}: {came} come after it{patience}"
