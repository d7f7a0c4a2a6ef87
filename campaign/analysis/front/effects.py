"""What one setting does by itself: trials that differ from a chosen one in a single setting."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from campaign.core.trials import Point, TrialRecord
from campaign.schema.model import Direction
from campaign.schema.settings import Scalar
from search.space import Categorical, Dimension, Integer, Real, Space

STEP = 0.1
"""How far from the chosen value a neighbour is, as a share of the setting's range."""


@dataclass(frozen=True)
class SettingEffect:
    """What a setting does at the chosen point: its value there, another one, and the changes.

    `trial` is the one with the other value; `percent` says by how much each objective is higher
    there, of the chosen point's value. An objective that is 0 at the chosen point has no entry.
    """

    setting: str
    chosen: Scalar
    value: Scalar
    trial: int
    percent: Mapping[str, float]


def setting_effects(
    chosen: TrialRecord, records: Iterable[TrialRecord], objectives: Mapping[str, Direction]
) -> list[SettingEffect]:
    """Return the effects of single settings around the `chosen` trial, by setting and value.

    They come from valid trials whose points have the same settings as the chosen one and differ in
    the value of one; of several trials of a point, the first counts.
    """
    found: dict[tuple[str, str], SettingEffect] = {}
    for record in records:
        setting = _only_difference(chosen.point, record.point)
        if record.valid and setting is not None:
            effect = _effect(chosen, record, setting, objectives)
            found.setdefault((setting, repr(effect.value)), effect)
    return sorted(found.values(), key=_order)


def neighbours(space: Space, point: Point) -> list[Point]:
    """Return the points beside `point` that differ from it in one setting, for such effects.

    A choice has one for each other choice. A number has one on either side, a tenth of its range
    away (of the range's logarithm where it is searched so), or at the end of the range where that
    is nearer. What decides which other settings exist has none: more than itself would change.
    """
    return [
        {**point, path: value}
        for path in space.existing(point)
        if path not in space.deciding
        for value in _beside(space.dimensions[path], point[path])
    ]


def _only_difference(one: Point, other: Point) -> str | None:
    if one.keys() != other.keys():
        return None
    differing = [name for name, value in one.items() if other[name] != value]
    return differing[0] if len(differing) == 1 else None


def _effect(
    chosen: TrialRecord, record: TrialRecord, setting: str, objectives: Mapping[str, Direction]
) -> SettingEffect:
    percent = {
        name: 100 * (record.metrics[name] - chosen.metrics[name]) / abs(chosen.metrics[name])
        for name in objectives
        if chosen.metrics.get(name) and name in record.metrics
    }
    return SettingEffect(
        setting, chosen.point[setting], record.point[setting], record.number, percent
    )


def _order(effect: SettingEffect) -> tuple[str, bool, float, str]:
    number = effect.value if isinstance(effect.value, int | float) else math.inf
    return effect.setting, isinstance(effect.value, str), float(number), str(effect.value)


def _beside(dimension: Dimension, value: Scalar) -> Iterator[Scalar]:
    if isinstance(dimension, Categorical):
        yield from (choice for choice in dimension.choices if choice != value)
        return
    for sign in (-1, 1):
        moved = _moved(dimension, float(value), sign)
        if moved != value:
            yield moved


def _moved(dimension: Integer | Real, value: float, sign: int) -> float:
    """Return the value a tenth of the range away from `value`, within the range."""
    low = float(dimension.low)
    high = float(dimension.high)
    if dimension.log:
        moved = value * math.pow(high / low, sign * STEP)
    else:
        moved = value + sign * STEP * (high - low)
    if isinstance(dimension, Real):
        return min(max(moved, low), high)
    # By one step of a whole number at least, and only to where the range's steps are.
    steps = max(1, round(abs(moved - value) / dimension.step))
    most = (dimension.high - dimension.low) // dimension.step
    place = (int(value) - dimension.low) // dimension.step + sign * steps
    return dimension.low + dimension.step * min(max(place, 0), most)
