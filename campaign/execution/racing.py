"""Which trials have lost before they have met all instances, so that these are left out."""

from collections.abc import Iterable, Mapping, Sequence

from campaign.core.trials import Replicate, TrialRecord
from campaign.records.history import History
from campaign.schema.model import Direction
from campaign.schema.search import Bound
from search.constraints import limits_among
from search.pareto import better_in_all, front


class Race:
    """Judges trials after 1, 2, 4, .. times `after` of their `instances`; after 0: never.

    A trial has lost where one of the front was better in every objective, on each of the instances
    that both have met; or where it has violated one constraint on each of them. Nothing but told
    trials are looked at, so the verdict depends neither on which of two parallel trials ended first
    nor on a resume. The baseline meets all instances: the others are compared with it.
    """

    def __init__(
        self,
        objectives: Mapping[str, Direction],
        constraints: Mapping[str, Bound],
        *,
        instances: int,
        after: int,
    ) -> None:
        self._objectives = objectives
        self._constraints = constraints
        rounds = (after * 2**power for power in range(instances.bit_length()) if after)
        self._stops = (*(stop for stop in rounds if stop < instances), instances)
        self._told: list[TrialRecord] = []
        self._front: list[TrialRecord] | None = None

    def tell(self, record: TrialRecord) -> None:
        """Take note of a trial that the sampler has been told of."""
        self._told.append(record)
        self._front = None

    def reached(self, missing: Sequence[Replicate]) -> Sequence[Replicate]:
        """Return those of a trial's missing replicates that it is run on before it is judged."""
        if not missing:
            return missing
        met = missing[0].instance
        next_stop = min(stop for stop in self._stops if stop > met)
        return [one for one in missing if one.instance < next_stop]

    def lost(self, history: History, number: int, met: int) -> str:
        """Return why a trial that has met so many instances has lost; empty if it hasn't."""
        if met not in self._stops[:-1] or history.asked[number].baseline:
            return ""
        ours = [history.records[Replicate(number, instance)][-1] for instance in range(met)]
        group = [record for record in self._told if record.group == ours[0].group]
        return self._violates(ours, group) or self._beaten(ours, group)

    def _beaten(self, ours: Sequence[TrialRecord], group: Sequence[TrialRecord]) -> str:
        if self._front is None:
            self._front = front(group, self._objectives, self._constraints)
        for member in self._front:
            pairs = zip(member.replicates, ours, strict=False)
            if all(better_in_all(theirs, own, self._objectives) for theirs, own in pairs):
                return f"trial {member.number} was better on each of {len(ours)} instances"
        return ""

    def _violates(self, ours: Sequence[TrialRecord], group: Iterable[TrialRecord]) -> str:
        for limit in limits_among(self._constraints, group):
            if not any(limit.kept(one.metrics) for one in ours):
                return f"{limit.setting} was violated on each of {len(ours)} instances"
        return ""
