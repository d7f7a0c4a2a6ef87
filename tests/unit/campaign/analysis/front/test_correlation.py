"""Rank correlations of objectives: textbook values, intervals, and objectives that are one."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from campaign.analysis.front.correlation import FEWEST_TRIALS, correlations, spearman
from campaign.analysis.front.costs import TrialCosts
from campaign.core.trials import TrialRecord


def costs_of(values, objectives):
    records = [
        TrialRecord(
            number=number,
            point={},
            attempt=1,
            outcome="ok",
            metrics=dict(zip(objectives, row, strict=True)),
        )
        for number, row in enumerate(values)
    ]
    return TrialCosts.of(records, objectives)


def test_a_textbook_example():
    # IQ and hours of television of ten people, the worked example of Spearman's coefficient.
    iq = [106, 86, 100, 101, 99, 103, 97, 113, 112, 110]
    hours = [7, 0, 27, 50, 28, 29, 20, 12, 6, 17]
    value, low, high = spearman(np.array([iq, hours], dtype=float).T)
    assert value == pytest.approx(-29 / 165)
    # Bonett and Wright: tanh(atanh(r) -+ 1.645 sqrt((1 + r^2 / 2) / 7)).
    assert (low, high) == pytest.approx((-0.6663, 0.4210), abs=1e-4)


def test_directions_count_as_better_and_worse():
    values = [(float(n), 100.0 - n**2) for n in range(12)]
    (found,) = correlations(costs_of(values, {"awrt_s": "minimize", "utilisation": "maximize"}))
    assert found.objectives == ("awrt_s", "utilisation")
    assert found.value == found.low == found.high == 1
    assert found.same
    (opposed,) = correlations(costs_of(values, {"awrt_s": "minimize", "utilisation": "minimize"}))
    assert opposed.value == -1
    assert not opposed.same


def test_equal_outcomes_count_once_and_few_say_nothing():
    values = [(float(n % 3), float(-(n % 3))) for n in range(30)]
    (found,) = correlations(costs_of(values, {"a": "minimize", "b": "minimize"}))
    assert found.trials == 3
    assert math.isnan(found.value)
    assert not found.same


def test_an_objective_that_never_differs_has_no_correlation():
    values = [(float(n), 1.0) for n in range(20)]
    (found,) = correlations(costs_of(values, {"a": "minimize", "b": "minimize"}))
    assert math.isnan(found.value)


@settings(max_examples=60, deadline=None)
@given(
    arrays(
        np.float64, st.tuples(st.integers(FEWEST_TRIALS, 40), st.just(2)), elements=st.floats(0, 9)
    )
)
def test_a_correlation_lies_in_its_interval_and_knows_no_units(pairs):
    value, low, high = spearman(pairs)
    if not math.isnan(value):
        assert -1 <= low <= value <= high <= 1
        assert spearman(pairs[:, ::-1]) == pytest.approx((value, low, high))
        assert spearman(pairs * 4)[0] == pytest.approx(value)
