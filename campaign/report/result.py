"""What a campaign ended with, computed once and handed to the page, the terminal and MLflow."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from campaign.core.trials import TrialRecord
from campaign.report.constraints import unmet
from campaign.report.facts import CampaignFacts
from campaign.report.times import Cost, cost_of
from search.pareto import front


@dataclass(frozen=True)
class CampaignResult:
    """The outcome of a whole campaign, as all its readers are given it.

    `facts` are what the campaign is: its configuration as text with the text's hash, the command
    that repeats it, its fairness manifest. `records` hold each trial's last attempt, in order of
    trials; `front` are those of them that no other beats, best in the first objective first;
    `cost` says where the time went. `unmet` names the constraints that no trial meets, empty where
    one meets all.
    """

    facts: CampaignFacts
    records: tuple[TrialRecord, ...]
    front: tuple[TrialRecord, ...]
    cost: Cost
    unmet: str = ""

    @classmethod
    def of(cls, records: Sequence[TrialRecord], facts: CampaignFacts) -> Self:
        """Compute the front and the cost of `records`, each trial's last attempt."""
        best = front(records, facts.objectives, facts.constraints)
        return cls(
            facts,
            tuple(records),
            tuple(best),
            cost_of(records, facts),
            unmet(records, facts.constraints),
        )
