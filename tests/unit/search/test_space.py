"""The search space: which settings open a dimension, which are fixed, and what a point means."""

from typing import Literal

import pytest

from campaign.config.compose import compose
from campaign.schema.settings import choices_of, conditions_of, tunable
from schedulers import registry
from schedulers.base import Params
from search.reading import space_of
from search.space import Categorical, Integer, Real, SpaceError


class Tunables(Params):
    """One of each kind."""

    depth: int = tunable(10, help="how deep", unit="jobs", ge=1, le=100)
    factor: float = tunable(0.5, help="how much", ge=0, le=1)
    scale: int = tunable(8, help="how far", ge=1, le=4096, log=True)
    stride: int = tunable(8, help="how wide", ge=0, le=64, step=8)
    kind: Literal["a", "b"] = tunable("a", help="which")
    flag: bool = tunable(False, help="whether")


class Depending(Params):
    """Some have an effect beside others only."""

    pace: int = tunable(3, help="how fast", ge=1, le=9, only={"kind": ("a", "c")})
    weight: int = tunable(0, help="how much", ge=0, le=9, only={"kind": ("a",), "heavy": (True,)})
    heavy: bool = tunable(False, help="whether")
    kind: Literal["a", "b", "c"] = tunable("a", help="which")


BASE = compose([]).campaign


def space(nodes=2, **params):
    """The space of the given cluster.nodes and scheduler parameters, as plain values."""
    values = BASE.model_dump(mode="json")
    values["cluster"]["nodes"] = nodes
    values["scheduler"]["params"] = params
    return space_of(type(BASE).model_validate(values), {"slurm": Tunables})


def problems(nodes=2, **params):
    with pytest.raises(SpaceError) as caught:
        space(nodes, **params)
    return caught.value.problems


@pytest.mark.parametrize(
    ("name", "value", "dimension"),
    [
        ("depth", [1, 100], Integer(1, 100)),
        ("depth", {"low": 1, "high": 100, "log": True}, Integer(1, 100, log=True)),
        ("depth", {"low": 1, "high": 100, "step": 5}, Integer(1, 100, step=5)),
        ("depth", {"choices": [3, 5]}, Categorical((3, 5))),
        ("factor", [0, 1], Real(0.0, 1.0)),
        ("factor", {"low": 0.1, "high": 1, "log": True}, Real(0.1, 1.0, log=True)),
        ("scale", [1, 4096], Integer(1, 4096, log=True)),
        ("scale", {"low": 1, "high": 9, "log": False}, Integer(1, 9)),
        ("stride", [0, 64], Integer(0, 64, step=8)),
        ("kind", ["a", "b"], Categorical(("a", "b"))),
        ("kind", {"choices": ["b"]}, Categorical(("b",))),
        ("flag", [True, False], Categorical((True, False))),
    ],
)
def test_a_searched_value_opens_a_dimension(name, value, dimension):
    assert space(**{name: value}).dimensions == {f"scheduler.params.{name}": dimension}


def test_a_fixed_value_opens_none():
    found = space(3, depth=7, kind="b")
    assert found.dimensions == {}
    assert found.fixed == {
        "cluster.nodes": 3,
        "scheduler.params.depth": 7,
        "scheduler.params.kind": "b",
    }


@pytest.mark.parametrize(
    ("nodes", "counts"),
    [(3, (3, 3)), ([2, 5], (2, 5)), ({"choices": [4, 1]}, (1, 4)), ({"low": 2, "high": 8}, (2, 8))],
)
def test_the_smallest_and_largest_cluster(nodes, counts):
    assert space(nodes).node_counts() == counts


def test_a_point_means_nodes_and_parameters_with_the_fixed_ones():
    found = space([1, 4], depth=7, kind=["a", "b"])
    point = {"cluster.nodes": 3, "scheduler.params.kind": "b"}
    assert found.nodes(point) == 3
    assert found.params(point) == {"depth": 7, "kind": "b"}


@pytest.mark.parametrize(
    "nodes", [0, -1, 1025, 2.5, True, "two", [0, 3], [1, 1025], [3, 1], {"choices": [0]}]
)
def test_node_counts_that_no_cluster_has(nodes):
    (problem,) = problems(nodes)
    assert problem.path == "cluster.nodes" and problem.allowed


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("depth", 0),
        ("depth", 101),
        ("depth", [0, 9]),
        ("depth", [9, 101]),
        ("depth", [1, 2, 3]),
        ("depth", [9, 1]),
        ("depth", ["a", "b"]),
        ("depth", [1.5, 3]),
        ("depth", {"choices": [1, 101]}),
        ("factor", 1.01),
        ("factor", [0, 1.01]),
        ("factor", {"low": 0, "high": 1, "log": True}),
        ("kind", "c"),
        ("kind", ["a", "c"]),
        ("kind", {"low": 1, "high": 2}),
        ("flag", "perhaps"),
    ],
)
def test_a_value_beyond_its_row_is_a_problem_with_a_path(name, value):
    (problem,) = problems(**{name: value})
    assert problem.path == f"scheduler.params.{name}" and problem.allowed and problem.why


def test_problems_are_collected():
    assert {problem.path for problem in problems(0, depth=0, kind=["c"], nope=1)} >= {
        "cluster.nodes",
        "scheduler.params.depth",
        "scheduler.params.nope",
        "scheduler.params.kind",
    }


