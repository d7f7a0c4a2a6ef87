"""Schedulers that a campaign searched and that nothing is known of: no trial of theirs is valid."""

from collections.abc import Iterator, Sequence

from campaign.core.trials import TrialRecord
from search.space import SCHEDULER


def unjudged(records: Sequence[TrialRecord], arms: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each of the `arms` without a valid trial, with its last trial's reason.

    `arms` are the schedulers among which a campaign chooses; none where there is no choice.
    """
    for name in arms:
        trials = [record for record in records if record.point.get(SCHEDULER) == name]
        if any(record.valid for record in trials):
            continue
        if not trials:
            yield f"nothing is known of {name}: none of its points was tried"
            continue
        last = trials[-1]
        outcome = last.outcome.replace("_", " ")
        reason = f" ({last.reason.splitlines()[0]})" if last.reason else ""
        count = "its only trial" if len(trials) == 1 else f"none of its {len(trials)} trials"
        valid = "isn't valid" if len(trials) == 1 else "is valid"
        yield (
            f"nothing is known of {name}, which has not lost: {count} {valid}; "
            f"trial {last.number} was {outcome}{reason}"
        )
