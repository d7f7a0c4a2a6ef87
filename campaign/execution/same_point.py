"""The point of a trial in another campaign's space: what was fixed there may be searched here."""

from collections.abc import Iterator

from campaign.config.baseline import NO_DEFAULT
from campaign.config.compose import Composed
from campaign.core.trials import Point
from campaign.schema.settings import Scalar
from campaign.tracking.of_campaign import parameters_of
from search.space import ARMS, NODES, PARAMS, SCHEDULER, Space, dimension_text, holds


class Translation:
    """Translates points of one campaign into points of another."""

    def __init__(self, source: Composed, target: Composed) -> None:
        self._source = source.space
        self._target = target.space
        self._there = parameters_of(source.schedulers, source.space)
        self._here = parameters_of(target.schedulers, target.space)

    def point(self, point: Point) -> Point | str:
        """Return what a point of the source is here, or why no trial here could have it."""
        name = self._source.scheduler(point)
        if name not in self._target.schedulers:
            return f"of {name}, which isn't searched here"
        there = self._values(point, name)
        without_effect = self._source.dimensions.keys() - point.keys()
        vain = {_common(path, self._source, name) for path in without_effect}
        fixed = {_common(path, self._target, name): value for path, value in self._fixed(name)}
        for path, value in fixed.items():
            if path not in vain and there.get(path) != value:
                return f"with another {path} than every trial has here"
        searched = {_common(path, self._target, name) for path in self._target.dimensions}
        if unknown := there.keys() - fixed.keys() - searched - {NODES, SCHEDULER}:
            return f"with {min(unknown)}, which isn't set here"
        return self._searched(there, name)

    def _searched(self, there: Point, name: str) -> Point | str:
        found: Point = {}
        for path, dimension in self._target.dimensions.items():
            if not self._target.exists(path, {SCHEDULER: name, **found}):
                continue
            found[path] = there.get(_common(path, self._target, name), NO_DEFAULT)
            if not holds(dimension, found[path]):
                return f"with {path} outside {dimension_text(dimension)}"
        return found

    def _values(self, point: Point, name: str) -> dict[str, Scalar]:
        """Return the settings of a trial that had an effect, by names that campaigns share."""
        space = self._source
        values = {**self._there, **space.fixed, **point}
        vain = space.dimensions.keys() - point.keys()
        found = {
            _common(path, space, name): value
            for path, value in values.items()
            if path not in vain and _concerns(path, name)
        }
        return {**found, NODES: space.nodes(point), SCHEDULER: name}

    def _fixed(self, name: str) -> Iterator[tuple[str, Scalar]]:
        """Yield the settings that every trial of a scheduler has here."""
        for path, value in {**self._here, **self._target.fixed}.items():
            if path not in self._target.dimensions and _concerns(path, name):
                yield path, value


def _concerns(path: str, scheduler: str) -> bool:
    return not path.startswith(f"{ARMS}.") or path.startswith(f"{ARMS}.{scheduler}.")


def _common(path: str, space: Space, scheduler: str) -> str:
    """Return a setting's name without that of its scheduler, which not all campaigns have."""
    arm = f"{ARMS}.{scheduler}."
    return f"{PARAMS}.{path.removeprefix(arm)}" if path.startswith(arm) else path
