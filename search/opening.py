"""What a search tries before its sampler chooses freely: the baseline, named points, each arm."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from campaign.core.trials import Origin, Point
from search.distinct import PointKey, key_of
from search.space import SCHEDULER


@dataclass(frozen=True)
class Given:
    """A point that comes next, and why; the sampler chooses what the point doesn't have."""

    point: Point
    origin: Origin


@dataclass(frozen=True)
class Opening:
    """The points that a search begins with.

    They are the `baseline`, the points that come `first`, and then trials of each arm until it has
    been tried `arm_trials` times: `arms` has the defaults of each by the scheduler's name, and the
    sampler draws the others. Whatever was tried counts, so that an opening may be resumed, and be
    added to.
    """

    baseline: Point | None = None
    first: tuple[Point, ...] = ()
    arms: Mapping[str, Point] = field(default_factory=dict)
    arm_trials: int = 0

    def next(
        self,
        asked: Collection[PointKey],
        tried: Mapping[str, int],
        has_left: Callable[[str], bool],
    ) -> Given | None:
        """Return what comes next, or None where the sampler chooses freely.

        `asked` are the points that were asked for, `tried` counts trials by scheduler, and
        `has_left` tells if a scheduler has points left. The arm that was tried least comes first.
        """
        if self.baseline is not None and key_of(self.baseline) not in asked:
            return Given(self.baseline, "baseline")
        for point in self.first:
            if key_of(point) not in asked:
                return Given(point, "first")
        few = [
            name for name in self.arms if tried.get(name, 0) < self.arm_trials and has_left(name)
        ]
        if not few:
            return None
        arm = min(few, key=lambda name: tried.get(name, 0))
        known = key_of(self.arms[arm]) in asked
        return Given({SCHEDULER: arm} if known else dict(self.arms[arm]), "arm")
