"""What a campaign ended with, computed once and handed to the page, the terminal and MLflow."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from campaign.analysis.front.holdout import HoldoutFindings
from campaign.analysis.front.instances import InstanceRule
from campaign.analysis.front.ladder import LadderFindings
from campaign.analysis.front.same_outcome import SameOutcome, same_outcomes
from campaign.analysis.front.searched import SearchedFindings
from campaign.core.trials import TrialRecord
from campaign.report.arms import unjudged
from campaign.report.constraints import unmet
from campaign.report.facts import CampaignFacts, alike
from campaign.report.same_outcome import known_outcomes
from campaign.report.standstill import stood_still
from campaign.report.taken import taken_over
from campaign.report.times import Cost, cost_of
from search.pareto import front


@dataclass(frozen=True)
class CampaignResult:
    """The outcome of a whole campaign, as all its readers are given it.

    `facts` are what the campaign is: its configuration as text with the text's hash, the command
    that repeats it, its fairness manifest. `records` hold each trial's last attempt, in order of
    trials; `front` are those of them that no other beats, best in the first objective first;
    `baseline` is the trial that the others are compared with, if there is one; `cost` says where
    the time went. `unmet` names the constraints that no trial meets, empty where one meets all;
    `unjudged` has a sentence for each scheduler of which no trial is valid, and `stood_still` says
    since when the front hasn't moved, `taken_over` which trials are of other campaigns. `unseen` is
    what was found on instances that the search has not seen; None where none was run. `searched`
    has the intervals of the front's values where the search saw several instances, else None.
    `ladder` is what trying points in simulation first came to, where that was done.
    `known` are the trials without a new outcome, by number, where each evaluation of a point gives
    the same.
    """

    facts: CampaignFacts
    records: tuple[TrialRecord, ...]
    front: tuple[TrialRecord, ...]
    cost: Cost
    baseline: TrialRecord | None = None
    unmet: str = ""
    unjudged: tuple[str, ...] = ()
    stood_still: str = ""
    taken_over: str = ""
    unseen: HoldoutFindings | None = None
    searched: SearchedFindings | None = None
    ladder: LadderFindings | None = None
    known: Mapping[int, SameOutcome] = field(default_factory=dict)

    @property
    def spared(self) -> int:
        """The number of replicates that trials which had lost were spared."""
        lost = [record for record in self.records if record.ruled_out]
        return sum(self.facts.instances - len(record.replicates) for record in lost)

    @property
    def known_outcomes(self) -> str:
        """How many trials brought no new outcome, in a sentence; empty where all did."""
        compared = sum(record.valid and not record.ruled_out for record in self.records)
        return known_outcomes(self.known.values(), compared)

    @property
    def baseline_behind(self) -> bool:
        """Whether there is a baseline that isn't on the front."""
        return self.baseline is not None and self.baseline not in self.front

    @classmethod
    def of(cls, records: Sequence[TrialRecord], facts: CampaignFacts) -> Self:
        """Compute the front and the cost of `records`, each trial's last attempt."""
        best = front(records, facts.objectives, facts.constraints)
        baseline = baseline_among(records)
        rule = InstanceRule(facts.quantile)
        points = [first for first, _ in alike(best, facts.objectives)]
        return cls(
            facts,
            tuple(records),
            tuple(best),
            cost_of(records, facts),
            baseline,
            unmet(records, facts.constraints),
            tuple(unjudged(records, facts.arms)),
            stood_still(records, facts),
            taken_over(records),
            HoldoutFindings.of(best, baseline, facts.objectives, rule),
            SearchedFindings.of(points, baseline, facts.objectives, rule),
            LadderFindings.of(facts.rehearsed, records, facts.objectives),
            same_outcomes(records, facts.objectives) if facts.deterministic else {},
        )


def baseline_among(records: Iterable[TrialRecord]) -> TrialRecord | None:
    """Return the trial that the others of its group are compared with; None without one."""
    return next((record for record in records if record.baseline), None)
