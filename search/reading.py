"""Reads the space that a campaign's settings describe: what is searched, and what is fixed."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from campaign.core.trials import Point
from campaign.schema.model import Campaign, ClusterSettings
from campaign.schema.searchable import Choices, Range
from campaign.schema.settings import (
    Scalar,
    allowed_of,
    choices_of,
    conditions_of,
    row_of,
    sampling_of,
)
from schedulers.parameters import Params, WrongParameter
from search.space import (
    ARMS,
    MAX_NODES,
    NODES,
    PARAMS,
    SCHEDULER,
    Categorical,
    Condition,
    Dimension,
    Integer,
    Problem,
    Real,
    Space,
    SpaceError,
    is_number,
)


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
    arms = _arms(campaign, models, found.problems)
    for arm in arms:
        for name, value in _ordered(arm):
            path = f"{arm.prefix}.{name}"
            field = arm.model.field_of(name)
            if field is None:
                why = f"{arm.scheduler} has no such parameter"
                found.problems.append(Problem(path, value, _instead_of(name, arm), why))
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
    conditions = {
        path: met for arm in arms for path, met in _conditions(arm) if path in found.dimensions
    }
    return Space(found.dimensions, found.fixed, names, conditions)


def _instead_of(name: str, arm: _Arm) -> str:
    """Return the parameters that somebody who wrote `name` may have meant; all, if none is near."""
    known = [*arm.model.model_fields, *(f"{prefix}NAME" for prefix in arm.model.open)]
    # However it is written: a scheduler's own names have capitals, and people forget them.
    written = {one.casefold(): one for one in known}
    close = difflib.get_close_matches(name.casefold(), written, n=3, cutoff=0.7)
    if close:
        return f"perhaps {' or '.join(written[one] for one in close)}"
    return f"one of {', '.join(known)}"


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


def _ordered(arm: _Arm) -> list[tuple[str, Any]]:
    """Return the arm's values, those first on which others depend."""
    deciding = {name for field in arm.model.model_fields.values() for name in conditions_of(field)}
    return sorted(arm.values.items(), key=lambda item: item[0] not in deciding)


def _conditions(arm: _Arm) -> Iterator[tuple[str, tuple[Condition, ...]]]:
    """Yield the conditions of the arm's parameters that have some, by dotted setting."""
    fields = arm.model.model_fields
    for name, declared in fields.items():
        if met := conditions_of(declared):
            yield (
                f"{arm.prefix}.{name}",
                tuple(
                    Condition(f"{arm.prefix}.{other}", values, fields[other].default)
                    for other, values in met.items()
                ),
            )


def _dimension(path: str, value: Any, field: FieldInfo) -> Dimension | None:
    """Return the dimension that `value` spans, or None where it fixes the setting."""
    if isinstance(value, Choices):
        _check_nodes(path, value.choices)
        return Categorical(tuple(value.choices))
    if isinstance(value, list):
        if choices_of(field) or field.annotation is str:
            return Categorical(tuple(value))
        if len(value) != 2 or not all(is_number(end) for end in value):
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
