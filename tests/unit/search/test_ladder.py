"""What a cheap testbed foretells, what points are expected to add, and which are promoted."""

import math

import numpy as np
import pytest

from campaign.schema.search import Bound
from search.asked import AskedPoints
from search.discrepancy import Discrepancy, Places
from search.expected_gain import Outlook, expected_gains
from search.ladder import Ladder, Rehearsed
from search.space import Categorical, Integer, Real, Space

OBJECTIVES = {"wait": "minimize", "use": "maximize"}
SPACE = Space({"x": Integer(0, 99), "y": Integer(0, 99)}, {}, ("slurm",))


def rows(*numbers):
    return np.array(numbers, dtype=np.intp)


def foretold(cheap, at, dear, points=None):
    places = Places(SPACE, points or [{"x": 7 * n % 100, "y": 50} for n in range(len(cheap))])
    model = Discrepancy(np.array(cheap, dtype=float), places)
    found = model.foretell(rows(*at), np.array(dear, dtype=float))
    return found, model


def test_without_trials_the_cheap_testbed_is_believed():
    found, model = foretold([1, 2, 4], [], [])
    assert found.values == pytest.approx(model.scaled(np.array([1.0, 2.0, 4.0])))
    assert (found.spreads > 0).all()


def test_a_constant_shift_is_learnt_from_few_trials():
    cheap = np.linspace(10, 20, 12)
    found, model = foretold(cheap, [0, 5, 11], (1.5 * cheap)[[0, 5, 11]])
    naive = np.abs(model.scaled(cheap) - model.scaled(1.5 * cheap))
    assert np.abs(found.values - model.scaled(1.5 * cheap)).max() < naive.min() / 5


def test_what_is_known_is_foretold_as_it_is_and_with_less_doubt():
    found, model = foretold([1, 2, 3, 4], [1], [5])
    assert found.values[1] == pytest.approx(model.scaled(np.array([5.0]))[0], abs=0.1)
    assert found.spreads[1] < found.spreads[[0, 2, 3]].min()


def test_points_with_near_settings_deviate_alike():
    points = [{"x": 10, "y": 10}, {"x": 11, "y": 10}, {"x": 90, "y": 90}, {"x": 95, "y": 5}]
    found, model = foretold([10, 30, 30, 9], [0, 3], [20, 9], points)
    assert found.values[1] > found.values[2] > model.scaled(np.array([20.0]))[0]


def test_a_cheap_testbed_that_misleads_makes_doubt():
    cheap = np.arange(1.0, 13)
    fair, _ = foretold(cheap, range(6), cheap[:6])
    misled, _ = foretold(cheap, range(6), cheap[[3, 0, 5, 1, 4, 2]])
    assert misled.spreads[6:].min() > fair.spreads[6:].max()


def test_values_may_be_zero_negative_or_all_the_same():
    for cheap in ([0, 0, 0], [-5, 0, 5], [7, 7, 7]):
        found, _ = foretold(cheap, [0], [1])
        assert np.isfinite(found.values).all() and (found.spreads > 0).all()


def test_distance_counts_other_choices_and_missing_settings_as_a_whole_range():
    dimensions = {"kind": Categorical(("a", "b")), "size": Real(1, 100, log=True)}
    points = [{"kind": "a", "size": 1.0}, {"kind": "a", "size": 10.0}, {"kind": "b"}]
    squared = Places(Space(dimensions, {}, ("slurm",)), points).squared(rows(0))
    assert squared[:, 0] == pytest.approx([0, 0.25 / 2, 1])


def gains(costs, known, spread=0.01, chances=None):
    costs = np.array(costs, dtype=float)
    spreads = np.full(costs.shape, spread)
    chances = np.ones(len(costs)) if chances is None else np.array(chances)
    return expected_gains(Outlook(costs, spreads, chances), np.array(known, dtype=float), 1)


def test_what_adds_most_to_the_front_is_expected_to():
    found = gains([(0.4, 0.4), (0.0, 1.0), (0.9, 0.9), (1.0, 0.0)], [(0.0, 1.0), (1.0, 0.0)])
    assert np.argmax(found) == 0 and found[0] > 5 * found[[1, 2, 3]].max()


def test_of_equal_points_the_less_certain_may_add_more():
    known = [(0.5, 0.5), (0.0, 1.0), (1.0, 0.0)]
    sure = gains([(0.5, 0.5), (0.0, 1.0), (1.0, 0.0)], known, spread=0.001)
    unsure = gains([(0.5, 0.5), (0.0, 1.0), (1.0, 0.0)], known, spread=0.1)
    assert unsure[0] > 5 * sure[0]


