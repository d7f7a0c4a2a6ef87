"""Values and changes over instances: textbook cases, coverage, gaps, and points that are alike."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from campaign.analysis.front.instances import (
    CHUNK,
    InstanceRule,
    Sampled,
    alike,
    changes,
    estimate,
)
from campaign.analysis.front.resampling import Bootstrap

VALUES = arrays(
    np.float64,
    st.tuples(st.integers(1, 6), st.integers(1, 8)),
    elements=st.one_of(st.floats(0.1, 1e6), st.just(np.nan)),
)
RULES = st.sampled_from([InstanceRule(), InstanceRule(0.9), InstanceRule(0.5)])
QUICK = Bootstrap(resamples=200)


def test_a_value_is_the_mean_or_a_quantile_from_the_better_side():
    values = np.arange(11.0)[None]
    assert estimate(values, "minimize").value == [5.0]
    assert estimate(values, "minimize", InstanceRule(0.9)).value == [9.0]
    assert estimate(values, "maximize", InstanceRule(0.9)).value == pytest.approx([1.0])


def test_a_quantile_outside_0_and_1_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        InstanceRule(90)


def test_an_interval_of_normal_values_is_about_students():
    sample = np.random.default_rng(1).normal(100, 10, size=12)
    found = estimate(sample[None], "minimize", bootstrap=Bootstrap(resamples=20_000))
    low, high = stats.t.interval(0.9, 11, sample.mean(), stats.sem(sample))
    assert found.low[0] == pytest.approx(low, abs=0.8)
    assert found.high[0] == pytest.approx(high, abs=0.8)


@pytest.mark.parametrize("n", [5, 8, 20])
def test_intervals_cover_as_often_as_they_say(n):
    generator = np.random.default_rng(n)
    values = generator.gamma(4, 100, size=(1000, n))
    found = estimate(values, "minimize")
    assert 0.85 <= np.mean((found.low <= 400) & (found.high >= 400)) <= 0.95


def test_of_equal_points_at_most_a_tenth_seem_to_differ():
    generator = np.random.default_rng(3)
    instances = generator.gamma(4, 100, size=(1000, 8))
    noise = generator.normal(0, 20, size=(2, 1000, 8))
    found = changes(instances + noise[0], instances + noise[1], "minimize")
    assert 0.05 <= np.mean(found.told_apart) <= 0.13


def test_pairing_finds_a_change_that_is_less_than_instances_differ():
    instances = np.random.default_rng(0).uniform(100, 1000, size=8)
    better = instances * 0.95
    found = changes(np.stack([instances, better]), instances, "minimize")
    assert found.percent == pytest.approx([0, -5])
    assert found.percent_low[1] == pytest.approx(-5)
    assert found.better[0] == 0.5
    assert found.better[1] > 0.99
    assert found.told_apart.tolist() == [False, True]
    alone = estimate(np.stack([instances, better]), "minimize")
    assert alone.low[0] < alone.value[1] < alone.high[0]


def test_more_is_better_where_it_is_maximised():
    instances = np.linspace(0.5, 0.9, 8)
    found = changes((instances + 0.05)[None], instances, "maximize")
    assert found.better[0] > 0.99
    assert found.difference[0] == pytest.approx(0.05)


def test_too_few_instances_have_a_value_and_no_interval():
    assert Bootstrap(level=0.9).fewest == 5
    found = changes(np.full((1, 4), 1.0), np.full(4, 2.0), "minimize")
    assert found.percent[0] == -50
    assert np.isnan(found.percent_low[0])
    assert not found.told_apart[0]
    assert 0.5 < found.better[0] < 0.99


def test_only_instances_of_both_are_compared():
    baseline = np.array([10.0, 20, 30, 40, 50, 60])
    raced = np.array([[5.0, 10, np.nan, np.nan, np.nan, np.nan], [np.nan] * 6])
    found = changes(raced, baseline, "minimize")
    assert found.instances.tolist() == [2, 0]
    assert found.percent[0] == -50
    assert np.isnan(found.percent[1])
    reversed_roles = changes(baseline[None], raced[0], "minimize")
    assert reversed_roles.percent[0] == 100


def test_the_change_of_a_baseline_of_zero_has_no_per_cent():
    found = changes(np.ones((1, 6)), np.zeros(6), "minimize")
    assert found.difference[0] == 1
    assert np.isnan(found.percent[0])
    assert np.isnan(found.percent_low[0])


def test_points_are_alike_that_no_objective_tells_apart():
    generator = np.random.default_rng(0)
    waits = generator.uniform(100, 200, size=8)
    use = generator.uniform(0.5, 0.6, size=8)
    jitter = generator.normal(0, 1, size=8)
    first = Sampled(np.stack([waits, waits + jitter, waits + jitter]), "minimize")
    second = Sampled(np.stack([use, use, use + 0.1]), "maximize")
    assert alike([first, second]) == alike([second, first]) == [(0, 1)]
    assert alike([first]) == [(0, 1), (0, 2), (1, 2)]
    assert alike([]) == []


def test_many_points_are_compared_as_few_are():
    values = np.random.default_rng(0).uniform(1, 2, size=(CHUNK + 1, 6))
    many = changes(values, values[0], "minimize", bootstrap=QUICK)
    few = changes(values[-2:], values[0], "minimize", bootstrap=QUICK)
    np.testing.assert_allclose(many.percent_low[-2:], few.percent_low)


def test_gains_and_losses_that_cancel_out_are_no_difference():
    baseline = np.array([1.0, 0.1, 0.1, 0.1, 0.1, 0.1])
    swapped = np.array([0.1, 1.0, 0.1, 0.1, 0.1, 0.1])
    together = changes(np.tile(swapped, (6, 1)), baseline, "minimize", bootstrap=QUICK)
    alone = changes(swapped[None], baseline, "minimize", bootstrap=QUICK)
    assert np.all(together.better == alone.better[0])
    assert 0.4 < alone.better[0] < 0.6


@settings(max_examples=60, deadline=None)
@given(VALUES, RULES)
@example(
    np.array([[1, 0.25, 0.25, 0.25, 0.25, 0.25], *[[0.25] * 6] * 4, [0.25, 1, *[0.25] * 4]]),
    InstanceRule(),
)
def test_figures_do_not_depend_on_the_other_points(values, rule):
    together = changes(values, values[0], "minimize", rule, QUICK)
    alone = changes(values[-1:], values[0], "minimize", rule, QUICK)
    for name in ("difference", "low", "high", "percent", "better"):
        np.testing.assert_allclose(
            getattr(together, name)[-1], getattr(alone, name)[0], rtol=1e-6, atol=1e-6
        )


@settings(max_examples=60, deadline=None)
@given(VALUES, RULES, st.sampled_from(["minimize", "maximize"]))
def test_an_interval_lies_within_the_values_and_twice_the_same(values, rule, direction):
    found = estimate(values, direction, rule, QUICK)
    again = estimate(values, direction, rule, QUICK)
    np.testing.assert_array_equal(found.low, again.low)
    known = ~np.isnan(found.low)
    assert np.all(found.low[known] <= found.high[known])
    assert np.all(found.low[known] >= np.nanmin(values[known], axis=1) * (1 - 1e-9))
    assert np.all(found.high[known] <= np.nanmax(values[known], axis=1) * (1 + 1e-9))
    assert np.all(known == (found.instances >= QUICK.fewest))


@settings(max_examples=60, deadline=None)
@given(VALUES, RULES)
def test_a_point_is_no_different_from_itself(values, rule):
    found = changes(values, values, "minimize", rule, QUICK)
    met = found.instances > 0
    assert np.all(found.difference[met] == 0)
    assert not found.told_apart.any()
    assert np.all(found.better[found.instances > 1] == 0.5)
