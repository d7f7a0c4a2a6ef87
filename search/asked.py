"""The points that a search has asked for, and how often it has tried each scheduler."""

from collections import Counter

from campaign.core.trials import Point
from search.distinct import PointKey, choices_left, key_of
from search.space import SCHEDULER, Space


class AskedPoints:
    """The points of a `space` that were asked for; where they are `distinct`, none comes again.

    `keys` has each point's key once, `tried` counts the trials by the scheduler's name.
    """

    def __init__(self, space: Space, *, distinct: bool) -> None:
        self._space = space
        self._distinct = distinct
        self.keys: set[PointKey] = set()
        self.tried: Counter[str] = Counter()

    def add(self, point: Point) -> None:
        """Take note that a point was asked for."""
        self.keys.add(key_of(point))
        self.tried[str(point.get(SCHEDULER, ""))] += 1

    def __contains__(self, point: Point) -> bool:
        return key_of(point) in self.keys

    def has_left(self, scheduler: str) -> bool:
        """Return whether a scheduler has points left; it always has where points come again."""
        return not self._distinct or scheduler in choices_left(
            self._space, SCHEDULER, {}, self.keys
        )
