"""The points that a campaign begins with: its baseline, those of `search.first`, each arm's."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from campaign.config.baseline import baseline_of, baseline_problems
from campaign.core.trials import Point
from campaign.schema.search import SearchSettings
from campaign.schema.settings import Scalar
from schedulers.base import Params
from schedulers.interface import Scheduler
from search.opening import Opening
from search.space import (
    ARMS,
    NODES,
    PARAMS,
    SCHEDULER,
    Problem,
    Space,
    dimension_text,
    holds,
)

FIRST = "search.first"
Schedulers = Mapping[str, Scheduler[Params]]


class _Named(NamedTuple):
    """The settings of a point by dotted name, and what is wrong with the names and values."""

    settings: dict[str, Scalar]
    problems: tuple[Problem, ...]


def opening_of(space: Space, schedulers: Schedulers, search: SearchSettings) -> Opening:
    """Return what a campaign tries before its sampler chooses freely.

    What an entry of `search.first` doesn't have is as in the baseline, and so is what schedulers
    share in the defaults of each.
    """

    def point(given: Mapping[str, Scalar]) -> Point:
        return baseline_of(space, schedulers, {**search.baseline, **given}).point

    arms = space.schedulers if space.has_arms else ()
    return Opening(
        point({}),
        tuple(point(_named(space, search, number).settings) for number in range(len(search.first))),
        {name: point({SCHEDULER: name}) for name in arms},
        search.arm_trials,
    )


def opening_problems(
    space: Space, schedulers: Schedulers, search: SearchSettings
) -> Iterator[Problem]:
    """Yield the settings of the baseline and of `search.first` that no trial could have."""
    wrong = list(baseline_problems(space, search.baseline))
    yield from wrong
    for number in range(len(search.first)):
        named = _named(space, search, number)
        yield from named.problems
        if not wrong and not named.problems:
            given = {**search.baseline, **named.settings}
            point = baseline_of(space, schedulers, given).point
            for path, value in named.settings.items():
                if path not in point:
                    why = "it has no effect beside the point's other settings"
                    yield Problem(f"{FIRST}.{number}.{path}", value, "leave it out", why)


def _named(space: Space, search: SearchSettings, number: int) -> _Named:
    """Return the settings of an entry of `search.first`, without those that every trial has."""
    entry = search.first[number]
    chosen = next(
        (entry[name] for name in (SCHEDULER, *_names_of(SCHEDULER)) if name in entry),
        search.baseline.get(SCHEDULER),
    )
    scheduler = space.scheduler({} if chosen is None else {SCHEDULER: chosen})
    settings: dict[str, Scalar] = {}
    problems = []
    for name, value in entry.items():
        found = _meant(space, scheduler, name)
        path = found[0] if len(found) == 1 else ""
        if path in space.fixed and space.fixed[path] == value:
            continue  # every trial has it
        problem = _problem(space, scheduler, name, value)
        if not problem and path in settings:
            problem = ("each setting once", f"it stands here a second time, as {path}")
        if problem:
            problems.append(Problem(f"{FIRST}.{number}.{name}", value, *problem))
        else:
            settings[path] = value
    return _Named(settings, tuple(problems))


def _problem(space: Space, scheduler: str, name: str, value: Scalar) -> tuple[str, str] | None:
    """Return what is allowed instead of a setting of a point, and why it isn't; None if it is."""
    found = _meant(space, scheduler, name)
    if len(found) > 1:
        return f"one of {', '.join(found)}", "several settings have this name"
    if not found:
        searched = ", ".join(space.dimensions) or "none: nothing is searched"
        others = [one for one in space.schedulers if _meant(space, one, name)]
        if space.has_arms and others:
            why = f"the point's scheduler is {scheduler}"
            return f"settings of {scheduler}, or {SCHEDULER}={others[0]} beside it", why
        return searched, "this setting isn't searched"
    path = found[0]
    if path in space.fixed:
        return str(space.fixed[path]), "every trial has another value"
    if not holds(space.dimensions[path], value):
        return dimension_text(space.dimensions[path]), "no trial could have this value"
    return None


def _meant(space: Space, scheduler: str, name: str) -> list[str]:
    """Return the settings that `name` may mean at points of a scheduler: itself, or as a short."""
    prefix = f"{ARMS}.{scheduler}."
    here = [
        path
        for path in (*space.dimensions, *space.fixed)
        if not path.startswith(f"{ARMS}.") or path.startswith(prefix)
    ]
    return [name] if name in here else [path for path in here if name in _names_of(path)]


def _names_of(path: str) -> tuple[str, ...]:
    """Return the short names of a setting."""
    if path == SCHEDULER:
        return ("scheduler",)
    if path == NODES:
        return ("nodes",)
    if path.startswith(f"{PARAMS}."):
        return (path.removeprefix(f"{PARAMS}."),)
    arm, _, name = path.removeprefix(f"{ARMS}.").partition(".")
    return (name, f"{arm}.{name}") if path.startswith(f"{ARMS}.") else ()
