"""Where a campaign's time went: phases over trials and hosts, the workload's share, and what lies
between trials."""

import pytest

from campaign.core.provenance import Provenance
from campaign.core.trials import TrialRecord
from campaign.report.facts import CampaignFacts
from campaign.report.times import (
    AGAIN,
    BETWEEN,
    UNTIMED,
    cost_of,
    percentile,
    starts_of,
    unlike,
)
from tests.samples import OBJECTIVES, campaign_samples

FACTS = CampaignFacts("demo", OBJECTIVES, fixed={"cluster.nodes": 3})


def trial(number, started, phases, host="near", *, rest=0.0, **provenance):
    """A trial that began at `started` and took its phases' time and `rest`."""
    ended = started + sum(phases.values()) + rest
    fields = {
        "point": {},
        "attempt": 1,
        "outcome": "ok",
        "host": host,
        "phases": phases,
        "provenance": provenance,
    }
    return TrialRecord(number=number, started=started, ended=ended, **fields)


# Serial: 0..100, a gap of 5, 105..135, a gap of 5, 140..160.
FIRST = trial(
    0, 0, {"golden": 60, "placed": 10, "ready": 10, "first_job": 2, "workload": 18}, start="golden"
)
SECOND = trial(
    1, 105, {"placed": 2, "ready": 4, "first_job": 4, "workload": 16}, rest=4, start="golden"
)
THIRD = trial(
    2, 140, {"placed": 4, "ready": 2, "first_job": 2, "workload": 12}, "far", start="cold"
)
THREE = [FIRST, SECOND, THIRD]


def row(cost, label):
    return next(one for one in cost.rows if one.label == label)


def facts(**changes):
    return CampaignFacts("demo", OBJECTIVES, fixed={"cluster.nodes": 3}, **changes)


def test_three_trials_by_hand():
    cost = cost_of(THREE, FACTS)
    assert (cost.trials, cost.attempts_failed, cost.wall_s) == (3, 0, 160)
    assert cost.workload_share == pytest.approx((20 + 20 + 14) / 160)
    assert cost.later_share == pytest.approx((20 + 14) / 60)  # the gap after the first trial counts
    assert cost.node_hours == pytest.approx((100 + 30 + 20) * 4 / 3600)
    assert cost.later_shares["golden cluster made"] == 0 and cost.later_shares[
        "slot given"
    ] == pytest.approx(6 / 60)
    placed = row(cost, "slot given")
    assert (placed.count, placed.p50, placed.total) == (3, 4, 16)
    assert placed.p95 == pytest.approx(9.4) and placed.share == pytest.approx(0.1)
    assert row(cost, "golden cluster made").count == 1
    assert (row(cost, UNTIMED).total, row(cost, BETWEEN).total, row(cost, BETWEEN).count) == (
        4,
        10,
        2,
    )
    assert (cost.ready.count, cost.ready.p50) == (3, 6)  # 80, 6 and 6 s


def test_the_rows_add_up_to_the_wall_time():
    records = [one.record for one in campaign_samples(12)]
    earlier = (trial(4, records[-1].ended + 3, {"placed": 50}),)
    for cost in (cost_of(records, FACTS), cost_of(records, facts(earlier=earlier))):
        assert sum(one.total for one in cost.rows) == pytest.approx(cost.wall_s)
        assert (
            sum(one.share for one in cost.rows)
            == pytest.approx(sum(cost.later_shares.values()))
            == pytest.approx(1)
        )


def test_each_host_has_its_own_times():
    far, near = cost_of(THREE, FACTS).hosts
    assert (far.host, far.trials, near.host, near.trials) == ("far", 1, "near", 2)
    assert far.workload_share == pytest.approx(14 / 20) and near.workload_share == pytest.approx(
        40 / 130
    )
    golden, placed, *_ = far.phases
    assert golden is None and (placed.label, placed.p50) == ("slot given", 4)
    assert near.phases[1].p50 == 6 and near.phases[1].p95 == pytest.approx(9.6)


def test_hosts_of_other_speeds_are_told_apart():
    def on(record, host, hashed, copied="5000"):
        stamps = {"host_hash_mib_s": hashed, "host_copy_mib_s": copied, "host_timer_us": "80"}
        return record.model_copy(update={"host": host, "provenance": Provenance.of(stamps)})

    first, second, third = THREE
    fast, slow = cost_of(
        [on(first, "fast", "1000"), on(second, "slow", "900"), on(third, "slow", "600")], FACTS
    ).hosts
    assert (fast.calibration["host_hash_mib_s"], slow.calibration["host_hash_mib_s"]) == (
        1000,
        600,
    )  # the latest
    assert unlike((fast, slow)) == ["SHA-256 on one core, MiB/s: 600 to 1000"]
    alike = cost_of([on(first, "a", "1000"), on(second, "b", "900")], FACTS).hosts
    assert (
        unlike(alike) == []
        and unlike(alike[:1]) == []
        and unlike(cost_of(THREE, FACTS).hosts) == []
    )


def test_attempts_that_were_tried_again_are_wall_time_but_no_trials():
    spoilt = trial(1, 100, {"placed": 3})  # fills a part of the first gap
    cost = cost_of(THREE, facts(earlier=(spoilt,)))
    assert (cost.trials, cost.wall_s) == (3, 160)
    assert (row(cost, AGAIN).total, row(cost, BETWEEN).total) == (3, 7)
    assert cost.later_share == pytest.approx(34 / 60)


def test_what_was_tried_again_of_the_first_trial_is_not_time_after_it():
    spoilt = trial(0, 0, {"placed": 50})
    first = FIRST.model_copy(update={"started": 50.0, "ended": 105.0})
    assert cost_of([first, SECOND, THIRD], facts(earlier=(spoilt,))).later_share == pytest.approx(
        34 / 55
    )


def test_time_without_a_driver_is_not_between_trials():
    cost = cost_of(THREE, facts(resumed=(137.0,)))
    assert (cost.wall_s, cost.between.total, cost.between.count) == (155, 5, 1)


def test_trials_at_the_same_time_have_nothing_between_them():
    spans = [
        (0, 10),
        (4, 14),
        (5, 1),
        (20, 10),
    ]  # start and length; the third ends before the second
    together = [
        trial(number, started, {"workload": length})
        for number, (started, length) in enumerate(spans)
    ]
    cost = cost_of(together, FACTS)
    assert (cost.between.total, cost.wall_s) == (2, 37)


def test_a_single_trial_and_none_have_no_share_after_the_first():
    single = cost_of([FIRST], FACTS)
    assert single.later_share is None and single.later_shares == {}
    none = cost_of([], FACTS)
    assert (none.later_share, none.wall_s, none.workload_share, none.hosts) == (None, 0, 0, ())


def test_starts_are_counted_with_their_reasons():
    because = ["a was altered\nat byte 1", "b is gone", "a was altered\nat byte 2"]
    cold = [trial(n, 0, {}, start="cold", cold_because=reason) for n, reason in enumerate(because)]
    starts = starts_of([FIRST, *cold, THIRD, trial(9, 0, {})])
    assert (starts.restored, starts.booted) == (
        1,
        4,
    )  # THIRD was meant to be booted, the last got no cluster
    assert starts.reasons == (("a was altered", 2), ("b is gone", 1))


def test_percentiles_interpolate():
    assert percentile([4, 1, 3, 2], 0.5) == 2.5
    assert percentile([7], 0.95) == 7
    assert percentile([], 0.5) == 0