def test_the_chance_of_being_feasible_counts():
    found = gains([(0.4, 0.4), (0.5, 0.5)], [(0.0, 1.0), (1.0, 0.0)], chances=[0.01, 1.0])
    assert np.argmax(found) == 1


def test_where_nothing_is_expected_to_add_the_nearest_is_named():
    found = gains([(0.9, 0.9), (0.45, 0.45)], [(0.4, 0.4), (0.0, 1.0), (1.0, 0.0)], spread=1e-3)
    assert np.argmax(found) == 1 and found[1] > 0


def asked(*points):
    found = AskedPoints(SPACE, distinct=True)
    for point in points:
        found.add(point)
    return found


def ladder(outcomes, constraints=None):
    pool = [
        Rehearsed({"x": x, "y": 0}, {"wait": wait, "use": use})
        for x, (wait, use) in outcomes.items()
    ]
    return Ladder(SPACE, OBJECTIVES, constraints or {}, pool)


def test_a_ladder_promotes_each_point_once_and_the_best_first():
    outcomes = {0: (90, 0.5), 20: (60, 0.6), 40: (80, 0.4), 60: (20, 0.9), 80: (85, 0.3)}
    climbed = ladder(outcomes)
    tried = [{"x": 0, "y": 0}]
    climbed.tell(tried[0], {"wait": 91, "use": 0.5}, baseline=True)
    while given := climbed.next(asked(*tried), 1):
        assert given.origin == "promoted"
        tried.append(given.point)
        wait, use = outcomes[given.point["x"]]
        climbed.tell(given.point, {"wait": wait, "use": use})
    assert tried[1] == {"x": 60, "y": 0}
    assert sorted(point["x"] for point in tried) == sorted(outcomes)


def test_a_point_of_a_batch_is_not_promoted_for_what_its_neighbour_will_show():
    outcomes = {0: (90, 0.5), 50: (20, 0.9), 51: (20.1, 0.899), 90: (10, 0.6)}
    climbed = ladder(outcomes)
    climbed.tell({"x": 0, "y": 0}, {"wait": 90, "use": 0.5}, baseline=True)
    first = climbed.next(asked({"x": 0, "y": 0}), 1).point
    assert first == {"x": 50, "y": 0}
    assert climbed.next(asked({"x": 0, "y": 0}, first), 1).point == {"x": 90, "y": 0}


def test_a_ladder_heeds_constraints_as_they_are_foretold():
    outcomes = {0: (50, 0.5), 30: (20, 0.9), 60: (45, 0.7)}
    climbed = ladder(outcomes, {"wait": Bound(min=40)})
    climbed.tell({"x": 0, "y": 0}, {"wait": 50, "use": 0.5}, baseline=True)
    assert climbed.next(asked({"x": 0, "y": 0}), 1).point == {"x": 60, "y": 0}


def test_what_failed_on_the_dear_testbed_is_expected_to_give_nothing():
    outcomes = {0: (90, 0.5), 50: (20, 0.9), 51: (20.1, 0.899), 90: (10, 0.6)}
    climbed = ladder(outcomes)
    climbed.tell({"x": 0, "y": 0}, {"wait": 90, "use": 0.5}, baseline=True)
    climbed.drop({"x": 50, "y": 0})
    assert climbed.next(asked({"x": 0, "y": 0}, {"x": 50, "y": 0}), 1).point["x"] == 51


def test_a_ladder_without_rehearsals_promotes_nothing():
    climbed = ladder({})
    climbed.tell({"x": 0, "y": 0}, {"wait": 90, "use": 0.5}, baseline=True)
    assert climbed.next(asked(), 1) is None


def test_dominated_by_chance_is_no_error():
    assert math.isfinite(gains([(1, 1)], np.empty((0, 2)))[0])


@pytest.mark.parametrize("dear", [(20, 0.9), (40, 0.75), (60, 0.6)])
def test_of_points_that_came_out_alike_one_is_promoted_before_others(dear):
    alike = dict.fromkeys((50, 60, 70), (20, 0.9))
    climbed = ladder({0: (90, 0.5), **alike, 90: (19, 0.6)})
    baseline = {"x": 0, "y": 0}
    climbed.tell(baseline, {"wait": 90, "use": 0.5}, baseline=True)
    first = climbed.next(asked(baseline), 1).point
    climbed.tell(first, dict(zip(("wait", "use"), dear, strict=True)))
    assert first["x"] in alike
    assert climbed.next(asked(baseline, first), 1).point["x"] == 90
