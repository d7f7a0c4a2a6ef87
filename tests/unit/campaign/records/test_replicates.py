"""Records of trials on several instances: means, quantiles, failures, and trials ruled out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.core.phases import Phase
from campaign.core.trials import TrialRecord
from campaign.records.replicates import UNFINISHED, ReplicateRule, combined

RULE = ReplicateRule(3)


def replicate(instance, wait, outcome="ok", number=1, **changes):
    known = {"metrics": {"wait": float(wait)}, "started": instance + 1.0, "ended": instance + 3.0}
    return TrialRecord(
        number=number,
        point={},
        attempt=1,
        outcome=outcome,
        instance=instance,
        **{**known, **changes},
    )


def of(*waits, **changes):
    return [replicate(instance, wait, **changes) for instance, wait in enumerate(waits)]


def test_a_value_is_the_mean_over_instances_and_the_record_has_its_replicates():
    record = combined(of(1, 2, 6), RULE)
    assert record.metrics == {"wait": 3.0} and record.valid and not record.ruled_out
    assert [one.metrics["wait"] for one in record.replicates] == [1, 2, 6]
    assert (record.started, record.ended, record.instance) == (1.0, 5.0, 0)


def test_a_single_instance_needs_no_record_of_its_own():
    (only,) = of(4)
    assert combined([only], ReplicateRule()) is only


def test_what_is_held_out_changes_no_value():
    record = combined([*of(1, 2, 6), replicate(3, 500), replicate(4, 900)], RULE)
    assert record.metrics == {"wait": 3.0}
    assert [one.instance for one in record.held_out] == [3, 4]
    alone = combined([*of(4), replicate(1, 7)], ReplicateRule())
    assert alone.metrics == {"wait": 4.0} and [one.instance for one in alone.held_out] == [1]


@pytest.mark.parametrize(("side", "value"), [("high", 5.0), ("low", 1.0)])
def test_a_quantile_is_counted_from_the_better_side(side, value):
    rule = ReplicateRule(5, quantile=1.0, worse={"wait": side})
    assert combined(of(1, 2, 3, 4, 5), rule).metrics == {"wait": value}


def test_a_metric_without_a_side_has_its_mean_whatever_the_quantile():
    assert combined(of(1, 2, 6), ReplicateRule(3, quantile=1.0)).metrics == {"wait": 3.0}


def test_the_sides_follow_from_objectives_and_constraints():
    rule = ReplicateRule.of_config(
        {
            "workload": {"instances": 4},
            "objectives": {"wait": "minimize", "use": "maximize"},
            "search": {
                "quantile": 0.75,
                "constraints": {
                    "cost": {"max": 3.0, "min": None},
                    "jobs": {"min_x_baseline": 0.5, "max": None},
                    "load": {"max": 1.0, "min": 0.5},
                },
            },
        }
    )
    sides = {"wait": "high", "use": "low", "cost": "high", "jobs": "low"}
    assert rule == ReplicateRule(4, 0.75, sides)
    assert ReplicateRule.of_config({}) == ReplicateRule()


def test_a_trial_that_failed_on_one_instance_has_failed_and_says_where():
    bad = replicate(1, 9, "stalled", reason="nothing starts", metrics={}, host="b")
    record = combined([replicate(0, 1), bad], RULE)
    assert (record.outcome, record.reason) == ("stalled", "instance 1: nothing starts")
    assert not record.ruled_out


def test_a_metric_that_one_instance_lacks_has_no_value():
    lacking = replicate(2, 0, metrics={}, absent={"wait": "no job waited"})
    record = combined([*of(1, 2), lacking], RULE)
    assert record.metrics == {} and record.absent == {"wait": "instance 2: no job waited"}


def test_what_a_trial_would_be_on_all_instances_is_told_by_the_baseline():
    # On the two instances that both have met it takes half of the baseline's time.
    record = combined(of(5, 5), RULE, baseline=of(10, 10, 70), ruled_out="trial 7 was better")
    assert record.metrics == {"wait": pytest.approx(15)} and record.valid
    assert record.ruled_out == "trial 7 was better"


def test_a_trial_that_a_kill_cut_short_is_no_result():
    assert combined(of(5, 5), RULE).ruled_out == UNFINISHED


def test_seconds_of_phases_are_summed():
    record = combined([replicate(0, 1, phases={Phase.WORKLOAD: 2.0}), *of(1, 1, 1)[1:]], RULE)
    assert record.phases == {Phase.WORKLOAD: 2.0}


@given(st.lists(st.floats(0.1, 1e6), min_size=3, max_size=3), st.floats(0.1, 10))
def test_a_trial_that_is_the_baseline_times_a_factor_is_estimated_so(waits, factor):
    own = of(*(wait * factor for wait in waits[:2]))
    record = combined(own, RULE, baseline=of(*waits), ruled_out="lost")
    mean = sum(waits) / 3
    assert record.metrics["wait"] == pytest.approx(mean * factor)
