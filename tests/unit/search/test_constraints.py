"""Constraints by the baseline and by class of jobs: what they come to, and who keeps to them."""

import math

import pytest
from pydantic import ValidationError

from campaign.core.trials import TrialRecord
from campaign.report.constraints import said, unmet
from campaign.schema.search import Bound
from search.constraints import limits, limits_among
from search.pareto import feasible, front
from search.study import violations

NO_LONGER = {"wait[partition=*]": Bound(max_x_baseline=1.2)}
TODAY = {"wait[partition=cpu]": 10.0, "wait[partition=gpu]": 100.0, "cost": 5.0}


def trial(number, cpu, gpu, cost=1.0, *, baseline=False, outcome="ok"):
    metrics = {"wait[partition=cpu]": cpu, "wait[partition=gpu]": gpu, "cost": cost, "use": 1.0}
    return TrialRecord(
        number=number,
        point={"n": number},
        attempt=1,
        outcome=outcome,
        metrics=metrics,
        baseline=baseline,
    )


def test_a_constraint_on_each_class_is_a_limit_on_each_by_its_own_baseline():
    found = {limit.metric: limit.value for limit in limits(NO_LONGER, TODAY)}
    assert found == pytest.approx({"wait[partition=cpu]": 12.0, "wait[partition=gpu]": 120.0})


def test_no_class_may_wait_longer_though_another_waits_less():
    baseline = trial(0, 10, 100, 5.0, baseline=True)
    better = trial(1, 12, 50)
    worse = trial(2, 13, 50, 0.5)
    objectives = {"cost": "minimize", "use": "maximize"}
    assert [one.number for one in front([baseline, better, worse], objectives, NO_LONGER)] == [1]
    assert feasible(baseline, limits_among(NO_LONGER, [baseline]))


def test_at_least_as_much_as_the_baseline_is_a_limit_from_below():
    [limit] = limits({"use": Bound(min_x_baseline=0.9)}, {"use": 100.0})
    assert limit.kept({"use": 90.0}) and not limit.kept({"use": 89.0})
    assert limit.violation({"use": 80.0}) == pytest.approx(10.0)


def test_without_a_baseline_nothing_keeps_to_a_limit_by_it():
    bound = {"cost": Bound(max_x_baseline=2.0)}
    failed = trial(0, 1, 1, baseline=True, outcome="invalid")
    assert not feasible(trial(1, 1, 1), limits_among(bound, [failed, trial(1, 1, 1)]))
    assert violations({"cost": 1.0}, bound) == {"cost.max": math.inf}
    assert "the baseline has no value" in unmet([failed, trial(1, 1, 1)], bound)


def test_of_two_limits_of_one_kind_the_tighter_one_is_violated_most():
    bound = {"cost": Bound(max=8.0, max_x_baseline=1.2)}
    assert violations({"cost": 9.0}, bound, TODAY) == {"cost.max": pytest.approx(3.0)}


def test_a_metric_without_a_value_violates_without_limit():
    assert violations({}, {"cost": Bound(max=1.0)}) == {"cost.max": math.inf}
    assert violations({"cost": math.nan}, {"cost": Bound(max=1.0)}) == {"cost.max": math.inf}


def test_what_no_trial_meets_names_class_limit_and_who_came_nearest():
    baseline = trial(0, 10, 100, baseline=True)
    told = unmet([baseline, trial(1, 8, 90)], {"wait[partition=*]": Bound(max_x_baseline=0.5)})
    assert (
        "max_x_baseline = 0.5, wait[partition=cpu], here 5 (the nearest is 8, of trial 1)" in told
    )


def test_the_report_says_constraints_by_the_baseline():
    assert said(NO_LONGER | {"use": Bound(min=3, max=4)}) == (
        "wait[partition=*] \u2264 1.2 x baseline; use \u2265 3 and \u2264 4"
    )


def test_a_constraint_without_any_bound_is_refused():
    with pytest.raises(ValidationError, match="max_x_baseline"):
        Bound()
