"""Hypervolumes: textbook cases, growth over trials, and what several searches attained."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from campaign.analysis.front.costs import TrialCosts
from campaign.analysis.front.hypervolume import VolumeBox, attained, growth, volume_history
from campaign.core.trials import TrialRecord
from campaign.schema.search import Bound
from search.pareto import front

OBJECTIVES = {"awrt_s": "minimize", "utilisation": "maximize"}
UNIT = VolumeBox(np.zeros(2), np.ones(2))
COSTS = arrays(np.float64, st.tuples(st.integers(1, 12), st.just(2)), elements=st.floats(-1, 2))


def trial(number: int, awrt: float, use: float, outcome: str = "ok", *, baseline: bool = False):
    return TrialRecord(
        number=number,
        point={"cluster.nodes": number},
        attempt=1,
        outcome=outcome,
        metrics={"awrt_s": awrt, "utilisation": use} if outcome == "ok" else {},
        baseline=baseline,
    )


def history_of(records, constraints=None):
    best = front(records, OBJECTIVES, constraints)
    baseline = next((one for one in records if one.baseline), None)
    return volume_history(TrialCosts.of(records, OBJECTIVES, constraints), best, records, baseline)


def test_the_volume_of_a_textbook_front():
    # Fonseca's example in moocore's manual: 38 of the square from (0, 0) to (10, 10).
    box = VolumeBox(np.zeros(2), np.full(2, 10.0))
    points = np.array([[5.0, 5], [4, 6], [2, 7], [7, 4]])
    assert box.volume(points) == pytest.approx(0.38)
    assert box.volume(np.array([[10.0, 0]])) == 0
    assert box.volume(np.empty((0, 2))) == 0


@settings(max_examples=100, deadline=None)
@given(COSTS)
def test_volumes_are_shares_that_grow_and_a_dominated_point_adds_nothing(costs):
    volumes = list(growth(costs, UNIT))
    assert volumes == sorted(volumes)
    assert 0 <= volumes[-1] <= 1
    assert volumes[-1] == pytest.approx(UNIT.volume(costs), abs=1e-12)
    worse = np.vstack([costs, costs[:1] + 0.1])
    assert UNIT.volume(worse) == pytest.approx(UNIT.volume(costs), abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(COSTS, st.randoms(use_true_random=False))
def test_a_volume_does_not_depend_on_the_order(costs, random):
    shuffled = costs[random.sample(range(len(costs)), len(costs))]
    assert UNIT.volume(shuffled) == pytest.approx(UNIT.volume(costs), abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(
    arrays(np.float64, st.tuples(st.integers(2, 8), st.just(2)), elements=st.integers(0, 9)),
    st.floats(0.5, 1000),
)
def test_a_volume_does_not_depend_on_units(costs, factor):
    none = np.empty((0, 2))
    own = VolumeBox.around(costs, none).volume(costs)
    if (costs.min(axis=0) < costs.max(axis=0)).all():
        assert VolumeBox.around(costs * factor, none).volume(costs * factor) == pytest.approx(own)


def test_the_history_says_when_the_front_was_complete():
    records = [
        trial(0, 100, 0.5, baseline=True),
        trial(1, 50, 0.6),
        trial(2, 0, 0, "stalled"),
        trial(3, 60, 0.9),
        trial(4, 70, 0.55),
        trial(5, 100, 0.5),
        trial(6, 0, 0, "invalid"),
    ]
    found = history_of(records)
    assert found.trials == (0, 1, 3, 4, 5)
    assert found.last_gain == 3
    assert found.since == 3
    assert found.volumes[2:] == (found.final,) * 3
    assert found.baseline == found.volumes[0] < found.volumes[1] < found.final
    # A tenth of the ranges, 50..100 and 0.5..0.9, beyond the baseline.
    assert found.reference == pytest.approx({"awrt_s": 105, "utilisation": 0.46})
    assert found.reached[0.99] == 3


def test_a_front_of_one_point_without_a_baseline_reaches_to_the_worst_trial():
    found = history_of([trial(0, 100, 0.5), trial(1, 50, 0.6)])
    assert found.reference == pytest.approx({"awrt_s": 105, "utilisation": 0.49})
    assert found.baseline is None
    assert found.last_gain == 1


def test_equal_trials_make_a_history_of_one_gain():
    found = history_of([trial(0, 100, 0.5), trial(1, 100, 0.5)])
    assert found.last_gain == 0
    assert found.volumes[0] == found.volumes[1] == pytest.approx(1)


def test_without_a_feasible_trial_there_is_no_history():
    assert history_of([trial(0, 100, 0.5)], {"awrt_s": Bound(max=50)}) is None
    assert history_of([trial(0, 0, 0, "stalled")]) is None


def test_an_infeasible_baseline_is_no_part_of_the_volume():
    records = [trial(0, 100, 0.5, baseline=True), trial(1, 50, 0.6)]
    found = history_of(records, {"awrt_s": Bound(max=60)})
    assert found.trials == (1,)
    assert found.baseline is None


def test_half_of_the_searches_attained_the_median_surface():
    one = np.array([[1.0, 3], [3, 1]])
    two = np.array([[2.0, 2]])
    three = np.array([[3.0, 3]])
    found = attained([one, two, three], [0.5, 1.0])
    # Two of three are at least as good as (2, 3) and (3, 2), all as (3, 3).
    assert sorted(map(tuple, found[0.5])) == [(2, 3), (3, 2)]
    assert found[1.0].tolist() == [[3, 3]]


def test_a_search_that_found_nothing_counts_as_one():
    nothing = np.empty((0, 2))
    found = attained([np.array([[1.0, 3]]), nothing, np.array([[2.0, 2]]), nothing], [0.5, 0.75])
    assert found[0.5].tolist() == [[2, 3]]
    assert len(found[0.75]) == 0
    assert UNIT.volume(found[0.75]) == 0
