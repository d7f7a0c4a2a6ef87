"""The search space: the settings that a campaign varies, their bounds, and the meaning of a point.

No Optuna here: a space is a plain value, so that `--dry-run` and validation cost nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from campaign.core.trials import Point
from campaign.schema.model import Campaign, ClusterSettings
from campaign.schema.searchable import Choices, Range
from campaign.schema.settings import Scalar, allowed_of, choices_of, row_of, sampling_of
from schedulers.parameters import Params, WrongParameter

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
class Space:
    """The settings that a campaign searches, and those beside them that it fixes.

    `dimensions` and `fixed` are by dotted setting. With several `schedulers`, the scheduler itself
    is a dimension (SCHEDULER), and a parameter exists only at points of its own scheduler.
    """

    dimensions: Mapping[str, Dimension]
    fixed: Point
    schedulers: tuple[str, ...] = ()

    @property
    def conditional(self) -> bool:
        """True if some dimensions exist at some points only."""
        return SCHEDULER in self.dimensions

    def exists(self, path: str, point: Point) -> bool:
        """Return True if the setting has a meaning at `point`, whose scheduler is known."""
        return not path.startswith(f"{ARMS}.") or path.startswith(f"{self._prefix(point)}.")

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
        wanted = [path for path in self.dimensions if self.exists(path, point)]
        for path in sorted(point.keys() ^ set(wanted)):
            return f"{path} is missing" if path in wanted else f"{path} isn't searched"
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
        return f"{ARMS}.{self.scheduler(point)}" if self.conditional else PARAMS


def holds(dimension: Dimension, value: Scalar) -> bool:
    """Return True if `value` is one of the dimension's."""
    if isinstance(dimension, Categorical):
        return value in dimension.choices
    if not _is_number(value) or not dimension.low <= float(value) <= dimension.high:
        return False
    if isinstance(dimension, Real):
        return True
    return isinstance(value, int) and (value - dimension.low) % dimension.step == 0


class _Arm(NamedTuple):
    """One scheduler's parameters as the campaign sets them, below the dotted setting `prefix`."""

    scheduler: str
    prefix: str
    model: type[Params]
    values: Mapping[str, Any]


def space_of(campaign: Campaign, models: Mapping[str, type[Params]]) -> Space:
    """Return the space that `campaign` describes.

    `models` are the classes of the parameters of the campaign's schedulers, by name. Raise
    SpaceError, which names every setting that doesn't fit its declaration.
    """
    found = _SpaceDraft({}, {}, [])
    names = campaign.scheduler.names
    if len(names) > 1:
        found.dimensions[SCHEDULER] = Categorical(names)
    cluster = campaign.cluster
    # Groups have their nodes together, and the search knows one number.
    counted = cluster.nodes_of_groups if cluster.groups else cluster.nodes
    nodes = found.take(NODES, counted, ClusterSettings.model_fields["nodes"])
    found.problems.extend(_too_many_nodes(nodes, found.fixed, campaign.testbed.kind))
    for arm in _arms(campaign, models, found.problems):
        for name, value in arm.values.items():
            path = f"{arm.prefix}.{name}"
            field = arm.model.field_of(name)
            if field is None:
                named = (f"{prefix}NAME" for prefix in arm.model.open)
                known = ", ".join((*arm.model.model_fields, *named))
                found.problems.append(
                    Problem(
                        path, value, f"one of {known}", f"{arm.scheduler} has no such parameter"
                    )
                )
            elif dimension := found.take(path, value, field):
                found.problems.extend(_beyond_row(name, dimension, arm))
        fixed = {
            name: found.fixed[path]
            for name in arm.values
            if (path := f"{arm.prefix}.{name}") in found.fixed
        }
        found.problems.extend(wrong := _row_problems(fixed, arm))
        if not wrong:
            read = arm.model(**fixed)  # a scheduler's own spelling becomes a value
            found.fixed.update({f"{arm.prefix}.{name}": getattr(read, name) for name in fixed})
    if found.problems:
        raise SpaceError(found.problems)
    return Space(found.dimensions, found.fixed, names)


@dataclass(frozen=True)
class _SpaceDraft:
    """The dimensions, fixed settings and problems that were found so far."""

    dimensions: dict[str, Dimension]
    fixed: Point
    problems: list[Problem]

    def take(self, path: str, value: Any, field: FieldInfo) -> Dimension | None:
        """Add a setting: as a dimension, which is returned, as fixed, or as a problem."""
        try:
            dimension = _dimension(path, value, field)
        except SpaceError as error:
            self.problems.extend(error.problems)
            return None
        if dimension is None:
            self.fixed[path] = value
        else:
            self.dimensions[path] = dimension
        return dimension


def _arms(
    campaign: Campaign, models: Mapping[str, type[Params]], problems: list[Problem]
) -> list[_Arm]:
    settings = campaign.scheduler
    names = campaign.scheduler.names
    if len(names) == 1:
        if settings.arms:
            why = "there is one scheduler: its parameters stand in scheduler.params"
            problems.append(Problem("scheduler.arms", dict(settings.arms), "", why))
        return [_Arm(names[0], PARAMS, models[names[0]], settings.params)]
    if settings.params:
        why = "with several schedulers, parameters stand in scheduler.arms.NAME"
        problems.append(Problem(PARAMS, dict(settings.params), "", why))
    for stranger in settings.arms.keys() - set(names):
        problems.append(
            Problem(
                f"{ARMS}.{stranger}", stranger, f"one of {', '.join(names)}", "not searched here"
            )
        )
    return [
        _Arm(name, f"{ARMS}.{name}", models[name], settings.arms.get(name, {})) for name in names
    ]


