"""The study: seeds, resumes in mid-search and in mid-batch, constraints, failures."""

import json

import optuna
import pytest

from campaign.schema.search import Bound, SamplerSettings
from search.opening import Opening
from search.space import Categorical, Condition, Integer, Real, Space
from search.study import Study, Suggestion, distribution, seed_for, violations

SPACE = Space(
    {
        "cluster.nodes": Integer(1, 16),
        "scheduler.params.interval": Integer(1, 1000, log=True),
        "scheduler.params.factor": Real(0.0, 1.0),
        "scheduler.params.kind": Categorical(("a", "b", True)),
    },
    {},
)
ACROSS = Space(
    {
        "scheduler.name": Categorical(("one", "other")),
        "cluster.nodes": Integer(1, 16),
        "scheduler.arms.one.interval": Integer(1, 1000, log=True),
        "scheduler.arms.one.kind": Categorical(("a", "b")),
        "scheduler.arms.other.depth": Integer(1, 99),
        "scheduler.arms.other.factor": Real(0.0, 1.0),
    },
    {},
    ("one", "other"),
)
OBJECTIVES = {"time": "minimize", "use": "maximize"}
LIMIT = {"cost": Bound(max=9.0)}
SAMPLERS = ["ehvi", "tpe", "nsga2", "random", "qmc"]
BATCH = 3
BATCHES = 9


HERE = {
    "cluster.nodes": 16,
    "scheduler.params.interval": 30,
    "scheduler.params.factor": 0.25,
    "scheduler.params.kind": True,
}
THERE = {
    "scheduler.name": "other",
    "cluster.nodes": 16,
    "scheduler.arms.other.depth": 10,
    "scheduler.arms.other.factor": 0.25,
}


def study_of(sampler, constraints=None, seed=1, space=SPACE, **options):
    return Study(
        space,
        OBJECTIVES,
        constraints or {},
        SamplerSettings(name=sampler, startup_trials=4, population=4),
        seed,
        **options,
    )


def metrics_of(point):
    at = {path.rpartition(".")[2]: value for path, value in point.items()}
    time = (
        100 / at.get("nodes", 1)
        + at.get("interval", at.get("depth", 0)) / 50
        + (at.get("kind") == "a")
    )
    return {
        "time": time,
        "use": 1 / at.get("nodes", 1) + at.get("factor", 0.3),
        "cost": float(at.get("nodes", 1)),
    }


def tell(study, suggestion):
    """Every fourth trial fails, every seventh stalls."""
    if suggestion.number % 4 == 3:
        study.fail(suggestion.number)
    elif suggestion.number % 7 == 6:
        study.stall(suggestion.number)
    else:
        study.tell(suggestion.number, metrics_of(suggestion.point))


def ask_all(study, upto, told=()):
    """Ask for whole batches up to trial `upto`, going on after the suggestions in `told`."""
    suggestions = list(told)
    while len(suggestions) < upto:
        begun = len(suggestions) - len(suggestions) % BATCH
        suggestions += [study.ask() for _ in range(begun + BATCH - len(suggestions))]
        for suggestion in suggestions[begun:]:
            tell(study, suggestion)
    return suggestions


def as_kept(suggestion):
    """A suggestion as it comes back from the ledger's JSON."""
    return Suggestion(
        suggestion.number, *json.loads(json.dumps([suggestion.point, suggestion.attrs]))
    )


