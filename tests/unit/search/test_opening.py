"""What a search tries first: the baseline, points by name, each scheduler, also over a resume."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign.schema.search import SamplerSettings
from search.distinct import key_of, size_of
from search.opening import Opening
from search.space import Categorical, Condition, Integer, Real, Space
from search.study import Study, Suggestion

OBJECTIVES = {"time": "minimize", "use": "maximize"}
SAMPLERS = ["ehvi", "tpe", "nsga2", "random", "qmc"]
NAME = "scheduler.name"
KIND = "scheduler.arms.one.kind"
DEPTH = "scheduler.arms.one.depth"
FACTOR = "scheduler.arms.other.factor"
ARMS = Space(
    {
        NAME: Categorical(("one", "other", "third")),
        "cluster.nodes": Integer(1, 16),
        KIND: Categorical(("flat", "deep")),
        DEPTH: Integer(1, 9),
        FACTOR: Real(0.0, 1.0),
    },
    {},
    ("one", "other", "third"),
    {DEPTH: (Condition(KIND, ("deep",), "flat"),)},
)
DEFAULTS = {
    "one": {NAME: "one", "cluster.nodes": 16, KIND: "flat"},
    "other": {NAME: "other", "cluster.nodes": 16, FACTOR: 0.5},
    "third": {NAME: "third", "cluster.nodes": 16},
}
NAMED = (
    {NAME: "one", "cluster.nodes": 3, KIND: "deep", DEPTH: 4},
    {NAME: "other", "cluster.nodes": 5, FACTOR: 0.25},
)
OPENING = Opening(DEFAULTS["one"], NAMED, DEFAULTS, 2)
FINITE = Space(
    {NAME: Categorical(("one", "other")), "scheduler.arms.one.depth": Integer(1, 9)},
    {},
    ("one", "other"),
)
"""The second scheduler has a single point."""


def study_of(sampler, opening=OPENING, *, space=ARMS, distinct=True, seed=1):
    chosen = SamplerSettings(name=sampler, startup_trials=3, population=3)
    return Study(space, OBJECTIVES, {}, chosen, seed, opening=opening, distinct=distinct)


def tell(study, suggestion):
    """Every fifth trial fails, every seventh stalls."""
    if suggestion.number % 5 == 4:
        study.fail(suggestion.number)
    elif suggestion.number % 7 == 6:
        study.stall(suggestion.number)
    else:
        text = str(sorted(suggestion.point.items()))
        study.tell(suggestion.number, {"time": float(sum(map(ord, text)) % 97), "use": len(text)})


def searched(study, count, batch=1, told=()):
    """Ask for whole batches up to `count` trials, after those that were `told`."""
    found = list(told)
    while len(found) < count:
        begun = len(found) - len(found) % batch
        found += [study.ask() for _ in range(begun + batch - len(found))]
        for suggestion in found[begun:]:
            tell(study, suggestion)
    return found


@pytest.mark.parametrize("distinct", [True, False])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_baseline_comes_first_then_named_points_then_each_scheduler(sampler, distinct):
    found = searched(study_of(sampler, distinct=distinct), 12)
    assert [one.point for one in found[:3]] == [DEFAULTS["one"], *NAMED]
    assert [one.origin for one in found[:3]] == ["baseline", "first", "first"]
    # Whatever has been tried of a scheduler counts: the third has had nothing so far.
    assert found[3].point == DEFAULTS["third"]
    assert [one.point[NAME] for one in found[3:6]] == ["third", "other", "third"]
    assert found[4].point == DEFAULTS["other"]
    assert found[5].point.keys() == DEFAULTS["third"].keys()
    assert [one.origin for one in found[3:]] == ["arm"] * 3 + ["sampler"] * 6


def test_the_sampler_draws_what_an_arm_leaves_open():
    points = {
        key_of(
            searched(study_of("random", Opening(arms=DEFAULTS, arm_trials=2), seed=seed), 6)[
                5
            ].point
        )
        for seed in range(4)
    }
    assert len(points) > 1
    assert all((NAME, "'third'") in point for point in points)


def test_each_scheduler_is_tried_as_often_as_its_points_allow():
    defaults = {"one": {NAME: "one", "scheduler.arms.one.depth": 5}, "other": {NAME: "other"}}
    opening = Opening(defaults["one"], (), defaults, 3)
    found = searched(study_of("tpe", opening, space=FINITE), int(size_of(FINITE)))
    assert [one.point[NAME] for one in found[:4]] == ["one", "other", "one", "one"]
    assert len({key_of(one.point) for one in found}) == size_of(FINITE) == 10


def test_points_that_a_resume_adds_come_next():
    study = study_of("tpe", replace(OPENING, first=()))
    told = searched(study, 7)
    again = study_of("tpe")
    for suggestion in told:
        again.restore(suggestion)
        tell(again, suggestion)
    after = searched(again, 10, told=told)[7:]
    assert [one.point for one in after[:2]] == list(NAMED)
    assert [one.origin for one in after] == ["first", "first", "sampler"]


@settings(max_examples=40, deadline=None)
@given(
    sampler=st.sampled_from(SAMPLERS),
    named=st.integers(0, 2),
    arm_trials=st.integers(0, 3),
    batch=st.integers(1, 3),
    cut=st.integers(1, 17),
    distinct=st.booleans(),
    seed=st.integers(0, 99),
)
def test_a_restored_search_goes_on_as_if_it_had_not_ended(
    sampler, named, arm_trials, batch, cut, distinct, seed
):
    opening = Opening(DEFAULTS["one"], NAMED[:named], DEFAULTS, arm_trials)

    def study():
        return study_of(sampler, opening, distinct=distinct, seed=seed)

    whole = searched(study(), 18, batch)
    resumed = study()
    kept = [
        Suggestion(one.number, *json.loads(json.dumps([one.point, one.attrs])))
        for one in whole[:cut]
    ]
    for suggestion in kept:
        resumed.restore(suggestion)
    for suggestion in kept[: cut - cut % batch]:
        tell(resumed, suggestion)
    assert searched(resumed, len(whole), batch, kept)[cut:] == whole[cut:]


TAKEN = [{NAME: "third", "cluster.nodes": nodes} for nodes in range(1, 9)] + [DEFAULTS["one"]]


def taken_over(study, told=()):
    """Ask for what is taken over, after those that were `told`; then tell all."""
    found = [*told, *(study.ask(point) for point in TAKEN[len(told) :])]
    for suggestion in found:
        tell(study, suggestion)
    return found


@pytest.mark.parametrize("cut", [0, 1, 5, 9, 11])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_what_is_taken_over_counts_as_tried_also_over_a_resume(sampler, cut):
    study = study_of(sampler)
    whole = searched(study, 15, told=taken_over(study))
    assert [one.point for one in whole[:9]] == TAKEN
    assert {one.origin for one in whole[:9]} == {"taken"}
    # The baseline is there, and the third scheduler has been tried.
    assert [one.origin for one in whole[9:13]] == ["first", "first", "arm", "sampler"]
    again = study_of(sampler)
    kept = [replace(one) for one in whole[:cut]]
    for suggestion in kept:
        again.restore(suggestion)
    for suggestion in kept if cut > len(TAKEN) else ():
        tell(again, suggestion)
    told = kept if cut > len(TAKEN) else taken_over(again, kept)
    assert searched(again, 15, told=told) == whole


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_samplers_learn_from_what_is_taken_over(sampler):
    after = []
    for good in ("low", "high"):
        study = study_of(sampler, Opening())
        for suggestion in [study.ask(point) for point in TAKEN]:
            nodes = suggestion.point["cluster.nodes"]
            time = nodes if good == "low" else 99 - nodes
            study.tell(suggestion.number, {"time": float(time), "use": float(-time)})
        after.append([study.ask().point for _ in range(5)])
    assert after[0] != after[1]
