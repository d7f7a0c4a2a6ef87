"""Which setting matters for which objective: known shares, few trials, one scheduler's own."""

import numpy as np
import pytest

from search.importance import FEWEST_TRIALS, importances
from search.space import ARMS, SCHEDULER, Categorical, Integer, Real, Space

SPACE = Space({"a": Real(0, 1), "b": Real(0, 1), "c": Integer(1, 4)}, {})


def points_of(count: int, seed: int = 0):
    draw = np.random.default_rng(seed)
    return [
        {"a": float(a), "b": float(b), "c": int(c)}
        for a, b, c in zip(
            draw.random(count), draw.random(count), draw.integers(1, 5, count), strict=True
        )
    ]


def test_what_an_objective_depends_on_comes_first_with_its_interval():
    points = points_of(120)
    costs = np.array([[one["a"], 3 * one["c"] + one["b"]] for one in points])
    first, second = importances(SPACE, points, costs)
    assert first[0].setting == "a"
    assert first[0].share > 0.9
    assert second[0].setting == "c"
    for found in (first, second):
        assert sum(one.share for one in found) == pytest.approx(1)
        for one in found:
            assert 0 <= one.low <= one.high <= 1
    assert first[0].low > first[1].high


def test_it_is_about_the_best_trials_not_the_worst():
    points = points_of(200)
    costs = np.array([[one["a"] if one["a"] < 0.3 else 1 + one["b"]] for one in points])
    (found,) = importances(SPACE, points, costs)
    assert found[0].setting == "a"


def test_an_interval_is_wider_for_fewer_trials():
    widths = []
    for count in (25, 300):
        points = points_of(count)
        costs = np.array([[one["a"] + one["b"]] for one in points])
        (found,) = importances(SPACE, points, costs)
        widths.append(max(one.high - one.low for one in found))
    assert widths[0] > 2 * widths[1]


def test_it_is_the_same_each_time():
    points = points_of(30)
    costs = np.array([[one["a"]] for one in points])
    assert importances(SPACE, points, costs) == importances(SPACE, points, costs)


def test_too_few_trials_a_constant_objective_and_fixed_settings_have_none():
    few = points_of(FEWEST_TRIALS - 1)
    assert importances(SPACE, few, np.ones((len(few), 2))) == [[], []]
    many = points_of(FEWEST_TRIALS)
    costs = np.array([[1.0, one["a"]] for one in many])
    constant, varying = importances(SPACE, many, costs)
    assert not constant
    assert varying
    assert importances(SPACE, [many[0]] * 30, np.ones((30, 1))) == [[]]


def test_settings_of_one_scheduler_are_weighed_too():
    own = f"{ARMS}.slurm.bf_interval"
    space = Space(
        {SCHEDULER: Categorical(("slurm", "flux")), own: Real(0, 1)}, {}, ("slurm", "flux")
    )
    draw = np.random.default_rng(0).random(80)
    points = [
        {SCHEDULER: "slurm", own: float(value)} if at % 2 else {SCHEDULER: "flux"}
        for at, value in enumerate(draw)
    ]
    costs = np.array([[one.get(own, 2.0)] for one in points])
    (found,) = importances(space, points, costs)
    assert {one.setting for one in found} == {SCHEDULER, own}
