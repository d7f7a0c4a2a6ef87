"""How many trials a search comes to where no point is evaluated twice."""

import math

from campaign.core.trials import Replicate
from campaign.records.history import History
from campaign.schema.model import Campaign
from search.distinct import key_of, size_of
from search.space import Space


def most_trials(campaign: Campaign, space: Space, history: History) -> int:
    """Return the most trials that a campaign may have: search.trials, or fewer.

    They are fewer where each evaluation of a point gives the same, and the space has fewer points:
    then each is evaluated once. Repetitions that an earlier version recorded count as trials.
    """
    wanted = max(campaign.search.trials, history.taken)
    size = size_of(space)
    if not campaign.testbed.deterministic or math.isinf(size):
        return wanted
    asked = {
        key_of(space.effective(history.asked[number].point))
        for number in history.asked
        if in_newest_group(history, number)
    }
    return min(wanted, len(history.asked) + int(size) - len(asked))


def in_newest_group(history: History, number: int) -> bool:
    """Return whether a trial that was asked for counts among those of the newest group.

    A trial of an earlier group says nothing about its point here. One without a record will run,
    and belong to the newest.
    """
    records = history.records.get(Replicate(number))
    return not records or records[-1].group == history.group.number


def fewer_trials(trials: int, wanted: int) -> str:
    """Say why there are fewer `trials` than `wanted`."""
    return (
        f"{trials} instead of {wanted} trials: the space has no more points, and each evaluation "
        "of a point would give the same"
    )
