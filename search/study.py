"""The Optuna study of a campaign: the driver asks and tells it, and rebuilds it at a resume.

The study lives in memory; the ledger is its only record. Every suggestion is drawn with a seed of
its own, derived from the campaign's seed and the trial's number. Whatever a sampler notes on a
trial is handed out with the suggestion and taken back at a restore. So an interrupted search goes
on with the suggestions that it would have made.

Trials are put back and settled in Optuna's storage, below its `Study`: `Study.add_trial` and
`Study.tell` copy trial and distributions each time, and a resume puts back thousands of trials.
Optuna doesn't promise the storage's methods from version to version, so they are used in this file
only, and its tests hold them against the version that is installed.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import StudyDirection
from optuna.trial import Trial, TrialState

from campaign.core.trials import Origin, Point
from campaign.schema.model import Direction
from campaign.schema.search import Bound, SamplerSettings
from campaign.schema.settings import Scalar
from search.asked import AskedPoints
from search.constraints import limits
from search.distinct import another, choices_left
from search.ladder import Ladder
from search.model_based import ModelBased
from search.opening import Given, Opening
from search.samplers import Place, make_sampler
from search.space import Categorical, Dimension, Integer, Space

CONSTRAINT_ATTR = "constraints"
"""The trial attribute in which samplers look for constraints; the name is Optuna's."""
_STALLED = f"{CONSTRAINT_ATTR}:stalled"

# Optuna would print a line of its own for each trial.
optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class Suggestion:
    """A point to evaluate; `attrs` are the sampler's notes: JSON values that belong to it.

    `origin` tells who chose it.
    """

    number: int
    point: Point
    attrs: dict[str, Any]
    origin: Origin = "sampler"


