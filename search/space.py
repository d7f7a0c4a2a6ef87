"""The search space: which settings a campaign varies, within which bounds, and what a point of it means.

No Optuna here: a space is a plain value, so that `--dry-run` and validation cost nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from campaign.model import Campaign, Choices, ClusterSettings, Range
from campaign.settings import Scalar, allowed_of, choices_of, row_of, sampling_of
from campaign.trials import Point
from schedulers.base import Params

NODES = "cluster.nodes"
PARAMS = "scheduler.params"
MAX_NODES = 1024


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


class Problem(NamedTuple):
    """A setting that can't be: where, what stands there, what may, and why."""

    path: str
    value: object
    allowed: str
    why: str


class SpaceError(ValueError):
    """The searched settings don't make a space; `problems` has one entry per setting."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems)
        self.problems = problems


@dataclass(frozen=True)
class Space:
    """`dimensions` by dotted setting; `fixed` holds the settings beside them that don't vary."""

    dimensions: Mapping[str, Dimension]
    fixed: Point

    def nodes(self, point: Point) -> int:
        """Compute nodes at `point`."""
        return int({**self.fixed, **point}[NODES])

    def params(self, point: Point) -> dict[str, Scalar]:
        """Scheduler parameters at `point`, the fixed ones included."""
        prefix = f"{PARAMS}."
        return {path.removeprefix(prefix): v for path, v in {**self.fixed, **point}.items() if path.startswith(prefix)}

    def node_counts(self) -> tuple[int, int]:
        """Smallest and largest cluster, in compute nodes."""
        dimension = self.dimensions.get(NODES)
        if isinstance(dimension, Integer):
            return dimension.low, dimension.high
        values = dimension.choices if isinstance(dimension, Categorical) else (self.fixed[NODES],)
        return int(min(values)), int(max(values))


def space_of(campaign: Campaign, model: type[Params]) -> Space:
    """The space that `campaign` describes; raises SpaceError naming every setting that doesn't fit its row."""
    dimensions: dict[str, Dimension] = {}
    fixed: Point = {}
    problems: list[Problem] = []
    for path, value, field in _searchables(campaign, model, problems):
        try:
            dimension = _dimension(path, value, field)
        except SpaceError as error:
            problems += error.problems
            continue
        if dimension is None:
            fixed[path] = value
        else:
            dimensions[path] = dimension
            if path != NODES:
                problems += _beyond_row(path, dimension, model)
    problems += _fixed_problems(fixed, model)
    if problems:
        raise SpaceError(problems)
    return Space(dimensions, fixed)


def _searchables(
    campaign: Campaign, model: type[Params], problems: list[Problem]
) -> Iterator[tuple[str, Any, FieldInfo]]:
    yield NODES, campaign.cluster.nodes, ClusterSettings.model_fields["nodes"]
    for name, value in campaign.scheduler.params.items():
        if name in model.model_fields:
            yield f"{PARAMS}.{name}", value, model.model_fields[name]
        else:
            known = ", ".join(model.model_fields)
            why = f"{campaign.scheduler.name} has no such parameter"
            problems.append(Problem(f"{PARAMS}.{name}", value, f"one of {known}", why))


def _dimension(path: str, value: Any, field: FieldInfo) -> Dimension | None:
    """The dimension that `value` opens up, or None where it fixes the setting."""
    if isinstance(value, Choices):
        _check_nodes(path, value.choices)
        return Categorical(tuple(value.choices))
    if isinstance(value, list):
        if choices_of(field):
            return Categorical(tuple(value))
        if len(value) != 2 or not all(_is_number(end) for end in value):
            raise SpaceError(
                [Problem(path, value, "[low, high] or {choices: [..]}", "a list is a range of two numbers")]
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
            [Problem(path, ends, "[low, high] with low <= high", reason_of(dict(error.errors()[0])))]
        ) from None


def _numeric(path: str, value: Range, field: FieldInfo) -> Dimension:
    log, step = sampling_of(field)
    log = log if value.log is None else value.log
    shown = [value.low, value.high]
    if choices_of(field):
        raise SpaceError([Problem(path, shown, allowed_of(field), "it has choices, not a range")])
    if log and value.low <= 0:
        raise SpaceError([Problem(path, shown, "low > 0, or log: false", "a logarithmic range starts above zero")])
    if field.annotation is float:
        return Real(value.low, value.high, log)
    if not (float(value.low).is_integer() and float(value.high).is_integer()):
        raise SpaceError([Problem(path, shown, "whole numbers", "this setting counts in whole numbers")])
    _check_nodes(path, [int(value.low), int(value.high)])
    return Integer(int(value.low), int(value.high), log, 1 if log else (value.step or step or 1))


def _check_nodes(path: str, values: list[Any]) -> None:
    """The node count has no row of its own type to be checked against, being fixed or searched."""
    for value in values if path == NODES else ():
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_NODES:
            raise SpaceError([Problem(path, value, f"[1 .. {MAX_NODES}] compute nodes", "not a number of nodes")])


def _beyond_row(path: str, dimension: Dimension, model: type[Params]) -> Iterator[Problem]:
    """Problems of a searched parameter's extremes against its row."""
    name = path.rpartition(".")[2]
    values = dimension.choices if isinstance(dimension, Categorical) else (dimension.low, dimension.high)
    for value in values:
        yield from (problem for problem in _row_problems({name: value}, model) if problem.path == path)


def _fixed_problems(fixed: Point, model: type[Params]) -> list[Problem]:
    prefix = f"{PARAMS}."
    return _row_problems({p.removeprefix(prefix): v for p, v in fixed.items() if p.startswith(prefix)}, model)


def _row_problems(values: dict[str, Scalar], model: type[Params]) -> list[Problem]:
    try:
        model(**values)
    except ValidationError as error:
        return [_problem(dict(item), model) for item in error.errors()]
    return []


def _problem(item: dict[str, Any], model: type[Params]) -> Problem:
    if not item["loc"]:
        return Problem(PARAMS, item["input"], "", reason_of(item))
    name = str(item["loc"][0])
    row = row_of(name, model.model_fields[name])
    return Problem(f"{PARAMS}.{name}", item["input"], row.allowed_with_unit, reason_of(item))


def reason_of(item: Mapping[str, Any]) -> str:
    """Why Pydantic refused a value, without its own prefix."""
    return str(item["msg"]).removeprefix("Value error, ")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