@pytest.mark.parametrize("space", [SPACE, ACROSS], ids=["one scheduler", "several"])
@pytest.mark.parametrize("constraints", [{}, LIMIT], ids=["free", "constrained"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_restored_study_goes_on_with_the_same_suggestions(sampler, constraints, space):
    whole = ask_all(study_of(sampler, constraints, space=space), BATCH * BATCHES)
    for cut in (1, 2, 3, 5, 6, 11, 13, 14, 18, 20, 25):
        resumed = study_of(sampler, constraints, space=space)
        kept = [as_kept(suggestion) for suggestion in whole[:cut]]
        for suggestion in kept:
            resumed.restore(suggestion)
        for suggestion in kept[: cut - cut % BATCH]:
            tell(resumed, suggestion)
        assert ask_all(resumed, len(whole), kept)[cut:] == whole[cut:], cut


@pytest.mark.parametrize(("space", "first"), [(SPACE, HERE), (ACROSS, THERE)])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_given_point_comes_first_and_a_resume_does_not_ask_for_it_again(sampler, space, first):
    def study():
        return study_of(sampler, space=space, opening=Opening(first), distinct=True)

    whole = ask_all(study(), BATCH * BATCHES)
    assert (whole[0].point, whole[0].origin) == (first, "baseline")
    assert [s.point for s in whole].count(first) == 1
    assert {s.origin for s in whole[1:]} == {"sampler"}
    for cut in (1, 2, 3, 14):
        resumed = study()
        kept = [as_kept(suggestion) for suggestion in whole[:cut]]
        for suggestion in kept:
            resumed.restore(suggestion)
        for suggestion in kept[: cut - cut % BATCH]:
            tell(resumed, suggestion)
        assert ask_all(resumed, len(whole), kept)[cut:] == whole[cut:], cut


def test_a_given_point_is_told_like_any_other():
    study = study_of("tpe", opening=Opening(HERE))
    tell(study, study.ask())
    assert study._study.trials[0].params == HERE
    assert study._study.trials[0].values == [metrics_of(HERE)[name] for name in OBJECTIVES]


def test_a_given_point_is_asked_for_again_where_the_earlier_trials_can_not_be_compared():
    study = study_of("random", opening=Opening(HERE))
    study.restore(Suggestion(0, HERE, {}), comparable=False)
    study.fail(0)
    again = study.ask()
    assert (again.number, again.point, again.origin) == (1, HERE, "baseline")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_seed_decides_the_suggestions(sampler):
    one, same, other = (ask_all(study_of(sampler, seed=seed), 12) for seed in (1, 1, 2))
    assert one == same
    assert [s.point for s in one] != [s.point for s in other]
    assert len({json.dumps(s.point) for s in one}) > 9


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_point_has_the_parameters_of_its_own_scheduler_and_no_others(sampler):
    points = [suggestion.point for suggestion in ask_all(study_of(sampler, space=ACROSS), 30)]
    for point in points:
        own = {
            path
            for path in ACROSS.dimensions
            if path.startswith(f"scheduler.arms.{point['scheduler.name']}.")
        }
        assert point.keys() == {"scheduler.name", "cluster.nodes", *own}
        assert ACROSS.params(point).keys() == {path.rpartition(".")[2] for path in own}
    assert {point["scheduler.name"] for point in points} == {"one", "other"}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_no_parameter_is_sampled_where_it_has_no_effect(sampler):
    kind, pace = "scheduler.params.kind", "scheduler.params.pace"
    dimensions = {kind: Categorical(("a", "b")), pace: Integer(1, 1000)}
    space = Space(dimensions, {}, ("one",), {pace: (Condition(kind, ("b",), "a"),)})
    study = study_of(sampler, space=space)
    points = [suggestion.point for suggestion in ask_all(study, 21)]
    assert {(point[kind], pace in point) for point in points} == {("a", False), ("b", True)}
    fixed = Space({pace: Integer(1, 1000)}, {kind: "a"}, ("one",), space.conditions)
    assert study_of(sampler, space=fixed).ask().point == {}


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_a_scheduler_under_which_everything_stalls_is_avoided(sampler):
    study = study_of(sampler, space=ACROSS)
    chosen = []
    for _ in range(80):
        suggestion = study.ask()
        chosen.append(suggestion.point["scheduler.name"])
        if chosen[-1] == "other":
            study.stall(suggestion.number)
        else:
            study.tell(suggestion.number, metrics_of(suggestion.point))
    assert chosen[40:].count("other") < 12 <= chosen.count("other")
    assert all(trial.params["scheduler.name"] == "one" for trial in study._study.best_trials)


def test_a_stalled_trial_is_worst_and_never_the_best():
    study = study_of("random")
    first, second, third = (study.ask().number for _ in range(3))
    study.stall(first)
    study.tell(second, {"time": 5.0, "use": 0.5})
    study.stall(third)
    assert study._study.trials[third].values == [5.0, 0.5]
    assert [trial.number for trial in study._study.best_trials] == [second]


def test_seeds_of_trials_are_fixed_for_good():
    assert (seed_for(1, 0), seed_for(1, 1)) == (2791857979, 3602223452)
    assert len({seed_for(seed, number) for seed in range(10) for number in range(100)}) == 1000


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_a_constrained_study_keeps_out_of_the_infeasible_region(sampler):
    def infeasible(constraints):
        late = ask_all(study_of(sampler, constraints), 60)[30:]
        return sum(s.point["cluster.nodes"] > 3 for s in late)

    assert infeasible({"cost": Bound(max=3.0)}) < 0.7 * infeasible({})


def test_optuna_judges_feasibility_as_we_do():
    study = study_of("random", LIMIT)
    suggestions = ask_all(study, 24)
    best = {trial.number for trial in study._study.best_trials}
    feasible = {s.number for s in suggestions if s.point["cluster.nodes"] <= 9}
    assert best and best <= feasible


def test_a_missing_objective_is_an_error_and_the_trial_can_still_fail():
    study = study_of("tpe")
    number = study.ask().number
    with pytest.raises(KeyError, match="use"):
        study.tell(number, {"time": 1.0})
    study.fail(number)
    assert study._study.trials[number].state == optuna.trial.TrialState.FAIL


def test_directions_are_the_objectives_own():
    study = study_of("random")
    good = study.ask()
    bad = study.ask()
    study.tell(good.number, {"time": 1.0, "use": 2.0})
    study.tell(bad.number, {"time": 2.0, "use": 1.0})
    assert [trial.number for trial in study._study.best_trials] == [good.number]


def test_points_of_one_batch_differ():
    study = study_of("tpe")
    ask_all(study, 12)
    points = [json.dumps(study.ask().point) for _ in range(6)]
    assert len(set(points)) == len(points)


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({"cost": 8.0}, {"cost.max": -2.0, "cost.min": -3.0}),
        ({"cost": 12.0}, {"cost.max": 2.0, "cost.min": -7.0}),
        ({}, {"cost.max": float("inf"), "cost.min": float("inf")}),
    ],
)
def test_violations_have_a_sign_and_the_metrics_unit(metrics, expected):
    assert violations(metrics, {"cost": Bound(max=10.0, min=5.0)}) == expected


def test_a_trial_without_its_constrained_metric_is_infeasible():
    study = study_of("tpe", LIMIT)
    number = study.ask().number
    study.tell(number, {"time": 0.0, "use": 9.0})
    assert study._study.best_trials == []


def test_an_integer_range_ends_on_a_step():
    assert distribution(Integer(1, 10, step=4)).high == 9
    assert distribution(Integer(0, 8, step=4)).high == 8
    assert distribution(Integer(1, 1000, log=True)).log
    assert distribution(Categorical(("x", 1))).choices == ("x", 1)
    assert distribution(Real(0.5, 2.0, log=True)).log
