"""Settings that a search moved together."""

import numpy as np
import pytest

from campaign.analysis.front.together import FEWEST_POINTS, settings_together

DRAWN = np.random.default_rng(0).random((40, 2)).tolist()


def test_settings_that_rise_and_fall_together_are_named_with_the_strongest_first():
    points = [
        {"a": one, "b": 100 - one, "mode": "high" if one > 0.5 else "low", "free": other}
        for one, other in DRAWN
    ]
    found = settings_together(points)
    assert found[0].settings == ("a", "b")
    assert found[0].value == pytest.approx(-1)
    assert {pair.settings for pair in found} == {("a", "b"), ("a", "mode"), ("b", "mode")}


def test_points_count_once_and_few_say_nothing():
    two = [{"a": 1, "b": 1}, {"a": 2, "b": 2}]
    assert settings_together(two * FEWEST_POINTS) == []
    assert settings_together([]) == []


def test_what_has_no_order_or_never_differs_moves_with_nothing():
    points = [
        {"a": one, "mode": "abc"[int(3 * one)], "fixed": 1, "flag": one > 0.9 and one < 0}
        for one, _ in DRAWN
    ]
    assert settings_together(points) == []


def test_only_points_that_have_both_are_compared():
    points = [
        {"a": one, "b": one} if at % 2 else {"a": one, "c": other}
        for at, (one, other) in enumerate(DRAWN)
    ]
    assert [pair.settings for pair in settings_together(points)] == [("a", "b")]
