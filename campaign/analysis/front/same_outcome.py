"""Trials that brought no new outcome, and which of their settings made no difference.

That is told where each evaluation of a point gives the same. On machines, two trials have no equal
values but by chance.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from campaign.core.trials import Point, TrialRecord
from campaign.schema.settings import Scalar


@dataclass(frozen=True)
class SameOutcome:
    """A trial whose objectives have the values of the `earlier` one.

    `settings` are those in which the two differ, with their values here and there: together they
    changed nothing. `whole` tells if all other metrics are equal too, not the objectives alone.
    """

    trial: int
    earlier: int
    settings: Mapping[str, tuple[Scalar | None, Scalar | None]]
    whole: bool


MOST_COMPARED = 50
"""Of one outcome, so many trials are kept to compare with: it may come thousands of times."""


class Outcomes:
    """Follows the outcomes of trials.

    Of several earlier trials with its outcome, a trial is compared with the one from which it
    differs in the fewest settings, and of those with the first.
    """

    def __init__(self, objectives: Iterable[str]) -> None:
        self._objectives = tuple(objectives)
        self._known: dict[tuple[int, tuple[float, ...]], list[TrialRecord]] = {}

    def tell(self, record: TrialRecord) -> SameOutcome | None:
        """Take in a trial; return what it has in common with one told before, if anything.

        Nothing is known of one that isn't valid, or that was not evaluated on all instances.
        """
        if not record.valid or record.ruled_out or self._lacking(record):
            return None
        outcome = (record.group, tuple(record.metrics[name] for name in self._objectives))
        others = self._known.setdefault(outcome, [])
        found = [_compared(record, other) for other in others]
        if len(others) < MOST_COMPARED:
            others.append(record)
        # A trial of the same schedule says more than one that has but the objectives in common.
        return min(found, key=lambda one: (not one.whole, len(one.settings)), default=None)

    def _lacking(self, record: TrialRecord) -> bool:
        return any(name not in record.metrics for name in self._objectives)


def same_outcomes(
    records: Iterable[TrialRecord], objectives: Iterable[str]
) -> dict[int, SameOutcome]:
    """Return the trials without a new outcome, by number."""
    outcomes = Outcomes(objectives)
    told = (outcomes.tell(record) for record in sorted(records, key=lambda one: one.number))
    return {one.trial: one for one in told if one}


def without_difference(found: Iterable[SameOutcome]) -> list[tuple[str, int]]:
    """Return the settings that made no difference by themselves, and in how many of the trials."""
    alone = (next(iter(one.settings)) for one in found if len(one.settings) == 1)
    return sorted(Counter(alone).items(), key=lambda pair: (-pair[1], pair[0]))


def _compared(record: TrialRecord, other: TrialRecord) -> SameOutcome:
    settings = _differing(record.point, other.point)
    return SameOutcome(record.number, other.number, settings, record.metrics == other.metrics)


def _differing(point: Point, other: Point) -> dict[str, tuple[Scalar | None, Scalar | None]]:
    names = dict.fromkeys((*point, *other))
    different = {
        name: (point.get(name), other.get(name))
        for name in names
        if point.get(name) != other.get(name)
    }
    both = {name: pair for name, pair in different.items() if None not in pair}
    # What exists at one of the points only follows from what decides that.
    return both or different