def test_an_unknown_parameter_names_those_that_may_be_meant():
    for written in ("dept", "Depth", "deepth"):
        (problem,) = problems(**{written: 3})
        assert problem.allowed == "perhaps depth" and "no such parameter" in problem.why


def test_an_unknown_parameter_that_is_like_none_names_all():
    (problem,) = problems(nope=3)
    assert problem.allowed == f"one of {', '.join(Tunables.model_fields)}"


def across(names, arms, **scheduler):
    """The space over several schedulers, both with the parameters of Tunables."""
    values = BASE.model_dump(mode="json")
    values["cluster"]["nodes"] = 2
    values["scheduler"] = {"name": names, "params": {}, "arms": arms, **scheduler}
    return space_of(type(BASE).model_validate(values), {"slurm": Tunables, "flux": Tunables})


def test_several_schedulers_are_a_dimension_and_each_has_its_own_parameters() -> None:
    found = across(
        ["slurm", "flux"], {"slurm": {"depth": [1, 9], "flag": True}, "flux": {"kind": ["a", "b"]}}
    )
    assert dict(found.dimensions) == {
        "scheduler.name": Categorical(("slurm", "flux")),
        "scheduler.arms.slurm.depth": Integer(1, 9),
        "scheduler.arms.flux.kind": Categorical(("a", "b")),
    }
    slurm = {"scheduler.name": "slurm", "scheduler.arms.slurm.depth": 3}
    assert (found.scheduler(slurm), found.params(slurm)) == ("slurm", {"depth": 3, "flag": True})
    assert found.exists("scheduler.arms.slurm.depth", slurm) and not found.exists(
        "scheduler.arms.flux.kind", slurm
    )
    assert found.params({"scheduler.name": "flux", "scheduler.arms.flux.kind": "b"}) == {
        "kind": "b"
    }
    assert found.exists("cluster.nodes", slurm)


def depending(**params):
    values = BASE.model_dump(mode="json")
    values["cluster"]["nodes"] = 2
    values["scheduler"]["params"] = params
    return space_of(type(BASE).model_validate(values), {"slurm": Depending})


KIND, HEAVY, PACE, WEIGHT = (f"scheduler.params.{n}" for n in ("kind", "heavy", "pace", "weight"))


def test_a_setting_exists_where_those_that_it_depends_on_let_it() -> None:
    found = depending(pace=[1, 9], weight=[0, 9], kind={"choices": ["a", "b"]}, heavy=[True, False])
    # What others depend on comes first, in whatever order it was written.
    assert list(found.dimensions) == [KIND, HEAVY, PACE, WEIGHT]
    assert found.deciding == (KIND, HEAVY) and found.conditional and not found.has_arms
    existing = {
        (kind, heavy): found.existing({KIND: kind, HEAVY: heavy})[2:]
        for kind in "ab"
        for heavy in (True, False)
    }
    assert existing == {
        ("a", True): [PACE, WEIGHT],
        ("a", False): [PACE],
        ("b", True): [],
        ("b", False): [],
    }


def test_what_is_fixed_or_left_at_its_default_decides_too() -> None:
    fixed = depending(kind="b", pace=[1, 9])
    assert not fixed.conditional and fixed.existing({}) == []
    default = depending(pace=[1, 9], weight=[0, 9])
    assert default.existing({}) == [PACE]


def test_a_value_without_an_effect_is_no_misfit_and_leaves_the_point() -> None:
    found = depending(pace=[1, 9], kind={"choices": ["a", "b"]})
    assert found.misfit({KIND: "b"}) == found.misfit({KIND: "b", PACE: 4}) == ""
    assert found.misfit({KIND: "a"}) == f"{PACE} is missing"
    assert found.misfit({KIND: "b", WEIGHT: 1}) == f"{WEIGHT} isn't searched"
    assert found.effective({KIND: "b", PACE: 4}) == {KIND: "b"}


def test_parameters_without_an_effect_beside_others() -> None:
    assert Depending().idle == {"weight"}
    assert Depending(heavy=True).idle == frozenset()
    assert Depending(kind="b", heavy=True).idle == {"pace", "weight"}


@pytest.mark.parametrize("name", registry.names())
def test_what_a_parameter_depends_on_has_choices(name) -> None:
    """The search draws it first, and counts the points of each of its choices."""
    fields = registry.adapter(name).Params.model_fields
    for field in fields.values():
        for other, values in conditions_of(field).items():
            assert set(values) < set(choices_of(fields[other]))


def test_a_list_of_one_scheduler_is_that_scheduler() -> None:
    found = across(["slurm"], {}, params={"depth": [1, 9]})
    assert not found.conditional and list(found.dimensions) == ["scheduler.params.depth"]


def test_parameters_stand_where_their_scheduler_is_told_apart() -> None:
    for names, arms, params, path in (
        (["slurm", "flux"], {}, {"depth": 3}, "scheduler.params"),
        (["slurm", "flux"], {"volcano": {}}, {}, "scheduler.arms.volcano"),
        (["slurm", "flux"], {"flux": {"dept": 3}}, {}, "scheduler.arms.flux.dept"),
        (["slurm", "flux"], {"flux": {"depth": [0, 3]}}, {}, "scheduler.arms.flux.depth"),
        (["slurm", "flux"], {"flux": {"depth": 1000}}, {}, "scheduler.arms.flux.depth"),
        ("slurm", {"slurm": {"depth": 3}}, {}, "scheduler.arms"),
    ):
        with pytest.raises(SpaceError) as caught:
            across(names, arms, params=params)
        assert [problem.path for problem in caught.value.problems] == [path]
