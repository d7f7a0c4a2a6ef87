"""When a search ends: with its last trial, with its last point, or once its front stands still."""

from functools import partial

from campaign.config.compose import Composed, compose_recorded
from campaign.core.errors import CampaignError
from campaign.core.trials import TrialRecord
from campaign.execution.distinct import fewer_trials, in_newest_group, most_trials
from campaign.records.history import History
from campaign.schema.model import Campaign
from search.asked import AskedPoints
from search.pareto import Standstill


class Patience:
    """Follows the trials that a campaign's sampler is told, until they have moved nothing for long.

    What comes before the sampler's free choice is tried in any case.
    """

    def __init__(self, campaign: Campaign) -> None:
        self._patience = campaign.search.patience
        self._wanted = campaign.search.trials
        self._new_front = partial(Standstill, campaign.objectives, campaign.search.constraints)
        self._front = self._new_front()
        self._group = 0
        self._told = 0

    def tell(self, record: TrialRecord) -> None:
        """Take in the next trial; a later group forgets those of earlier ones."""
        self._told = record.number + 1
        if self._patience is None:
            return
        if record.group != self._group:
            self._group = record.group
            self._front = self._new_front()
        self._front.tell(record)

    def is_out(self, history: History, *, opened: bool) -> bool:
        """Return whether the front has stood still for search.patience trials.

        Those from before search.trials was raised don't count: whoever raised it wants more. Nor do
        those that were taken over.
        `opened` tells if the sampler chooses freely.
        """
        if self._patience is None or not opened:
            return False
        before = history.config.get("search", {}).get("trials", self._wanted)
        since = len(history.asked) if self._wanted > before else history.extended
        since = max(since, history.taken)
        return self._front.after(self._told, since) >= self._patience


def trials_of(composed: Composed, history: History) -> int:
    """Return the number of trials that a campaign comes to.

    It is search.trials, or as many as its space has points, or those that there are where its front
    has stood still for search.patience trials.
    """
    most = most_trials(composed.campaign, composed.space, history)
    asked = len(history.asked)
    return min(most, asked) if _ended_early(composed, history) else most


def recorded_trials(history: History) -> int:
    """Return what `trials_of` does, by the settings that a ledger recorded.

    Where they are those of another version, and can't be read here, it is search.trials.
    """
    try:
        composed = compose_recorded(history.config)
    except CampaignError:
        return int(history.config["search"]["trials"])
    return trials_of(composed, history)


def why_fewer(composed: Composed, history: History, trials: int) -> str:
    """Say why a campaign comes to fewer `trials` than search.trials; empty where it doesn't."""
    search = composed.campaign.search
    if trials >= search.trials:
        return ""
    if most_trials(composed.campaign, composed.space, history) < search.trials:
        return fewer_trials(trials, search.trials)
    return (
        f"{trials} of {search.trials} trials: none of the last {search.patience} has moved the "
        "front (search.patience)"
    )


def _ended_early(composed: Composed, history: History) -> bool:
    campaign = composed.campaign
    retries = campaign.search.retries
    if campaign.search.patience is None or not history.asked:
        return False
    if any(history.due(number, retries) for number in history.asked):
        return False
    patience = Patience(campaign)
    for record in history.comparable():
        patience.tell(record)
    asked = AskedPoints(composed.space, distinct=campaign.testbed.deterministic)
    for number, one in history.asked.items():
        if in_newest_group(history, number):
            asked.add(composed.space.effective(one.point))
    return patience.is_out(history, opened=composed.opening.next(asked) is None)