class Study:
    """Suggests points and is told their results; trial numbers count from 0 without gaps.

    Those of the `opening` are suggested before any other, unless they were asked for already; then
    come those that the `ladder` promotes, if there is one, and those that a model chooses, if the
    sampler has one.
    With `distinct`, no point is suggested twice while others are left: where the sampler wants one
    again, a random other point takes its place.
    """

    def __init__(
        self,
        space: Space,
        objectives: Mapping[str, Direction],
        constraints: Mapping[str, Bound],
        sampler: SamplerSettings,
        seed: int,
        *,
        opening: Opening | None = None,
        ladder: Ladder | None = None,
        distinct: bool = False,
    ) -> None:
        self._space = space
        self._opening = opening or Opening()
        self._ladder = ladder
        self._distinct = distinct
        self._asked = AskedPoints(space, distinct=distinct)
        self._distributions = {path: distribution(d) for path, d in space.dimensions.items()}
        self._objectives = tuple(objectives)
        self._constraints = dict(constraints)
        self._baseline: Mapping[str, float] | None = None
        self._stalled: set[int] = set()
        self._sampler = sampler
        self._model = (
            ModelBased(space, self._distributions, objectives, constraints, sampler.startup_trials)
            if sampler.name == "ehvi"
            else None
        )
        self._seed = seed
        self._storage = optuna.storages.InMemoryStorage()
        directions = [objectives[name] for name in self._objectives]
        self._study = optuna.create_study(
            storage=self._storage, study_name="campaign", directions=directions
        )
        self._id = self._storage.get_study_id_from_name("campaign")

    def ask(self, taken: Point | None = None) -> Suggestion:
        """Return the next point. Its trial is running until `tell`, `fail` or `stall`.

        The point of a trial that was `taken` over is the next one as it is.
        """
        number = self._storage.get_n_trials(self._id)
        # A new sampler each time: what it draws must not depend on what an earlier one drew, since
        # a resumed search hasn't drawn that.
        self._study.sampler = make_sampler(
            self._sampler,
            seed_for(self._seed, number),
            Place(number, self._seed, tuple(self._space.dimensions)),
            conditional=self._space.conditional,
        )
        given = Given(taken, "taken") if taken else self._given(number)
        if given is not None:
            # Optuna's next trial takes these values.
            self._study.enqueue_trial(dict(given.point))
        if self._space.conditional:
            trial = self._study.ask()
            point = self._drawn(trial, number)
        else:
            found = {path: self._distributions[path] for path in self._space.existing({})}
            trial = self._study.ask(found)
            point = cast(Point, dict(trial.params))
        # Samplers make their notes as they draw, which Optuna leaves out where all is given: such a
        # trial could be nobody's parent for NSGA-II.
        _ = trial.relative_params
        if self._distinct and point in self._asked:
            point = another(self._space, point, self._asked.keys, seed_for(self._seed, number))
            self._set_point(self._trial_id(number), point)
        self._asked.add(point)
        if self._model is not None:
            self._model.expect(number, point)
        attrs = dict(self._storage.get_trial_system_attrs(self._trial_id(number)))
        return Suggestion(number, point, attrs, given.origin if given else "sampler")

    def _given(self, number: int) -> Given | None:
        """Return the next trial's point where the sampler doesn't choose it freely."""
        opening = self._opening.next(self._asked)
        if opening is not None:
            return opening
        seed = seed_for(self._seed, number)
        promoted = self._ladder.next(self._asked, seed) if self._ladder else None
        if promoted is not None or self._model is None:
            return promoted
        chosen = self._model.next(self._asked, seed)
        return Given(chosen, "sampler") if chosen else None

    @property
    def opened(self) -> bool:
        """Whether the opening is over: the sampler chooses freely."""
        return self._opening.next(self._asked) is None

    def restore(self, suggestion: Suggestion, *, comparable: bool = True) -> None:
        """Put back a trial that was asked for before a resume.

        It is running until `tell`, `fail` or `stall`. Where it isn't `comparable` to those that
        follow, its point may be suggested once more.
        """
        trial = self._storage.create_new_trial(self._id)
        self._set_point(trial, suggestion.point)
        for name, note in suggestion.attrs.items():
            self._storage.set_trial_system_attr(trial, name, note)
        point = self._space.effective(suggestion.point)
        if comparable:
            self._asked.add(point)
        if self._model is not None:
            self._model.expect(suggestion.number, point)

    def tell(self, number: int, metrics: Mapping[str, float], *, baseline: bool = False) -> None:
        """Tell the metrics of a valid trial; those of the `baseline` limit all that are told later.

        Raise KeyError for an objective that is missing: Optuna itself would fail the trial in
        silence.
        """
        if baseline:
            self._baseline = metrics
        if self._ladder is not None:
            self._ladder.tell(self._point(number), metrics, baseline=baseline)
        if self._model is not None:
            self._model.tell(number, metrics, baseline=baseline)
        found = self._finite(violations(metrics, self._constraints, self._baseline))
        # First, since Optuna takes no attribute of a finished trial.
        for name, violation in found.items():
            self._storage.set_trial_system_attr(
                self._trial_id(number), f"{CONSTRAINT_ATTR}:{name}", violation
            )
        self._settle(
            number, TrialState.COMPLETE, [float(metrics[name]) for name in self._objectives]
        )

    def fail(self, number: int) -> None:
        """Tell that a trial has no values."""
        self._drop(number)
        self._settle(number, TrialState.FAIL)

    def stall(self, number: int) -> None:
        """Tell that a trial's workload has stalled, which makes its point infeasible.

        Samplers need values all the same: they are told the worst so far.
        """
        self._drop(number)
        trials = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        # The values of stalled trials were made up from the others' and must not feed on
        # themselves.
        told = [trial.values for trial in trials if trial.number not in self._stalled]
        worst = {StudyDirection.MINIMIZE: max, StudyDirection.MAXIMIZE: min}
        values = [
            worst[direction]((each[index] for each in told), default=0.0)
            for index, direction in enumerate(self._study.directions)
        ]
        for name in self._violated_by_stall():
            self._storage.set_trial_system_attr(self._trial_id(number), name, 1.0)
        self._stalled.add(number)
        self._settle(number, TrialState.COMPLETE, values)

    def _drop(self, number: int) -> None:
        if self._ladder is not None:
            self._ladder.drop(self._point(number))
        if self._model is not None:
            self._model.drop(number)

    def _violated_by_stall(self) -> list[str]:
        """Return the attributes of the constraints that a stalled trial violates."""
        if self._sampler.name != "gp":
            return [_STALLED]
        # GP models each constraint over all trials, so that no trial may have one of its own.
        own = violations({}, self._constraints, self._baseline)
        return [f"{CONSTRAINT_ATTR}:{name}" for name in own]

    def _finite(self, found: dict[str, float]) -> dict[str, float]:
        """Return violations as the sampler can take them: GP takes none without limit."""
        if self._sampler.name != "gp":
            return found
        return {name: value if math.isfinite(value) else 1.0 for name, value in found.items()}

    def _settle(self, number: int, state: TrialState, values: list[float] | None = None) -> None:
        # As Optuna's own `Study.tell` does, without its copies of the trial.
        self._storage.set_trial_state_values(self._trial_id(number), state, values)

    def _drawn(self, trial: Trial, number: int) -> Point:
        """Draw a point of a conditional space."""
        point: Point = {}
        # Those dimensions come first that decide which of the others exist.
        for path, dimension in self._space.dimensions.items():
            if not self._space.exists(path, point):
                continue
            if isinstance(dimension, Categorical):
                chosen = trial.suggest_categorical(path, dimension.choices)
                point[path] = cast(Scalar, chosen)
            elif isinstance(dimension, Integer):
                found = cast(IntDistribution, self._distributions[path])
                point[path] = trial.suggest_int(
                    path, found.low, found.high, log=found.log, step=found.step
                )
            else:
                point[path] = trial.suggest_float(
                    path, dimension.low, dimension.high, log=dimension.log
                )
            if path in self._space.deciding and self._distinct:
                point[path] = self._with_points_left(path, point, number)
        return point

    def _with_points_left(self, path: str, point: Point, number: int) -> Scalar:
        """Return what `point` has at `path`, or a choice that leads to points not asked for yet."""
        before = {name: value for name, value in point.items() if name != path}
        left = choices_left(self._space, path, before, self._asked.keys)
        if point[path] in left or not left:
            return point[path]
        # Now, since a trial of Optuna's can't lose the parameters that exist with a choice again.
        other = left[seed_for(self._seed, number) % len(left)]
        self._set_point(self._trial_id(number), {path: other})
        return other

    def _set_point(self, trial: int, point: Point) -> None:
        """Set the parameters of a trial, given by its number in the storage."""
        for path, value in point.items():
            known = self._distributions[path]
            self._storage.set_trial_param(trial, path, known.to_internal_repr(value), known)

    def _point(self, number: int) -> Point:
        return cast(Point, dict(self._storage.get_trial(self._trial_id(number)).params))

    def _trial_id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, number)


