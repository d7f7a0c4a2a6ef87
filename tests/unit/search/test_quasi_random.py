"""Quasi-random points: how evenly they lie, in conditional spaces too, and that seeds decide."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from campaign.schema.search import SamplerSettings
from search.quasi_random import value_at
from search.space import Categorical, Condition, Integer, Real, Space
from search.study import Study

OBJECTIVES = {"time": "minimize", "use": "maximize"}
SPACE = Space(
    {
        "kind": Categorical(("a", "b")),
        "x": Real(0.0, 1.0),
        "y": Integer(0, 15),
        "z": Categorical((True, False)),
    },
    {},
    ("one",),
    {"z": (Condition("kind", ("b",), "a"),)},
)


def points(count, seed=1):
    study = Study(SPACE, OBJECTIVES, {}, SamplerSettings(name="qmc"), seed)
    return [study.ask().point for _ in range(count)]


@pytest.mark.parametrize("seed", range(5))
def test_each_part_of_a_space_gets_its_share(seed):
    found = points(16, seed)
    for cells in (
        [(int(4 * one["x"]), one["y"] // 4) for one in found],
        [one["y"] for one in found],
    ):
        assert set(Counter(cells).values()) == {1} and len(set(cells)) == 16
    assert Counter(one["kind"] for one in found) == {"a": 8, "b": 8}
    # A dimension has its own coordinate, whether it exists at all points or at some.
    assert all(("z" in one) == (one["kind"] == "b") for one in found)


def test_a_seed_decides_the_points_and_another_one_gives_others():
    assert points(9) == points(9) != points(9, seed=2)


DISTRIBUTIONS = [
    CategoricalDistribution(("a", True, 3)),
    FloatDistribution(2.0, 9.0),
    FloatDistribution(0.01, 100.0, log=True),
    IntDistribution(1, 13, step=4),
    IntDistribution(1, 1000, log=True),
]


@given(st.sampled_from(DISTRIBUTIONS), st.floats(0, 1, exclude_max=True))
def test_each_share_is_a_value_of_the_distribution(distribution, share):
    value = value_at(distribution, share)
    assert distribution._contains(distribution.to_internal_repr(value))


def test_values_are_spread_as_the_distribution_says():
    shares = [(n + 0.5) / 1000 for n in range(1000)]
    stepped = Counter(value_at(DISTRIBUTIONS[3], share) for share in shares)
    assert stepped == {1: 250, 5: 250, 9: 250, 13: 250}
    decades = Counter(len(str(value_at(DISTRIBUTIONS[4], share))) for share in shares)
    assert all(240 < decades[digits] < 400 for digits in (1, 2, 3))
