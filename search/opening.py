"""What a search tries before its sampler chooses freely: the baseline, named points, each arm."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from campaign.core.trials import Origin, Point
from search.asked import AskedPoints
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

    def next(self, asked: AskedPoints) -> Given | None:
        """Return what comes next after the points that were asked for.

        The arm that was tried least comes first. None means that the sampler chooses freely.
        """
        if self.baseline is not None and self.baseline not in asked:
            return Given(self.baseline, "baseline")
        for point in self.first:
            if point not in asked:
                return Given(point, "first")
        few = [
            name
            for name in self.arms
            if asked.tried[name] < self.arm_trials and asked.has_left(name)
        ]
        if not few:
            return None
        arm = min(few, key=lambda name: asked.tried[name])
        known = self.arms[arm] in asked
        return Given({SCHEDULER: arm} if known else dict(self.arms[arm]), "arm")
