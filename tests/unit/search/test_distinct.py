"""A search that repeats no point: sizes of spaces, and what takes the place of a repetition."""

import math

import pytest

from campaign.schema.search import SamplerSettings
from search.distinct import another, choices_left, key_of, points_of, size_of
from search.space import Categorical, Condition, Integer, Real, Space
from search.study import Study

SMALL = Space(
    {
        "cluster.nodes": Categorical((2, 4)),
        "scheduler.params.kind": Categorical(("a", "b")),
    },
    {},
    ("one",),
)
ARMS = Space(
    {
        "scheduler.name": Categorical(("one", "other")),
        "cluster.nodes": Integer(1, 2),
        "scheduler.arms.one.kind": Categorical(("a", "b", "c")),
        "scheduler.arms.other.depth": Integer(10, 14, step=4),
    },
    {},
    ("one", "other"),
)
KIND = "scheduler.params.kind"
DEEP = Space(
    {
        KIND: Categorical(("flat", "deep")),
        "scheduler.params.more": Categorical((False, True)),
        "cluster.nodes": Integer(1, 2),
        "scheduler.params.depth": Integer(1, 3),
        "scheduler.params.deeper": Integer(1, 2),
    },
    {},
    ("one",),
    {
        "scheduler.params.more": (Condition(KIND, ("deep",), "flat"),),
        "scheduler.params.depth": (Condition(KIND, ("deep",), "flat"),),
        "scheduler.params.deeper": (
            Condition(KIND, ("deep",), "flat"),
            Condition("scheduler.params.more", (True,), False),
        ),
    },
)
"""Two points are flat; of the deep ones, six have no more, and twelve have."""
LATE = Space(
    {
        "cluster.nodes": Categorical((2, 4)),
        KIND: Categorical(("flat", "deep")),
        "scheduler.params.depth": Integer(1, 3),
    },
    {},
    ("one",),
    {"scheduler.params.depth": (Condition(KIND, ("deep",), "flat"),)},
)
"""What decides comes after something that doesn't."""
OBJECTIVES = {"time": "minimize", "use": "maximize"}
SAMPLERS = ["ehvi", "tpe", "nsga2", "random", "qmc"]


def study_of(sampler, space, *, distinct=True):
    settings = SamplerSettings(name=sampler, startup_trials=2, population=2)
    return Study(space, OBJECTIVES, {}, settings, 1, distinct=distinct)


def told(study, suggestion):
    study.tell(suggestion.number, {"time": float(len(str(suggestion.point))), "use": 1.0})
    return suggestion


@pytest.mark.parametrize(
    ("space", "size"),
    [
        (SMALL, 4),
        (ARMS, 2 * 3 + 2 * 2),
        (DEEP, 2 + 6 + 12),
        (Space({}, {}, ("one",)), 1),
        (Space({"x": Integer(1, 10, step=4)}, {}, ("one",)), 3),
        (Space({"x": Real(1.0, 1.0), "y": Categorical((1, True))}, {}, ("one",)), 2),
        (Space({"x": Real(0.0, 1.0), "y": Categorical((1, 2))}, {}, ("one",)), math.inf),
    ],
)
def test_the_size_of_a_space(space, size):
    assert size_of(space) == size


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("space", [SMALL, ARMS, DEEP, LATE])
def test_each_point_is_suggested_once(sampler, space):
    study = study_of(sampler, space)
    size = int(size_of(space))
    suggestions = [told(study, study.ask()) for _ in range(size)]
    assert len({key_of(one.point) for one in suggestions}) == size
    for one in suggestions:
        assert set(one.point) == {
            path for path in space.dimensions if space.exists(path, one.point)
        }


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_without_repetitions_a_search_is_what_it_was(sampler):
    space = Space({"cluster.nodes": Integer(1, 1024), "scheduler.params.x": Real(0, 1)}, {}, ("a",))
    one = study_of(sampler, space)
    other = study_of(sampler, space, distinct=False)
    assert [told(one, one.ask()) for _ in range(9)] == [told(other, other.ask()) for _ in range(9)]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("begun", [1, 4, 7])
def test_a_resumed_search_goes_on_with_the_same_points(sampler, begun):
    study = study_of(sampler, ARMS)
    whole = [told(study, study.ask()) for _ in range(10)]
    again = study_of(sampler, ARMS)
    for suggestion in whole[:begun]:
        again.restore(suggestion)
        told(again, suggestion)
    assert [told(again, again.ask()) for _ in range(10 - begun)] == whole[begun:]


def test_a_point_that_was_of_another_group_may_come_again():
    study = study_of("random", Space({"cluster.nodes": Categorical((2, 4))}, {}, ("one",)))
    first = told(study, study.ask())
    for comparable in (True, False):
        again = study_of("random", Space({"cluster.nodes": Categorical((2, 4))}, {}, ("one",)))
        again.restore(first, comparable=comparable)
        told(again, first)
        points = [told(again, again.ask()).point for _ in range(1 if comparable else 2)]
        assert (first.point in points) is not comparable


def test_what_is_left_is_found_however_little_it_is():
    dimension = Integer(1, 1000)
    space = Space({"cluster.nodes": dimension}, {}, ("one",))
    asked = {key_of({"cluster.nodes": n}) for n in range(1, 1001) if n != 777}
    assert another(space, {"cluster.nodes": 1}, asked, 1) == {"cluster.nodes": 777}
    asked.add(key_of({"cluster.nodes": 777}))
    assert another(space, {"cluster.nodes": 1}, asked, 1) == {"cluster.nodes": 1}


def test_schedulers_with_points_left():
    point = {"scheduler.name": "other", "cluster.nodes": 1, "scheduler.arms.other.depth": 10}
    every = [
        {**point, "cluster.nodes": nodes, "scheduler.arms.other.depth": depth}
        for nodes in (1, 2)
        for depth in (10, 14)
    ]
    left = [
        choices_left(ARMS, "scheduler.name", {}, {key_of(one) for one in every[:count]})
        for count in (3, 4)
    ]
    assert left == [["one", "other"], ["one"]]


@pytest.mark.parametrize("space", [SMALL, ARMS, DEEP, Space({}, {})])
def test_all_points_of_a_space_are_those_that_are_counted(space):
    points = list(points_of(space))
    assert len(points) == len({key_of(one) for one in points}) == size_of(space)
    assert all(space.misfit(one) == "" for one in points)
