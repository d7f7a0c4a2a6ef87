"""The search space: the settings that a campaign varies, their bounds, and the meaning of a point.

No Optuna here: a space is a plain value, so that `--dry-run` and validation cost nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from campaign.core.trials import Point
from campaign.schema.settings import Scalar

NODES = "cluster.nodes"
SCHEDULER = "scheduler.name"
PARAMS = "scheduler.params"
ARMS = "scheduler.arms"
MAX_NODES = {"libvirt": 1024, "virtual-time": 1024, "simulation": 200_000}
"""The most compute nodes of a cluster by kind of testbed; the largest machines have 160,000."""


@dataclass(frozen=True)
class Integer:
    """A whole number in [low, high]."""

    low: int
    high: int
    log: bool = False
    step: int = 1


@dataclass(frozen=True)
class Real:
    """A number in [low, high]."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Categorical:
    """One of `choices`, in no order."""

    choices: tuple[Scalar, ...]


Dimension = Integer | Real | Categorical


def dimension_text(dimension: Dimension) -> str:
    """Return a dimension as people write it."""
    if isinstance(dimension, Categorical):
        return "{" + ", ".join(str(choice) for choice in dimension.choices) + "}"
    step = (
        f", step {dimension.step}" if isinstance(dimension, Integer) and dimension.step > 1 else ""
    )
    return f"[{dimension.low}, {dimension.high}]{', log' if dimension.log else ''}{step}"


class Problem(NamedTuple):
    """A setting that can't be used: its path, its value, the allowed values, and the reason."""

    path: str
    value: object
    allowed: str
    why: str


class SpaceError(ValueError):
    """The searched settings don't make a space; `problems` has an entry for each wrong setting."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems)
        self.problems = problems


@dataclass(frozen=True)
class Condition:
    """That the setting at `path`, which has a `default`, has one of `values`."""

    path: str
    values: tuple[Scalar, ...]
    default: Scalar


@dataclass(frozen=True)
class Space:
    """The settings that a campaign searches, and those beside them that it fixes.

    `dimensions` and `fixed` are by dotted setting. With several `schedulers`, the scheduler itself
    is a dimension (SCHEDULER), and a parameter exists only at points of its own scheduler. A
    setting with `conditions` exists only where all of them are met. What others depend on comes
    before them.
    """

    dimensions: Mapping[str, Dimension]
    fixed: Point
    schedulers: tuple[str, ...] = ()
    conditions: Mapping[str, tuple[Condition, ...]] = field(default_factory=dict)

    @property
    def has_arms(self) -> bool:
        """True if several schedulers are searched."""
        return SCHEDULER in self.dimensions

    @cached_property
    def deciding(self) -> tuple[str, ...]:
        """The dimensions that decide which of the others exist."""
        named = {condition.path for met in self.conditions.values() for condition in met}
        return tuple(path for path in self.dimensions if path == SCHEDULER or path in named)

    @property
    def conditional(self) -> bool:
        """True if some dimensions exist at some points only."""
        return bool(self.deciding)

    def exists(self, path: str, point: Point) -> bool:
        """Return True if the setting has an effect at `point`, which has what decides it."""
        return self._of_scheduler(path, point) and all(
            self._is_met(condition, point) for condition in self.conditions.get(path, ())
        )

    def existing(self, point: Point) -> list[str]:
        """Return the dimensions that exist at `point`, which has what decides it."""
        return [path for path in self.dimensions if self.exists(path, point)]

    def effective(self, point: Point) -> Point:
        """Return `point` without the settings that have no effect there."""
        return {path: value for path, value in point.items() if self.exists(path, point)}

    def scheduler(self, point: Point) -> str:
        """Return the scheduler's name at `point`."""
        return str(point.get(SCHEDULER, self.schedulers[0]))

    def nodes(self, point: Point) -> int:
        """Return the number of compute nodes at `point`."""
        return int({**self.fixed, **point}[NODES])

    def params(self, point: Point) -> dict[str, Scalar]:
        """Return the scheduler's parameters at `point`, the fixed ones included."""
        prefix = f"{self._prefix(point)}."
        return {
            path.removeprefix(prefix): v
            for path, v in {**self.fixed, **point}.items()
            if path.startswith(prefix)
        }

    def misfit(self, point: Point) -> str:
        """Return why `point` isn't one of this space; "" if it is."""
        wanted = self.existing(point)
        for path in sorted(set(wanted) - point.keys()):
            return f"{path} is missing"
        for path in sorted(point.keys() - set(wanted)):
            # An earlier version sampled settings without an effect, too.
            if path not in self.dimensions or not self._of_scheduler(path, point):
                return f"{path} isn't searched"
        for path in wanted:
            if not holds(self.dimensions[path], point[path]):
                return f"{path}={point[path]} isn't in {dimension_text(self.dimensions[path])}"
        return ""

    def node_counts(self) -> tuple[int, int]:
        """Return the sizes of the smallest and the largest cluster, in compute nodes."""
        dimension = self.dimensions.get(NODES)
        if isinstance(dimension, Integer):
            return dimension.low, dimension.high
        values = dimension.choices if isinstance(dimension, Categorical) else (self.fixed[NODES],)
        return int(min(values)), int(max(values))

    def _prefix(self, point: Point) -> str:
        return f"{ARMS}.{self.scheduler(point)}" if self.has_arms else PARAMS

    def _of_scheduler(self, path: str, point: Point) -> bool:
        return not path.startswith(f"{ARMS}.") or path.startswith(f"{self._prefix(point)}.")

    def _is_met(self, condition: Condition, point: Point) -> bool:
        known = point if condition.path in point else self.fixed
        return known.get(condition.path, condition.default) in condition.values


def holds(dimension: Dimension, value: Scalar) -> bool:
    """Return True if `value` is one of the dimension's."""
    if isinstance(dimension, Categorical):
        return value in dimension.choices
    if not is_number(value) or not dimension.low <= float(value) <= dimension.high:
        return False
    if isinstance(dimension, Real):
        return True
    return isinstance(value, int) and (value - dimension.low) % dimension.step == 0


def is_number(value: object) -> bool:
    """Return True for a number; to Python a flag is one too, which it isn't here."""
    return isinstance(value, int | float) and not isinstance(value, bool)