def _dimension(path: str, value: Any, field: FieldInfo) -> Dimension | None:
    """Return the dimension that `value` spans, or None where it fixes the setting."""
    if isinstance(value, Choices):
        _check_nodes(path, value.choices)
        return Categorical(tuple(value.choices))
    if isinstance(value, list):
        if choices_of(field) or field.annotation is str:
            return Categorical(tuple(value))
        if len(value) != 2 or not all(_is_number(end) for end in value):
            raise SpaceError(
                [
                    Problem(
                        path,
                        value,
                        "[low, high] or {choices: [..]}",
                        "a list is a range of two numbers",
                    )
                ]
            )
        value = _range(path, value)
    if isinstance(value, Range):
        return _numeric(path, value, field)
    _check_nodes(path, [value])
    return None


def _range(path: str, ends: list[Any]) -> Range:
    try:
        return Range(low=ends[0], high=ends[1])
    except ValidationError as error:
        raise SpaceError(
            [
                Problem(
                    path, ends, "[low, high] with low <= high", reason_of(dict(error.errors()[0]))
                )
            ]
        ) from None


def _numeric(path: str, value: Range, field: FieldInfo) -> Dimension:
    log, step = sampling_of(field)
    log = log if value.log is None else value.log
    shown = [value.low, value.high]
    if choices_of(field):
        raise SpaceError([Problem(path, shown, allowed_of(field), "it has choices, not a range")])
    if log and value.low <= 0:
        raise SpaceError(
            [
                Problem(
                    path, shown, "low > 0, or log: false", "a logarithmic range starts above zero"
                )
            ]
        )
    if field.annotation is float:
        return Real(value.low, value.high, log)
    if not (float(value.low).is_integer() and float(value.high).is_integer()):
        raise SpaceError(
            [Problem(path, shown, "whole numbers", "this setting counts in whole numbers")]
        )
    _check_nodes(path, [int(value.low), int(value.high)])
    # Optuna takes no step on a logarithmic scale.
    return Integer(int(value.low), int(value.high), log, 1 if log else (value.step or step or 1))


def _check_nodes(path: str, values: list[Any]) -> None:
    # A node count is a number, a range or choices: its declaration alone can't bound it.
    for value in values if path == NODES else ():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise SpaceError([Problem(path, value, _NODE_COUNTS, "not a number of nodes")])


_NODE_COUNTS = f"[1 .. {MAX_NODES['libvirt']}] compute nodes"


def _too_many_nodes(nodes: Dimension | None, fixed: Point, kind: str) -> Iterator[Problem]:
    """Yield the problem of a cluster that is larger than a testbed of this kind takes."""
    if isinstance(nodes, Categorical):
        largest = max(map(int, nodes.choices))
    else:
        largest = int(nodes.high if nodes else fixed.get(NODES, 0))
    most = MAX_NODES[kind]
    if largest > most:
        in_simulation = f"; in simulation {MAX_NODES['simulation']}" if kind != "simulation" else ""
        yield Problem(
            NODES,
            largest,
            f"[1 .. {most}] compute nodes{in_simulation}",
            "a cluster can't be so large",
        )


def _beyond_row(name: str, dimension: Dimension, arm: _Arm) -> Iterator[Problem]:
    """Yield the problems of a searched parameter's extremes against its declaration."""
    # A declaration allows an interval, so where both ends fit, all between them does; but for 0,
    # which some take for no value.
    values = (
        dimension.choices
        if isinstance(dimension, Categorical)
        else (dimension.low, dimension.high, *((0,) if dimension.low < 0 < dimension.high else ()))
    )
    for value in values:
        path = f"{arm.prefix}.{name}"
        yield from (
            problem for problem in _row_problems({name: value}, arm) if problem.path == path
        )


def _row_problems(values: dict[str, Scalar], arm: _Arm) -> list[Problem]:
    try:
        arm.model(**values)
    except ValidationError as error:
        return [_problem(dict(item), arm) for item in error.errors()]
    return []


def _problem(item: dict[str, Any], arm: _Arm) -> Problem:
    cause = item.get("ctx", {}).get("error")
    if isinstance(cause, WrongParameter):
        return Problem(f"{arm.prefix}.{cause.name}", item["input"][cause.name], "", str(cause))
    if not item["loc"]:
        return Problem(arm.prefix, item["input"], "", reason_of(item))
    name = str(item["loc"][0])
    field = arm.model.field_of(name)
    allowed = row_of(name, field).allowed_with_unit if field else ""
    return Problem(f"{arm.prefix}.{name}", item["input"], allowed, reason_of(item))


def reason_of(item: Mapping[str, Any]) -> str:
    """Return Pydantic's reason to refuse a value, without its own prefix."""
    return str(item["msg"]).removeprefix("Value error, ")


def _is_number(value: object) -> bool:
    # To Python a bool is an int.
    return isinstance(value, int | float) and not isinstance(value, bool)