def seed_for(campaign_seed: int, number: int) -> int:
    """Return the sampler's seed for one trial.

    It is 32 bits of SHA-256 over the campaign's seed and the trial's number.
    """
    return int.from_bytes(hashlib.sha256(f"{campaign_seed}:{number}".encode()).digest()[:4])


def violations(
    metrics: Mapping[str, float],
    constraints: Mapping[str, Bound],
    baseline: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Return by how much each constraint is violated, in the metric's unit; 0 or less is kept.

    A metric without a value violates its constraints without limit, and so does every metric where
    a constraint is by a `baseline` that has no value.
    """
    found: dict[str, float] = {}
    for limit in limits(constraints, baseline):
        name = f"{limit.metric}.{limit.kind}"
        violation = limit.violation(metrics)
        found[name] = max(violation, found.get(name, violation))
    return found


def distribution(dimension: Dimension) -> BaseDistribution:
    """Return Optuna's distribution of a dimension."""
    if isinstance(dimension, Categorical):
        return CategoricalDistribution(dimension.choices)
    if isinstance(dimension, Integer):
        # Optuna's ranges end on a step.
        high = dimension.high - (dimension.high - dimension.low) % dimension.step
        return IntDistribution(dimension.low, high, log=dimension.log, step=dimension.step)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)
