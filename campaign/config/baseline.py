"""The point that a campaign is compared with: its scheduler's defaults, on the largest cluster."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from campaign.core.trials import Point
from campaign.schema.settings import Scalar, written
from schedulers.base import Params
from schedulers.interface import Scheduler
from search.space import (
    ARMS,
    NODES,
    PARAMS,
    SCHEDULER,
    Categorical,
    Dimension,
    Integer,
    Problem,
    Space,
    dimension_text,
    holds,
    is_number,
)

SETTING = "search.baseline"
NO_DEFAULT = "what there is without it"
"""The default of a parameter that people name by themselves, in words."""


class StandIn(NamedTuple):
    """The value that stands in the baseline for a setting's default, which isn't searched."""

    path: str
    value: Scalar
    default: Scalar


class Baseline(NamedTuple):
    """The point, the settings that it was given, and what stands in for which defaults."""

    point: Point
    given: Mapping[str, Scalar]
    instead: tuple[StandIn, ...]


def baseline_of(
    space: Space, schedulers: Mapping[str, Scheduler[Params]], given: Mapping[str, Scalar]
) -> Baseline:
    """Return the baseline of a campaign.

    A searched setting has the value that is `given`, else its default, else the value nearest to
    that. A number of nodes has no default that means anything: the largest cluster is what there
    is. Of several schedulers it is the first one, unless another is given.
    """
    point: Point = {}
    instead = []
    defaults = _defaults(space, schedulers)
    # The scheduler's dimension comes first: it says which of the others exist.
    for path, dimension in space.dimensions.items():
        if not space.exists(path, {SCHEDULER: space.schedulers[0], **given, **point}):
            continue
        if path in given:
            point[path] = given[path]
            continue
        default = defaults.get(path, NO_DEFAULT)
        point[path] = nearest(dimension, default)
        if point[path] != default:
            instead.append(StandIn(path, point[path], default))
    return Baseline(point, given, tuple(instead))


def baseline_problems(space: Space, given: Mapping[str, Scalar]) -> Iterator[Problem]:
    """Yield the settings of a baseline that no trial of the space could have."""
    chosen: Point = {SCHEDULER: given[SCHEDULER]} if SCHEDULER in given else {}
    for path, value in given.items():
        where = f"{SETTING}.{path}"
        if path in space.fixed and space.fixed[path] == value:
            continue  # every trial has it
        if path not in space.dimensions:
            searched = ", ".join(space.dimensions) or "none: nothing is searched"
            yield Problem(where, value, searched, "this setting isn't searched")
        elif not space.exists(path, chosen):
            why = f"the baseline's scheduler is {space.scheduler(chosen)}"
            yield Problem(where, value, f"settings of {space.scheduler(chosen)}", why)
        elif not holds(space.dimensions[path], value):
            allowed = dimension_text(space.dimensions[path])
            yield Problem(where, value, allowed, "no trial could have this value")


def in_words(baseline: Baseline, space: Space, schedulers: Mapping[str, Scheduler[Params]]) -> str:
    """Return what the baseline is, and in what it differs from the scheduler's defaults."""
    name = space.scheduler(baseline.point)
    defaults = _defaults(space, schedulers)
    parts = [
        f"{_short(one.path)} {written(one.value)} for {written(one.default)}, which isn't searched"
        for one in baseline.instead
    ]
    parts += [
        f"{_short(path)} {written(value)}, as {SETTING} says"
        for path, value in baseline.given.items()
        if path != NODES and value != defaults.get(path)
    ]
    parts += [
        f"{_short(path)} {written(value)}, as in every trial"
        for path, value in space.fixed.items()
        if path != NODES and space.exists(path, baseline.point) and value != defaults.get(path)
    ]
    but = f", but {'; '.join(parts)}" if parts else ""
    return f"the defaults of {name} on {space.nodes(baseline.point)} nodes{but}"


def nearest(dimension: Dimension, wanted: Scalar) -> Scalar:
    """Return the value of a dimension that is nearest to the one that is `wanted`.

    Where there is no telling, that is the first choice, or the lowest value.
    """
    if holds(dimension, wanted):
        return wanted
    if isinstance(dimension, Categorical):
        numbers = [choice for choice in dimension.choices if is_number(choice)]
        if not is_number(wanted) or not numbers:
            return dimension.choices[0]
        return min(numbers, key=lambda choice: abs(float(choice) - float(wanted)))
    if not is_number(wanted):
        return dimension.low
    within = min(max(float(wanted), dimension.low), dimension.high)
    if not isinstance(dimension, Integer):
        return within
    steps = (dimension.high - dimension.low) // dimension.step
    return dimension.low + min(steps, round((within - dimension.low) / dimension.step)) * (
        dimension.step
    )


def _defaults(space: Space, schedulers: Mapping[str, Scheduler[Params]]) -> dict[str, Scalar]:
    found: dict[str, Scalar] = {NODES: space.node_counts()[1], SCHEDULER: space.schedulers[0]}
    for name, scheduler in schedulers.items():
        prefix = f"{ARMS}.{name}" if space.has_arms else PARAMS
        for key, field in scheduler.Params.model_fields.items():
            found[f"{prefix}.{key}"] = field.default
    return found


def _short(path: str) -> str:
    return path.rpartition(".")[2] if path.startswith((f"{PARAMS}.", f"{ARMS}.")) else path
